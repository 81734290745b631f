internal import Model
public import Store
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

  /// What the health service says.
  public let isServing = Atomic<Bool>(true)
  /// What `AlarmFlags` says.
  public let alarms = Atomic<UInt8>(0)

  public init() {}
}

/// The raised alarms in one word.
public struct AlarmFlags: OptionSet, Sendable {
  public let rawValue: UInt8

  public init(rawValue: UInt8) { self.rawValue = rawValue }

  /// Any member has raised it.
  public static let noSpace = AlarmFlags(rawValue: 1)
  public static let corrupt = AlarmFlags(rawValue: 2)
  /// This member has raised NOSPACE.
  public static let ownNoSpace = AlarmFlags(rawValue: 4)

  public init(_ alarms: AlarmSet, memberID: UInt64) {
    self = []
    if alarms.hasNoSpace { insert(.noSpace) }
    if alarms.hasCorrupt { insert(.corrupt) }
    if alarms.contains(AlarmMember(memberID: memberID, alarm: .noSpace)) { insert(.ownNoSpace) }
  }
}
