internal import Model
internal import Primitives

/// One member's share of the Raft consensus algorithm: a synchronous, deterministic machine over opaque entries.
///
/// It owns term, vote, log and role; it has no clock, no disk and no network. Inputs go in (`handle`, `propose`),
/// effects come out, into an array that the caller owns and reuses; `flush` ends a batch of inputs and lets the
/// batch share one log write, one append message per peer and one read round.
///
/// Its messages are etcd's raftpb, meaning for meaning, and it decides as etcd's raft library does, so that members
/// of both kinds understand each other and that library's scenarios hold here (`ready` shows a step in its form).
///
/// **What is durable when.** `flush` gathers everything that must reach the disk into one `LogAppend`. Whatever
/// depends on it (a vote given, an acknowledgement of entries, a vote request, this member's own vote, its own
/// match index) is held back until the log stage reports `appended`. So an effect may always be carried out at
/// once. Only a leader's appends and heartbeats overtake its own disk: its term and vote became durable before
/// it could win.
///
/// **A single voter is no special case.** It campaigns, waits until its vote is durable, appends the empty entry
/// of its term, waits until that is durable, and has then committed it. Nothing commits because "we are alone".
///
/// **Commit.** The largest index that a quorum of each half of the configuration holds durably, if its entry is of
/// the current term. Committed entries are handed to apply only once they are durable here too: apply never
/// overtakes the local log.
///
/// **Reads.** `readIndex` asks for a proof that this member leads *now*. A leader answers after a round of
/// heartbeats that began after the request and carries a number never used before, so that no acknowledgement
/// of an earlier round can serve a later read (etcd issue 20418). It answers none before it has committed an
/// entry of its own term. The only voter of a cluster needs no round.
///
/// **Peers are not trusted.** A message is checked before it is stepped; what no correct peer sends is refused
/// with an effect and never traps.
///
/// Not here: time-outs of requests, waiting queues, request ids (`Replica`); encoding (`Model`).
public struct RaftMachine: ~Copyable {
  public let configuration: RaftConfiguration
  let tracer: Tracer
  /// The current term.
  public internal(set) var term: UInt64
  /// Whom this member voted for in `term`; 0: nobody.
  var vote: UInt64
  var role = Leadership.Role.follower
  /// 0: unknown.
  var leader: UInt64 = 0
  var log: RaftLog
  /// The configuration in use, and what a leader knows about each member.
  var members: ClusterConfiguration
  var progress: ProgressMap
  var ballot = Ballot()

  var random: SeededRandom
  var electionElapsedTicks = 0
  var heartbeatElapsedTicks = 0
  var electionTimeoutTicks = 0

  // A leader's.
  /// To whom leadership is being handed; 0: to nobody.
  var transferee: UInt64 = 0
  /// At or above the last configuration change in the log: another waits until this is applied.
  var pendingChangeIndex: UInt64 = 0
  var uncommittedBytes = 0
  var reads = ReadQueue()
  /// Peers are to be told what is new when the batch ends.
  var isBroadcastDue = false
  /// Numbers read rounds over the machine's whole life.
  var lastRound: UInt64 = 0

  // What came of inputs and was not taken yet.
  var messages: [Message] = []
  var logReads: [LogRead] = []
  /// Held back until everything written so far is durable. Some are for this member itself.
  var messagesAfterAppend: [Message] = []
  var readStates: [ReadState] = []
  var droppedReads: [UInt64] = []
  var refusals: [(from: UInt64, kind: Message.Kind, fault: MessageFault)] = []

  // What the surroundings know.
  var readyLeadership: Leadership
  var readyHardState: HardState
  var reportedLeadership: Leadership
  /// The configuration as of the applied index: a change is adopted before it is reported as applied.
  var appliedConfState: ConfState
  var hasNewConfiguration = false
  /// A snapshot that may be sent, in place of one of the present state.
  var offeredSnapshot: SnapshotMetadata?
  var stepsOnAdvance: [Message] = []
  var lastSequence: UInt64 = 0
  var appendedSequence: UInt64 = 0
  /// What waits for the write of a sequence, in order.
  var deferred: [(sequence: UInt64, message: Message)] = []

  public init(
    configuration: RaftConfiguration, recovery: RaftRecovery, trace: (any RaftTrace)? = nil
  ) {
    // Locals first: reading a field of a half-made noncopyable value is miscompiled by 6.3.1 in release builds (it
    // releases what it never retained).
    let tracer = Tracer(trace: trace)
    let log = RaftLog(recovery: recovery, tracer: tracer)
    let hardState = recovery.hardState
    precondition(
      hardState.term >= log.lastTerm || hardState == HardState(commit: hardState.commit),
      "the log holds entries of a term that the hard state does not know")
    precondition(
      configuration.readMode == .safe || configuration.checkQuorum, "a lease needs the quorum check")
    let memberID = configuration.memberID
    precondition(memberID != LocalStage.append && memberID != LocalStage.apply, "names of local stages")
    let leadership = Leadership(role: .follower, term: hardState.term, leader: 0)
    self.configuration = configuration
    self.tracer = tracer
    self.log = log
    term = hardState.term
    vote = hardState.vote
    members = ClusterConfiguration()
    progress = ProgressMap()
    appliedConfState = recovery.confState
    // Mixed, so that neighbouring seeds and ids do not meet: two members that draw the same time-outs never elect one.
    random = SeededRandom(seed: configuration.seed ^ (memberID &* 0x9e37_79b9_7f4a_7c15))
    readyLeadership = leadership
    readyHardState = HardState(term: hardState.term, vote: hardState.vote, commit: log.commitIndex)
    reportedLeadership = leadership
    start(confState: recovery.confState)
  }

  private mutating func start(confState: ConfState) {
    var changer = changer()
    do throws(ConfigurationError) {
      try changer.restore(confState)
    } catch {
      preconditionFailure("the stored configuration is impossible: \(error)")
    }
    members = changer.configuration
    progress = changer.progress
    tracer.info("\(id.hex) switched to configuration \(members)")
    becomeFollower(term: term, leader: 0)
    let peers = members.voters.ids.map(\.hex).joined(separator: ",")
    let marks = "commit: \(log.commitIndex), applied: \(log.appliedIndex)"
    tracer.info(
      "newRaft \(id.hex) [peers: [\(peers)], term: \(term), \(marks), lastindex: \(log.lastIndex), lastterm: \(log.lastTerm)]"
    )
  }

  /// Takes one input in. Effects are appended to `effects`; call `flush` after the last input of a batch.
  public mutating func handle(_ input: RaftInput, _ effects: inout [RaftEffect]) {
    take(input)
    emit(&effects)
  }

  /// Takes one input in for callers of `ready`, which hands out everything that comes of it.
  public mutating func take(_ input: RaftInput) {
    switch input {
    case .tick: tick()
    case .campaign: campaign()
    case .message(let message): _ = receive(message)
    case .appended(let sequence): appended(sequence)
    case .logKept(let index): log.keptIndex = index
    case .logRead(let read, let slice): receive(slice, of: read)
    case .applied(let index): applied(index: index)
    case .readIndex(let context): readIndex(.local(context))
    case .transferLeadership(let peer): transferLeadership(to: peer)
    case .forgetLeader: forgetLeader()
    case .unreachable(let peer): unreachable(peer)
    case .snapshotReported(let peer, let succeeded): snapshotReported(peer, succeeded: succeeded)
    }
  }
}
