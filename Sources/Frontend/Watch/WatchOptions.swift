/// What the watch service of each event loop is told.
public struct WatchOptions: Sendable {
  /// `--watch-progress-notify-interval`.
  public var progressMilliseconds: UInt64 = 600_000
  /// etcd's monitor of leaders looks once in this time (the election timeout), and ends the streams that asked for a
  /// leader when it has found none three times in a row.
  public var leaderCheckMilliseconds: UInt64 = 1_000
  /// A response with more is sent in fragments to who asked for that.
  public var fragmentBytes = 1_572_864 + (512 << 10)
  /// Events on their way from the member's thread to one event loop; beyond it the loop reads them from the history.
  public var deliveryBytesMax = 32 << 20
  /// Reads of history that one event loop has under way. More would keep other long reads waiting.
  public var historyReadsMax = 2

  public init() {}

  static let leaderChecks: UInt64 = 3
}
