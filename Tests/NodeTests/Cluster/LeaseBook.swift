import Model
import Primitives

/// What clients were promised about leases, and what became of them: each life of an id from the entry that granted it
/// to the one that revoked it. Times are those of the simulation. An entry happens when the first member executes it;
/// it was committed before that, so what is told of a moment here was true no later.
struct LeaseBook {
  private struct Life {
    var ttlSeconds: Int64
    var grantedAt: UInt64
    /// It must not expire before this.
    var promisedUntil: UInt64
    var endedAt: UInt64?
    var isEndedByClient = false
  }

  /// By id, oldest first.
  private var lives: [Int64: [Life]] = [:]
  private(set) var expired = 0
  private(set) var renewals = 0
  private(set) var refusals = 0
  /// Ids that were granted again.
  private(set) var successors = 0

  /// The leases there are, with their time.
  var present: [Int64: Int64] {
    lives.compactMapValues { lives in
      lives.last.flatMap { $0.endedAt == nil ? $0.ttlSeconds : nil }
    }
  }

  /// One that may expire at any moment.
  func overdue(now: UInt64) -> Int64? {
    lives.compactMap { id, lives in
      lives.last.flatMap { $0.endedAt == nil && $0.promisedUntil <= now ? id : nil }
    }.min()
  }

  // MARK: The log

  /// A command was executed for the first time. Expiry is a revocation by nobody.
  mutating func executed(_ command: RaftCommand, now: UInt64) throws {
    switch command.operation {
    case .leaseGrant(let grant):
      if present[grant.id] != nil { return }
      if lives[grant.id] != nil { successors += 1 }
      // Whether or not anybody hears of it, the leader counts its time from its own execution on.
      lives[grant.id, default: []].append(
        Life(ttlSeconds: grant.ttl, grantedAt: now, promisedUntil: now + UInt64(grant.ttl) * second))
    case .leaseRevoke(let id):
      guard var all = lives[id], var life = all.popLast(), life.endedAt == nil else { return }
      life.endedAt = now
      life.isEndedByClient = !command.username.isEmpty
      if !life.isEndedByClient {
        expired += 1
        guard now >= life.promisedUntil else {
          throw failure("lease \(id) ended \((life.promisedUntil - now) / millisecond) ms early")
        }
      }
      lives[id] = all + [life]
    default: break
    }
  }

  // MARK: Answers

  /// A renewal, or the answer about the time left, was acknowledged: the lease was there at some moment since it was
  /// asked for, and does not expire before `seconds` have passed since then.
  mutating func promised(_ id: Int64, _ seconds: Int64, ttlSeconds: Int64, askedAt: UInt64) throws {
    renewals += 1
    let positions = (lives[id] ?? []).indices.filter { position in
      lives[id]?[position].endedAt.map { $0 >= askedAt } ?? true
    }
    guard let position = positions.first, var life = lives[id]?[position] else {
      throw failure("lease \(id) was renewed, and it was gone when that was asked for")
    }
    // Which life was meant cannot be told.
    if positions.count > 1 { return }
    guard ttlSeconds == life.ttlSeconds else {
      throw failure("lease \(id) of \(life.ttlSeconds) s was told to be of \(ttlSeconds) s")
    }
    life.promisedUntil = max(life.promisedUntil, askedAt + UInt64(seconds) * second)
    if let endedAt = life.endedAt, !life.isEndedByClient, endedAt < life.promisedUntil {
      throw failure("lease \(id) was renewed, and ended before \(seconds) s were over")
    }
    lives[id]?[position] = life
  }

  /// The lease was told to be unknown: it was so at some moment since that was asked.
  mutating func denied(_ id: Int64, askedAt: UInt64) throws {
    refusals += 1
    guard let life = lives[id]?.last, life.endedAt == nil, life.grantedAt <= askedAt else { return }
    throw failure("lease \(id) was told to be gone, and is there")
  }

  private func failure(_ text: String) -> SimulationFailure { SimulationFailure(description: text) }
}
