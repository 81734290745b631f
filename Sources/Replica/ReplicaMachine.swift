public import Model
public import Raft

/// A member's brain between its edges and Raft: names proposals, waits for them, times them out, gathers
/// linearizable reads, and keeps the member's share of back-pressure. Synchronous and deterministic; time comes in
/// as ticks.
///
/// **A write.** `propose` checks limits, stamps a request id into the command's header and gives it to Raft. While
/// no leader is known it waits. When its entry is committed and durable here, it leaves in an `ApplyBatch` beside
/// its ticket, and the apply stage answers. Otherwise it is answered here: a limit, or the time limit, whose text
/// says whether a leader failed meanwhile. A timed-out command may still be executed later. Every ticket gets
/// exactly one answer, from here or from apply.
///
/// **A read.** Reads that came before a flush share one question to Raft. Its answer is an index; the reads leave in
/// `readReady` once that much is applied. Reads under way when another leader appears fail with `leader changed`,
/// as in etcd.
///
/// **Batches.** Hand inputs in with `handle`, then call `flush` once: one log write, one message per peer, one read
/// round for all. The effects of both are to be carried out in their order.
///
/// **Start.** A new member is made with `init(configuration:bootstrapping:)`, an old one with what its log and store
/// hold; then call `flush`. A sole voter campaigns at once instead of waiting for a leader that cannot be.
/// After a leader is known the member publishes itself, and `published` says that it may serve clients.
public struct ReplicaMachine: ~Copyable {
  public let configuration: ReplicaConfiguration
  var raft: RaftMachine
  /// Reused between calls.
  var raftEffects: [RaftEffect] = []
  var requestIDs: RequestIDs
  var requests = WaitingRequests()
  /// Stamped commands that wait for a leader, oldest first.
  var parked: [(id: UInt64, command: [UInt8])] = []
  var parkedBytes = 0
  var reads = WaitingReads()
  var readsMayAskTick: UInt64 = 0
  var publication: Publication
  var lessor: Lessor
  var nowTick: UInt64 = 0
  /// When the present leader became known; the text of a time-out depends on it.
  var leaderSinceTick: UInt64 = 0
  var knownLeader: UInt64 = 0
  var links = PeerLinks()
  var transfers = LeadershipTransfers()
  var campaignsAtOnce = true
  var isStopped = false
  /// Since the last `flush`.
  var didTick = false
  public internal(set) var counters = ReplicaCounters()

  /// A member that ran before. `clusterVersion` is what the store holds.
  public init(configuration: ReplicaConfiguration, recovery: RaftRecovery, clusterVersion: String?) {
    self.configuration = configuration
    raft = RaftMachine(configuration: configuration.raft, recovery: recovery)
    requestIDs = RequestIDs(
      memberID: configuration.raft.memberID, startMilliseconds: configuration.startMilliseconds)
    publication = Publication(isClusterVersionKnown: clusterVersion == configuration.clusterVersion)
    lessor = Lessor(configuration)
  }

  /// A member that starts with its cluster: all initial members, itself among them.
  public init(configuration: ReplicaConfiguration, bootstrapping members: [Member]) {
    self.init(configuration: configuration, recovery: RaftRecovery(), clusterVersion: nil)
    precondition(members.contains { $0.id == configuration.raft.memberID }, "a member of its own cluster")
    raft.bootstrap(members.map { ($0.id, $0.json) })
  }

  /// Takes one input in; its effects are appended to `effects`.
  public mutating func handle(_ input: consuming ReplicaInput, _ effects: inout [ReplicaEffect]) {
    switch input {
    case .tick: tick(&effects)
    case .propose(let proposal): propose(proposal, &effects)
    case .proposeChange(let ticket, let change): propose(change, ticket, &effects)
    case .proposeUnattended(let operation): if !isStopped { _ = proposeUnattended(operation) }
    case .proposeEmpty: if !isStopped, leadership.role == .leader { _ = raft.propose([], &raftEffects) }
    case .readIndex(let ticket): read(ticket, &effects)
    case .leaseGrant(let ticket, let grant): grantLease(ticket, grant, &effects)
    case .leaseRenew(let ticket, let id): read(ticket, question: .renew(id), isForwardable: true, &effects)
    case .leaseTimeToLive(let ticket, let id):
      read(ticket, question: .timeToLive(id), isForwardable: true, &effects)
    case .leaseAsked(let ticket, let question): read(ticket, question: question, &effects)
    case .leaseList(let ticket): effects.append(.lease(ticket, .list(lessor.list())))
    case .leasesChanged(let changes): for change in changes { lessor.take(change, &effects) }
    case .transferLeadership(let ticket, let peer): transferLeadership(ticket, to: peer, &effects)
    case .message(let message): receive(message, &effects)
    case .connectivity(let peer, let isConnected): linkChanged(peer, isConnected: isConnected)
    case .unreachable(let peer): raft.handle(.unreachable(peer: peer), &raftEffects)
    case .snapshotReported(let peer, let succeeded):
      raft.handle(.snapshotReported(peer: peer, succeeded: succeeded), &raftEffects)
    case .logKept(let index): raft.handle(.logKept(from: index), &raftEffects)
    case .logRead(let read, let slice): raft.handle(.logRead(read, slice), &raftEffects)
    case .appended(let sequence): raft.handle(.appended(sequence: sequence), &raftEffects)
    case .applied(let index): applied(index, &effects)
    case .stop: stop(&effects)
    }
    translate(&effects)
  }

  /// To Raft, for which the content of entries is opaque. One that cannot be executed would be committed, and end every
  /// member that comes to it, at each start again.
  private mutating func receive(_ message: Message, _ effects: inout [ReplicaEffect]) {
    if let fault = message.faultOfEntries {
      return effects.append(.messageRefused(from: message.from, kind: message.kind, fault))
    }
    let granted = message.kind == .propose ? message.entries.compactMap(\.grantedLease) : []
    raft.handle(.message(message), &raftEffects)
    for id in granted { lessor.grantProposed(id, index: raft.lastIndex) }
  }

  /// Ends a batch.
  public mutating func flush(_ effects: inout [ReplicaEffect]) {
    if campaignsAtOnce && raft.isSoleVoter && raft.mayCampaign {
      campaignsAtOnce = false
      raft.handle(.campaign, &raftEffects)
    }
    publish()
    if didTick {
      didTick = false
      lessor.startFresh()
    }
    proposeRevocations()
    forwardQuestions(&effects)
    if knownLeader != 0 {
      proposeParked(&effects)
      askForReads()
    }
    raft.flush(&raftEffects)
    translate(&effects)
  }

  /// The state of a received snapshot is in place: what is derived from the store is derived anew. To be followed by
  /// `appended` of the write that carried the snapshot.
  public mutating func installed(leases: [LeaseRecord]) {
    lessor.restore(leases)
  }

  /// Takes in the configuration that an applied change led to (`ConfState.applying`).
  public mutating func adoptConfiguration(_ confState: ConfState) {
    raft.adoptConfiguration(confState, &raftEffects)
  }
}

// MARK: - What others may look at

extension ReplicaMachine {
  public var leadership: Leadership { raft.leadership }
  public var commitIndex: UInt64 { raft.commitIndex }
  public var appliedIndex: UInt64 { raft.appliedIndex }
  public var lastIndex: UInt64 { raft.lastIndex }
  /// For a leader: the lowest index behind which a member that is catching up has to be sent everything yet.
  public var neededIndex: UInt64? { raft.neededIndex }
  public var confState: ConfState { raft.confState }
  /// Proposals that were not answered yet.
  public var pendingProposals: Int { requests.count }
  /// The vote given in the current term.
  public var vote: UInt64 { raft.hardState.vote }
  public var isLearner: Bool { raft.isLearner }
  /// On a leader: what it knows of each member's log, its own among them.
  public var peerProgress: [(id: UInt64, match: UInt64, isRecentlyActive: Bool, isLearner: Bool)] {
    raft.peers
  }
  /// Proposals and reads that were not answered yet.
  public var waitingCount: Int {
    requests.count + reads.count + lessor.waiterCount + transfers.count
  }
}

// MARK: - Inputs

extension ReplicaMachine {
  mutating func propose(_ proposal: consuming Proposal, _ effects: inout [ReplicaEffect]) {
    let ticket = proposal.ticket
    if let refusal = refusal() { return effects.append(.reply(ticket, refusal)) }
    let id = requestIDs.next()
    let command = CommandHeader.append(
      to: proposal.operation, id: id, username: proposal.username, authRevision: proposal.authRevision)
    if command.count > configuration.limits.requestBytes {
      return effects.append(.reply(ticket, .requestTooLarge))
    }
    switch knownLeader == 0 ? .noLeader : raft.propose(command, &raftEffects) {
    case .appended, .forwarded:
      requests.insert(ticket, id: id, tick: nowTick)
    case .overloaded:
      effects.append(.reply(ticket, .tooManyRequests))
    case .noLeader:
      if parkedBytes + command.count > configuration.limits.waitingProposalBytes {
        return effects.append(.reply(ticket, .tooManyRequests))
      }
      requests.insert(ticket, id: id, tick: nowTick)
      parkedBytes += command.count
      parked.append((id, command))
    }
  }

  /// Unlike a command it does not wait for a leader: who asks for a change sees at once that there is none.
  private mutating func propose(
    _ proposed: ConfChange, _ ticket: Ticket, _ effects: inout [ReplicaEffect]
  ) {
    if let refusal = refusal() { return effects.append(.reply(ticket, refusal)) }
    var change = proposed
    change.id = requestIDs.next()
    if change.encodedSize > configuration.limits.requestBytes {
      return effects.append(.reply(ticket, .requestTooLarge))
    }
    switch knownLeader == 0 ? .noLeader : raft.propose(change, &raftEffects) {
    case .appended, .forwarded: requests.insert(ticket, id: change.id, tick: nowTick)
    case .overloaded: effects.append(.reply(ticket, .tooManyRequests))
    case .noLeader: effects.append(.reply(ticket, .noLeader))
    }
  }

  /// Why no proposal is taken just now.
  private func refusal() -> ClientError? {
    if isStopped { return .serverStopped }
    if raft.commitIndex > raft.appliedIndex + configuration.limits.applyGap { return .tooManyRequests }
    return waitingCount >= configuration.limits.waitingRequests ? .tooManyRequests : nil
  }

  private mutating func read(
    _ ticket: Ticket, question: LeaseQuestion? = nil, isForwardable: Bool = false,
    _ effects: inout [ReplicaEffect]
  ) {
    if isStopped { return effects.append(.reply(ticket, .serverStopped)) }
    if waitingCount >= configuration.limits.waitingRequests {
      return effects.append(.reply(ticket, .tooManyRequests))
    }
    reads.add(
      WaitingReads.Read(ticket: ticket, tick: nowTick, question: question, isForwardable: isForwardable))
  }

  private mutating func applied(_ index: UInt64, _ effects: inout [ReplicaEffect]) {
    raft.handle(.applied(index: index), &raftEffects)
    releaseReads(&effects)
    publication.applied(index: index)
    if publication.report(isAlone: raft.isSoleVoter) { effects.append(.published) }
  }

  private mutating func tick(_ effects: inout [ReplicaEffect]) {
    nowTick += 1
    didTick = true
    lessor.tick()
    raft.handle(.tick, &raftEffects)
    let timeout = UInt64(configuration.requestTimeoutTicks)
    if nowTick >= timeout {
      while let expired = requests.takeOldest(arrivedBy: nowTick - timeout) {
        counters.failedProposals += 1
        effects.append(.reply(expired.ticket, timeoutError(startTick: expired.startTick)))
      }
      let late = reads.takeExpired(arrivedBy: nowTick - timeout)
      if !late.isEmpty { counters.slowReadIndexes += 1 }
      for read in late {
        effects.append(.reply(read.ticket, read.wasConfirmed ? .timedOutByApply : .requestTimedOut))
      }
      for ticket in transfers.takeExpired(arrivedBy: nowTick - timeout) {
        effects.append(.reply(ticket, .timedOutByTransfer))
      }
      dropExpiredParked()
    }
    // A question forwarded to a leader may be lost; a leader's own is not.
    if nowTick.isMultiple(of: readRetryTicks) && raft.leadership.role != .leader { reads.askAllAgain() }
  }

  /// etcd asks again after 500 ms.
  var readRetryTicks: UInt64 { UInt64(max(1, 500 / configuration.tickMilliseconds)) }

  private mutating func dropExpiredParked() {
    guard !parked.isEmpty else { return }
    parked.removeAll { !requests.contains($0.id) }
    parkedBytes = parked.reduce(0) { $0 + $1.command.count }
  }

  private mutating func stop(_ effects: inout [ReplicaEffect]) {
    isStopped = true
    lessor.demote(.serverStopped, &effects)
    parked.removeAll()
    parkedBytes = 0
    while let request = requests.takeOldest(arrivedBy: .max) {
      counters.failedProposals += 1
      effects.append(.reply(request.ticket, .serverStopped))
    }
    for read in reads.takeExpired(arrivedBy: .max) { effects.append(.reply(read.ticket, .serverStopped)) }
    for ticket in transfers.takeExpired(arrivedBy: .max) { effects.append(.reply(ticket, .serverStopped)) }
  }
}
