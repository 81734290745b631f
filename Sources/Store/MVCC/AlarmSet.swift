public import Model
internal import Primitives

/// The alarms that are raised, and what they forbid. Kept beside table `alarm`, so that the check of each command is
/// a comparison.
public struct AlarmSet: Hashable, Sendable {
  /// By member, then by alarm.
  public private(set) var members: [AlarmMember] = []
  public private(set) var hasNoSpace = false
  public private(set) var hasCorrupt = false

  public init() {}

  public var isEmpty: Bool { members.isEmpty }

  public func contains(_ alarm: AlarmMember) -> Bool { members.contains(alarm) }

  mutating func insert(_ alarm: AlarmMember) {
    if contains(alarm) { return }
    members.append(alarm)
    members.sort { ($0.memberID, $0.alarm) < ($1.memberID, $1.alarm) }
    summarize()
  }

  mutating func remove(_ alarm: AlarmMember) {
    members.removeAll { $0 == alarm }
    summarize()
  }

  private mutating func summarize() {
    hasNoSpace = members.contains { $0.alarm == AlarmCommand.Alarm.noSpace.rawValue }
    hasCorrupt = members.contains { $0.alarm == AlarmCommand.Alarm.corrupt.rawValue }
  }

  /// Why a command is not executed. CORRUPT, of whichever member, stops everything that reads or changes keys and
  /// leases; NOSPACE what makes the store grow. Everything else goes on, so that alarms can be disarmed, space
  /// freed and members changed.
  func refusal(of operation: RaftCommand.Operation) -> ClientError? {
    if hasCorrupt {
      switch operation {
      case .range, .put, .deleteRange, .transaction, .compaction, .leaseGrant, .leaseRevoke:
        return .corruptCluster
      case .none, .leaseCheckpoint, .alarm, .clusterVersionSet, .clusterMemberAttributesSet,
        .downgradeInfoSet, .unsupported:
        break
      }
    }
    return hasNoSpace && operation.quotaCost > 0 ? .noSpace : nil
  }
}

extension ReadView {
  /// The alarms in the view's state.
  public func alarms() throws(StoreError) -> AlarmSet {
    var set = AlarmSet()
    try tableRows(.alarm, from: [], to: .unbounded) { (key, _) throws(StoreError) -> ScanStep in
      set.insert(try AlarmMember(stored: [UInt8](key)))
      return .next
    }
    return set
  }
}

extension Applier {
  /// The alarms in the newest state.
  func alarms() throws(StoreError) -> AlarmSet {
    var set = AlarmSet()
    try tableRows(.alarm, from: [], to: .unbounded) { (key, _) throws(StoreError) -> ScanStep in
      set.insert(try AlarmMember(stored: [UInt8](key)))
      return .next
    }
    return set
  }
}

extension AlarmMember {
  fileprivate init(stored key: [UInt8]) throws(StoreError) {
    do throws(ProtoError) {
      try self.init(decoding: key)
    } catch {
      throw .corrupt(file: "", table: .alarm, key: key, reason: "not an alarm: \(error)")
    }
  }
}
