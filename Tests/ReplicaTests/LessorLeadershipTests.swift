import Model
import Raft
import Replica
import Testing

/// Leases of a member of three that wins and loses the lead.
@Suite struct LessorLeadershipTests {
  private func leader() -> ReplicaHarness {
    let replica = ReplicaHarness(others: [2, 3])
    replica.work()
    replica.win()
    return replica
  }

  private func tick(_ replica: ReplicaHarness, _ count: Int) {
    for _ in 0..<count {
      replica.handle(.tick)
      replica.workTogether()
    }
  }

  @Test func aFollowerLetsNothingExpire() {
    let replica = leader()
    replica.grant(1, ttl: 2, id: 7)
    replica.workTogether()
    replica.follow(3, term: replica.machine.leadership.term + 1)
    for _ in 0..<100 {
      // Its leader is alive.
      replica.follow(3, term: replica.machine.leadership.term)
      replica.handle(.tick)
      replica.work()
    }
    #expect(replica.leases.count == 1)
    #expect(replica.revocations.isEmpty)
  }

  /// etcd 15247, 12528, 17425: a leader that was paused or cut off revoked leases that the next one had renewed.
  @Test func aLeaderThatIsNoneAnyMoreRevokesNothing_15247() {
    let replica = leader()
    replica.grant(1, ttl: 2, id: 7)
    replica.workTogether()
    tick(replica, 1)
    let commands = replica.commands.count
    // Cut off: it notices that the lease is over, and proposes the end of it to itself.
    for _ in 0..<60 {
      replica.handle(.tick)
      replica.work()
    }
    #expect(replica.commands.count == commands, "nothing commits without a quorum")
    let forwarded = replica.sent.filter { $0.kind == .propose }.count
    replica.follow(3, term: replica.machine.leadership.term + 1)
    replica.work()
    #expect(replica.leases.count == 1)
    #expect(
      replica.sent.filter { $0.kind == .propose }.count == forwarded, "nor is it sent to the next leader")
  }

  /// The same bugs: nor may it answer renewals as if it led.
  @Test func aLeaderThatIsNoneAnyMoreRenewsNothing_15247() {
    let replica = leader()
    replica.grant(1, ttl: 10, id: 7)
    replica.workTogether()
    replica.renew(2, 7)
    replica.timeToLive(3, 7)
    replica.work()
    #expect(replica.leaseAnswers.isEmpty, "no quorum has confirmed that it leads")
    replica.follow(3, term: replica.machine.leadership.term + 1)
    replica.work()
    // Only the next leader can tell: what this member knows about the time is worth nothing any more.
    #expect(replica.leaseAnswers.isEmpty)
    #expect(replica.asked[Ticket(2)]?.leader == 3 && replica.asked[Ticket(3)]?.leader == 3)
  }

  /// etcd 17425: a confirmation is of one lead. Whoever got it, lost the lead and has it again has not renewed what the
  /// leader between may have let expire.
  @Test func aConfirmationEndsWithTheLead_17425() {
    let replica = leader()
    replica.grant(1, ttl: 10, id: 7)
    replica.workTogether()
    // Confirmed, and waiting for an entry that is not applied yet.
    replica.put(2)
    replica.flush()
    replica.write()
    replica.peersAnswer()
    replica.renew(3, 7)
    replica.timeToLive(4, 7)
    replica.handle(.leaseAsked(Ticket(5), .renew(7)))
    replica.flush()
    replica.peersAnswer()
    #expect(!replica.batches.isEmpty && replica.leaseAnswers.isEmpty)
    replica.follow(3, term: replica.machine.leadership.term + 1)
    replica.apply()
    #expect(replica.asked[Ticket(3)]?.leader == 3 && replica.asked[Ticket(4)]?.leader == 3)
    #expect(replica.replies == [Ticket(5): .noLeader])
    replica.win()
    #expect(replica.leaseAnswers.isEmpty)
  }

  /// A follower's confirmation is of somebody else's lead: it asks for none.
  @Test func aFollowerThatIsAskedAsksNobody_15247() {
    let replica = leader()
    replica.grant(1, ttl: 10, id: 7)
    replica.workTogether()
    replica.follow(3, term: replica.machine.leadership.term + 1)
    let count = replica.sent.filter { $0.kind == .readIndex }.count
    replica.handle(.leaseAsked(Ticket(2), .renew(7)))
    replica.flush()
    #expect(replica.replies == [Ticket(2): .noLeader])
    #expect(replica.sent.filter { $0.kind == .readIndex }.count == count)
  }

  /// An id that is revoked and granted anew while its first life expires: the revocation would hit the second.
  @Test func expiryDoesNotHitTheNextLeaseOfTheSameID() {
    let replica = leader()
    replica.grant(1, ttl: 2, id: 7)
    replica.workTogether()
    tick(replica, 20)
    replica.revoke(2, 7)
    let grant = RaftCommand(id: 99, operation: .leaseGrant(LeaseGrant(id: 7, ttl: 60)))
    replica.handle(
      .message(
        Message(
          kind: .propose, to: replica.memberID, from: 2,
          entries: [Entry(term: 0, index: 0, data: grant.encoded())])))
    replica.flush()
    // The apply stage is busy meanwhile.
    for _ in 0..<5 {
      replica.handle(.tick)
      replica.flush()
    }
    replica.workTogether()
    tick(replica, 30)
    #expect(replica.leases.map(\.ttlSeconds) == [60])
    // A grant that is refused, because the lease is there, holds nothing up for long.
    replica.grant(3, ttl: 2, id: 8)
    replica.workTogether()
    tick(replica, 20)
    replica.grant(4, ttl: 2, id: 8)
    for _ in 0..<5 {
      replica.handle(.tick)
      replica.flush()
    }
    replica.workTogether()
    tick(replica, 2)
    #expect(replica.leases.map(\.id) == [7])
  }

  /// etcd 14087, 14150: renewals that waited for a revocation hung, or went wrong, when the lead was lost meanwhile.
  @Test func renewalsThatWaitAreRefusedWhenTheLeadIsLost_14087() {
    let replica = leader()
    replica.grant(1, ttl: 2, id: 7)
    replica.workTogether()
    tick(replica, 1)
    replica.ticks(22)
    replica.flush()
    // The revocation is on its way; a heartbeat round confirms the lead, and nothing is committed.
    replica.renew(2, 7)
    replica.flush()
    let beats = replica.sent.filter { $0.kind == .heartbeat && $0.to == 2 }
    for beat in beats {
      replica.handle(
        .message(
          Message(
            kind: .heartbeatResponse, to: replica.memberID, from: 2, term: beat.term, context: beat.context)))
    }
    replica.flush()
    #expect(replica.leaseAnswers.isEmpty && replica.replies[Ticket(2)] == nil)
    replica.forgetMessages()
    replica.follow(3, term: replica.machine.leadership.term + 1)
    #expect(replica.replies[Ticket(2)] == .leaderChanged)
    #expect(replica.machine.waitingCount == 0)
  }

  @Test func theNextLeaderGivesTheWholeTimeAgain() {
    let replica = leader()
    replica.grant(1, ttl: 5, id: 7)
    replica.workTogether()
    tick(replica, 45)
    replica.follow(3, term: replica.machine.leadership.term + 1)
    replica.forgetMessages()
    replica.win()
    tick(replica, 58)
    #expect(replica.leases.count == 1, "five seconds and an election timeout of one")
    replica.timeToLive(2, 7)
    replica.workTogether()
    tick(replica, 5)
    #expect(replica.leases.isEmpty)
  }

  @Test func timesNeverExceedTheGrant() {
    let replica = leader()
    replica.grant(1, ttl: 5, id: 7)
    replica.workTogether()
    replica.follow(3, term: replica.machine.leadership.term + 1)
    replica.forgetMessages()
    replica.win()
    replica.timeToLive(2, 7)
    replica.workTogether()
    #expect(
      replica.leaseAnswers[Ticket(2)] == .timeToLive(LeaseTimes(grantedSeconds: 5, remainingSeconds: 5)))
  }

  @Test func aLostRevocationIsProposedAgain() {
    let replica = leader()
    replica.grant(1, ttl: 2, id: 7)
    replica.workTogether()
    tick(replica, 1)
    replica.ticks(25)
    replica.flush()
    #expect(replica.leases.count == 1)
    // The proposal is replaced by another leader's entry.
    let term = replica.machine.leadership.term + 1
    replica.forgetMessages()
    replica.follow(3, term: term)
    let applied = replica.machine.appliedIndex
    replica.handle(
      .message(
        Message(
          kind: .append, to: replica.memberID, from: 3, term: term, logTerm: term - 1, index: applied,
          entries: [Entry(term: term, index: applied + 1)], commit: applied + 1)))
    replica.work()
    #expect(replica.leases.count == 1)
    replica.win()
    tick(replica, 40)
    #expect(replica.leases.isEmpty)
  }
}
