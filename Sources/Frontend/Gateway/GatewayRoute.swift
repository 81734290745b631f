internal import EtcdAPI
internal import SwiftProtobuf

/// One path of the JSON gateway: which RPC it calls, and how its messages are spelled in JSON.
struct GatewayRoute: Sendable {
  let method: EtcdMethod
  /// A JSON object to an encoded request.
  let request: @Sendable (ArraySlice<UInt8>) throws -> [UInt8]
  /// An encoded response to a JSON object.
  let response: @Sendable (UnsafeRawBufferPointer) throws -> [UInt8]

  /// The route of a path below `/v3/`; etcd's old `/v3beta/` means the same.
  static func find(_ path: Substring) -> GatewayRoute? {
    table[path.hasPrefix("/v3beta/") ? String("/v3/" + path.dropFirst(8)) : String(path)]
  }

  static func isBelowGateway(_ path: Substring) -> Bool {
    path.hasPrefix("/v3/") || path.hasPrefix("/v3beta/")
  }

  private static func route<Request: Message, Response: Message>(
    _ method: EtcdMethod, _: Request.Type, _: Response.Type
  ) -> GatewayRoute {
    GatewayRoute(
      method: method,
      request: { try GatewayJSON.encoded(Request.self, from: $0) },
      response: { try GatewayJSON.text(of: Response(serializedBytes: [UInt8]($0))) })
  }

  private static let table: [String: GatewayRoute] = keyValue.merging(cluster) { one, _ in one }
    .merging(auth) { one, _ in one }.merging(coordination) { one, _ in one }

  private static let keyValue: [String: GatewayRoute] = [
    "/v3/kv/range": route(.range, Etcdserverpb_RangeRequest.self, Etcdserverpb_RangeResponse.self),
    "/v3/kv/put": route(.put, Etcdserverpb_PutRequest.self, Etcdserverpb_PutResponse.self),
    "/v3/kv/deleterange": route(
      .deleteRange, Etcdserverpb_DeleteRangeRequest.self, Etcdserverpb_DeleteRangeResponse.self),
    "/v3/kv/txn": route(.txn, Etcdserverpb_TxnRequest.self, Etcdserverpb_TxnResponse.self),
    "/v3/kv/compaction": route(
      .compact, Etcdserverpb_CompactionRequest.self, Etcdserverpb_CompactionResponse.self),
    "/v3/watch": route(.watch, Etcdserverpb_WatchRequest.self, Etcdserverpb_WatchResponse.self),
    "/v3/lease/grant": route(
      .leaseGrant, Etcdserverpb_LeaseGrantRequest.self, Etcdserverpb_LeaseGrantResponse.self),
    "/v3/lease/revoke": revoke, "/v3/kv/lease/revoke": revoke,
    "/v3/lease/keepalive": route(
      .leaseKeepAlive, Etcdserverpb_LeaseKeepAliveRequest.self, Etcdserverpb_LeaseKeepAliveResponse.self),
    "/v3/lease/timetolive": timeToLive, "/v3/kv/lease/timetolive": timeToLive,
    "/v3/lease/leases": leases, "/v3/kv/lease/leases": leases,
  ]
  private static let revoke = route(
    .leaseRevoke, Etcdserverpb_LeaseRevokeRequest.self, Etcdserverpb_LeaseRevokeResponse.self)
  private static let timeToLive = route(
    .leaseTimeToLive, Etcdserverpb_LeaseTimeToLiveRequest.self, Etcdserverpb_LeaseTimeToLiveResponse.self)
  private static let leases = route(
    .leaseLeases, Etcdserverpb_LeaseLeasesRequest.self, Etcdserverpb_LeaseLeasesResponse.self)

  private static let cluster: [String: GatewayRoute] = [
    "/v3/cluster/member/add": route(
      .memberAdd, Etcdserverpb_MemberAddRequest.self, Etcdserverpb_MemberAddResponse.self),
    "/v3/cluster/member/remove": route(
      .memberRemove, Etcdserverpb_MemberRemoveRequest.self, Etcdserverpb_MemberRemoveResponse.self),
    "/v3/cluster/member/update": route(
      .memberUpdate, Etcdserverpb_MemberUpdateRequest.self, Etcdserverpb_MemberUpdateResponse.self),
    "/v3/cluster/member/list": route(
      .memberList, Etcdserverpb_MemberListRequest.self, Etcdserverpb_MemberListResponse.self),
    "/v3/cluster/member/promote": route(
      .memberPromote, Etcdserverpb_MemberPromoteRequest.self, Etcdserverpb_MemberPromoteResponse.self),
    "/v3/maintenance/alarm": route(.alarm, Etcdserverpb_AlarmRequest.self, Etcdserverpb_AlarmResponse.self),
    "/v3/maintenance/status": route(
      .status, Etcdserverpb_StatusRequest.self, Etcdserverpb_StatusResponse.self),
    "/v3/maintenance/defragment": route(
      .defragment, Etcdserverpb_DefragmentRequest.self, Etcdserverpb_DefragmentResponse.self),
    "/v3/maintenance/hash": route(.hash, Etcdserverpb_HashRequest.self, Etcdserverpb_HashResponse.self),
    "/v3/maintenance/hashkv": route(
      .hashKV, Etcdserverpb_HashKVRequest.self, Etcdserverpb_HashKVResponse.self),
    "/v3/maintenance/snapshot": route(
      .snapshot, Etcdserverpb_SnapshotRequest.self, Etcdserverpb_SnapshotResponse.self),
    "/v3/maintenance/transfer-leadership": route(
      .moveLeader, Etcdserverpb_MoveLeaderRequest.self, Etcdserverpb_MoveLeaderResponse.self),
    "/v3/maintenance/downgrade": route(
      .downgrade, Etcdserverpb_DowngradeRequest.self, Etcdserverpb_DowngradeResponse.self),
  ]

  private static let auth: [String: GatewayRoute] = [
    "/v3/auth/enable": route(
      .authEnable, Etcdserverpb_AuthEnableRequest.self, Etcdserverpb_AuthEnableResponse.self),
    "/v3/auth/disable": route(
      .authDisable, Etcdserverpb_AuthDisableRequest.self, Etcdserverpb_AuthDisableResponse.self),
    "/v3/auth/status": route(
      .authStatus, Etcdserverpb_AuthStatusRequest.self, Etcdserverpb_AuthStatusResponse.self),
    "/v3/auth/authenticate": route(
      .authenticate, Etcdserverpb_AuthenticateRequest.self, Etcdserverpb_AuthenticateResponse.self),
    "/v3/auth/user/add": route(
      .userAdd, Etcdserverpb_AuthUserAddRequest.self, Etcdserverpb_AuthUserAddResponse.self),
    "/v3/auth/user/get": route(
      .userGet, Etcdserverpb_AuthUserGetRequest.self, Etcdserverpb_AuthUserGetResponse.self),
    "/v3/auth/user/list": route(
      .userList, Etcdserverpb_AuthUserListRequest.self, Etcdserverpb_AuthUserListResponse.self),
    "/v3/auth/user/delete": route(
      .userDelete, Etcdserverpb_AuthUserDeleteRequest.self, Etcdserverpb_AuthUserDeleteResponse.self),
    "/v3/auth/user/changepw": route(
      .userChangePassword, Etcdserverpb_AuthUserChangePasswordRequest.self,
      Etcdserverpb_AuthUserChangePasswordResponse.self),
    "/v3/auth/user/grant": route(
      .userGrantRole, Etcdserverpb_AuthUserGrantRoleRequest.self, Etcdserverpb_AuthUserGrantRoleResponse.self),
    "/v3/auth/user/revoke": route(
      .userRevokeRole, Etcdserverpb_AuthUserRevokeRoleRequest.self,
      Etcdserverpb_AuthUserRevokeRoleResponse.self),
    "/v3/auth/role/add": route(
      .roleAdd, Etcdserverpb_AuthRoleAddRequest.self, Etcdserverpb_AuthRoleAddResponse.self),
    "/v3/auth/role/get": route(
      .roleGet, Etcdserverpb_AuthRoleGetRequest.self, Etcdserverpb_AuthRoleGetResponse.self),
    "/v3/auth/role/list": route(
      .roleList, Etcdserverpb_AuthRoleListRequest.self, Etcdserverpb_AuthRoleListResponse.self),
    "/v3/auth/role/delete": route(
      .roleDelete, Etcdserverpb_AuthRoleDeleteRequest.self, Etcdserverpb_AuthRoleDeleteResponse.self),
    "/v3/auth/role/grant": route(
      .roleGrantPermission, Etcdserverpb_AuthRoleGrantPermissionRequest.self,
      Etcdserverpb_AuthRoleGrantPermissionResponse.self),
    "/v3/auth/role/revoke": route(
      .roleRevokePermission, Etcdserverpb_AuthRoleRevokePermissionRequest.self,
      Etcdserverpb_AuthRoleRevokePermissionResponse.self),
  ]

  private static let coordination: [String: GatewayRoute] = [
    "/v3/lock/lock": route(.lock, V3lockpb_LockRequest.self, V3lockpb_LockResponse.self),
    "/v3/lock/unlock": route(.unlock, V3lockpb_UnlockRequest.self, V3lockpb_UnlockResponse.self),
    "/v3/election/campaign": route(
      .electionCampaign, V3electionpb_CampaignRequest.self, V3electionpb_CampaignResponse.self),
    "/v3/election/proclaim": route(
      .electionProclaim, V3electionpb_ProclaimRequest.self, V3electionpb_ProclaimResponse.self),
    "/v3/election/leader": route(
      .electionLeader, V3electionpb_LeaderRequest.self, V3electionpb_LeaderResponse.self),
    "/v3/election/observe": route(
      .electionObserve, V3electionpb_LeaderRequest.self, V3electionpb_LeaderResponse.self),
    "/v3/election/resign": route(
      .electionResign, V3electionpb_ResignRequest.self, V3electionpb_ResignResponse.self),
  ]
}
