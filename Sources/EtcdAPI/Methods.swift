/// The RPCs of etcd's client API and of the gRPC health service: their paths and kinds.
public enum EtcdMethod: Int, CaseIterable, Sendable {
  // etcdserverpb.KV
  case range
  case rangeStream
  case put
  case deleteRange
  case txn
  case compact

  // etcdserverpb.Watch
  case watch

  // etcdserverpb.Lease
  case leaseGrant
  case leaseRevoke
  case leaseKeepAlive
  case leaseTimeToLive
  case leaseLeases

  // etcdserverpb.Cluster
  case memberAdd
  case memberRemove
  case memberUpdate
  case memberList
  case memberPromote

  // etcdserverpb.Maintenance
  case alarm
  case status
  case defragment
  case hash
  case hashKV
  case snapshot
  case moveLeader
  case downgrade

  // etcdserverpb.Auth
  case authEnable
  case authDisable
  case authStatus
  case authenticate
  case userAdd
  case userGet
  case userList
  case userDelete
  case userChangePassword
  case userGrantRole
  case userRevokeRole
  case roleAdd
  case roleGet
  case roleList
  case roleDelete
  case roleGrantPermission
  case roleRevokePermission

  // v3lockpb.Lock
  case lock
  case unlock

  // v3electionpb.Election
  case electionCampaign
  case electionProclaim
  case electionLeader
  case electionObserve
  case electionResign

  // grpc.health.v1.Health
  case healthCheck
  case healthList
  case healthWatch

  public enum Kind: Sendable {
    case unary
    case serverStream
    case bidirectional
  }

  public var kind: Kind {
    switch self {
    case .rangeStream, .snapshot, .electionObserve, .healthWatch: .serverStream
    case .watch, .leaseKeepAlive: .bidirectional
    case .range, .put, .deleteRange, .txn, .compact, .leaseGrant, .leaseRevoke, .leaseTimeToLive,
      .leaseLeases, .memberAdd, .memberRemove, .memberUpdate, .memberList, .memberPromote, .alarm,
      .status, .defragment, .hash, .hashKV, .moveLeader, .downgrade, .authEnable, .authDisable,
      .authStatus, .authenticate, .userAdd, .userGet, .userList, .userDelete, .userChangePassword,
      .userGrantRole, .userRevokeRole, .roleAdd, .roleGet, .roleList, .roleDelete, .roleGrantPermission,
      .roleRevokePermission, .lock, .unlock, .electionCampaign, .electionProclaim, .electionLeader,
      .electionResign, .healthCheck, .healthList:
      .unary
    }
  }

  /// The `:path` of the RPC's HTTP/2 requests: `/package.Service/Method`.
  public var path: StaticString {
    switch self {
    case .range: "/etcdserverpb.KV/Range"
    case .rangeStream: "/etcdserverpb.KV/RangeStream"
    case .put: "/etcdserverpb.KV/Put"
    case .deleteRange: "/etcdserverpb.KV/DeleteRange"
    case .txn: "/etcdserverpb.KV/Txn"
    case .compact: "/etcdserverpb.KV/Compact"
    case .watch: "/etcdserverpb.Watch/Watch"
    case .leaseGrant: "/etcdserverpb.Lease/LeaseGrant"
    case .leaseRevoke: "/etcdserverpb.Lease/LeaseRevoke"
    case .leaseKeepAlive: "/etcdserverpb.Lease/LeaseKeepAlive"
    case .leaseTimeToLive: "/etcdserverpb.Lease/LeaseTimeToLive"
    case .leaseLeases: "/etcdserverpb.Lease/LeaseLeases"
    case .memberAdd: "/etcdserverpb.Cluster/MemberAdd"
    case .memberRemove: "/etcdserverpb.Cluster/MemberRemove"
    case .memberUpdate: "/etcdserverpb.Cluster/MemberUpdate"
    case .memberList: "/etcdserverpb.Cluster/MemberList"
    case .memberPromote: "/etcdserverpb.Cluster/MemberPromote"
    case .alarm: "/etcdserverpb.Maintenance/Alarm"
    case .status: "/etcdserverpb.Maintenance/Status"
    case .defragment: "/etcdserverpb.Maintenance/Defragment"
    case .hash: "/etcdserverpb.Maintenance/Hash"
    case .hashKV: "/etcdserverpb.Maintenance/HashKV"
    case .snapshot: "/etcdserverpb.Maintenance/Snapshot"
    case .moveLeader: "/etcdserverpb.Maintenance/MoveLeader"
    case .downgrade: "/etcdserverpb.Maintenance/Downgrade"
    case .authEnable: "/etcdserverpb.Auth/AuthEnable"
    case .authDisable: "/etcdserverpb.Auth/AuthDisable"
    case .authStatus: "/etcdserverpb.Auth/AuthStatus"
    case .authenticate: "/etcdserverpb.Auth/Authenticate"
    case .userAdd: "/etcdserverpb.Auth/UserAdd"
    case .userGet: "/etcdserverpb.Auth/UserGet"
    case .userList: "/etcdserverpb.Auth/UserList"
    case .userDelete: "/etcdserverpb.Auth/UserDelete"
    case .userChangePassword: "/etcdserverpb.Auth/UserChangePassword"
    case .userGrantRole: "/etcdserverpb.Auth/UserGrantRole"
    case .userRevokeRole: "/etcdserverpb.Auth/UserRevokeRole"
    case .roleAdd: "/etcdserverpb.Auth/RoleAdd"
    case .roleGet: "/etcdserverpb.Auth/RoleGet"
    case .roleList: "/etcdserverpb.Auth/RoleList"
    case .roleDelete: "/etcdserverpb.Auth/RoleDelete"
    case .roleGrantPermission: "/etcdserverpb.Auth/RoleGrantPermission"
    case .roleRevokePermission: "/etcdserverpb.Auth/RoleRevokePermission"
    case .lock: "/v3lockpb.Lock/Lock"
    case .unlock: "/v3lockpb.Lock/Unlock"
    case .electionCampaign: "/v3electionpb.Election/Campaign"
    case .electionProclaim: "/v3electionpb.Election/Proclaim"
    case .electionLeader: "/v3electionpb.Election/Leader"
    case .electionObserve: "/v3electionpb.Election/Observe"
    case .electionResign: "/v3electionpb.Election/Resign"
    case .healthCheck: "/grpc.health.v1.Health/Check"
    case .healthList: "/grpc.health.v1.Health/List"
    case .healthWatch: "/grpc.health.v1.Health/Watch"
    }
  }
}
