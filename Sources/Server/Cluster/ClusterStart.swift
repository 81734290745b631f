internal import Disk
internal import Model
internal import NIOCore
internal import Node
internal import PeerTransport
internal import Store

/// Who this member is, and with whom it starts: from its data if it has any, from the flags at its first start.
struct ClusterStart {
  var store: Store
  /// The members that the log begins with; empty for one that ran before, or that joins a cluster.
  var initialMembers: [Member]
  /// Members that a joining one knows before the log names them.
  var knownMembers: [Member] = []

  init(_ configuration: ServerConfiguration, _ directory: DataDirectory, _ disk: PosixDisk) throws {
    let options = StoreOptions()
    if try disk.exists(directory.storePath) {
      store = try Store.open(path: directory.storePath, options: options, identity: nil)
      let (memberID, applied) = (store.recovery.identity.memberID, store.recovery.appliedIndex)
      // A crash may have come between the store's creation and the first entry of the log.
      guard applied == 0, configuration.initialClusterState == .new else {
        initialMembers = []
        return
      }
      let members = try Self.flaggedMembers(configuration)
      // One that joined its cluster is none of those that it began with.
      initialMembers = members.contains { $0.id == memberID } ? members : []
      return
    }
    let flagged = try Self.flaggedMembers(configuration)
    guard let own = flagged.first(where: { $0.name == configuration.name }) else {
      throw ConfigurationError.invalid("the initial cluster does not name this member")
    }
    let others = flagged.filter { $0.id != own.id }
    let identity: StoreIdentity
    switch configuration.initialClusterState {
    case .new:
      try Self.refuseSecondBootstrap(of: own, asking: others)
      initialMembers = flagged
      identity = StoreIdentity(
        clusterID: ClusterIdentity.clusterID(memberIDs: flagged.map(\.id)), memberID: own.id)
    case .existing:
      let cluster = try RemoteCluster.ask(others)
      let matched = try cluster.match(flagged)
      guard let local = matched.first(where: { $0.name == configuration.name }) else {
        throw ConfigurationError.invalid("the initial cluster does not name this member")
      }
      initialMembers = []
      knownMembers = matched.filter { $0.id != local.id }
      identity = StoreIdentity(clusterID: cluster.clusterID, memberID: local.id)
    }
    store = try Store.open(path: directory.storePath, options: options, identity: identity)
  }

  private static func flaggedMembers(
    _ configuration: ServerConfiguration
  ) throws(ConfigurationError) -> [Member] {
    try configuration.bootstrapMembers().map { member in
      let urls = member.peerURLs.map(\.description)
      let id = ClusterIdentity.memberID(peerURLs: urls, clusterToken: configuration.initialClusterToken)
      return Member(id: id, peerURLs: urls, name: member.name)
    }
  }

  /// A member whose directory was lost has voted, and must not do so again with nothing in mind: if the others know it
  /// as one that has served, it may only come back as a new member.
  private static func refuseSecondBootstrap(of own: Member, asking others: [Member]) throws {
    guard !others.isEmpty, let cluster = try? RemoteCluster.ask(others),
      let known = cluster.members.first(where: { $0.id == own.id }), !known.clientURLs.isEmpty
    else { return }
    throw ConfigurationError.invalid(
      "member \(ClusterIdentity.hexadecimal(own.id)) has already been bootstrapped")
  }
}

/// A running cluster as one of its members describes it (`GET /members`).
struct RemoteCluster {
  let clusterID: UInt64
  let members: [Member]

  private static let timeoutNanoseconds: Int64 = 1_000_000_000

  /// Asks the members in their order until one answers.
  static func ask(_ members: [Member]) throws -> RemoteCluster {
    let nobody = PeerIdentity(memberID: 0, clusterID: 0, peerURLs: [], version: "")
    let transport = PeerTransport(PeerTransport.Configuration(identity: nobody), callbacks: .none)
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
