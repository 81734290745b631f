public import Model

/// All watchers of one event loop.
public struct WatchMachine: ~Copyable {
  public let limits: WatchLimits

  /// `seed` drives the jitter of periodic progress and keeps keys from being chosen to collide.
  public init(limits: WatchLimits = WatchLimits(), seed: UInt64) {
    self.limits = limits
  }

  /// Number of watchers: the loop asks for the feed of events while it is not 0.
  public var watcherCount: Int { 0 }

  /// nil when there are too many streams.
  public mutating func streamOpened() -> WatchStreamID? { nil }
  /// Forgets the stream and its watchers; no effects.
  public mutating func streamClosed(_ stream: WatchStreamID) {}

  /// `currentRevision`: of the newest published view; `compactRevision`: at the same time.
  public mutating func create(
    _ stream: WatchStreamID, _ create: WatchCreate, currentRevision: Int64, compactRevision: Int64,
    _ sink: inout some WatchSink
  ) {}
  public mutating func cancel(
    _ stream: WatchStreamID, watchID: Int64, currentRevision: Int64, _ sink: inout some WatchSink
  ) {}
  public mutating func requestProgress(
    _ stream: WatchStreamID, currentRevision: Int64, _ sink: inout some WatchSink
  ) {}

  /// The next batch of the feed. When a feed begins, its first batch says where: `EventBatch(first: r + 1, last: r)`
  /// after the feed was asked for at revision r, so that a revision between is read from history at once.
  public mutating func live(_ batch: EventBatch, _ sink: inout some WatchSink) {}
  public mutating func history(_ answer: HistoryAnswer, _ sink: inout some WatchSink) {}
  /// The stream takes events again.
  public mutating func drained(_ stream: WatchStreamID, _ sink: inout some WatchSink) {}
  /// Time went on: milliseconds since any fixed moment. Sends periodic progress.
  public mutating func tick(nowMilliseconds: UInt64, _ sink: inout some WatchSink) {}
}
