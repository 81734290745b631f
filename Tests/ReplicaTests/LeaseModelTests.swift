import Model
import Primitives
import Raft
import Replica
import Testing

/// Leases under a clock that stutters, a disk that hangs, leaders that change and members that restart. What was
/// granted, renewed or told is a promise about real time; no lease may end before it, and every lease must end.
@Suite struct LeaseModelTests {
  @Test(arguments: 0..<24 as Range<UInt64>)
  func promisesAboutTimeAreKept(seed: UInt64) {
    var run = LeaseRun(seed: seed)
    for _ in 0..<400 { run.step() }
    run.letEverythingEnd()
    #expect(run.expired > 5, "seed \(seed): a run in which nothing expires shows nothing")
  }
}

/// A lease as its clients know it; times are real ones, in milliseconds.
private struct KnownLease {
  var ttlSeconds: Int64
  /// Not to end before this, unless a client revokes it.
  var promisedUntil: UInt64
  /// When its time began anew the last time, for whatever reason; it ends some time after that.
  var begunAt: UInt64
  /// Told last, and when its time had begun then: it only shrinks while nothing renews it.
  var told: (seconds: Int64, begunAt: UInt64)?
  var isRevokedByClient = false
}

private struct LeaseRun {
  private enum Question {
    case grant
    case renew(Int64)
    case timeToLive(Int64)
    case revoke(Int64)
  }

  private let seed: UInt64
  private var random: SeededRandom
  private var replica: ReplicaHarness
  private let isAlone: Bool
  /// Real time and how much of it was told in ticks, in milliseconds.
  private var now: UInt64 = 1_000
  private var ticked: UInt64 = 1_000
  private var known: [Int64: KnownLease] = [:]
  private var questions: [Ticket: (question: Question, askedAt: UInt64)] = [:]
  private var nextTicket: UInt64 = 1
  private var seenRevocations = 0
  private(set) var expired = 0

  init(seed: UInt64) {
    self.seed = seed
    random = SeededRandom(seed: seed)
    isAlone = seed % 2 == 0
    replica = ReplicaHarness(others: isAlone ? [] : [2, 3])
    replica.work()
    if !isAlone { replica.win() }
  }

  mutating func step() {
    passTime()
    handTicks()
    for _ in 0..<Int.random(in: 0..<4, using: &random) { ask() }
    replica.flush()
    if random.chance(1, in: 10) { passTime() }  // the disk
    settle()
    switch random.chance(1, in: 40) ? Int.random(in: 0..<3, using: &random) : 3 {
    case 0: restart()
    case 1 where !isAlone: changeLeader()
    default: break
    }
  }

  private mutating func passTime() {
    switch Int.random(in: 0..<20, using: &random) {
    case 0: now += UInt64.random(in: 1_000...8_000, using: &random)  // a pause of the process
    case 1..<5: now += UInt64.random(in: 0...30, using: &random)
    default: now += UInt64.random(in: 0...400, using: &random)
    }
  }

  /// As the core thread hands them in: before everything else of a batch, and no more than twenty.
  private mutating func handTicks() {
    var count = 0
    while ticked + 100 <= now {
      ticked += 100
      count += 1
    }
    replica.ticks(min(count, 20))
    replica.flush()
  }

  private mutating func ask() {
    let ticket = nextTicket
    nextTicket += 1
    let ids = known.keys.sorted()
    guard let id = ids.isEmpty ? nil : ids[Int.random(in: 0..<ids.count, using: &random)] else {
      return grant(ticket)
    }
    switch Int.random(in: 0..<10, using: &random) {
    case 0..<2: grant(ticket)
    case 2..<6:
      questions[Ticket(ticket)] = (.renew(id), now)
      replica.renew(ticket, id)
    case 6..<9:
      questions[Ticket(ticket)] = (.timeToLive(id), now)
      replica.timeToLive(ticket, id)
    default:
      questions[Ticket(ticket)] = (.revoke(id), now)
      known[id]?.isRevokedByClient = true
      replica.revoke(ticket, id)
    }
  }

  private mutating func grant(_ ticket: UInt64) {
    questions[Ticket(ticket)] = (.grant, now)
    let choices: [Int64] = [1, 2, 3, 5, 8, 20]
    replica.grant(ticket, ttl: choices[Int.random(in: 0..<choices.count, using: &random)])
  }

  /// Finishes what is under way, and looks at everything that came of it.
  private mutating func settle() {
    if isAlone { replica.work() } else { replica.workTogether() }
    for ticket in questions.keys.sorted(by: { $0.number < $1.number }) { look(ticket) }
    while seenRevocations < replica.revocations.count {
      let (id, isOwn) = replica.revocations[seenRevocations]
      seenRevocations += 1
      guard let lease = known.removeValue(forKey: id) else { continue }
      if isOwn { expired += 1 }
      #expect(
        lease.isRevokedByClient || now >= lease.promisedUntil,
        "seed \(seed): lease \(id) ended \(lease.promisedUntil - min(now, lease.promisedUntil)) ms early")
    }
  }

  private mutating func look(_ ticket: Ticket) {
    guard let (question, askedAt) = questions[ticket] else { return }
    if replica.replies[ticket] != nil { return questions[ticket] = nil }
    switch question {
    case .grant:
      guard let id = replica.granted[ticket] else { return }
      let ttl = replica.leases.first { $0.id == id }?.ttlSeconds ?? 0
      known[id] = KnownLease(
        ttlSeconds: ttl, promisedUntil: now + UInt64(ttl) * 1_000, begunAt: now)
    case .renew(let id):
      guard case .renewed(let ttl) = replica.leaseAnswers[ticket] else { return }
      let isThere = replica.leases.contains { $0.id == id }
      if ttl == 0 {
        #expect(!isThere, "seed \(seed): \(id) was told to be gone")
      } else if var lease = known[id] {
        #expect(ttl == lease.ttlSeconds)
        lease.promisedUntil = max(lease.promisedUntil, askedAt + UInt64(ttl) * 1_000)
        lease.begunAt = now
        known[id] = lease
      }
    case .timeToLive(let id):
      guard case .timeToLive(let times) = replica.leaseAnswers[ticket] else { return }
      guard let times, var lease = known[id] else { break }
      #expect(times.grantedSeconds == lease.ttlSeconds)
      #expect((0...lease.ttlSeconds).contains(times.remainingSeconds), "seed \(seed)")
      if let told = lease.told, told.begunAt == lease.begunAt {
        #expect(times.remainingSeconds <= told.seconds, "seed \(seed): \(id) got more time from nowhere")
      }
      lease.told = (times.remainingSeconds, lease.begunAt)
      // Asked at a moment that was one tick back at most; told in whole seconds, rounded down by more than that.
      lease.promisedUntil = max(lease.promisedUntil, askedAt + UInt64(times.remainingSeconds) * 1_000)
      known[id] = lease
    case .revoke:
      guard replica.applied[ticket] != nil else { return }
    }
    questions[ticket] = nil
  }

  private mutating func beginAll() {
    for id in known.keys.sorted() { known[id]?.begunAt = now }
  }

  /// The process ends and starts again with what its store held.
  private mutating func restart() {
    settle()
    let leadership = replica.machine.leadership
    let applied = replica.machine.appliedIndex
    let leases = replica.leases
    replica = ReplicaHarness(
      voters: [replica.memberID] + (isAlone ? [] : [2, 3]), leases: leases, term: leadership.term,
      appliedIndex: applied)
    questions = [:]
    seenRevocations = 0
    now += 100
    ticked = now
    lead()
  }

  private mutating func changeLeader() {
    replica.forgetMessages()
    replica.follow(3, term: replica.machine.leadership.term + 1)
    settle()
    lead()
  }

  private mutating func lead() {
    if isAlone {
      replica.work()
    } else {
      // Campaigning takes time.
      while replica.machine.leadership.role != .leader, now < 10_000_000 {
        now += 100
        ticked += 100
        replica.handle(.tick)
        replica.workTogether()
      }
    }
    settle()
    beginAll()
  }

  /// Time goes on and nobody renews.
  mutating func letEverythingEnd() {
    settle()
    // The longest time, an election timeout, and the spread of some hundred leases; all in ticks.
    for _ in 0..<(200 + 10 + 30) {
      now += 100
      ticked += 100
      replica.handle(.tick)
      settle()
    }
    #expect(replica.leases.isEmpty, "seed \(seed): \(replica.leases.count) leases never ended")
    #expect(questions.isEmpty, "seed \(seed): unanswered")
  }
}
