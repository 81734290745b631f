internal import Model

// A step in etcd's form: what is to be written, applied and sent, gathered into one value.
extension RaftMachine {
  private var appliesUnstable: Bool { !configuration.asyncStorageWrites }

  /// Whether `ready` would hand anything out.
  public var hasReady: Bool {
    if role != readyLeadership.role || leader != readyLeadership.leader { return true }
    if hardState != readyHardState && hardState != HardState() { return true }
    return log.unissuedSnapshot != nil || !messages.isEmpty || !messagesAfterAppend.isEmpty
      || log.hasUnissued || log.hasCommitted(evenUnstable: appliesUnstable) || !readStates.isEmpty
  }

  /// Hands out everything that is outstanding; it will not be handed out again.
  public mutating func ready() -> RaftReady {
    startReadRound()
    broadcastBatch()
    var ready = RaftReady()
    ready.entries = log.unissued
    ready.snapshot = log.unissuedSnapshot
    ready.committed = log.nextCommitted(
      evenUnstable: appliesUnstable, creditBytes: configuration.limits.applyBytes)
    if role != readyLeadership.role || leader != readyLeadership.leader {
      readyLeadership = leadership
      ready.leadership = leadership
    }
    let state = hardState
    let mustSync = state.vote != readyHardState.vote || state.term != readyHardState.term
    ready.mustSync = mustSync || !ready.entries.isEmpty
    if state != readyHardState {
      readyHardState = state
      ready.hardState = state
    }
    ready.readStates = readStates
    readStates.removeAll()
    ready.messages = messages
    messages.removeAll(keepingCapacity: true)
    if configuration.asyncStorageWrites {
      ready.append = appendMessage(ready)
      ready.apply = applyMessage(ready.committed)
    } else {
      handOverResponses(&ready)
    }
    messagesAfterAppend.removeAll(keepingCapacity: true)
    log.issued()
    log.handed(
      ready.committed, evenUnstable: appliesUnstable, creditBytes: configuration.limits.applyBytes)
    return ready
  }

  /// Without `asyncStorageWrites`: everything of the last `ready` is written, installed and applied.
  public mutating func advance() {
    let steps = stepsOnAdvance
    stepsOnAdvance.removeAll()
    for message in steps { _ = step(message) }
  }

  private mutating func handOverResponses(_ ready: inout RaftReady) {
    precondition(stepsOnAdvance.isEmpty, "the last ready was not advanced")
    for message in messagesAfterAppend {
      if message.to == id { stepsOnAdvance.append(message) } else { ready.messages.append(message) }
    }
    if let response = appendResponse(ready) { stepsOnAdvance.append(response) }
    if let apply = applyMessage(ready.committed) { stepsOnAdvance += apply.responses }
  }

  private func appendMessage(_ ready: RaftReady) -> StorageMessage? {
    guard
      !ready.entries.isEmpty || ready.hardState != nil || ready.snapshot != nil
        || !messagesAfterAppend.isEmpty
    else { return nil }
    var message = Message(kind: .storageAppend, to: LocalStage.append, from: id, entries: ready.entries)
    if let state = ready.hardState {
      message.term = state.term
      message.vote = state.vote
      message.commit = state.commit
    }
    message.snapshot = ready.snapshot
    var responses = messagesAfterAppend
    if let response = appendResponse(ready) { responses.append(response) }
    return StorageMessage(message: message, responses: responses)
  }

  /// What tells that the log is durable up to its present end. It holds only within the present term: a later leader
  /// may replace entries, and the one after that bring the first ones back, while writes of both are under way; then
  /// the completion of the first write says nothing about the third. So a report of an older term is ignored, and
  /// every write names the end of the log, even one without entries: the first write of a term vouches again for
  /// everything before it.
  private func appendResponse(_ ready: RaftReady) -> Message? {
    guard log.hasUnstable || ready.snapshot != nil else { return nil }
    var response = Message(kind: .storageAppendResponse, to: id, from: LocalStage.append, term: term)
    if log.hasUnstable {
      response.index = log.lastIndex
      response.logTerm = log.lastTerm
    }
    response.snapshot = ready.snapshot
    return response
  }

  private func applyMessage(_ committed: [Entry]) -> StorageMessage? {
    if committed.isEmpty { return nil }
    return StorageMessage(
      message: Message(kind: .storageApply, to: LocalStage.apply, from: id, entries: committed),
      responses: [
        Message(kind: .storageApplyResponse, to: id, from: LocalStage.apply, entries: committed)
      ])
  }
}
