internal import Model

// What a peer could get wrong. In etcd's library some of it panics; here it would be a remote crash.
extension RaftMachine {
  /// Terms and indexes of messages stay below this, so that sums cannot overflow.
  static var largestTerm: UInt64 { 1 << 62 }
  static var largestIndex: UInt64 { 1 << 62 }
  /// Contexts and read requests are echoed: they stay small.
  private static var contextBytesMax: Int { 64 }

  /// What is wrong with a message from the network; nil if it may be stepped.
  func fault(of message: Message) -> MessageFault? {
    // A proposal keeps its author's name on its way, and may come back to it: a follower passes it on to the next leader.
    if message.from == id, message.kind != .propose { return .fromSelf }
    if message.from == 0 || message.from >= LocalStage.apply || message.to != id { return .wrongAddress }
    if message.term > Self.largestTerm || message.logTerm > Self.largestTerm { return .termOutOfRange }
    if message.index > Self.largestIndex || message.commit > Self.largestIndex
      || message.rejectHint > Self.largestIndex || message.context.count > Self.contextBytesMax
    {
      return .indexOutOfRange
    }
    switch message.kind {
    case .append: return isOld(message) ? nil : faultOfAppend(message)
    case .snapshot: return isOld(message) ? nil : faultOfSnapshot(message)
    case .heartbeat:
      if isOld(message) { return nil }
      return faultOfLeader(message) ?? (message.commit <= log.lastIndex ? nil : .indexOutOfRange)
    case .appendResponse:
      if message.term == 0 { return .termOutOfRange }
      let isForLeader = role == .leader && message.term == term && !message.reject
      return isForLeader && message.index > log.lastIndex ? .indexOutOfRange : nil
    case .vote, .voteResponse, .preVote, .preVoteResponse, .heartbeatResponse, .timeoutNow,
      .transferLeader:
      return message.term == 0 ? .termOutOfRange : nil
    case .propose: return faultOfProposal(message)
    case .readIndex, .readIndexResponse:
      if message.kind == .readIndex && message.term != 0 { return .termOutOfRange }
      let isSmall = message.entries.count == 1 && message.entries[0].data.count <= Self.contextBytesMax
      return isSmall ? nil : .entriesNotContiguous
    case .hup, .beat, .unreachable, .snapshotStatus, .checkQuorum, .storageAppend, .storageAppendResponse,
      .storageApply, .storageApplyResponse, .forgetLeader:
      return .localOnlyKind
    }
  }

  /// A leader of the past: whatever it says is not looked at.
  private func isOld(_ message: Message) -> Bool { message.term != 0 && message.term < term }

  /// One leader a term: election safety, seen from here.
  private func faultOfLeader(_ message: Message) -> MessageFault? {
    if message.term == 0 { return .termOutOfRange }
    guard message.term == term else { return nil }
    return role == .leader || (leader != 0 && leader != message.from) ? .secondLeaderInTerm : nil
  }

  private func faultOfAppend(_ message: Message) -> MessageFault? {
    if let fault = faultOfLeader(message) { return fault }
    var index = message.index
    var entryTerm = message.logTerm
    for entry in message.entries {
      index += 1
      if entry.index != index { return .entriesNotContiguous }
      if entry.term < entryTerm || entry.term == 0 || entry.term > message.term {
        return .entryTermOutOfRange
      }
      entryTerm = entry.term
      if entry.kind != .normal && !entry.isDecodableChange { return .malformedChange }
    }
    if entryTerm > message.term { return .termOutOfRange }
    // What is committed here agrees with every leader: an entry that differs is a lie.
    if message.index >= log.commitIndex { return nil }
    for entry in message.entries where entry.index <= log.commitIndex {
      if let known = log.term(at: entry.index), known != entry.term { return .contradictsCommitted }
    }
    return nil
  }

  private func faultOfProposal(_ message: Message) -> MessageFault? {
    if message.term != 0 { return .termOutOfRange }
    if message.entries.isEmpty { return .entriesNotContiguous }
    return message.entries.allSatisfy { $0.kind == .normal || $0.isDecodableChange } ? nil : .malformedChange
  }

  private func faultOfSnapshot(_ message: Message) -> MessageFault? {
    guard configuration.hasSnapshots else { return .unsupported }
    if let fault = faultOfLeader(message) { return fault }
    guard let metadata = message.snapshot, metadata.index > 0, metadata.index <= Self.largestIndex,
      metadata.term > 0, metadata.term <= message.term
    else { return .malformedSnapshot }
    let state = metadata.confState
    let count =
      state.voters.count + state.learners.count + state.votersOutgoing.count + state.learnersNext.count
    guard !state.voters.isEmpty, count <= configuration.limits.members else { return .malformedSnapshot }
    var changer = changer()
    do throws(ConfigurationError) {
      try changer.restore(state)
    } catch {
      return .malformedSnapshot
    }
    return nil
  }
}

extension Entry {
  /// Whether a configuration change can be read; bytes that cannot would stop every member that applies them.
  var isDecodableChange: Bool {
    switch kind {
    case .normal: true
    case .confChange: (try? ConfChange(decoding: data)) != nil
    case .confChangeV2: (try? ConfChangeV2(decoding: data)) != nil
    }
  }
}
