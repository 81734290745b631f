public import Synchronization

/// What the member's own thread tells all others: single words, written by one thread and read by any.
/// Nothing here decides anything replicated.
public final class MemberGauge: Sendable {
  public let raftTerm = Atomic<UInt64>(0)
  /// 0 while no leader is known.
  public let leader = Atomic<UInt64>(0)
  public let lastIndex = Atomic<UInt64>(0)
  public let appliedIndex = Atomic<UInt64>(0)
  /// The last compaction whose rows are physically gone; -1 before the first.
  public let finishedCompactRevision = Atomic<Int64>(-1)

  public init() {}
}
