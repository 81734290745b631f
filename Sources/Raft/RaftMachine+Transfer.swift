internal import Model

// Handing leadership to a chosen voter (Ongaro's dissertation, 3.10).
extension RaftMachine {
  mutating func transferLeadership(to peer: UInt64) {
    switch role {
    case .leader:
      guard let position = progress.position(of: peer) else {
        return tracer.debug("\(id.hex) no progress available for \(peer.hex)")
      }
      startTransfer(to: peer, position)
    case .follower:
      forwardTransfer(Message(kind: .transferLeader, from: peer))
    case .candidate, .preCandidate: break
    }
  }

  /// The sender named in the message is the one who is to lead.
  mutating func forwardTransfer(_ message: Message) {
    guard leader != 0 else {
      return tracer.info("\(id.hex) no leader at term \(term); dropping leader transfer msg")
    }
    // Nothing to do, and the leader would refuse what seems to come from itself.
    if configuration.batches && message.from == leader { return }
    var message = message
    message.to = leader
    send(message)
  }

  mutating func startTransfer(to peer: UInt64, _ position: Int) {
    if progress[position].isLearner {
      return tracer.debug("\(id.hex) is learner. Ignored transferring leadership")
    }
    if transferee != 0 {
      if transferee == peer {
        return tracer.info(
          "\(id.hex) [term \(term)] transfer leadership to \(peer.hex) is in progress, ignores request to same node \(peer.hex)"
        )
      }
      let previous = transferee
      transferee = 0
      tracer.info("\(id.hex) [term \(term)] abort previous transferring leadership to \(previous.hex)")
    }
    if peer == id {
      return tracer.debug("\(id.hex) is already leader. Ignored transferring leadership to self")
    }
    tracer.info("\(id.hex) [term \(term)] starts to transfer leadership to \(peer.hex)")
    // It has one election timeout from now.
    electionElapsedTicks = 0
    transferee = peer
    if progress[position].match == log.lastIndex {
      send(Message(kind: .timeoutNow, to: peer))
      tracer.info(
        "\(id.hex) sends MsgTimeoutNow to \(peer.hex) immediately as \(peer.hex) already has up-to-date log")
    } else {
      _ = sendAppend(position, evenIfEmpty: true)
    }
  }
}
