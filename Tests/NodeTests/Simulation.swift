import Disk
import Model
import Node
import Primitives
import Raft
import Replica
import Store
import WriteAheadLog

/// What went wrong, in words.
struct SimulationFailure: Error, CustomStringConvertible {
  var description: String
}

/// One whole member under virtual time: clients, ticks, the core's batches, the committer and the faults are events of
/// one seeded queue. The member is the production code, its log on a `SimulatedDisk`, its store in a real LMDB file; a
/// crash drops everything that was not synced or committed.
///
/// A seed decides everything, the mix of faults included, so a seed replays to the same `trace`.
final class Simulation {
  enum Event {
    case tick
    case request(client: Int)
    /// The core takes what is in its inbox.
    case process
    case commit
    /// The committer's report reaches the inbox.
    case report(CommitReport)
    /// File work of the log, then its result's way to the inbox.
    case prepareLog(SegmentPreparation)
    case logPrepared(PreparedSegments)
    case fault
    case restart
    case observe
  }

  let personality: Personality
  let files: SimulatedFiles
  var random: SeededRandom
  var time = VirtualTime<Event>()
  var history = History()
  var trace: UInt64 = 0xcbf2_9ce4_8422_2325

  private var node: RunningNode?
  private var inbox: [NodeInput] = []
  private var isProcessScheduled = false
  private var isCommitScheduled = false
  private var workload: Workload
  /// The ticket each client waits for.
  private var waiting: [UInt64?]
  private var starts = 0
  private var lastObservedIndex: UInt64 = 0
  private var isLoadOn = true
  private var areFaultsOn = true
  private(set) var crashes = 0
  private(set) var commits = 0
  private(set) var cleanStops = 0

  init(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    personality = Personality(&random)
    files = try SimulatedFiles(seed: seed)
    workload = Workload(keys: personality.keys, valueBytesMax: personality.valueBytesMax)
    waiting = Array(repeating: nil, count: personality.clients)
    self.random = random
  }

  /// Runs load and faults for a while, then lets everything settle, then checks all that was seen.
  func run() throws {
    start()
    time.schedule(.tick, after: 100 * millisecond)
    time.schedule(.fault, after: personality.faultInterval)
    time.schedule(.observe, after: 50 * millisecond)
    for client in waiting.indices { time.schedule(.request(client: client), after: pause(millisecond)) }
    try run(until: personality.duration)
    areFaultsOn = false
    // Without faults for a while, long enough for a disk that hung to come back.
    try run(until: time.now + 11 * second)
    isLoadOn = false
    // Longer than the time limit of a request.
    try run(until: time.now + 8 * second)
    try finish()
  }

  private func run(until end: UInt64) throws {
    while time.now < end, let event = time.next() { try handle(event) }
  }

  private func handle(_ event: Event) throws {
    switch event {
    case .tick:
      if node != nil { post(.replica(.tick)) }
      time.schedule(.tick, after: 100 * millisecond)
    case .request(let client): try request(client)
    case .process: try process()
    case .commit: try commit()
    case .report(let report):
      // Purging follows; what it will remove must be known to the checks before.
      try captureLog()
      post(.committed(report))
    case .prepareLog(let preparation):
      time.schedule(.logPrepared(preparation.run()), after: pause(millisecond))
    case .logPrepared(let prepared): post(.logPrepared(prepared))
    case .fault: try fault()
    case .restart: start()
    case .observe: try observe()
    }
  }

  private func pause(_ mean: UInt64) -> UInt64 { UInt64.random(in: 0...(2 * mean), using: &random) }

  func note(_ numbers: UInt64...) {
    for number in numbers { trace = (trace ^ number) &* 0x0000_0100_0000_01b3 }
  }

  func note(_ bytes: [UInt8]) { note(UInt64(CRC32C.checksum(bytes))) }
}

// MARK: - Clients

extension Simulation {
  private func request(_ client: Int) throws {
    guard isLoadOn, history.submitted < personality.requestsMax else { return }
    guard let node, history.isServing else {
      return time.schedule(.request(client: client), after: 20 * millisecond)
    }
    switch workload.next(&random) {
    case .write(let operation):
      let ticket = history.submit(.write(operation), client: client)
      waiting[client] = ticket
      // The user name is free to carry the ticket, by which the checks find the entry in the log.
      post(
        .replica(
          .propose(
            Proposal(
              ticket: Ticket(ticket), operation: RaftCommand(operation: operation).encoded(),
              username: "\(ticket)"))))
    case .read(let range, isLinearizable: true):
      let ticket = history.submit(.read(range), client: client)
      waiting[client] = ticket
      post(.replica(.readIndex(Ticket(ticket))))
    case .read(let range, isLinearizable: false):
      let ticket = history.submit(.read(range), client: client)
      try read(node, ticket, range, isLinearizable: false)
      time.schedule(.request(client: client), after: pause(personality.thinkTime))
    }
  }

  private func read(_ node: RunningNode, _ ticket: UInt64, _ range: RangeRequest, isLinearizable: Bool) throws
  {
    let view = try node.store.view()
    defer { view.end() }
    var body = ProtoWriter()
    guard case .success(let revision) = try RangeEvaluator.range(range, in: view, body: &body) else {
      throw SimulationFailure(description: "a range of the latest revision was refused")
    }
    note(ticket, view.appliedIndex, UInt64(revision))
    note(body.bytes)
    workload.knownRevision = max(workload.knownRevision, revision)
    try history.answer(
      read: ticket, range, at: view.appliedIndex, revision: revision, body: body.bytes,
      isLinearizable: isLinearizable)
  }

  /// Lets the client of an answered ticket go on.
  private func proceed(_ ticket: UInt64) {
    guard let client = waiting.firstIndex(of: ticket) else { return }
    waiting[client] = nil
    time.schedule(.request(client: client), after: pause(personality.thinkTime))
  }
}

// MARK: - The core and the committer

extension Simulation {
  private func post(_ input: NodeInput) {
    inbox.append(input)
    if isProcessScheduled { return }
    isProcessScheduled = true
    var delay = pause(200 * microsecond)
    // A disk that hangs: the batch, and everything behind it, comes late.
    if areFaultsOn, random.chance(personality.stallsInTenThousand, in: 10_000) {
      delay += UInt64.random(in: 1...9, using: &random) * second
    }
    time.schedule(.process, after: delay)
  }

  private func process() throws {
    isProcessScheduled = false
    guard let node else { return }
    let inputs = inbox
    inbox.removeAll()
    note(time.now, UInt64(inputs.count))
    do {
      try take(try node.process(inputs, now: time.now), node)
    } catch let error as NodeError {
      // What was answered before the failure may or may not have reached the clients.
      if random.chance(1, in: 2) { try take(node.outputs, node) }
      try died(error)
    }
  }

  private func take(_ outputs: NodeOutputs, _ node: RunningNode) throws {
    history.commitIndex = max(history.commitIndex, node.opened.node.commitIndex)
    for answer in outputs.answers {
      let ticket = answer.ticket.number
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
      case .readReady:
        guard case .read(let range) = history.request(ticket) else {
          throw SimulationFailure(description: "read answer to the write \(ticket)")
        }
        try read(node, ticket, range, isLinearizable: true)
      case .lease: throw SimulationFailure(description: "an answer about leases, which nobody asked")
      }
      proceed(ticket)
    }
    for notice in outputs.notices {
      switch notice {
      case .published: history.isServing = true
      case .commitReady: scheduleCommit()
      case .prepareLog(let preparation):
        time.schedule(.prepareLog(preparation), after: pause(5 * millisecond))
      case .logPreparationFailed: note(0xfa11)
      case .leadershipChanged(let leadership): note(leadership.term, leadership.leader)
      case .compactionFinished(let revision): note(UInt64(revision))
      case .autoCompaction: throw SimulationFailure(description: "a compaction that nobody asked for")
      case .membersChanged(let members, _): note(UInt64(members.count))
      case .slowApply: throw SimulationFailure(description: "a slow apply without a clock")
      case .messageRefused, .askLeader, .removedFromCluster, .work, .sendSnapshot, .snapshotFailed,
        .installSnapshot, .storeReplaced, .digest, .diverged:
        throw SimulationFailure(description: "\(notice) without peers")
      }
    }
  }

  private func scheduleCommit() {
    if isCommitScheduled { return }
    isCommitScheduled = true
    time.schedule(.commit, after: pause(personality.commitTime))
  }

  private func commit() throws {
    isCommitScheduled = false
    guard let node else { return }
    guard let report = try node.opened.committer.commitNext() else { return }
    commits += 1
    note(report.appliedIndex, UInt64(report.revision), UInt64(report.rowsDeleted))
    time.schedule(.report(report), after: pause(millisecond))
    if try node.opened.committer.hasWork { scheduleCommit() }
  }
}

// MARK: - Faults

extension Simulation {
  private func fault() throws {
    time.schedule(.fault, after: pause(personality.faultInterval))
    guard areFaultsOn, node != nil else { return }
    let choice = Int.random(in: 0..<100, using: &random)
    if choice < personality.powerCuts {
      // In the middle of the next batches' system calls, or now.
      if random.chance(1, in: 4) { return try crash() }
      files.disk.cutPower(atOperation: files.disk.operationCount + Int.random(in: 0...6, using: &random))
    } else if choice < personality.powerCuts + personality.diskErrors {
      files.disk.fail(
        operation: files.disk.operationCount + Int.random(in: 0...6, using: &random),
        with: random.chance(1, in: 3) ? .noSpace : .inputOutput)
    } else if choice < personality.powerCuts + personality.diskErrors + personality.stops {
      try stopInOrder()
    }
  }

  private func died(_ error: NodeError) throws {
    guard case .log(.disk) = error else { throw SimulationFailure(description: "stopped: \(error)") }
    try crash()
  }

  /// Power fails: the process is gone, and any part of what was not synced.
  private func crash() throws {
    crashes += 1
    note(0xdead, time.now)
    // A freeze may be under way, committed or not; both happen here, as the committer's events are dropped.
    takeDown()
    files.disk.crash(.random, random: &random)
    try captureLog()
  }

  private func takeDown() {
    node = nil
    inbox.removeAll()
    isProcessScheduled = false
    isCommitScheduled = false
    time.removeAll { event in
      switch event {
      case .process, .commit, .report, .prepareLog, .logPrepared: true
      case .tick, .request, .fault, .restart, .observe: false
      }
    }
    history.loseOutstanding()
    for client in waiting.indices where waiting[client] != nil {
      waiting[client] = nil
      time.schedule(.request(client: client), after: pause(50 * millisecond))
    }
    time.schedule(.restart, after: 10 * millisecond + pause(200 * millisecond))
  }

  private func stopInOrder() throws {
    guard let node else { return }
    do {
      try take(try node.process(inbox, now: time.now), node)
      inbox.removeAll()
      try take(try node.stop(), node)
    } catch let error as NodeError {
      return try died(error)
    }
    cleanStops += 1
    note(0x5709, time.now)
    takeDown()
    // After an orderly end nothing is unsynced.
    files.disk.crash(.loseEverything, random: &random)
    try captureLog()
  }

  private func start() {
    guard node == nil else { return }
    starts += 1
    do {
      let node = try RunningNode(
        files, options: personality.nodeOptions(starts: starts, now: time.now),
        storeOptions: personality.storeOptions,
        saltSeed: UInt32(truncatingIfNeeded: random.next()), now: time.now)
      self.node = node
      note(0x57a7, node.store.recovery.appliedIndex, node.opened.recovery.lastIndex)
      // The first flush: bootstrap, or replay and campaign.
      inbox.append(.replica(.tick))
      isProcessScheduled = true
      time.schedule(.process, after: 0)
    } catch let error as NodeError {
      // A fault that was planned for some later operation hit the start.
      guard case .log(.disk) = error else {
        history.failure = history.failure ?? SimulationFailure(description: "start: \(error)")
        return
      }
      files.disk.crash(.random, random: &random)
      time.schedule(.restart, after: 10 * millisecond)
    } catch {
      history.failure = history.failure ?? SimulationFailure(description: "start: \(error)")
    }
  }
}

// MARK: - Observation

extension Simulation {
  /// Notes the state's hash at some revision, to be compared with the model's.
  private func observe() throws {
    time.schedule(.observe, after: pause(personality.observeInterval))
    guard let node, history.isServing else { return }
    let view = try node.store.view()
    defer { view.end() }
    try history.see(revision: view.revision)
    if view.appliedIndex == lastObservedIndex { return }
    lastObservedIndex = view.appliedIndex
    let lowest = max(view.compactRevision, 1)
    let at =
      random.chance(1, in: 2)
      ? view.revision : Int64.random(in: lowest...max(lowest, view.revision), using: &random)
    guard case .success(var hash) = try KeyValueHash.start(at, in: view) else {
      throw SimulationFailure(description: "HashKV refused revision \(at)")
    }
    while true {
      if case .done(let value) = try hash.advance(rows: 50) {
        note(view.appliedIndex, UInt64(value))
        return history.noteHash(at: view.appliedIndex, revision: at, hash: value)
      }
    }
  }

  private func captureLog() throws {
    guard let log = try files.readLog() else {
      guard history.commitIndex == 0 else { throw SimulationFailure(description: "the log is gone") }
      return
    }
    try history.capture(log)
  }

  private func finish() throws {
    if let failure = history.failure { throw failure }
    guard let node, history.isServing else { throw SimulationFailure(description: "not serving at the end") }
    let view = try node.store.view()
    let (applied, revision) = (view.appliedIndex, view.revision)
    view.end()
    try captureLog()
    try history.check(appliedIndex: applied, revision: revision)
    let hashes = try node.store.verifySetHash()
    guard hashes.stored == hashes.computed else { throw SimulationFailure(description: "set-hash differs") }
    note(applied, UInt64(revision))
  }
}
