internal import Frontend
internal import Model
internal import Node
internal import Raft
internal import Replica
internal import Store
internal import Synchronization
internal import WriteAheadLog

/// The member's own thread: drains its inbox, takes the batch through the node, and hands the answers to the event
/// loops. One batch costs one log sync, whatever its size.
final class CoreThread: @unchecked Sendable {
  // Sendable by proof: everything that is not itself Sendable is used by the thread alone once it runs.
  let inbox: Inbox<NodeInput>
  private var node: Node
  private let tickNanoseconds: UInt64
  private var toldCounters = ReplicaCounters()
  private var toldAlarms: [AlarmMember] = []
  private let gauge: MemberGauge
  private let fronts: FrontendGroup
  private let committer: CommitterThread
  private let links: ClusterLinks
  private let requests: MemberRequests
  /// Runs slow file work on another thread.
  private let runBeside: @Sendable (@escaping @Sendable () -> Void) -> Void
  private let notice: @Sendable (NodeNotice) -> Void
  private let fail: @Sendable (NodeError) -> Void

  /// Ticks made up for after a pause; more would only let time-outs pile up.
  private static let ticksMax = 20

  init(
    node: consuming Node, inbox: Inbox<NodeInput>, tickMilliseconds: Int, gauge: MemberGauge,
    fronts: FrontendGroup,
    committer: CommitterThread, links: ClusterLinks, requests: MemberRequests,
    runBeside: @escaping @Sendable (@escaping @Sendable () -> Void) -> Void,
    notice: @escaping @Sendable (NodeNotice) -> Void,
    fail: @escaping @Sendable (NodeError) -> Void
  ) {
    self.node = node
    self.inbox = inbox
    self.tickNanoseconds = UInt64(tickMilliseconds) * 1_000_000
    self.gauge = gauge
    self.fronts = fronts
    self.committer = committer
    self.links = links
    self.requests = requests
    self.runBeside = runBeside
    self.notice = notice
    self.fail = fail
  }

  func start() -> OSThread {
    OSThread(name: "cairn-core") { self.run() }
  }

  private func run() {
    var batch: [NodeInput] = []
    var outputs = NodeOutputs()
    do throws(NodeError) {
      var nextTick = monotonicNanoseconds() + tickNanoseconds
      repeat {
        let received = links.takeReceivedBytes()
        let now = monotonicNanoseconds()
        var ticks = 0
        while now >= nextTick {
          ticks += 1
          nextTick += tickNanoseconds
        }
        // The time that passed comes first: a lease that is renewed now must not lose by it.
        batch.insert(contentsOf: repeatElement(.replica(.tick), count: min(ticks, Self.ticksMax)), at: 0)
        try node.process(batch, now: now, &outputs) { outputs in
          if outputs.messages.isEmpty { return }
          links.send(outputs.messages)
          outputs.messages.removeAll(keepingCapacity: true)
        }
        publish()
        dispatch(&outputs)
        links.consumed(bytes: received)
        batch.removeAll(keepingCapacity: true)
      } while inbox.drain(into: &batch, until: min(nextTick, node.nextFreeze))
      try stop(&outputs)
    } catch {
      fail(error)
    }
  }

  private func publish() {
    let leadership = node.leadership
    gauge.raftTerm.store(leadership.term, ordering: .relaxed)
    gauge.leader.store(leadership.leader, ordering: .relaxed)
    gauge.lastIndex.store(node.lastIndex, ordering: .relaxed)
    gauge.appliedIndex.store(node.appliedIndex, ordering: .relaxed)
    gauge.commitIndex.store(node.commitIndex, ordering: .relaxed)
    gauge.vote.store(node.vote, ordering: .relaxed)
    gauge.leads.store(leadership.role == .leader, ordering: .relaxed)
    gauge.isLearner.store(node.isLearner, ordering: .relaxed)
    gauge.pendingProposals.store(node.pendingProposals, ordering: .relaxed)
    publishRareChanges()
    gauge.alarms.store(AlarmFlags(node.alarms, memberID: node.memberID).rawValue, ordering: .relaxed)
  }

  /// What changes seldom is behind a lock, and told only then.
  private func publishRareChanges() {
    if node.counters != toldCounters {
      toldCounters = node.counters
      gauge.counters = toldCounters
    }
    if node.alarms.members != toldAlarms {
      toldAlarms = node.alarms.members
      gauge.alarmsAre(toldAlarms)
    }
  }

  private func dispatch(_ outputs: inout NodeOutputs) {
    links.send(outputs.messages)
    for notice in outputs.notices {
      switch notice {
      case .commitReady: committer.wake()
      case .compactionFinished(let revision):
        gauge.finishedCompactRevision.store(revision, ordering: .releasing)
        fronts.compactionFinished(revision)
      case .prepareLog(let preparation):
        let inbox = self.inbox
        runBeside { inbox.push(.logPrepared(preparation.run())) }
      case .work(let work):
        let inbox = self.inbox
        runBeside { if let input = work.run() { inbox.push(input) } }
      case .installSnapshot(let installation):
        let inbox = self.inbox
        links.take(notice)
        committer.install(installation) { inbox.push(.snapshotInstalled($0)) }
      case .storeReplaced(let recovery):
        gauge.finishedCompactRevision.store(recovery.finishedCompactRevision, ordering: .releasing)
        links.take(notice)
        self.notice(notice)
      case .askLeader, .membersChanged, .sendSnapshot, .digest:
        links.take(notice)
      case .leadershipChanged:
        links.take(notice)
        self.notice(notice)
      case .published, .messageRefused, .logPreparationFailed, .autoCompaction, .slowApply,
        .removedFromCluster, .snapshotFailed, .diverged:
        self.notice(notice)
      }
    }
    requests.take(from: &outputs.answers)
    fronts.deliver(events: outputs.events, answers: outputs.answers)
    outputs.removeAll()
  }

  /// Refuses what still waits, hands everything applied to the committer, and closes the log.
  private func stop(_ outputs: inout NodeOutputs) throws(NodeError) {
    try node.stop(&outputs)
    dispatch(&outputs)
    if try node.freeze() { committer.wake() }
  }
}
