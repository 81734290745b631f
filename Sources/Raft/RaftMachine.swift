public import Model
internal import Primitives

/// One member's share of the Raft consensus algorithm: a synchronous, deterministic machine over opaque entries.
///
/// It owns term, vote, log and role; it has no clock, no disk and no network. Inputs go in (`handle`, `propose`),
/// effects come out, into an array that the caller owns and reuses; `flush` ends a batch of inputs and lets the
/// batch share one log write, one append message per peer and one read round.
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
/// **Commit.** The largest index that a quorum holds durably, if its entry is of the current term. Committed
/// entries are handed to apply only once they are durable here too: apply never overtakes the local log.
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
  /// The current term.
  public internal(set) var term: UInt64
  /// Whom this member voted for in `term`; 0: nobody.
  var vote: UInt64
  var role: Role
  var log: RaftLog
  var voters: MajorityConfiguration

  var random: SeededRandom
  var electionElapsedTicks = 0
  var heartbeatElapsedTicks = 0
  var electionTimeoutTicks = 0

  /// The hard state as last given to the log stage.
  var issuedTerm: UInt64
  var issuedVote: UInt64
  var lastSequence: UInt64 = 0
  var appendedSequence: UInt64 = 0
  /// Held back until the write they depend on is durable, in order.
  var deferred: [Deferred] = []
  /// Numbers read rounds over the machine's whole life.
  var lastRound: UInt64 = 0

  enum Role {
    case follower(leader: UInt64)
    case candidate(Ballot)
    // A class, so that the leader's state changes in place while it is the enum's payload. Never shared.
    case leader(LeaderState)
  }

  /// What waits for durability. `gate` is nil until the flush that decides which write it waits for.
  struct Deferred {
    enum Action {
      case send(Message)
      case ownVote(term: UInt64)
    }
    var gate: UInt64?
    var action: Action
  }

  public init(configuration: RaftConfiguration, recovery: RaftRecovery) {
    // A local first: reading a field of a half-made noncopyable value is miscompiled by 6.3.1 in release builds (it
    // releases what it never retained).
    let log = RaftLog(recovery: recovery)
    precondition(
      recovery.hardState.term >= log.lastTerm,
      "the log holds entries of a term that the hard state does not know")
    self.configuration = configuration
    term = recovery.hardState.term
    vote = recovery.hardState.vote
    issuedTerm = term
    issuedVote = vote
    role = .follower(leader: 0)
    self.log = log
    voters = MajorityConfiguration(recovery.confState.voters)
    random = SeededRandom(seed: configuration.seed ^ configuration.memberID)
    resetElectionTimer()
  }

  /// Takes one input in. Effects are appended to `effects`; call `flush` after the last input of a batch.
  public mutating func handle(_ input: RaftInput, _ effects: inout [RaftEffect]) {
    switch input {
    case .tick: tick(&effects)
    case .campaign: campaign(&effects)
    case .message(let message): receive(message, &effects)
    case .appended(let sequence): appended(sequence, &effects)
    case .applied(let index): log.applied(to: index, limits: configuration.limits)
    case .readIndex(let context): readIndex(.local(context), &effects)
    }
  }

  /// Appends a command to the log, if this member leads, or sends it to the leader. The entry is durable and
  /// committed later, or never: the caller recognises it when `committed` hands it out.
  public mutating func propose(_ data: [UInt8], _ effects: inout [RaftEffect]) -> ProposalOutcome {
    switch role {
    case .leader(let leader):
      return append(data, leader)
    case .follower(let leader) where leader != 0:
      let entry = Entry(term: 0, index: 0, data: data)
      send(Message(kind: .propose, to: leader, entries: [entry]), &effects)
      return .forwarded
    case .follower, .candidate:
      return .noLeader
    }
  }

  /// The same for a change of the configuration.
  public mutating func propose(_ change: ConfChange, _ effects: inout [RaftEffect]) -> ProposalOutcome {
    switch role {
    case .leader:
      return .appended(index: log.append(term: term, kind: .confChange, data: change.encoded()))
    case .follower(let leader) where leader != 0:
      let entry = Entry(term: 0, index: 0, kind: .confChange, data: change.encoded())
      send(Message(kind: .propose, to: leader, entries: [entry]), &effects)
      return .forwarded
    case .follower, .candidate:
      return .noLeader
    }
  }

  /// Ends a batch: sends what the batch produced, issues its one log write, hands out what is committed.
  public mutating func flush(_ effects: inout [RaftEffect]) {
    if case .leader(let leader) = role {
      startReadRound(leader, &effects)
      broadcastAppends(leader, &effects)
    }
    issueAppend(&effects)
    releaseDeferred(&effects)
    let entries = log.handOut(creditBytes: configuration.limits.applyBytes)
    if !entries.isEmpty { effects.append(.committed(entries)) }
  }
}

// MARK: - What others may look at

extension RaftMachine {
  public var leadership: Leadership {
    switch role {
    case .follower(let leader): Leadership(role: .follower, term: term, leader: leader)
    case .candidate: Leadership(role: .candidate, term: term, leader: 0)
    case .leader: Leadership(role: .leader, term: term, leader: configuration.memberID)
    }
  }

  public var hardState: HardState { HardState(term: term, vote: vote, commit: log.commitIndex) }
  public var confState: ConfState { ConfState(voters: voters.voters) }
  public var commitIndex: UInt64 { log.commitIndex }
  public var appliedIndex: UInt64 { log.appliedIndex }
  /// The last index that is durable here.
  public var stableIndex: UInt64 { log.stableIndex }
  public var lastIndex: UInt64 { log.lastIndex }
  /// The first index still in memory.
  public var firstIndex: UInt64 { log.firstIndex }
  /// Whether this member is the one voter.
  public var isSoleVoter: Bool { voters.voters == [configuration.memberID] }
  /// Whether an entry of this leader's own term is committed: reads may be confirmed.
  public var hasCommittedInTerm: Bool { log.term(at: log.commitIndex) == term }

  /// The term of the entry at `index`; nil if it is beyond the end or no longer in memory.
  public func term(at index: UInt64) -> UInt64? { log.term(at: index) }

  /// Entries still in memory, from `index` on, at most `maxCount`.
  public func entries(from index: UInt64, maxCount: Int) -> [Entry] {
    log.slice(from: index, maxCount: maxCount, maxBytes: Int.max)
  }

  /// Whether `campaign` would start an election: a voter, no leader itself, and no committed configuration
  /// change left to apply (the change may alter who votes).
  public var mayCampaign: Bool {
    if case .leader = role { return false }
    guard voters.contains(configuration.memberID), term < Self.largestTerm else { return false }
    return !log.changesConfiguration(after: log.appliedIndex, through: log.commitIndex)
  }
}

// MARK: - Durability

extension RaftMachine {
  /// Terms and indexes of messages stay below this, so that sums cannot overflow.
  static var largestTerm: UInt64 { 1 << 62 }
  static var largestIndex: UInt64 { 1 << 62 }

  func send(_ message: Message, _ effects: inout [RaftEffect]) {
    var message = message
    message.from = configuration.memberID
    // Forwarded requests belong to whatever term the leader is in.
    if message.kind != .propose && message.kind != .readIndex { message.term = term }
    effects.append(.send(message))
  }

  /// Sends once everything that this member has promised so far is durable.
  mutating func sendWhenDurable(_ message: Message) {
    var message = message
    message.from = configuration.memberID
    message.term = term
    deferred.append(Deferred(gate: nil, action: .send(message)))
  }

  private mutating func issueAppend(_ effects: inout [RaftEffect]) {
    if log.hasUnissued || term != issuedTerm || vote != issuedVote {
      lastSequence += 1
      issuedTerm = term
      issuedVote = vote
      let entries = log.issue(sequence: lastSequence)
      effects.append(.append(LogAppend(sequence: lastSequence, entries: entries, hardState: hardState)))
    }
    for position in deferred.indices.reversed() {
      if deferred[position].gate != nil { break }
      deferred[position].gate = lastSequence
    }
  }

  private mutating func appended(_ sequence: UInt64, _ effects: inout [RaftEffect]) {
    precondition(sequence <= lastSequence, "a write was reported that was never issued")
    guard sequence > appendedSequence else { return }
    appendedSequence = sequence
    log.appended(sequence: sequence)
    if case .leader(let leader) = role { ownLogGrew(leader, &effects) }
    releaseDeferred(&effects)
  }

  private mutating func releaseDeferred(_ effects: inout [RaftEffect]) {
    var released = 0
    while released < deferred.count, let gate = deferred[released].gate, gate <= appendedSequence {
      switch deferred[released].action {
      case .send(let message): effects.append(.send(message))
      case .ownVote(let term):
        if term == self.term { count(vote: true, of: configuration.memberID, &effects) }
      }
      released += 1
    }
    deferred.removeFirst(released)
  }
}
