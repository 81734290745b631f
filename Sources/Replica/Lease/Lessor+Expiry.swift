extension Lessor {
  /// One tick passed: what expires by it becomes due, and proposals that led to nothing become so again.
  mutating func tick() {
    nowTick += 1
    guard isPrimary else { return }
    let share = max(1, share(limits.revocationsPerSecond))
    // What is unused lapses. Debt is paid off at most ten ticks long: a lease with a million keys may not hold up the
    // others for minutes.
    allowance = min(share, max(allowance, -10 * share) + share)
    while let slot = queue.pop(by: nowTick) {
      guard case .live(let expiryTick) = slots[slot].stage else {
        preconditionFailure("only live leases are queued")
      }
      if expiryTick > nowTick {
        queue.insert(slot, at: expiryTick)
      } else {
        slots[slot].stage = .due
        due.append(slots[slot].id)
      }
    }
    due += held
    held.removeAll(keepingCapacity: true)
    retryLostProposals()
  }

  /// Ends a batch of inputs: what was granted before the last tick has its time from now on.
  mutating func startFresh() {
    guard isPrimary, !fresh.isEmpty else { return }
    for id in fresh {
      guard let slot = slotsByID[id], slots[slot].stage == .untimed else { continue }
      schedule(slot, at: nowTick + ticks(slots[slot].ttlSeconds))
    }
    fresh.removeAll(keepingCapacity: true)
  }

  /// An expired lease whose revocation may be proposed now; `proposed` or `putBack` has to follow. All entries up to
  /// `applied` are applied.
  mutating func nextRevocation(applied: UInt64) -> Int64? {
    guard isPrimary, allowance > 0, inFlight < limits.revocationsInFlight, applied >= holdIndex else {
      return nil
    }
    while dueFront < due.count {
      let id = due[dueFront]
      dueFront += 1
      if dueFront == due.count {
        due.removeAll(keepingCapacity: due.count < 1_024)
        dueFront = 0
      }
      guard let slot = slotsByID[id], slots[slot].stage == .due else { continue }
      if slots[slot].regrantIndex <= applied { return id }
      held.append(id)
    }
    return nil
  }

  mutating func didPropose(_ id: Int64) {
    guard let slot = slotsByID[id] else { preconditionFailure("named by nextRevocation") }
    slots[slot].stage = .revoking(sinceTick: nowTick)
    proposed.append((id, nowTick))
    inFlight += 1
    allowance -= 1
  }

  mutating func putBack(_ id: Int64) { due.append(id) }

  /// A proposal can be lost with the lead that carried it. Revoking twice does no harm.
  private mutating func retryLostProposals() {
    while proposedFront < proposed.count {
      let oldest = proposed[proposedFront]
      let slot = slotsByID[oldest.id]
      let isWaiting = slot.map { slots[$0].stage == .revoking(sinceTick: oldest.tick) } ?? false
      if isWaiting, oldest.tick + retryTicks > nowTick { break }
      proposedFront += 1
      if isWaiting, let slot {
        slots[slot].stage = .due
        inFlight -= 1
        due.append(oldest.id)
      }
    }
    if proposedFront == proposed.count {
      proposed.removeAll(keepingCapacity: true)
      proposedFront = 0
    } else if proposedFront > 1_024, proposedFront > proposed.count / 2 {
      proposed.removeSubrange(0..<proposedFront)
      proposedFront = 0
    }
  }
}
