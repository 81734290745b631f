import Model

/// The clock of the leases: which there are, and on the leader how long each has left.
///
/// Only the leader lets leases expire, and only through the log: `nextRevocation` names an expired lease, its revocation
/// is proposed, and the lease is gone when that is applied, on all members at once. Time is ticks. A member that loses
/// the lead forgets all expiries; one that wins it gives every lease its whole time again and an election timeout
/// more, spread so that the expiries that follow do not come at once.
///
/// **Never early.** A lease lives its whole time from the moment it was granted or renewed, as this member's clock
/// tells it. A grant counts from the tick behind its application, because ticks that come later may speak of time
/// that passed before; and one tick is added, because the current one may be nearly over.
///
/// **Expired is final.** What has expired waits for its revocation and cannot be renewed; whoever asks waits with it.
/// Otherwise a renewal could be answered for a lease that the log is about to revoke (etcd 20615).
struct Lessor {
  /// Where a lease stands.
  enum Stage: Equatable {
    /// This member does not lead, or the lease was granted since the last tick.
    case untimed
    /// Expires at this tick, unless it is renewed.
    case live(expiryTick: UInt64)
    /// Expired; in `due`.
    case due
    /// Expired; the proposal to revoke it, made at this tick, is in the log or lost.
    case revoking(sinceTick: UInt64)
  }

  struct Lease {
    var id: Int64
    var ttlSeconds: Int64
    var stage = Stage.untimed
    /// Renewals that wait for the revocation.
    var waiters: [Ticket] = []
    /// An entry of the log up to here may grant the id anew: it is not known yet whether the lease that expired is still
    /// there, and a revocation behind that entry would hit its successor.
    var regrantIndex: UInt64 = 0
  }

  let tickMilliseconds: UInt64
  let minTTLSeconds: Int64
  let retryTicks: UInt64
  let limits: LeaseLimits

  private(set) var isPrimary = false
  var nowTick: UInt64 = 0
  var slots: [Lease] = []
  var freeSlots: [Int] = []
  /// Slots by id. Never iterated, so its order decides nothing; clients choose ids, which wants a keyed hash.
  var slotsByID: [Int64: Int] = [:]
  /// Timed leases. An entry's tick may be too early, as renewals do not move it; never too late.
  var queue = LeaseQueue()
  /// Granted since the last tick.
  var fresh: [Int64] = []
  /// Expired leases whose revocation is to be proposed, oldest first from `dueFront` on. May name leases that are gone.
  var due: [Int64] = []
  var dueFront = 0
  /// Proposed revocations, oldest first from `proposedFront` on; may name leases that are gone.
  var proposed: [(id: Int64, tick: UInt64)] = []
  var proposedFront = 0
  /// Due again at the next tick: they may be granted anew by what is not applied yet.
  var held: [Int64] = []
  /// Nothing is revoked before this much is applied: nobody has looked for grants in it.
  private(set) var holdIndex: UInt64 = 0
  var inFlight = 0
  var waiterCount = 0
  /// What may still be proposed before the next tick; below zero while keys of earlier revocations are paid for.
  var allowance = 0

  init(_ configuration: ReplicaConfiguration) {
    tickMilliseconds = UInt64(configuration.tickMilliseconds)
    minTTLSeconds = configuration.minLeaseTTLSeconds
    retryTicks = UInt64(configuration.requestTimeoutTicks)
    limits = configuration.limits.lease
  }

  var count: Int { slotsByID.count }

  // MARK: The set of leases

  /// Replaces everything by what the store holds.
  mutating func restore(_ records: [LeaseRecord]) {
    precondition(!isPrimary && waiterCount == 0, "restored before it leads")
    slots = []
    freeSlots = []
    slotsByID = [:]
    fresh = []
    slotsByID.reserveCapacity(records.count)
    for record in records { add(record.id, ttlSeconds: record.ttlSeconds) }
  }

  /// Takes in what an applied command did.
  mutating func take(_ change: LeaseChange, _ effects: inout [ReplicaEffect]) {
    switch change {
    case .granted(let id, let ttlSeconds):
      add(id, ttlSeconds: ttlSeconds)
      if isPrimary { fresh.append(id) }
    case .revoked(let id, let keys):
      allowance -= keys / limits.keysPerRevocation
      remove(id, &effects)
    }
  }

  private mutating func add(_ id: Int64, ttlSeconds: Int64) {
    precondition(slotsByID[id] == nil, "the store grants an id once")
    // A proposer from elsewhere may not have settled the time.
    let lease = Lease(id: id, ttlSeconds: max(ttlSeconds, minTTLSeconds))
    if let slot = freeSlots.popLast() {
      slots[slot] = lease
      slotsByID[id] = slot
    } else {
      slots.append(lease)
      slotsByID[id] = slots.count - 1
    }
  }

  private mutating func remove(_ id: Int64, _ effects: inout [ReplicaEffect]) {
    guard let slot = slotsByID.removeValue(forKey: id) else { return }
    queue.remove(slot)
    if case .revoking = slots[slot].stage { inFlight -= 1 }
    let waiters = slots[slot].waiters
    waiterCount -= waiters.count
    for ticket in waiters { effects.append(.lease(ticket, .renewed(ttlSeconds: 0))) }
    slots[slot] = Lease(id: 0, ttlSeconds: 0)
    freeSlots.append(slot)
  }

  // MARK: Leadership

  /// This member leads from now on: every lease gets its whole time, and `extensionTicks` more for those who could not
  /// renew while nobody led.
  mutating func promote(extensionTicks: UInt64) {
    isPrimary = true
    fresh = []
    allowance = 0
    var order: [(tick: UInt64, slot: Int)] = []
    order.reserveCapacity(count)
    for slot in slots.indices where slots[slot].id != 0 {
      order.append((nowTick + ticks(slots[slot].ttlSeconds) + extensionTicks, slot))
    }
    order.sort { $0 < $1 }
    let perTick = max(1, share(limits.expiriesPerSecond))
    var tick: UInt64 = 0
    var taken = 0
    for entry in order {
      if entry.tick > tick { (tick, taken) = (entry.tick, 0) }
      if taken == perTick { (tick, taken) = (tick + 1, 0) }
      taken += 1
      schedule(entry.slot, at: tick)
    }
  }

  /// This member does not lead any more. Renewals that waited are refused: the next leader may keep the lease.
  mutating func demote(_ error: ClientError, _ effects: inout [ReplicaEffect]) {
    isPrimary = false
    queue.removeAll()
    fresh = []
    due = []
    dueFront = 0
    held = []
    proposed = []
    proposedFront = 0
    inFlight = 0
    holdIndex = 0
    for slot in slots.indices {
      slots[slot].stage = .untimed
      slots[slot].regrantIndex = 0
      if slots[slot].waiters.isEmpty { continue }
      for ticket in slots[slot].waiters { effects.append(.reply(ticket, error)) }
      slots[slot].waiters = []
    }
    waiterCount = 0
  }

  /// All entries up to `index` are to be applied before anything is revoked.
  mutating func holdUntilApplied(_ index: UInt64) { holdIndex = max(holdIndex, index) }

  /// A grant is in the leader's log, at `index` or before.
  mutating func grantProposed(_ id: Int64, index: UInt64) {
    guard isPrimary, let slot = slotsByID[id] else { return }
    slots[slot].regrantIndex = index
  }

  // MARK: Questions

  /// Begins a lease's time anew. Only on the leader, once it knows that it still leads.
  mutating func renew(_ id: Int64, _ ticket: Ticket, _ effects: inout [ReplicaEffect]) {
    precondition(isPrimary, "only the leader renews")
    guard let slot = slotsByID[id] else {
      return effects.append(.lease(ticket, .renewed(ttlSeconds: 0)))
    }
    switch slots[slot].stage {
    case .untimed: break
    case .live(let expiryTick):
      let renewed = nowTick + ticks(slots[slot].ttlSeconds)
      // Spreading may have given it more than that.
      slots[slot].stage = .live(expiryTick: max(expiryTick, renewed))
    case .due, .revoking:
      slots[slot].waiters.append(ticket)
      waiterCount += 1
      return
    }
    effects.append(.lease(ticket, .renewed(ttlSeconds: slots[slot].ttlSeconds)))
  }

  func times(_ id: Int64) -> LeaseTimes? {
    guard let slot = slotsByID[id] else { return nil }
    let granted = slots[slot].ttlSeconds
    let left: UInt64
    switch slots[slot].stage {
    case .untimed: left = ticks(granted) - 2
    // The tick added for safety, and the one under way.
    case .live(let expiryTick): left = expiryTick - min(expiryTick, nowTick + 2)
    case .due, .revoking: left = 0
    }
    let seconds = Int64(clamping: left * tickMilliseconds / 1_000)
    return LeaseTimes(grantedSeconds: granted, remainingSeconds: min(seconds, granted))
  }

  func list() -> [LeaseExpiry] {
    var list: [LeaseExpiry] = []
    list.reserveCapacity(count)
    for lease in slots where lease.id != 0 {
      switch lease.stage {
      case .untimed:
        // Granted since the last tick: its place is already known.
        let tick = isPrimary ? nowTick + ticks(lease.ttlSeconds) : .max
        list.append(LeaseExpiry(id: lease.id, tick: tick))
      case .live(let expiryTick): list.append(LeaseExpiry(id: lease.id, tick: expiryTick))
      case .due, .revoking: list.append(LeaseExpiry(id: lease.id, tick: 0))
      }
    }
    return list
  }

  // MARK: Time

  /// Ticks that certainly cover this many seconds, from anywhere within the current tick.
  func ticks(_ seconds: Int64) -> UInt64 {
    (UInt64(seconds) * 1_000 + tickMilliseconds - 1) / tickMilliseconds + 1
  }

  /// A tick's part of what is allowed in a second.
  func share(_ perSecond: Int) -> Int { perSecond * Int(tickMilliseconds) / 1_000 }

  mutating func schedule(_ slot: Int, at tick: UInt64) {
    slots[slot].stage = .live(expiryTick: tick)
    queue.insert(slot, at: tick)
  }
}
