/// etcdserverpb.InternalRaftRequest: what a normal entry of the log carries. The id and the user stand in
/// its header (field 100), as etcd writes them; only etcd before 3.0 used field 1, which is read as well.
public struct RaftCommand: Hashable, Sendable {
  /// Names the proposal, so that the member that made it finds the waiting client. Zero: nobody waits.
  public var id: UInt64
  public var username: String
  /// The revision of the auth store at which the user's permissions were checked.
  public var authRevision: UInt64
  public var operation: Operation

  public init(
    id: UInt64 = 0, username: String = "", authRevision: UInt64 = 0, operation: Operation = .none
  ) {
    self.id = id
    self.username = username
    self.authRevision = authRevision
    self.operation = operation
  }

  public enum Operation: Hashable, Sendable {
    case none
    case range(RangeRequest)
    case put(PutRequest)
    case deleteRange(DeleteRangeRequest)
    case transaction(TransactionRequest)
    case compaction(CompactionRequest)
    case leaseGrant(LeaseGrant)
    case leaseRevoke(id: Int64)
    case leaseCheckpoint([LeaseCheckpoint])
    case alarm(AlarmCommand)
    case clusterVersionSet(String)
    case clusterMemberAttributesSet(MemberAttributes)
    case downgradeInfoSet(DowngradeInfo)
    /// An operation that this version does not know, by its field number; its content is not kept.
    case unsupported(field: Int)
  }
}

/// etcdserverpb.LeaseGrantRequest.
public struct LeaseGrant: Hashable, Sendable {
  public var id: Int64
  /// In seconds.
  public var ttl: Int64

  public init(id: Int64 = 0, ttl: Int64 = 0) {
    self.id = id
    self.ttl = ttl
  }
}

/// etcdserverpb.LeaseCheckpoint.
public struct LeaseCheckpoint: Hashable, Sendable {
  public var id: Int64
  /// In seconds.
  public var remainingTTL: Int64

  public init(id: Int64 = 0, remainingTTL: Int64 = 0) {
    self.id = id
    self.remainingTTL = remainingTTL
  }
}

/// etcdserverpb.AlarmRequest.
public struct AlarmCommand: Hashable, Sendable {
  public enum Action: Int32, CaseIterable, Sendable { case get = 0, activate, deactivate }
  public enum Alarm: Int32, CaseIterable, Sendable { case none = 0, noSpace, corrupt }

  /// Raw enum values as they came.
  public var action: Int32
  public var memberID: UInt64
  public var alarm: Int32

  public init(action: Int32 = 0, memberID: UInt64 = 0, alarm: Int32 = 0) {
    self.action = action
    self.memberID = memberID
    self.alarm = alarm
  }

  public init(action: Action, memberID: UInt64, alarm: Alarm) {
    self.init(action: action.rawValue, memberID: memberID, alarm: alarm.rawValue)
  }
}

/// membershippb.ClusterMemberAttrSetRequest.
public struct MemberAttributes: Hashable, Sendable {
  public var memberID: UInt64
  public var name: String
  public var clientURLs: [String]

  public init(memberID: UInt64 = 0, name: String = "", clientURLs: [String] = []) {
    self.memberID = memberID
    self.name = name
    self.clientURLs = clientURLs
  }
}

/// membershippb.DowngradeInfoSetRequest.
public struct DowngradeInfo: Hashable, Sendable {
  public var enabled: Bool
  public var version: String

  public init(enabled: Bool = false, version: String = "") {
    self.enabled = enabled
    self.version = version
  }
}
