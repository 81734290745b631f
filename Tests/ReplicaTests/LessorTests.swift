import Model
import Raft
import Replica
import Testing

/// Leases over time on a member that is a cluster of its own; a tick is 100 ms.
@Suite struct LessorTests {
  private func leader(limits: LeaseLimits = LeaseLimits()) -> ReplicaHarness {
    var replicaLimits = ReplicaLimits()
    replicaLimits.lease = limits
    let replica = ReplicaHarness(limits: replicaLimits)
    replica.work()
    return replica
  }

  private func tick(_ replica: ReplicaHarness, _ count: Int = 1) {
    for _ in 0..<count {
      replica.handle(.tick)
      replica.work()
    }
  }

  /// Grants a lease and starts its clock.
  private func grant(_ replica: ReplicaHarness, _ id: Int64, ttl: Int64) {
    replica.grant(UInt64(bitPattern: id) &+ 1_000_000, ttl: ttl, id: id)
    replica.work()
    tick(replica)
  }

  @Test func idsAreChosenPositiveAndTimesSettledByTheProposer() {
    let replica = leader()
    replica.grant(1, ttl: 0)
    replica.grant(2, ttl: -5)
    replica.grant(3, ttl: 60, id: -8)
    replica.work()
    #expect(replica.leases.map(\.ttlSeconds) == [2, 2, 60])
    #expect(replica.leases.map(\.id)[2] == -8)
    #expect(replica.leases.prefix(2).allSatisfy { $0.id > 0 })
    #expect(replica.leases[0].id != replica.leases[1].id)
    replica.grant(4, ttl: 9_000_000_000)
    replica.grant(5, ttl: 9_000_000_001)
    replica.grant(6, ttl: .max)
    replica.work()
    #expect(replica.granted.count == 4)
    #expect(replica.replies == [Ticket(5): .leaseTTLTooLarge, Ticket(6): .leaseTTLTooLarge])
  }

  @Test(arguments: [(10, 100, 2), (10, 500, 8), (10, 10, 1), (30, 100, 5), (2, 50, 1)])
  func theShortestTimeIsOneAndAHalfElectionTimeouts(
    electionTicks: Int, tickMilliseconds: Int, seconds: Int64
  ) {
    let configuration = ReplicaConfiguration(
      raft: RaftConfiguration(memberID: 1, electionTicks: electionTicks, seed: 1), clusterID: 1,
      tickMilliseconds: tickMilliseconds, startMilliseconds: 1, name: "", clientURLs: [],
      clusterVersion: "3.7.0")
    #expect(configuration.minLeaseTTLSeconds == seconds)
  }

  @Test func expiresThroughTheLogNeitherEarlyNorLate() {
    let replica = leader()
    grant(replica, 7, ttl: 5)
    tick(replica, 50)
    #expect(replica.leases.count == 1)
    tick(replica, 2)
    #expect(replica.leases.isEmpty)
    #expect(replica.revocations.map(\.isOwn) == [true])
  }

  @Test func renewalBeginsTheTimeAnew() {
    let replica = leader()
    grant(replica, 7, ttl: 5)
    for round in 0..<10 as Range<UInt64> {
      tick(replica, 45)
      replica.renew(round, 7)
      replica.work()
      #expect(replica.leaseAnswers[Ticket(round)] == .renewed(ttlSeconds: 5))
    }
    tick(replica, 50)
    #expect(replica.leases.count == 1)
    tick(replica, 2)
    #expect(replica.leases.isEmpty)
    replica.renew(99, 7)
    replica.work()
    #expect(replica.leaseAnswers[Ticket(99)] == .renewed(ttlSeconds: 0))
  }

  @Test func timeToLiveIsWhatIsSurelyLeft() {
    let replica = leader()
    replica.timeToLive(1, 7)
    replica.grant(2, ttl: 10, id: 7)
    replica.work()
    replica.timeToLive(3, 7)
    replica.work()
    tick(replica, 11)
    replica.timeToLive(4, 7)
    replica.work()
    #expect(replica.leaseAnswers[Ticket(1)] == .timeToLive(nil))
    #expect(
      replica.leaseAnswers[Ticket(3)]
        == .timeToLive(LeaseTimes(grantedSeconds: 10, remainingSeconds: 9)))
    #expect(
      replica.leaseAnswers[Ticket(4)]
        == .timeToLive(LeaseTimes(grantedSeconds: 10, remainingSeconds: 8)))
  }

  /// Ticks that come after a grant may speak of the time before it: a disk that hung while the grant was written.
  @Test func timeBeforeTheGrantWasAppliedDoesNotCount() {
    let replica = leader()
    replica.grant(1, ttl: 2, id: 7)
    replica.flush()
    replica.write()
    replica.apply()
    replica.ticks(20)
    replica.work()
    tick(replica, 20)
    #expect(replica.leases.count == 1)
    tick(replica, 2)
    #expect(replica.leases.isEmpty)
  }

  @Test func listNamesAllByExpiry() {
    let replica = leader()
    grant(replica, 3, ttl: 9)
    grant(replica, 1, ttl: 5)
    grant(replica, -2, ttl: 7)
    replica.handle(.leaseList(Ticket(1)))
    guard case .list(let list) = replica.leaseAnswers[Ticket(1)] else {
      Issue.record("no list")
      return
    }
    #expect(list.sorted().map(\.id) == [1, -2, 3])
  }

  /// etcd 20615: a renewal was answered with a time, and the lease was revoked all the same.
  @Test func aRenewalOfAnExpiredLeaseWaitsForItsEnd_20615() {
    let replica = leader()
    grant(replica, 7, ttl: 2)
    replica.ticks(22)
    replica.flush()
    #expect(replica.writes.count == 1, "the revocation is proposed, and not durable yet")
    replica.renew(1, 7)
    replica.timeToLive(2, 7)
    replica.flush()
    #expect(replica.leaseAnswers[Ticket(1)] == nil)
    #expect(
      replica.leaseAnswers[Ticket(2)] == .timeToLive(LeaseTimes(grantedSeconds: 2, remainingSeconds: 0)))
    #expect(replica.machine.waitingCount == 1)
    replica.work()
    #expect(replica.leaseAnswers[Ticket(1)] == .renewed(ttlSeconds: 0))
    #expect(replica.machine.waitingCount == 0)
  }

  /// etcd 13932: a renewal sent right after the grant was answered found no lease.
  @Test func aRenewalRightAfterTheGrantFindsTheLease_13932() {
    let replica = leader()
    replica.grant(1, ttl: 60, id: 7)
    replica.renew(2, 7)
    replica.flush()
    replica.write()
    #expect(replica.applied[Ticket(1)] == nil)
    replica.renew(3, 7)
    replica.flush()
    #expect(replica.leaseAnswers[Ticket(3)] == nil, "the grant is committed: it waits for it to be applied")
    replica.apply()
    #expect(replica.leaseAnswers[Ticket(3)] == .renewed(ttlSeconds: 60))
  }

  @Test func aStormIsSpreadOverTime() {
    let replica = leader()
    for id in 1...5_000 as ClosedRange<Int64> { replica.grant(UInt64(id), ttl: 5, id: id) }
    replica.work()
    tick(replica, 51)
    #expect(replica.leases.count == 5_000)
    var ticks = 0
    while !replica.leases.isEmpty, ticks < 100 {
      let before = replica.leases.count
      tick(replica)
      #expect(before - replica.leases.count <= 100, "a thousand a second")
      ticks += 1
    }
    #expect((50...52).contains(ticks))
  }

  @Test func leasesWithManyKeysAreRevokedMoreSlowly() {
    let replica = leader()
    replica.keysPerLease = 1_600
    for id in 1...240 as ClosedRange<Int64> { replica.grant(UInt64(id), ttl: 5, id: id) }
    replica.work()
    tick(replica, 52)
    #expect(replica.revocations.count == 100, "what a tick allows is spent at once")
    tick(replica, 9)
    #expect(replica.revocations.count == 100, "160,000 keys are paid for first, for a second at most")
    tick(replica, 3)
    #expect(replica.revocations.count == 200)
  }

  @Test func whatIsProposedAndNotAppliedIsBounded() {
    var limits = LeaseLimits()
    limits.revocationsInFlight = 30
    let replica = leader(limits: limits)
    for id in 1...500 as ClosedRange<Int64> { replica.grant(UInt64(id), ttl: 2, id: id) }
    replica.work()
    tick(replica)
    for _ in 0..<40 {
      replica.handle(.tick)
      replica.flush()
    }
    let entries = replica.writes.flatMap(\.entries)
    #expect(entries.count == 30, "the disk is stuck")
    tick(replica, 20)
    #expect(replica.leases.isEmpty)
  }

  @Test func aRestartGivesTheWholeTimeAndSpreadsTheEnd() {
    let records = (1...2_000).map { LeaseRecord(id: Int64($0), ttlSeconds: 5, remainingTTLSeconds: 1) }
    let replica = ReplicaHarness(
      voters: [0x1122_3344_5566_7788], leases: records, term: 3, appliedIndex: 50)
    replica.work()
    #expect(replica.machine.leadership.role == .leader)
    tick(replica, 60)
    #expect(replica.leases.count == 2_000, "five seconds and an election timeout of one")
    for _ in 0..<26 {
      let before = replica.leases.count
      tick(replica)
      #expect(before - replica.leases.count <= 75, "750 a second")
    }
    tick(replica, 4)
    #expect(replica.leases.isEmpty)
    replica.timeToLive(1, 1)
    replica.work()
    #expect(replica.leaseAnswers[Ticket(1)] == .timeToLive(nil))
  }

  @Test func stopAnswersRenewalsThatWait() {
    let replica = leader()
    grant(replica, 7, ttl: 2)
    replica.ticks(22)
    replica.flush()
    replica.renew(1, 7)
    replica.flush()
    replica.handle(.stop)
    #expect(replica.replies == [Ticket(1): .serverStopped])
  }
}
