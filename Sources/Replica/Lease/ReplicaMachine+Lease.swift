public import Model
import Raft

/// What is asked about a lease once the member knows that it still leads and has applied enough.
public enum LeaseQuestion: Hashable, Sendable {
  case renew(Int64)
  case timeToLive(Int64)
}

extension ReplicaMachine {
  /// Takes in the leases that the store holds, before the first `flush`, or when a received snapshot replaced the store.
  public mutating func restoreLeases(_ records: [LeaseRecord]) { lessor.restore(records) }

  /// Hands what only the leader can tell to whoever asks it. A member that does not lead asks for no confirmation of
  /// such a question: it would be another's, and this member might lead by the time that enough is applied.
  mutating func forwardQuestions(_ effects: inout [ReplicaEffect]) {
    guard raft.leadership.role != .leader else { return }
    for ticket in reads.takeUnforwardable() { effects.append(.reply(ticket, .noLeader)) }
    if knownLeader == 0 { return }
    for (ticket, question) in reads.takeForwardable() {
      effects.append(.askLeader(ticket, question, leader: knownLeader))
    }
  }

  /// Proposes a grant. Its id and its time are settled here, so that applying it is the same on every member.
  mutating func grantLease(_ ticket: Ticket, _ grant: LeaseGrant, _ effects: inout [ReplicaEffect]) {
    if grant.ttl > LeaseRecord.ttlSecondsMax { return effects.append(.reply(ticket, .leaseTTLTooLarge)) }
    var grant = grant
    grant.ttl = max(grant.ttl, configuration.minLeaseTTLSeconds)
    // Given ids are positive; clients may choose negative ones as well.
    while grant.id == 0 { grant.id = Int64(truncatingIfNeeded: requestIDs.next() & (1 << 63 - 1)) }
    let operation = RaftCommand(operation: .leaseGrant(grant)).encoded()
    propose(Proposal(ticket: ticket, operation: operation), &effects)
    lessor.grantProposed(grant.id, index: raft.lastIndex)
  }

  /// Answers a question that waited for the read index: this member has led ever since it asked for it.
  mutating func answer(_ question: LeaseQuestion, _ ticket: Ticket, _ effects: inout [ReplicaEffect]) {
    guard lessor.isPrimary else { return effects.append(.reply(ticket, .noLeader)) }
    switch question {
    case .renew(let id):
      let before = effects.count
      lessor.renew(id, ticket, &effects)
      if effects.count > before, case .lease(_, .renewed(let seconds)) = effects[before], seconds > 0 {
        counters.leasesRenewed += 1
      }
    case .timeToLive(let id): effects.append(.lease(ticket, .timeToLive(lessor.times(id))))
    }
  }

  /// Keeps the lessor primary exactly while this member leads.
  mutating func lessorFollows(_ leadership: Leadership, _ effects: inout [ReplicaEffect]) {
    let leads = leadership.role == .leader
    if leads && !lessor.isPrimary {
      lessor.promote(extensionTicks: UInt64(configuration.raft.electionTicks))
      lessor.holdUntilApplied(raft.lastIndex)
    } else if !leads && lessor.isPrimary {
      lessor.demote(.leaderChanged, &effects)
    }
  }

  /// Proposes what may be revoked now. Only straight into the leader's own log: what a deposed leader proposes without
  /// knowing it is never committed once the next one has committed anything, and before that the next one confirms no
  /// renewal (etcd 15247).
  mutating func proposeRevocations() {
    guard lessor.isPrimary, !isStopped, raft.leadership.role == .leader, raft.hasCommittedInTerm,
      raft.commitIndex <= raft.appliedIndex + configuration.limits.applyGap
    else { return }
    while let id = lessor.nextRevocation(applied: raft.appliedIndex) {
      let command = RaftCommand(id: requestIDs.next(), operation: .leaseRevoke(id: id)).encoded()
      guard case .appended = raft.propose(command, &raftEffects) else { return lessor.putBack(id) }
      lessor.didPropose(id)
      counters.leasesExpired += 1
    }
  }
}
