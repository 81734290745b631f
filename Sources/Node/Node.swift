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
  private let options: NodeOptions
  private var replica: ReplicaMachine
  private var log: LogStage
  private var apply: ApplyStage
  private var feed: EventFeed
  private var effects: [ReplicaEffect] = []
  private var lastFreeze: UInt64
  /// True at first: the sooner the store knows of the log, the sooner a log that has vanished is told from a first
  /// start.
  private var isCommitWanted = true
  private var duties: UnattendedDuties
  private var isStopped = false

  init(
    options: NodeOptions, replica: consuming ReplicaMachine, log: WriteAheadLog, commands: CommandApplier,
    confState: ConfState, now: UInt64
  ) {
    self.options = options
    self.replica = replica
    self.log = LogStage(log)
    self.apply = ApplyStage(
      commands, confState: confState, stopwatch: options.stopwatch, slowFrom: options.slowApplyNanoseconds)
    self.feed = EventFeed(limits: options.eventFeed)
    duties = UnattendedDuties(options: options, revision: commands.applier.revision, now: now)
    lastFreeze = now
  }

  public var memberID: UInt64 { options.replica.raft.memberID }
  public var leadership: Leadership { replica.leadership }
  public var lastIndex: UInt64 { replica.lastIndex }
  public var commitIndex: UInt64 { replica.commitIndex }
  public var appliedIndex: UInt64 { replica.appliedIndex }
  public var vote: UInt64 { replica.vote }
  public var isLearner: Bool { replica.isLearner }
  public var pendingProposals: Int { replica.pendingProposals }
  public var counters: ReplicaCounters { replica.counters }
  public var applyMetrics: ApplyMetrics { apply.metrics }
  /// The alarms that are raised.
  public var alarms: AlarmSet { apply.alarms }
  /// When the filling generation is due, in the caller's monotonic nanoseconds.
  public var nextFreeze: UInt64 { lastFreeze + options.commitIntervalNanoseconds }

  /// Takes a batch of inputs through all stages. `now` is monotonic, in nanoseconds. After an error the process has to
  /// end; nothing that was not durable has been answered.
  public mutating func process(
    _ inputs: [NodeInput], now: UInt64, _ outputs: inout NodeOutputs
  ) throws(NodeError) {
    for input in inputs {
      switch input {
      case .replica(let input): replica.handle(input, &effects)
      case .committed(let report): try committed(report, &outputs)
      case .dataFileReplaced:
        try orStop { () throws(StoreError) in try apply.applier.followFile() }
      case .commitSoon: isCommitWanted = true
      case .watched(let isWatched):
        feed.setWatched(isWatched, revision: apply.applier.revision, &outputs.events)
      case .logPrepared(let prepared): adopt(prepared, &outputs)
      case .damaged: duties.damaged()
      }
    }
    let leads = replica.leadership.role == .leader
    for command in duties.due(apply.alarms, apply.applier, leads: leads, now: now, &outputs.notices) {
      replica.handle(.proposeUnattended(command), &effects)
    }
    var progressed = false
    repeat {
      replica.flush(&effects)
      try route(&outputs)
      // What the log or the apply stage reports may let the replica go on only at its next flush: a single voter's
      // entry commits when its append is durable. Stopping here would leave it until the next input.
      progressed = try syncLog()
      if try applyCommitted(&outputs) { progressed = true }
    } while progressed || !effects.isEmpty
    try freezeIfDue(now: now, &outputs)
    if let preparation = log.log.nextPreparation() { outputs.notices.append(.prepareLog(preparation)) }
  }

  /// Carries out the effects gathered so far.
  private mutating func route(_ outputs: inout NodeOutputs) throws(NodeError) {
    for effect in effects {
      switch effect {
      case .append(let append): try orStop { () throws(LogError) in try log.append(append) }
      case .send(let message): outputs.messages.append(message)
      case .apply(let batch): apply.add(batch)
      case .reply(let ticket, let error): outputs.answers.append(.failed(ticket, error))
      case .readReady(let tickets, _):
        for ticket in tickets { outputs.answers.append(.readReady(ticket)) }
      case .lease(let ticket, let answer): outputs.answers.append(.lease(ticket, answer))
      case .leadershipChanged(let leadership): outputs.notices.append(.leadershipChanged(leadership))
      case .published: outputs.notices.append(.published)
      case .messageRefused(let from, let kind, _):
        outputs.notices.append(.messageRefused(from: from, kind: kind))
      }
    }
    effects.removeAll(keepingCapacity: true)
  }

  /// True when something became durable.
  private mutating func syncLog() throws(NodeError) -> Bool {
    guard let sequence = try orStop({ () throws(LogError) in try log.flush() }) else { return false }
    replica.handle(.appended(sequence: sequence), &effects)
    return true
  }

  /// True when something was applied.
  private mutating func applyCommitted(_ outputs: inout NodeOutputs) throws(NodeError) -> Bool {
    // What an appended log has just committed is routed first, so that it is applied in this round.
    try route(&outputs)
    guard
      let (applied, changed) = try apply.run(
        generationBytesMax: options.generationBytesMax, &outputs.answers)
    else { return false }
    try feed.collect(apply.applier, &outputs.events)
    if let changed { replica.adoptConfiguration(changed) }
    let leaseChanges = apply.takeLeaseChanges()
    if !leaseChanges.isEmpty { replica.handle(.leasesChanged(leaseChanges), &effects) }
    replica.handle(.applied(index: applied), &effects)
    return true
  }

  // MARK: Towards LMDB

  private mutating func freezeIfDue(now: UInt64, _ outputs: inout NodeOutputs) throws(NodeError) {
    let applier = apply.applier
    guard isCommitWanted || now >= nextFreeze || applier.fillingBytes >= options.generationBytes,
      try !apply.isCommitting()
    else { return }
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
    let kept = min(report.appliedIndex, options.catchUpEntries)
    try orStop { () throws(LogError) in try log.log.purge(below: report.appliedIndex - kept) }
  }

  private mutating func adopt(_ prepared: PreparedSegments, _ outputs: inout NodeOutputs) {
    do throws(LogError) {
      try log.log.adopt(prepared)
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
