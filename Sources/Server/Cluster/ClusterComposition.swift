internal import Frontend
internal import Model
internal import NIOPosix
internal import Node
internal import PeerTransport
internal import Store
internal import Synchronization

extension ClusterLinks {
  /// Builds the links of a member and opens its peer listeners; other members may send from then on.
  static func make(
    _ parts: RunningMember.Parts, _ context: FrontendContext, inbox: Inbox<NodeInput>,
    requests: MemberRequests, leader: LeaderQuestions, fronts: FrontendGroup
  ) throws -> ClusterLinks {
    let (configuration, store, life) = (parts.configuration, parts.store, parts.life)
    var transport = PeerTransport.Configuration(
      identity: PeerIdentity(
        memberID: context.memberID, clusterID: context.clusterID,
        peerURLs: configuration.advertisePeerURLs.map(\.description), version: FrontendContext.apiVersion))
    let view = try store.view()
    defer { view.end() }
    let removed = try view.removedMembers()
    transport.removedMembers = Set(removed)
    transport.timeouts = PeerTimeouts(
      read: configuration.raftReadTimeout.nanoseconds, write: configuration.raftWriteTimeout.nanoseconds)
    let pool = NIOThreadPool(numberOfThreads: transferThreads)
    pool.start()
    let links = ClusterLinks(
      transport, store: store, inbox: inbox, requests: requests,
      snapshots: SnapshotTransfers(place: parts.place, clusterID: context.clusterID, pool: pool),
      answers: PeerAnswers(context: context, inbox: inbox, requests: requests), leader: leader,
      gauge: context.gauge, heartbeatNanoseconds: UInt64(configuration.heartbeatMilliseconds) * 1_000_000,
      log: PeerLog(logger: parts.logger, localID: context.memberID, limit: LineLimit()) {
        life.push(.removed)
      },
      pool: pool, logger: parts.logger)
    leader.begin(
      LeaderQuestions.Way(
        client: links.transport.client, eventLoop: links.transport.eventLoop,
        leader: { links.urls(of: context.gauge.leader.load(ordering: .relaxed)) }, inbox: inbox,
        answer: { fronts.deliver(events: [], answers: [$0]) },
        limit: configuration.requestTimeoutNanoseconds))
    try links.start(configuration, known: parts.knownMembers)
    if removed.contains(context.memberID) { life.push(.removed) }
    links.follow(try view.members())
    return links
  }

  /// Beside the pool that serves clients: a snapshot's file is read and verified as a whole.
  private static let transferThreads = 2
}
