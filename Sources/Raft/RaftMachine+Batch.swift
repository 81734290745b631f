internal import Model

// The same step as effects: what the member's stages take.
extension RaftMachine {
  /// Ends a batch: sends what the batch produced, issues its one log write, hands out what is committed.
  public mutating func flush(_ effects: inout [RaftEffect]) {
    precondition(configuration.asyncStorageWrites, "effects are for stages that work beside the machine")
    // An answer to itself that waits for no write is taken at once, and may be the start of more.
    while true {
      let before = lastSequence
      let hasStepped = flushOnce(&effects)
      if !hasStepped || lastSequence != before || !hasReady { return }
    }
  }

  /// True when something held back was released.
  private mutating func flushOnce(_ effects: inout [RaftEffect]) -> Bool {
    let ready = ready()
    emit(&effects)
    for read in ready.readStates { effects.append(.readReady(context: read.context, index: read.index)) }
    for message in ready.messages { effects.append(.send(message)) }
    var hasStepped = false
    if let append = ready.append { hasStepped = issue(append, ready, &effects) }
    if !ready.committed.isEmpty { effects.append(.committed(ready.committed)) }
    return hasStepped
  }

  private mutating func issue(
    _ append: StorageMessage, _ ready: RaftReady, _ effects: inout [RaftEffect]
  ) -> Bool {
    // A commit index alone is no reason to write: it is recorded with what comes next.
    if ready.mustSync || ready.snapshot != nil {
      lastSequence += 1
      effects.append(
        .append(
          LogAppend(
            sequence: lastSequence, entries: ready.entries, hardState: hardState, snapshot: ready.snapshot)))
    }
    // What depends on no new write depends on those under way.
    for response in append.responses { deferred.append((lastSequence, response)) }
    let hasStepped = release()
    emit(&effects)
    return hasStepped
  }

  mutating func appended(_ sequence: UInt64) {
    precondition(sequence <= lastSequence, "a write was reported that was never issued")
    appendedSequence = max(appendedSequence, sequence)
    _ = release()
  }

  private mutating func release() -> Bool {
    var count = 0
    while count < deferred.count, deferred[count].sequence <= appendedSequence { count += 1 }
    if count == 0 { return false }
    let released = deferred[..<count]
    deferred.removeFirst(count)
    for (_, message) in released {
      if message.to == id { _ = step(message) } else { messages.append(message) }
    }
    return true
  }

  /// Moves what came of an input into `effects`.
  mutating func emit(_ effects: inout [RaftEffect]) {
    for context in droppedReads { effects.append(.readDropped(context: context)) }
    droppedReads.removeAll(keepingCapacity: true)
    if leadership != reportedLeadership {
      reportedLeadership = leadership
      effects.append(.leadershipChanged(leadership))
    }
    for refusal in refusals {
      effects.append(.messageRefused(from: refusal.from, kind: refusal.kind, refusal.fault))
    }
    refusals.removeAll(keepingCapacity: true)
    for read in readStates { effects.append(.readReady(context: read.context, index: read.index)) }
    readStates.removeAll(keepingCapacity: true)
    for message in messages { effects.append(.send(message)) }
    messages.removeAll(keepingCapacity: true)
    for read in logReads { effects.append(.readLog(read)) }
    logReads.removeAll(keepingCapacity: true)
  }
}
