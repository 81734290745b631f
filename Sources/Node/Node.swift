import Model
public import Raft
public import Replica
public import Store
import WriteAheadLog

/// One member: the replica, log and apply stages behind one routing switch. Synchronous and deterministic: the
/// server's core thread and the simulator drive the same object.
///
/// `process` takes a batch of inputs through all stages until nothing is left to do: the replica decides, the log
/// makes the batch durable with one write and one sync, what became committed is applied and published, and only then
/// do answers appear in the outputs. The stages exchange nothing but messages (`LogAppend` and its sequence,
/// `ApplyBatch` and its index), so that each could have a thread of its own.
///
/// The committer is not in here: it moves frozen generations into LMDB at its own pace, and reports through
/// `NodeInput.committed`.
public struct Node: ~Copyable {
  let options: NodeOptions
  let store: Store
  var replica: ReplicaMachine
  private var log: LogStage
  var apply: ApplyStage
  var feed: EventFeed
  var effects: [ReplicaEffect] = []
  /// Effects that are being carried out.
  private var routing: [ReplicaEffect] = []
  var sender: SnapshotSender?
  var installer = SnapshotInstaller()
  private var lastFreeze: UInt64
  /// True at first: the sooner the store knows of the log, the sooner a log that has vanished is told from a first
  /// start.
  var isCommitWanted = true
  var digests: DigestComparison
  var promotions = PromotionCounts()
  var comparison: ComparisonDuty
  private var duties: UnattendedDuties
  private var isStopped = false

  init(
    options: NodeOptions, store: Store, replica: consuming ReplicaMachine, log: LogStage,
    commands: CommandApplier, confState: ConfState, now: UInt64
  ) {
    self.options = options
    self.store = store
    self.replica = replica
    self.log = log
    self.apply = ApplyStage(
      commands, confState: confState, stopwatch: options.stopwatch, slowFrom: options.slowApplyNanoseconds,
      digestInterval: options.digestInterval, recorder: options.recorder)
    sender = options.snapshots.map { place in
      SnapshotSender(
        store: store, place: place, catchUpEntries: options.catchUpEntries,
        fileGrowthBytesMax: options.snapshotGrowthBytesMax)
    }
    digests = DigestComparison(memberID: options.replica.raft.memberID)
    comparison = ComparisonDuty(intervalNanoseconds: options.comparisonIntervalNanoseconds)
    self.feed = EventFeed(limits: options.eventFeed)
    duties = UnattendedDuties(options: options, revision: commands.applier.revision, now: now)
    lastFreeze = now
  }

  public var memberID: UInt64 { options.replica.raft.memberID }
  public var leadership: Leadership { replica.leadership }
  /// Voters and learners of the applied configuration.
  public var memberIDs: [UInt64] { apply.confState.members }
  public var lastIndex: UInt64 { replica.lastIndex }
  public var commitIndex: UInt64 { replica.commitIndex }
  public var appliedIndex: UInt64 { replica.appliedIndex }
  public var vote: UInt64 { replica.vote }
  public var isLearner: Bool { replica.isLearner }
  public var pendingProposals: Int { replica.pendingProposals }
  public var counters: ReplicaCounters { promotions.adding(to: replica.counters) }
  public var applyMetrics: ApplyMetrics { apply.metrics }
  /// The alarms that are raised.
  public var alarms: AlarmSet { apply.alarms }
  /// When the filling generation is due, in the caller's monotonic nanoseconds.
  public var nextFreeze: UInt64 { lastFreeze + options.commitIntervalNanoseconds }

  /// Takes a batch of inputs through all stages. `now` is monotonic, in nanoseconds. `beforeSync` is called before each
  /// write of the log: messages that leave there let the peers write at the same time. After an error the process has to
  /// end; nothing that was not durable has been answered.
  public mutating func process(
    _ inputs: [NodeInput], now: UInt64, _ outputs: inout NodeOutputs,
    beforeSync: (inout NodeOutputs) -> Void = { _ in }
  ) throws(NodeError) {
    for input in inputs { try take(input, &outputs) }
    let leads = replica.leadership.role == .leader
    for command in try duties.due(
      apply.alarms, apply.applier, leads: leads, now: now, &outputs.notices)
    {
      replica.handle(.proposeUnattended(command), &effects)
    }
    proposeComparison(now: now)
    var progressed = false
    repeat {
      replica.flush(&effects)
      try route(&outputs)
      beforeSync(&outputs)
      // What the log or the apply stage reports may let the replica go on only at its next flush: a single voter's
      // entry commits when its append is durable. Stopping here would leave it until the next input.
      progressed = try syncLog(&outputs)
      if try applyCommitted(&outputs) { progressed = true }
    } while progressed || !effects.isEmpty
    dropRefusedSnapshot(&outputs)
    try freezeIfDue(now: now, &outputs)
    if let preparation = log.log.nextPreparation() { outputs.notices.append(.prepareLog(preparation)) }
  }

  private mutating func take(
    _ input: NodeInput, _ outputs: inout NodeOutputs
  ) throws(NodeError) {
    switch input {
    case .replica(.message(let message)) where message.kind == .snapshot:
      // One without its file.
      outputs.notices.append(.messageRefused(from: message.from, kind: message.kind, .snapshotWithoutFile))
    case .replica(let input): replica.handle(input, &effects)
    case .committed(let report): try committed(report, &outputs)
    case .dataFileReplaced:
      // What is being installed has another file yet, to which the end of it switches.
      if installer.isUnderWay { return }
      try orStop { () throws(StoreError) in try apply.applier.followFile() }
    case .commitSoon: isCommitWanted = true
    case .watched(let isWatched):
      feed.setWatched(isWatched, revision: apply.applier.revision, &outputs.events)
    case .logPrepared(let prepared): adopt(prepared, &outputs)
    case .damaged: duties.damaged()
    case .changeMembers(let ticket, let request): try changeMembers(ticket, request, &outputs)
    case .memberVersions(let versions): duties.versions(versions)
    case .peerDigest(let peer, let digest):
      digests.take(digest, from: peer)
      judgeDigests(&outputs)
    case .snapshotReceived(let snapshot): received(snapshot, &outputs)
    case .snapshotInstalled(let recovery): try installed(recovery, &outputs)
    case .snapshotSent(let snapshot, let succeeded): sent(snapshot, succeeded: succeeded, &outputs)
    case .snapshotExported(let result): exported(result, &outputs)
    }
  }

  /// Carries out the effects gathered so far.
  private mutating func route(_ outputs: inout NodeOutputs) throws(NodeError) {
    // Out of the way first: carrying them out may bring more.
    swap(&effects, &routing)
    defer { routing.removeAll(keepingCapacity: true) }
    for effect in routing {
      switch effect {
      case .append(let append):
        try orStop { () throws(LogError) in try log.append(append) }
        if let snapshot = append.snapshot {
          beginInstallation(snapshot, sequence: append.sequence, &outputs)
        }
      case .send(let message):
        if message.kind == .snapshot {
          sendSnapshot(message, &outputs)
        } else {
          outputs.messages.append(message)
        }
      case .readLog(let read):
        let slice = try orStop { () throws(LogError) in try log.read(read) }
        replica.handle(.logRead(read, slice), &effects)
      case .apply(let batch): apply.add(batch)
      case .reply(let ticket, let error): outputs.answers.append(.failed(ticket, error))
      case .readReady(let tickets, _):
        for ticket in tickets { outputs.answers.append(.readReady(ticket)) }
      case .lease(let ticket, let answer): outputs.answers.append(.lease(ticket, answer))
      case .leadershipChanged(let leadership): outputs.notices.append(.leadershipChanged(leadership))
      case .published: outputs.notices.append(.published)
      case .messageRefused(let from, let kind, let fault):
        outputs.notices.append(.messageRefused(from: from, kind: kind, fault))
      case .askLeader(let ticket, let question, let leader):
        outputs.notices.append(.askLeader(ticket, question, leader: leader))
      case .transferred(let ticket):
        outputs.answers.append(.applied(ticket, headerRevision: apply.applier.revision, body: []))
      }
    }
  }

  /// True when something became durable.
  private mutating func syncLog(_ outputs: inout NodeOutputs) throws(NodeError) -> Bool {
    guard let sequence = try orStop({ () throws(LogError) in try log.flush() }) else { return false }
    synced(sequence, &outputs)
    return true
  }

  /// True when something was applied.
  private mutating func applyCommitted(_ outputs: inout NodeOutputs) throws(NodeError) -> Bool {
    // What an appended log has just committed is routed first, so that it is applied in this round.
    try route(&outputs)
    if installer.isUnderWay { return false }
    guard
      let (applied, changed) = try apply.run(
        generationBytesMax: options.generationBytesMax, &outputs.answers)
    else { return false }
    outputs.notices += apply.takeSlow()
    try feed.collect(apply.applier, &outputs.events)
    if let changed { replica.adoptConfiguration(changed) }
    try followMembers(&outputs)
    let leaseChanges = apply.takeLeaseChanges()
    if !leaseChanges.isEmpty { replica.handle(.leasesChanged(leaseChanges), &effects) }
    replica.handle(.applied(index: applied), &effects)
    for digest in apply.takeDigests() { compareDigest(digest, &outputs) }
    return true
  }

  // MARK: Towards LMDB

  private mutating func freezeIfDue(now: UInt64, _ outputs: inout NodeOutputs) throws(NodeError) {
    let applier = apply.applier
    guard !installer.isUnderWay,
      isCommitWanted || now >= nextFreeze || applier.fillingBytes >= options.generationBytes,
      try !apply.isCommitting()
    else { return }
    try freeze(now: now, &outputs)
  }

  private mutating func freeze(now: UInt64, _ outputs: inout NodeOutputs) throws(NodeError) {
    let applier = apply.applier
    lastFreeze = now
    isCommitWanted = false
    if try orStop({ () throws(StoreError) in try applier.freeze() }) {
      outputs.notices.append(.commitReady)
    }
  }

  private mutating func committed(
    _ report: CommitReport, _ outputs: inout NodeOutputs
  ) throws(NodeError) {
    if let revision = report.compactionFinished { outputs.notices.append(.compactionFinished(revision)) }
    withSender(&outputs) { $0.committed(report.appliedIndex, &$1) }
    let needed = replica.neededIndex
    try orStop { () throws(LogError) in try log.purge(applied: report.appliedIndex, needed: needed) }
    replica.handle(.logKept(from: log.keptIndex), &effects)
  }

  private mutating func adopt(_ prepared: PreparedSegments, _ outputs: inout NodeOutputs) {
    do throws(LogError) {
      try log.adopt(prepared)
    } catch {
      outputs.notices.append(.logPreparationFailed(error))
    }
  }

  // MARK: The end

  /// Ends the member in order: refuses what waits, and marks the log as closed cleanly. The caller drives the
  /// committer until it has nothing left if it wants the next start to replay nothing.
  public mutating func stop(_ outputs: inout NodeOutputs) throws(NodeError) {
    replica.handle(.stop, &effects)
    try route(&outputs)
    try orStop { () throws(LogError) in try log.log.close() }
  }

  /// Hands what was applied to the committer, whatever its age; false while it is busy.
  public mutating func freeze() throws(NodeError) -> Bool {
    if installer.isUnderWay { return false }
    let applier = apply.applier
    return try orStop { () throws(StoreError) in try applier.freeze() }
  }
}

/// Runs a step of the log; its errors end the node.
func orStop<Result>(_ step: () throws(LogError) -> Result) throws(NodeError) -> Result {
  do throws(LogError) {
    return try step()
  } catch {
    throw .log(error)
  }
}
