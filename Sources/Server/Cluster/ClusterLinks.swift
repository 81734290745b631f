internal import Frontend
internal import Model
internal import NIOCore
internal import NIOPosix
internal import Node
internal import PeerTransport
internal import Raft
internal import Replica
internal import Store
internal import Synchronization

/// What connects this member to the others: their messages go into its inbox, and what it wants of them goes out.
///
/// The transport's callbacks come on the peers' event loop, `send`, `take` and `consumed` on the member's thread; none of
/// them blocks. A member without others has the listener and an idle thread, and nothing of this on the path of a put.
final class ClusterLinks: Sendable {
  let transport: PeerTransport
  private let identity: PeerIdentity
  private let leader: LeaderQuestions
  private let gauge: MemberGauge
  private let inbox: Inbox<NodeInput>
  private let requests: MemberRequests
  private let snapshots: SnapshotTransfers
  private let received: ReceivedBytes
  private let store: Store
  private let pool: NIOThreadPool
  private let log: PeerLog
  private let logger: Logger
  private let pace: Mutex<HeartbeatPace>
  /// Heartbeats of this member as the leader that left too late.
  let lateHeartbeats = Atomic<UInt64>(0)
  let isInstallingSnapshot = Atomic<Bool>(false)
  /// Counts how often this member came to lead.
  private let leads = Atomic<UInt64>(0)
  /// The applied members, as they were told last.
  private let members = Mutex<[MemberRecord]>([])

  init(
    _ configuration: PeerTransport.Configuration, store: Store, inbox: Inbox<NodeInput>,
    requests: MemberRequests, snapshots: SnapshotTransfers, answers: PeerAnswers, leader: LeaderQuestions,
    gauge: MemberGauge, heartbeatNanoseconds: UInt64, log: PeerLog, pool: NIOThreadPool, logger: Logger
  ) {
    pace = Mutex(HeartbeatPace(intervalNanoseconds: heartbeatNanoseconds))
    let received = ReceivedBytes()
    identity = configuration.identity
    self.inbox = inbox
    self.requests = requests
    self.leader = leader
    self.gauge = gauge
    self.snapshots = snapshots
    self.received = received
    self.store = store
    self.pool = pool
    self.log = log
    self.logger = logger
    transport = PeerTransport(
      configuration,
      callbacks: PeerCallbacks(
        received: { batch in
          var inputs: [NodeInput] = batch.messages.map { message in
            if let snapshot = snapshots.arrival(of: message) { return .snapshotReceived(snapshot) }
            return .replica(.message(message))
          }
          inbox.push(&inputs)
          received.add(batch.bytes)
        },
        unreachable: { inbox.push(.replica(.unreachable(peer: $0))) },
        snapshotFinished: { peer, succeeded in
          guard let sent = snapshots.finished(to: peer) else { return }
          inbox.push(.snapshotSent(sent, succeeded: succeeded))
        },
        receiveSnapshot: { snapshots.receive($0) },
        answer: { request, eventLoop in answers.answer(request, eventLoop) },
        notice: { notice in
          switch notice {
          case .active(let peer): inbox.push(.replica(.connectivity(peer: peer, isConnected: true)))
          case .inactive(let peer, _): inbox.push(.replica(.connectivity(peer: peer, isConnected: false)))
          default: break
          }
          log.take(notice)
        }))
  }

  private var memberID: UInt64 { identity.memberID }

  /// Accepts other members, and dials those that are known already.
  func start(_ configuration: ServerConfiguration, known: [Member]) throws {
    for url in configuration.listenPeerURLs {
      let address = try ListenAddress(url)
      guard case .tcp(let host, let port) = address else { continue }
      do {
        let bound = try transport.listen(host: host, port: port).wait()
        logger.info("serving peer traffic", ["address": .text(bound.map { "\($0)" } ?? url.description)])
      } catch {
        throw ConfigurationError.invalid("listen \(address.description): \(ClientListeners.reason(error))")
      }
    }
    for member in known where member.id != memberID { add(member.id, member.peerURLs) }
  }

  private func add(_ id: UInt64, _ urls: [String]) {
    let parsed = urls.compactMap { PeerURL($0) }
    guard !parsed.isEmpty else {
      return logger.error(
        "a member has no peer URL that can be dialled", ["member": .id(id), "peer-urls": .list(urls)])
    }
    transport.add(id, urls: parsed)
    transport.update(id, urls: parsed)
  }

  /// The members of the cluster as this one has applied them.
  var memberRecords: [MemberRecord] { members.withLock { $0 } }

  /// The URLs of a member; empty if there is no such member.
  func urls(of id: UInt64) -> [PeerURL] {
    members.withLock { $0.first { $0.id == id } }?.peerURLs.compactMap { PeerURL($0) } ?? []
  }

  /// Empty once the transport has stopped.
  func statistics(_ eventLoop: any EventLoop) -> EventLoopFuture<[PeerStatistics]> {
    transport.statistics().hop(to: eventLoop).recover { _ in [] }
  }

  // MARK: From the member's thread

  func send(_ messages: [Message]) {
    if messages.isEmpty { return }
    transport.send(messages)
    if messages.contains(where: { $0.kind == .heartbeat }) { timeHeartbeats(messages) }
  }

  private func timeHeartbeats(_ messages: [Message]) {
    let now = monotonicNanoseconds()
    for message in messages where message.kind == .heartbeat {
      let late = pace.withLock { pace in
        pace.sent(to: message.to, now: now).map { (pace.intervalNanoseconds, pace.expectedNanoseconds, $0) }
      }
      guard let (interval, expected, exceeded) = late else { continue }
      lateHeartbeats.add(1, ordering: .relaxed)
      log.take(late: message.to, interval: interval, expected: expected, exceeded: exceeded)
    }
  }

  /// What was taken in up to now is processed at the end of the batch that begins.
  func takeReceivedBytes() -> Int { received.take() }

  func consumed(bytes: Int) {
    if bytes > 0 { transport.consumed(bytes: bytes) }
  }

  func take(_ notice: NodeNotice) {
    switch notice {
    case .membersChanged(let records, let removed): follow(records, removed: removed)
    case .storeReplaced:
      isInstallingSnapshot.store(false, ordering: .relaxed)
      // Who was removed while this member was behind is not in its log.
      do throws(StoreError) {
        let view = try store.view()
        defer { view.end() }
        for id in try view.removedMembers() { transport.remove(id) }
      } catch {
        logger.error("the removed members cannot be read", ["error": .text(error.description)])
      }
    case .sendSnapshot(let snapshot): send(snapshot)
    case .askLeader(let ticket, let question, let leaderID):
      leader.ask(ticket, question, urls: urls(of: leaderID))
    case .digest(let digest): transport.eventLoop.execute { self.tell(digest) }
    case .installSnapshot: isInstallingSnapshot.store(true, ordering: .relaxed)
    case .leadershipChanged(let leadership) where leadership.role == .leader:
      pace.withLock { $0.reset() }
      let lead = leads.wrappingAdd(1, ordering: .relaxed).newValue
      scheduleVersions(in: Self.versionsAtFirst, lead)
    default: break
    }
  }

  private func send(_ snapshot: OutgoingSnapshot) {
    let peer = snapshot.message.to
    let index = snapshot.message.snapshot?.index ?? 0
    snapshots.send(snapshot, to: urls(of: peer), over: transport, inbox) { [log] reason in
      log.take(.snapshotFailed(peer: peer, index: index, reason: reason))
    }
  }

  /// The members there are now, and those that were removed since the last time.
  func follow(_ records: [MemberRecord], removed: [UInt64] = []) {
    let before = members.withLock { members in
      defer { members = records }
      return members
    }
    for id in removed { transport.remove(id) }
    for record in records where record.id != memberID {
      if before.first(where: { $0.id == record.id })?.peerURLs == record.peerURLs { continue }
      add(record.id, record.peerURLs)
      logger.info(
        before.contains { $0.id == record.id } ? "updated remote peer" : "added remote peer",
        [
          "remote-peer-id": .id(record.id), "remote-peer-urls": .list(record.peerURLs),
          "is-learner": .boolean(record.isLearner),
        ])
    }
    for id in removed { logger.info("removed remote peer", ["removed-remote-peer-id": .id(id)]) }
  }

  // MARK: On the peers' event loop

  /// Tells the others what this member's data is at an index. Best effort: there will be another.
  private func tell(_ digest: StateDigest) {
    let headers = [
      (name: "X-Server-From", value: ClusterIdentity.hexadecimal(memberID)),
      (name: "X-Etcd-Cluster-ID", value: ClusterIdentity.hexadecimal(identity.clusterID)),
    ]
    let body = digest.encoded()
    for record in memberRecords where record.id != memberID {
      _ = transport.client.firstAnswer(
        "POST", record.peerURLs.compactMap { PeerURL($0) }, path: "/cairn/digest", headers: headers,
        body: body, timeout: Self.callNanoseconds)
    }
  }

  private static let callNanoseconds: Int64 = 5_000_000_000
  private static let versionsAtFirst: TimeAmount = .milliseconds(500)
  /// etcd's interval; shorter while somebody has not said what it runs.
  private static let versionsInterval: TimeAmount = .seconds(4)
  private static let versionsAgain: TimeAmount = .seconds(1)

  private func scheduleVersions(in delay: TimeAmount, _ lead: UInt64) {
    _ = transport.eventLoop.scheduleTask(in: delay) { self.askVersions(lead) }
  }

  /// While this member leads, it asks the others what they run: the least of it is the cluster's version.
  private func askVersions(_ lead: UInt64) {
    let others = memberRecords.filter { $0.id != memberID }
    guard gauge.leads.load(ordering: .relaxed), leads.load(ordering: .relaxed) == lead else { return }
    guard !others.isEmpty else { return scheduleVersions(in: Self.versionsInterval, lead) }
    let answers = others.map { record in
      transport.client.firstAnswer(
        "GET", record.peerURLs.compactMap { PeerURL($0) }, path: "/version", timeout: Self.callNanoseconds
      ).map { response in
        VersionAnswer.server(json: response.body).map { MemberVersion(memberID: record.id, version: $0) }
      }
    }
    EventLoopFuture.whenAllComplete(answers, on: transport.eventLoop).whenSuccess { results in
      let versions = results.compactMap { try? $0.get() }
      self.inbox.push(.memberVersions(versions))
      let isComplete = versions.count == others.count
      self.scheduleVersions(in: isComplete ? Self.versionsInterval : Self.versionsAgain, lead)
    }
  }

  // MARK: The end

  /// Hands leadership over if this member leads and somebody can take it. Returns when that is done, or takes too long.
  func handOver(secondsMax: Int64) {
    guard memberRecords.contains(where: { $0.id != memberID && !$0.isLearner }) else { return }
    let ends = Inbox<Void>()
    requests.ask({ .replica(.transferLeadership($0, to: 0)) }) { _ in ends.push(()) }
    var end: [Void] = []
    _ = ends.drain(into: &end, until: monotonicNanoseconds() + UInt64(secondsMax) * 1_000_000_000)
    logger.info(end.isEmpty ? "leadership was not handed over in time" : "leadership handed over")
  }

  func stop() throws {
    try transport.stop().wait()
    try pool.syncShutdownGracefully()
  }
}

/// Bytes of messages that were put into the inbox and not reported as processed.
final class ReceivedBytes: Sendable {
  private let bytes = Atomic<Int>(0)

  /// After the messages are in the inbox.
  func add(_ count: Int) { bytes.add(count, ordering: .releasing) }

  func take() -> Int {
    bytes.load(ordering: .relaxed) == 0 ? 0 : bytes.exchange(0, ordering: .acquiring)
  }
}
