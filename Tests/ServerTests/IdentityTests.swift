import Node
import Testing

/// Ids that a real etcd 3.5.1 printed when it was started with these members and tokens.
@Suite struct IdentityTests {
  struct Observation: Sendable {
    var token: String
    /// Peer URLs of each member, in the order of the command line, and the member's id.
    var members: [(urls: [String], id: String)]
    var clusterID: String
  }

  static let observations = [
    Observation(
      token: "etcd-cluster", members: [(["http://localhost:2380"], "8e9e05c52164694d")],
      clusterID: "cdf818194e3a8c32"),
    Observation(
      token: "etcd-cluster", members: [(["http://127.0.0.1:23922"], "7d85c9fdbc65378d")],
      clusterID: "e4b018cdfe33fe35"),
    Observation(
      token: "tok", members: [(["http://127.0.0.1:23922"], "a84e9e62b7d9622e")],
      clusterID: "8d1ae66be8871b1c"),
    Observation(
      token: "etcd-cluster",
      members: [
        (["http://127.0.0.1:23922"], "7d85c9fdbc65378d"), (["http://127.0.0.1:23923"], "651e72be1514e9fa"),
        (["http://127.0.0.1:23924"], "f28eda70f40dfba6"),
      ], clusterID: "3b64bfd783a29c65"),
    Observation(
      token: "three",
      members: [
        (["http://127.0.0.1:23924"], "12f3b75ee675f04b"), (["http://127.0.0.1:23923"], "2b7d06a2aa7d1819"),
        (["http://127.0.0.1:23922"], "6bad0b9dde03399c"),
      ], clusterID: "41143a1416534e02"),
    Observation(
      token: "etcd-cluster",
      members: [(["http://127.0.0.1:23922", "http://127.0.0.1:2392"], "a5ff675528db05db")],
      clusterID: "dccfac6874770f8f"),
    Observation(
      token: "x y", members: [(["http://127.0.0.1:2392", "http://127.0.0.1:23922"], "d43d9f7cec96f688")],
      clusterID: "baad603bfefa038c"),
    Observation(
      token: "",
      members: [
        (["http://10.0.0.1:2380", "http://127.0.0.1:23922"], "96e33df5e224ba0c"),
        (["https://[::1]:2380"], "cb50928e4e77073"),
      ], clusterID: "83ab3946d574a5b5"),
    Observation(
      token: "etcd-cluster-1",
      members: [
        (["http://10.0.1.10:2380"], "140fedbeeb74765d"), (["http://10.0.1.11:2380"], "d5dc5f8d75d04e29"),
        (["http://10.0.1.12:2380"], "8a0a11c6194fc77"),
      ], clusterID: "acccc8912db0cd57"),
  ]

  @Test(arguments: observations) func `ids are etcd's`(_ observation: Observation) {
    var ids: [UInt64] = []
    for member in observation.members {
      let id = ClusterIdentity.memberID(peerURLs: member.urls, clusterToken: observation.token)
      #expect(ClusterIdentity.hexadecimal(id) == member.id)
      ids.append(id)
    }
    #expect(ClusterIdentity.hexadecimal(ClusterIdentity.clusterID(memberIDs: ids)) == observation.clusterID)
  }
}
