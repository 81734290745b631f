internal import Model

// What peers tell a leader.
extension RaftMachine {
  /// Also this leader's own acknowledgement.
  mutating func receiveAppendResponse(_ message: Message, _ position: Int) {
    progress[position].isRecentlyActive = true
    if message.reject { return receiveRejection(message, position) }
    precondition(message.index <= log.lastIndex, "checked, or its own")
    let isNews = progress[position].acknowledged(message.index)
    let endsProbe = progress[position].state == .probe && progress[position].match == message.index
    guard isNews || endsProbe else { return }
    switch progress[position].state {
    case .probe:
      progress[position].becomeReplicate()
    case .snapshot where progress[position].match + 1 >= log.firstReachableIndex:
      // Whatever snapshot the peer applied: the log reaches it again.
      tracer.debug(
        "\(id.hex) recovered from needing snapshot, resumed sending replication messages to \(message.from.hex) [\(progress[position])]"
      )
      progress[position].becomeProbe()
      progress[position].becomeReplicate()
    case .snapshot: break
    case .replicate:
      progress[position].freeInflights(through: message.index)
    }
    if advanceCommit() {
      retryPostponedReads()
      broadcastAppends()
    } else if message.from != id && progress[position].canUseCommit(log.commitIndex) {
      // Its heartbeat would tell it too, later.
      if configuration.batches { isBroadcastDue = true } else { _ = sendAppend(position, evenIfEmpty: true) }
    }
    guard message.from != id else { return }
    // More fits now.
    if configuration.batches { isBroadcastDue = true } else { sendAllAppends(position) }
    if message.from == transferee && progress[position].match == log.lastIndex {
      tracer.info("\(id.hex) sent MsgTimeoutNow to \(message.from.hex) after received MsgAppResp")
      send(Message(kind: .timeoutNow, to: message.from))
    }
  }

  /// The hint is where the peer's log may agree, with its term there. All that this log has after that of a later
  /// term cannot agree either: a whole term is skipped at once.
  private mutating func receiveRejection(_ message: Message, _ position: Int) {
    tracer.debug(
      "\(id.hex) received MsgAppResp(rejected, hint: (index \(message.rejectHint), term \(message.logTerm))) from \(message.from.hex) for index \(message.index)"
    )
    let hint =
      message.logTerm > 0
      ? log.possibleMatch(upTo: message.rejectHint, term: message.logTerm).index : message.rejectHint
    guard progress[position].refused(rejected: message.index, hint: hint) else { return }
    tracer.debug("\(id.hex) decreased progress of \(message.from.hex) to [\(progress[position])]")
    if progress[position].state == .replicate { progress[position].becomeProbe() }
    _ = sendAppend(position, evenIfEmpty: true)
  }

  mutating func receiveHeartbeatResponse(_ message: Message, _ position: Int) {
    progress[position].isRecentlyActive = true
    progress[position].resumeFlow()
    // Appends or their answers may be lost, all of a full pipeline too: an empty append finds out. A peer that was
    // probed for nothing but reachability gets one as well, to replicate again.
    if progress[position].match < log.lastIndex || progress[position].state == .probe {
      _ = sendAppend(position, evenIfEmpty: true)
    }
    confirmRound(message, position)
  }

  mutating func unreachable(_ peer: UInt64) {
    guard role == .leader, let position = progress.position(of: peer), peer != id else { return }
    if progress[position].state == .replicate { progress[position].becomeProbe() }
    tracer.debug(
      "\(id.hex) failed to send message to \(peer.hex) because it is unreachable [\(progress[position])]")
  }

  mutating func snapshotReported(_ peer: UInt64, succeeded: Bool) {
    guard role == .leader, let position = progress.position(of: peer),
      case .snapshot = progress[position].state
    else { return }
    if !succeeded { progress[position].snapshotFailed() }
    progress[position].becomeProbe()
    tracer.debug(
      "\(id.hex) snapshot \(succeeded ? "succeeded" : "failed"), resumed sending replication messages to \(peer.hex) [\(progress[position])]"
    )
    // The peer's own acknowledgement comes next, or, after a failure, its next heartbeat's.
    progress[position].pauseFlow()
  }
}
