internal import Model

extension RaftMachine {
  /// The one door for what peers say: checked, compared with the term, then given to its handler.
  mutating func receive(_ message: Message, _ effects: inout [RaftEffect]) {
    if let fault = fault(of: message) { return refuse(message, fault, &effects) }
    if message.term > term {
      let leads = message.kind == .append || message.kind == .heartbeat
      becomeFollower(term: message.term, leader: leads ? message.from : 0, &effects)
    } else if message.term < term && message.term != 0 {
      return
    }
    switch message.kind {
    case .vote: receiveVoteRequest(message)
    case .voteResponse: count(vote: !message.reject, of: message.from, &effects)
    case .append: if follow(message, &effects) { receiveAppend(message, &effects) }
    case .heartbeat: if follow(message, &effects) { receiveHeartbeat(message, &effects) }
    case .appendResponse: receiveAppendResponse(message, &effects)
    case .heartbeatResponse: receiveHeartbeatResponse(message, &effects)
    case .propose: receiveForwarded(message)
    case .readIndex: readIndex(.peer(message.from, context: message.entries[0].data), &effects)
    case .readIndexResponse: receiveReadIndexResponse(message, &effects)
    case .hup, .beat, .snapshot, .unreachable, .snapshotStatus, .checkQuorum, .transferLeader, .timeoutNow,
      .preVote, .preVoteResponse, .storageAppend, .storageAppendResponse, .storageApply,
      .storageApplyResponse,
      .forgetLeader:
      preconditionFailure("refused by the check above")
    }
  }

  func refuse(_ message: Message, _ fault: MessageFault, _ effects: inout [RaftEffect]) {
    effects.append(.messageRefused(from: message.from, kind: message.kind, fault))
  }

  /// Makes the sender of an append or heartbeat of this term the leader. False: another leads this term.
  private mutating func follow(_ message: Message, _ effects: inout [RaftEffect]) -> Bool {
    switch role {
    case .candidate:
      becomeFollower(term: term, leader: message.from, &effects)
      return true
    case .follower(let leader):
      if leader == message.from { return true }
      guard leader == 0 else { break }
      becomeFollower(term: term, leader: message.from, &effects)
      return true
    case .leader:
      break
    }
    refuse(message, .secondLeaderInTerm, &effects)
    return false
  }

  /// Proposals of a peer that takes this member for the leader. If it is not, they are lost; the peer's request
  /// times out or is asked again.
  private mutating func receiveForwarded(_ message: Message) {
    guard case .leader(let leader) = role else { return }
    for entry in message.entries where append(entry.data, leader) == .overloaded { return }
  }

  /// What is wrong with a message from the network, whatever state this member is in.
  private func fault(of message: Message) -> MessageFault? {
    if message.from == configuration.memberID { return .fromSelf }
    if message.from == 0 || message.to != configuration.memberID { return .wrongAddress }
    if message.term > Self.largestTerm || message.logTerm > Self.largestTerm { return .termOutOfRange }
    if message.index > Self.largestIndex || message.commit > Self.largestIndex
      || message.rejectHint > Self.largestIndex || message.context.count > 64
    {
      return .indexOutOfRange
    }
    switch message.kind {
    case .append:
      return message.term == 0 ? .termOutOfRange : faultOfEntries(message)
    case .vote, .voteResponse, .appendResponse, .heartbeat, .heartbeatResponse:
      return message.term == 0 ? .termOutOfRange : nil
    case .propose:
      return message.entries.allSatisfy { $0.kind == .normal } ? nil : .unsupported
    case .readIndex, .readIndexResponse:
      return message.entries.count == 1 && message.entries[0].data.count <= 64 ? nil : .entriesNotContiguous
    case .hup, .beat, .unreachable, .snapshotStatus, .checkQuorum, .storageAppend, .storageAppendResponse,
      .storageApply, .storageApplyResponse, .forgetLeader:
      return .localOnlyKind
    case .snapshot, .transferLeader, .timeoutNow, .preVote, .preVoteResponse:
      return .unsupported
    }
  }

  private func faultOfEntries(_ message: Message) -> MessageFault? {
    var index = message.index
    var term = message.logTerm
    for entry in message.entries {
      index += 1
      if entry.index != index { return .entriesNotContiguous }
      if entry.term < term || entry.term == 0 || entry.term > message.term { return .entryTermOutOfRange }
      term = entry.term
    }
    return term > message.term ? .termOutOfRange : nil
  }
}
