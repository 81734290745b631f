internal import Frontend
internal import Model
internal import NIOCore
internal import Node
internal import PeerTransport

/// A running cluster as one of its members describes it (`GET /members`).
struct RemoteCluster {
  let clusterID: UInt64
  let members: [Member]

  private static let timeoutNanoseconds: Int64 = 1_000_000_000

  /// Asks the members in their order until one answers.
  static func ask(_ members: [Member]) throws -> RemoteCluster {
    let transport = asker()
    defer { try? transport.stop().wait() }
    var lastFailure = "no other member is named"
    for member in members {
      do {
        let response = try transport.client.firstAnswer(
          "GET", member.peerURLs.compactMap { PeerURL($0) }, path: "/members", timeout: timeoutNanoseconds
        ).wait()
        if let cluster = RemoteCluster(response) { return cluster }
        lastFailure = "\(member.peerURLs.joined(separator: ",")): no list of members"
      } catch {
        lastFailure = "\(member.peerURLs.joined(separator: ",")): \(error)"
      }
    }
    throw ConfigurationError.invalid(
      "cannot fetch cluster info from peer urls: could not retrieve cluster information from the given URLs "
        + "(\(lastFailure))")
  }

  /// Refuses a cluster that has settled on a version which this member does not speak, or on none: etcd's check before a
  /// member joins. Members that do not answer do not count. A cluster that has just begun is given time to settle.
  static func checkVersions(of members: [Member]) throws {
    let transport = asker()
    defer { try? transport.stop().wait() }
    let end = monotonicNanoseconds() + settlingNanoseconds
    while true {
      let settled = try versions(of: members, transport)
      guard let reason = refusal(ofVersions: settled) else { return }
      let mayChange = settled.allSatisfy { ServerVersion($0) == nil } && monotonicNanoseconds() < end
      guard mayChange else { throw ConfigurationError.invalid(reason) }
      try transport.eventLoop.scheduleTask(in: .milliseconds(100)) {}.futureResult.wait()
    }
  }

  private static let settlingNanoseconds: UInt64 = 5_000_000_000

  private static func versions(of members: [Member], _ transport: PeerTransport) throws -> [String] {
    let answers = members.map { member in
      transport.client.firstAnswer(
        "GET", member.peerURLs.compactMap { PeerURL($0) }, path: "/version", timeout: timeoutNanoseconds)
    }
    let results = try EventLoopFuture.whenAllComplete(answers, on: transport.eventLoop).wait()
    return results.compactMap { try? $0.get() }.compactMap { VersionAnswer.cluster(json: $0.body) }
  }

  /// Why a member that speaks `FrontendContext.apiVersion` cannot join those that settled on these versions.
  static func refusal(ofVersions settled: [String]) -> String? {
    let versions = settled.compactMap { ServerVersion($0) }
    let oldest = ServerVersion(major: 3, minor: 0)
    let newest = ServerVersion(FrontendContext.clusterVersion) ?? oldest
    let isOutside = versions.contains { $0 < oldest || $0 > newest }
    guard isOutside || versions.isEmpty else { return nil }
    let said = settled.isEmpty ? "no member says which version it has" : settled.joined(separator: ", ")
    return "incompatible with current running cluster (its version: \(said); this member speaks 3.0 to "
      + "\(newest.major).\(newest.minor))"
  }

  private static func asker() -> PeerTransport {
    let nobody = PeerIdentity(memberID: 0, clusterID: 0, peerURLs: [], version: "")
    return PeerTransport(PeerTransport.Configuration(identity: nobody), callbacks: .none)
  }

  private init?(_ response: PeerResponse) {
    let header = response.headers.first { $0.name.lowercased() == "x-etcd-cluster-id" }
    guard let id = header.flatMap({ UInt64($0.value, radix: 16) }), id != 0,
      let members = Member.list(json: response.body), !members.isEmpty
    else { return nil }
    clusterID = id
    self.members = members
  }

  init(clusterID: UInt64, members: [Member]) {
    self.clusterID = clusterID
    self.members = members
  }

  /// The flags' members with the ids that the cluster gave them: as etcd, both have to name the same URLs.
  func match(_ flagged: [Member]) throws(ConfigurationError) -> [Member] {
    func refuse(_ reason: String) -> ConfigurationError {
      let known = members.map { ClusterIdentity.hexadecimal($0.id) }.joined(separator: ",")
      return .invalid("error validating peerURLs of the cluster's members \(known): \(reason)")
    }
    guard flagged.count == members.count else { throw refuse("member count is unequal") }
    var matched: [Member] = []
    for var member in flagged {
      let urls = member.peerURLs.sorted()
      guard let known = members.first(where: { $0.peerURLs.sorted() == urls }) else {
        throw refuse("unmatched member while checking PeerURLs (\(urls.joined(separator: ",")))")
      }
      member.id = known.id
      matched.append(member)
    }
    return matched
  }
}

extension PeerCallbacks {
  /// Of a transport that only asks.
  static let none = PeerCallbacks(
    received: { _ in }, unreachable: { _ in }, snapshotFinished: { _, _ in }, receiveSnapshot: { _ in nil },
    answer: { _, eventLoop in eventLoop.makeSucceededFuture(PeerResponse(status: 404, error: "404")) },
    notice: { _ in })
}
