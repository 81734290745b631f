import Model
import Store

/// Copies what the apply stage has published into batches for watchers, while anyone watches: every revision from where
/// the feed began lies in exactly one of them, in order.
///
/// What was published while nobody watched is found in the history; so is what a batch could not carry.
struct EventFeed {
  private let limits: EventFeedLimits
  /// The first revision not yet covered; nil while nobody watches.
  private var next: Int64?

  init(limits: EventFeedLimits) { self.limits = limits }

  /// Somebody begins to watch, or nobody does any more. A beginning is answered with where the feed stands: who has
  /// seen less reads it from the history. Others may be watching already; to them that says nothing new.
  mutating func setWatched(_ isWatched: Bool, revision: Int64, _ batches: inout [EventBatch]) {
    guard isWatched else {
      next = nil
      return
    }
    precondition(next.map { $0 == revision + 1 } ?? true, "the feed covers what is published")
    next = revision + 1
    batches.append(EventBatch(first: revision + 1, last: revision))
  }

  /// The state became another, later one at once: what lies between is for the history.
  mutating func jump(to revision: Int64, _ batches: inout [EventBatch]) {
    guard let first = next, revision >= first else { return }
    batches.append(EventBatch(first: first, last: revision, isComplete: false))
    next = revision + 1
  }

  /// Covers what was published since the last call.
  mutating func collect(_ applier: Applier, _ batches: inout [EventBatch]) throws(NodeError) {
    guard let first = next, applier.revision >= first else { return }
    var collector = Collector(first: first, limits: limits)
    try orStop { () throws(StoreError) in
      try applier.finishedRows(from: first) { (revision, row) throws(StoreError) in
        try collector.add(revision, row)
      }
    }
    batches += collector.finish(last: applier.revision)
    next = applier.revision + 1
  }

  /// Cuts a run into batches, between main revisions.
  private struct Collector {
    private var builder: EventBatchBuilder
    private var batches: [EventBatch] = []
    private var first: Int64
    private var main: Int64
    private var bytesLeft: Int
    private let batchBytes: Int
    /// The run had more than may be carried: the rest is for the history.
    private var isExhausted = false

    init(first: Int64, limits: EventFeedLimits) {
      self.first = first
      main = first
      batchBytes = limits.batchBytes
      bytesLeft = limits.runBytes
      builder = EventBatchBuilder(bytesMax: limits.batchBytesMax)
    }

    mutating func add(_ revision: Revision, _ row: Row) throws(StoreError) {
      if isExhausted { return }
      if revision.main != main {
        if builder.byteCount >= batchBytes || isOverfull { close(last: revision.main - 1) }
        main = revision.main
        if bytesLeft <= 0 {
          isExhausted = true
          return
        }
      }
      builder.add(revision, row)
    }

    mutating func finish(last: Int64) -> [EventBatch] {
      if isExhausted {
        if main > first { close(last: main - 1) }
        batches.append(EventBatch(first: first, last: last, isComplete: false))
      } else {
        close(last: last)
      }
      return batches
    }

    /// One transaction was too large: the batch is incomplete already.
    private var isOverfull: Bool { builder.itemCount == 0 && !builder.isEmpty }

    private mutating func close(last: Int64) {
      bytesLeft -= builder.byteCount
      batches.append(builder.finish(first: first, last: last))
      first = last + 1
    }
  }
}

/// What the feed may take for one run of the apply stage.
public struct EventFeedLimits: Hashable, Sendable {
  /// A batch ends at the first main revision that brings it here (encoded bytes).
  public var batchBytes: Int
  /// A transaction whose events take more than this is left to the history.
  public var batchBytesMax: Int
  /// So is everything beyond this in one run.
  public var runBytes: Int

  public init(batchBytes: Int = 1 << 20, batchBytesMax: Int = 4 << 20, runBytes: Int = 8 << 20) {
    precondition(batchBytes > 0 && batchBytes <= batchBytesMax, "a batch holds something")
    self.batchBytes = batchBytes
    self.batchBytesMax = batchBytesMax
    self.runBytes = runBytes
  }
}
