import Disk
import Model
import Node
import Primitives
import Raft
import Replica
import Snapshot
import Store
import WriteAheadLog

/// A cluster of whole members under virtual time: clients, ticks, batches, committers, the network and the faults are
/// events of one seeded queue. A seed decides everything, so it replays to the same `trace`.
///
/// Safety first: load, crashes, partitions, lost, repeated and reordered messages, pauses, changes of members. Then
/// everything heals, and all members have to come to the same state and answer what they are asked.
final class ClusterSimulation {
  enum Event {
    case tick(Int, life: Int)
    case request(client: Int)
    case process(Int, life: Int)
    case commit(Int, life: Int)
    /// An input that comes about beside the core.
    case input(Int, life: Int, NodeInput)
    case prepareLog(Int, life: Int, SegmentPreparation)
    case work(Int, life: Int, NodeWork)
    case install(Int, life: Int, SnapshotInstallation)
    case deliver(Message)
    case deliverSnapshot(OutgoingSnapshot, from: Int, life: Int, bytes: [UInt8])
    case fault
    case heal(Int)
    case restart(Int)
    case observe
    case versions
    case lease(client: Int)
    /// What a leader said arrives at the member that asked; or it has to be asked again.
    case leaseAnswer(Int, life: Int, ticket: UInt64, Answer)
    case leaseAgain(Int, life: Int, ticket: UInt64, LeaseQuestion)
  }

  var personality: ClusterPersonality
  let seed: UInt64
  var random: SeededRandom
  var time = VirtualTime<Event>()
  var history = History()
  var trace: UInt64 = 0xcbf2_9ce4_8422_2325
  var members: [ClusterMember] = []
  var network = ClusterNetwork()
  var workload: Workload
  /// The ticket each client waits for.
  var waiting: [UInt64?]
  /// Of each client's requests, whom they go to for the time being.
  var homes: [Int]
  var isLoadOn = true
  var areFaultsOn = true
  var leaders: [UInt64: UInt64] = [:]
  var counts = ClusterCounts()
  var nextOperation: UInt64 = 1 << 40
  var nextMemberID: UInt64 = 100
  var leases: LeaseClients
  var book = LeaseBook()
  /// A member to which other entries come than were sent, and what its cluster said of that.
  var tamperedID: UInt64?
  var divergences: [Divergence] = []

  init(seed: UInt64) throws {
    self.seed = seed
    var random = SeededRandom(seed: seed &* 77_003)
    let personality = ClusterPersonality(&random)
    self.personality = personality
    workload = Workload(keys: personality.keys, valueBytesMax: personality.valueBytesMax)
    waiting = Array(repeating: nil, count: personality.clients)
    homes = waiting.indices.map { $0 % personality.size }
    leases = LeaseClients(count: personality.leaseClients, members: personality.size)
    self.random = random
    history.mayBeStale = true
    let initial = (1...UInt64(personality.size)).map { id in
      Member(id: id, peerURLs: ["http://127.0.0.1:\(2_000 + id)"], name: "m\(id)")
    }
    for member in initial {
      members.append(try ClusterMember(id: member.id, seed: seed, initialMembers: initial))
    }
  }

  /// Runs load and faults for a while, heals, lets everything settle, and checks all that was seen.
  func run() throws {
    for position in members.indices { try start(position) }
    time.schedule(.fault, after: personality.faultInterval)
    time.schedule(.observe, after: 50 * millisecond)
    time.schedule(.versions, after: second)
    for client in waiting.indices { time.schedule(.request(client: client), after: pause(millisecond)) }
    for client in leases.homes.indices { time.schedule(.lease(client: client), after: pause(millisecond)) }
    try run(until: personality.duration)
    try heal()
    leases.until = time.now + 8 * second
    let answered = history.answeredWrites
    try run(until: time.now + 12 * second)
    isLoadOn = false
    // Longer than the time limit of a request.
    try run(until: time.now + 9 * second)
    listLeases()
    try run(until: time.now + second)
    try finish(answeredBefore: answered)
  }

  func run(until end: UInt64) throws {
    while time.now < end, let event = time.next() { try handle(event) }
  }

  private func handle(_ event: Event) throws {
    switch event {
    case .tick(let position, let life):
      guard isAlive(position, life) else { return }
      post(.replica(.tick), to: position)
      time.schedule(.tick(position, life: life), after: 100 * millisecond)
    case .request(let client): try request(client)
    case .process(let position, let life): if isAlive(position, life) { try process(position) }
    case .commit(let position, let life): if isAlive(position, life) { try commit(position) }
    case .input(let position, let life, let input): if isAlive(position, life) { post(input, to: position) }
    case .prepareLog(let position, let life, let preparation):
      guard isAlive(position, life) else { return }
      post(.logPrepared(preparation.run()), to: position)
    case .work(let position, let life, let work):
      guard isAlive(position, life) else { return }
      if case .exportSnapshot = work { counts.exports += 1 }
      if let input = work.run() { post(input, to: position) }
    case .install(let position, let life, let installation):
      if isAlive(position, life) { try install(position, installation) }
    case .deliver(let message): try deliver(message)
    case .deliverSnapshot(let snapshot, let sender, let life, let bytes):
      try deliver(snapshot, from: sender, life: life, bytes: bytes)
    case .fault: try fault()
    case .heal(let partition): heal(partition)
    case .restart(let position): try start(position)
    case .observe: try observe()
    case .versions: versions()
    case .lease(let client): leaseStep(client)
    case .leaseAnswer(let position, let life, let ticket, let answer):
      if isAlive(position, life) { try leaseAnswer(position, ticket: ticket, answer) }
    case .leaseAgain(let position, let life, let ticket, let question):
      if isAlive(position, life) { leaseAgain(position, ticket: ticket, question) }
    }
  }

  func isAlive(_ position: Int, _ life: Int) -> Bool {
    members[position].node != nil && members[position].life == life
  }

  func pause(_ mean: UInt64) -> UInt64 { UInt64.random(in: 0...(2 * mean), using: &random) }

  func note(_ numbers: UInt64...) {
    for number in numbers { trace = (trace ^ number) &* 0x0000_0100_0000_01b3 }
  }

  func note(_ bytes: [UInt8]) { note(UInt64(CRC32C.checksum(bytes))) }

  func fail(_ text: String) -> SimulationFailure { SimulationFailure(description: text) }
}

// MARK: - One member's batches

extension ClusterSimulation {
  func post(_ input: NodeInput, to position: Int) {
    let member = members[position]
    guard member.node != nil else { return }
    member.inbox.append(input)
    if member.isProcessScheduled { return }
    member.isProcessScheduled = true
    var delay = pause(200 * microsecond)
    if member.pausedUntil > time.now { delay += member.pausedUntil - time.now }
    time.schedule(.process(position, life: member.life), after: delay)
  }

  private func process(_ position: Int) throws {
    let member = members[position]
    member.isProcessScheduled = false
    guard let node = member.node else { return }
    let inputs = member.inbox
    member.inbox.removeAll()
    note(time.now, member.id, UInt64(inputs.count))
    do {
      try take(try node.process(inputs, now: time.now), position, node)
    } catch let error as NodeError {
      // What was answered before the failure may or may not have reached the clients; the same with messages.
      let isHeard = random.chance(1, in: 2)
      try checkExecuted(member)
      if isHeard { try take(node.outputs, position, node) }
      guard case .log(.disk) = error else { throw fail("member \(member.id) stopped: \(error)") }
      if members[position].node === node { try crash(position) }
    }
  }

  /// Executed entries are durable on a quorum, whatever becomes of this member.
  private func checkExecuted(_ member: ClusterMember) throws {
    if member.id == tamperedID { return _ = member.recorder.take() }
    for entry in member.recorder.take() {
      let isFirst = entry.index > history.lastLogIndex
      try history.applied(entry)
      guard isFirst, entry.kind == .normal, !entry.data.isEmpty else { continue }
      try book.executed(try RaftCommand(decoding: entry.data), now: time.now)
    }
  }

  func take(_ outputs: NodeOutputs, _ position: Int, _ node: ClusterNode) throws {
    let member = members[position]
    try checkExecuted(member)
    try followEvents(outputs.events, member)
    for answer in outputs.answers { try take(answer, position, node) }
    for message in outputs.messages { send(message) }
    for notice in outputs.notices { try take(notice, position) }
  }

  private func take(_ answer: Answer, _ position: Int, _ node: ClusterNode) throws {
    let ticket = answer.ticket.number
    if ticket >= LeaseClients.firstTicket { return try tookLease(answer, position) }
    if ticket >= 1 << 40 { return tookOperation(answer) }
    switch answer {
    case .applied(_, let revision, let body):
      note(ticket, UInt64(revision))
      note(body)
      workload.knownRevision = max(workload.knownRevision, revision)
      try history.answer(write: ticket, ApplyResult(headerRevision: revision, outcome: .success(body)))
    case .failed(_, let error):
      note(ticket)
      note(Array(error.message.utf8))
      try history.fail(ticket, error)
      // Try elsewhere.
      if let client = waiting.firstIndex(of: ticket) { homes[client] = anyMember() }
    case .readReady:
      guard case .read(let range) = history.request(ticket) else { throw fail("a read answer to a write") }
      try read(node, ticket, range, isLinearizable: true)
    case .lease: throw fail("an answer about leases, which nobody asked")
    }
    proceed(ticket)
  }

  /// The feed covers every revision once, in order.
  private func followEvents(_ batches: [EventBatch], _ member: ClusterMember) throws {
    for batch in batches {
      if let next = member.nextEventRevision, batch.firstRevision != next {
        throw fail("member \(member.id): events of \(batch.firstRevision) after \(next - 1)")
      }
      if !batch.isComplete { counts.feedJumps += 1 }
      member.nextEventRevision = batch.lastRevision + 1
    }
  }

  private func take(_ notice: NodeNotice, _ position: Int) throws {
    let member = members[position]
    switch notice {
    case .published: member.isServing = true
    case .commitReady: scheduleCommit(position)
    case .prepareLog(let preparation):
      time.schedule(
        .prepareLog(position, life: member.life, preparation), after: pause(5 * millisecond))
    case .logPreparationFailed: note(0xfa11)
    case .leadershipChanged(let leadership):
      note(leadership.term, leadership.leader)
      guard leadership.leader != 0 else { return }
      if let known = leaders[leadership.term], known != leadership.leader {
        throw fail("\(known) and \(leadership.leader) lead in term \(leadership.term)")
      }
      leaders[leadership.term] = leadership.leader
    case .compactionFinished(let revision): note(UInt64(revision))
    case .autoCompaction: throw fail("a compaction that nobody asked for")
    case .slowApply: throw fail("a slow apply without a clock")
    case .messageRefused(let from, let kind, let fault):
      throw fail("member \(member.id) refused \(kind) of \(from): \(fault)")
    case .askLeader(let ticket, let question, let leader):
      askLeader(ticket, question, leader: leader, from: position)
    case .membersChanged(let records, let removed):
      member.knownRemoved.formUnion(removed)
      note(UInt64(records.count))
    case .removedFromCluster: try remove(position)
    case .work(let work):
      time.schedule(.work(position, life: member.life, work), after: pause(20 * millisecond))
    case .sendSnapshot(let snapshot): try send(snapshot, from: position)
    case .snapshotFailed: note(0x5f)
    case .installSnapshot(let installation):
      time.schedule(.install(position, life: member.life, installation), after: pause(200 * millisecond))
    case .storeReplaced(let recovery):
      counts.installations += 1
      note(recovery.appliedIndex)
    case .digest(let digest): broadcast(digest, from: position)
    case .diverged(let divergence):
      guard tamperedID != nil else { throw fail("members have other data: \(divergence)") }
      divergences.append(divergence)
    }
  }

  private func broadcast(_ digest: StateDigest, from position: Int) {
    counts.digests += 1
    let id = members[position].id
    for other in members.indices where other != position && network.isOpen(id, members[other].id) {
      time.schedule(
        .input(other, life: members[other].life, .peerDigest(from: id, digest)),
        after: pause(20 * millisecond))
    }
  }
}

// MARK: - Committers

extension ClusterSimulation {
  private func scheduleCommit(_ position: Int) {
    let member = members[position]
    if member.isCommitScheduled { return }
    member.isCommitScheduled = true
    time.schedule(.commit(position, life: member.life), after: pause(personality.commitTime))
  }

  private func commit(_ position: Int) throws {
    let member = members[position]
    member.isCommitScheduled = false
    guard let node = member.node, let report = try node.opened.committer.commitNext() else { return }
    counts.commits += 1
    note(report.appliedIndex, UInt64(report.revision), UInt64(report.rowsDeleted))
    time.schedule(.input(position, life: member.life, .committed(report)), after: pause(millisecond))
    if try node.opened.committer.hasWork { scheduleCommit(position) }
  }

  private func install(_ position: Int, _ installation: SnapshotInstallation) throws {
    let member = members[position]
    guard let node = member.node else { return }
    do {
      let recovery = try installation.run(node.opened.committer)
      note(0x1257, recovery.appliedIndex)
      time.schedule(
        .input(position, life: member.life, .snapshotInstalled(recovery)), after: pause(20 * millisecond))
    } catch {
      guard case .snapshot(.disk) = error else { throw fail("member \(member.id): \(error)") }
      try crash(position)
    }
  }

  func versions() {
    time.schedule(.versions, after: 2 * second)
    let all = members.filter { !$0.isRemoved }.map { MemberVersion(memberID: $0.id, version: "3.7.0") }
    for position in members.indices { post(.memberVersions(all), to: position) }
  }
}
