public import Model

/// A watch stream, as the machine names it. Slots are dense and used again, so that an edge may keep its streams in
/// an array by slot; the generation tells a late call about a closed stream from one about its successor.
public struct WatchStreamID: Hashable, Sendable {
  public let slot: UInt32
  public let generation: UInt32
}

/// A request to create a watcher, as it came, and what the edge found out about it.
public struct WatchCreate: Sendable {
  public var request: WatchCreateRequest
  /// Why the user may not watch this: the text of `cancel_reason` (authorization is the edge's).
  public var refusal: String?

  public init(_ request: WatchCreateRequest, refusal: String? = nil) {
    self.request = request
    self.refusal = refusal
  }
}

/// The encoded `events` fields of one WatchResponse (field 11, repeated), shared by all watchers that get the same.
public struct WatchBody: Sendable {
  public let bytes: [UInt8]
  /// The fields' place in `bytes`.
  public let range: Range<Int>
  public let eventCount: Int
}

/// What the machine does to the world outside, given to each call: the frontend of one event loop, or a test.
/// Responses of one stream are to reach the client in the order of these calls. None may call the machine back.
public protocol WatchSink {
  /// The answer to a create: `created`, `revision` in the header. With a refusal: `created` and `canceled`, the text as
  /// `cancel_reason`, and `watchID` is -1.
  mutating func created(_ stream: WatchStreamID, watchID: Int64, revision: Int64, refusal: String?)
  /// The watcher ended: `canceled`. Asked for: no reason. Compacted: `compactRevision` is not 0 and `revision` is 0, as
  /// etcd answers. Otherwise the `reason` says why.
  mutating func cancelled(
    _ stream: WatchStreamID, watchID: Int64, revision: Int64, compactRevision: Int64, reason: String)
  /// No events; everything up to `revision` was delivered: to the watcher, or, with `watchID` -1, to all of the stream.
  mutating func progress(_ stream: WatchStreamID, watchID: Int64, revision: Int64)
  /// Events. Always taken in; returns whether the stream takes more. After false the machine sends the stream no events
  /// until `drained`, and the edge should take no more requests from it.
  mutating func events(
    _ stream: WatchStreamID, watchID: Int64, revision: Int64, fragment: Bool, _ body: WatchBody
  ) -> Bool
  /// The encoded mvccpb.KeyValue that `key` had at `revision`; nil if it had none or that is compacted.
  mutating func previous(_ key: ArraySlice<UInt8>, at revision: Int64) -> [UInt8]?
  /// To be answered later by `WatchMachine.history`, in any order, never before this call returns.
  mutating func readHistory(_ read: HistoryRead)
}

/// A slice of history to be read, from a view whose revision is at least that of every batch given to the machine.
public struct HistoryRead: Sendable {
  public enum Wanted: Sendable {
    /// One key: its chain of versions is walked.
    case key([UInt8])
    /// A scan of all rows, shared by many watchers.
    case keys(KeySet)
  }

  public let id: UInt64
  /// The first revision wanted.
  public let from: Int64
  public let wanted: Wanted
  /// The slice may end at any revision, and should end at the first that brings it to this many encoded bytes, or after
  /// a scan over this many revisions. It never ends inside a revision, and holds at least one.
  public let bytesMax: Int
  public let revisionsMax: Int64
}

public struct HistoryAnswer: Sendable {
  public enum Result: Sendable {
    /// All wanted events of `from...lastRevision`; `firstRevision` is `from`.
    case events(EventBatch)
    /// `from` is below this compaction revision. (A read from the compaction revision itself succeeds.)
    case compacted(revision: Int64)
  }

  public let id: UInt64
  public let result: Result

  public init(id: UInt64, result: Result) {
    self.id = id
    self.result = result
  }
}

/// Every bound of a `WatchMachine`.
public struct WatchLimits: Sendable {
  /// Open streams on one event loop.
  public var streams = 1 << 20
  public var watchers = 4 << 20
  public var watchersPerStream = 1 << 20
  /// Reads of single keys under way.
  public var keyReads = 64
  /// Watchers that share one scan of history.
  public var watchersPerScan = 4_096
  /// A slice of history: encoded bytes, and revisions scanned.
  public var sliceBytes = 256 << 10
  public var sliceRevisions: Int64 = 10_000
  /// Live batches kept while a gap before them is read from history.
  public var backlogBytes = 4 << 20
  /// Pairs of an event and a range that contains it, looked at together; a longer batch is worked off in parts.
  public var matchesAtOnce = 1 << 16
  /// A response with several revisions ends at this size; one revision is never split by it.
  public var responseBytes = 1 << 20
  /// Responses beyond this are split between events for watchers that asked for fragments (--max-request-bytes and
  /// 512 KiB, as in etcd).
  public var fragmentBytes = 1_572_864 + (512 << 10)
  /// Periodic progress (--watch-progress-notify-interval); up to a tenth is added at random, for each stream.
  public var progressMilliseconds: UInt64 = 600_000

  public init() {}
}
