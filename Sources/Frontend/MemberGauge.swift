public import Model
public import Replica
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
  public let commitIndex = Atomic<UInt64>(0)
  /// Whom this member voted for in the current term; 0 for nobody.
  public let vote = Atomic<UInt64>(0)
  /// Whether this member leads.
  public let leads = Atomic<Bool>(false)
  public let isLearner = Atomic<Bool>(false)
  public let pendingProposals = Atomic<Int>(0)
  /// The last compaction whose rows are physically gone; -1 before the first.
  public let finishedCompactRevision = Atomic<Int64>(-1)

  /// What the health service says.
  public let isServing = Atomic<Bool>(true)
  /// What `AlarmFlags` says.
  public let alarms = Atomic<UInt8>(0)

  private let lists = Mutex(Lists())

  private struct Lists {
    var counters = ReplicaCounters()
    var alarms: [AlarmMember: Bool] = [:]
  }

  public init() {}

  /// What the replica has counted. Written when something of it changed.
  public var counters: ReplicaCounters {
    get { lists.withLock { $0.counters } }
    set { lists.withLock { $0.counters = newValue } }
  }

  /// Every alarm that was raised since the start, and whether it still is.
  public var alarmHistory: [AlarmMember: Bool] { lists.withLock { $0.alarms } }

  /// Takes in which alarms are raised now.
  public func alarmsAre(_ raised: [AlarmMember]) {
    lists.withLock { lists in
      for alarm in lists.alarms.keys { lists.alarms[alarm] = false }
      for alarm in raised { lists.alarms[alarm] = true }
    }
  }
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
