import EtcdAPI
import Testing

@testable import Frontend

@Suite struct GatewayRouteTests {
  private static let keyValue = ["range", "put", "deleterange", "txn", "compaction"].map { "/v3/kv/\($0)" }
  private static let lease = ["revoke", "timetolive", "leases"].flatMap {
    ["/v3/lease/\($0)", "/v3/kv/lease/\($0)"]
  }
  private static let cluster = ["add", "remove", "update", "list", "promote"].map {
    "/v3/cluster/member/\($0)"
  }
  private static let maintenance = [
    "alarm", "status", "defragment", "hash", "hashkv", "snapshot", "transfer-leadership", "downgrade",
  ].map { "/v3/maintenance/\($0)" }
  private static let users = ["add", "get", "list", "delete", "changepw", "grant", "revoke"].map {
    "/v3/auth/user/\($0)"
  }
  private static let roles = ["add", "get", "list", "delete", "grant", "revoke"].map { "/v3/auth/role/\($0)" }
  private static let auth = ["enable", "disable", "status", "authenticate"].map { "/v3/auth/\($0)" }
  private static let coordination =
    ["lock/lock", "lock/unlock"].map { "/v3/\($0)" }
    + ["campaign", "proclaim", "leader", "observe", "resign"].map { "/v3/election/\($0)" }
  private static let paths =
    keyValue + lease + cluster + maintenance + users + roles + auth + coordination
    + ["/v3/watch", "/v3/lease/grant", "/v3/lease/keepalive"]

  @Test func `every path of etcd's gateway is there, by its old prefix too`() {
    for path in Self.paths {
      #expect(GatewayRoute.find(path[...]) != nil, "\(path)")
      let old = "/v3beta/" + path.dropFirst("/v3/".count)
      #expect(GatewayRoute.find(old[...])?.method == GatewayRoute.find(path[...])?.method)
    }
  }

  @Test func `every RPC but the ones without a path has one`() {
    let reached = Set(Self.paths.compactMap { GatewayRoute.find($0[...])?.method })
    let left = Set(EtcdMethod.allCases).subtracting(reached).map { "\($0.path)" }.sorted()
    let health = ["Check", "List", "Watch"].map { "/grpc.health.v1.Health/\($0)" }
    #expect(left == ["/etcdserverpb.KV/RangeStream"] + health)
  }

  @Test(arguments: [
    "", "/", "/v3", "/v3/", "/v3/kv", "/v3/kv/", "/v3/kv/range/", "/v3/kv//range", "/v3/KV/range", "/v3beta/",
    "/v3alpha/kv/range",
    "/v3/kv/range%20", "/v3betax/kv/range", "/v3/kv/ra\u{0}nge", "kv/range",
  ])
  func `other paths lead nowhere`(_ path: String) {
    #expect(GatewayRoute.find(path[...]) == nil)
  }

  @Test func `deadlines are read as gRPC spells them`() {
    let cases: [(String, Int64?)] = [
      ("1n", 1), ("2u", 2_000), ("3m", 3_000_000), ("4S", 4_000_000_000), ("5M", 300_000_000_000),
      ("6H", 21_600_000_000_000), ("0S", 0), ("", nil), ("S", nil), ("1", nil), ("-1S", nil), ("1s", nil),
      ("1.5S", nil),
      (" 1S", nil), ("99999999999999999999S", nil),
    ]
    for (text, nanoseconds) in cases {
      #expect(GatewayTimeout.nanoseconds(text) == nanoseconds, "\(text)")
    }
    #expect(GatewayTimeout.nanoseconds("9223372036854775807H") == .max)
  }
}
