internal import Disk
internal import Model
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
      try RemoteCluster.checkVersions(of: knownMembers)
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
