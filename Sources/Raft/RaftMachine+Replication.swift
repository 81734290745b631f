internal import Model

/// What only a leader has.
final class LeaderState {
  /// One per voter, this member included, in the order of the voters.
  var peers: [Progress]
  var uncommittedBytes = 0
  var reads = ReadQueue()

  init(memberID: UInt64, voters: MajorityConfiguration, lastIndex: UInt64, stableIndex: UInt64) {
    peers = voters.voters.map { id in
      Progress(id: id, match: id == memberID ? stableIndex : 0, next: lastIndex + 1)
    }
  }

  func position(of id: UInt64) -> Int? { peers.firstIndex { $0.id == id } }

  func match(of id: UInt64) -> UInt64 { position(of: id).map { peers[$0].match } ?? 0 }
}

// MARK: - Leader

extension RaftMachine {
  mutating func append(_ data: [UInt8], _ leader: LeaderState) -> ProposalOutcome {
    let bytes = leader.uncommittedBytes + data.count
    // As in etcd, one command of any size passes when nothing else waits.
    if leader.uncommittedBytes > 0 && bytes > configuration.limits.uncommittedBytes { return .overloaded }
    leader.uncommittedBytes = bytes
    return .appended(index: log.append(term: term, kind: .normal, data: data))
  }

  func broadcastHeartbeats(_ leader: LeaderState, _ effects: inout [RaftEffect]) {
    let context = leader.reads.round.map { encode($0.number) } ?? []
    for peer in leader.peers where peer.id != configuration.memberID {
      // Never a commit beyond what the peer is known to hold.
      let commit = min(peer.match, log.commitIndex)
      send(Message(kind: .heartbeat, to: peer.id, commit: commit, context: context), &effects)
    }
  }

  func broadcastAppends(_ leader: LeaderState, _ effects: inout [RaftEffect]) {
    for position in leader.peers.indices where leader.peers[position].id != configuration.memberID {
      sendAppends(leader, position, evenEmpty: false, &effects)
    }
  }

  /// Sends what the peer lacks, as far as pace and limits go. An empty append tells a new commit index, or asks
  /// a peer that has not answered where it stands.
  private func sendAppends(
    _ leader: LeaderState, _ position: Int, evenEmpty: Bool, _ effects: inout [RaftEffect]
  ) {
    var evenEmpty = evenEmpty
    while true {
      let peer = leader.peers[position]
      if peer.pace == .probe(waiting: true) { return }
      // Nil: compacted away, beyond what memory can serve.
      guard let previousTerm = log.term(at: peer.next - 1) else { return }
      let limits = configuration.limits
      let underWay = peer.pace == .replicate ? Int(peer.next - 1 - peer.match) : 0
      let entries = log.slice(
        from: peer.next, maxCount: limits.inflightEntries - underWay, maxBytes: limits.messageBytes)
      let tellsCommit = peer.sentCommit < log.commitIndex && peer.pace == .replicate
      if entries.isEmpty && !evenEmpty && !tellsCommit { return }
      evenEmpty = false
      leader.peers[position].sent(count: entries.count, commit: log.commitIndex)
      let message = Message(
        kind: .append, to: peer.id, logTerm: previousTerm, index: peer.next - 1, entries: entries,
        commit: log.commitIndex)
      send(message, &effects)
    }
  }

  mutating func receiveAppendResponse(_ message: Message, _ effects: inout [RaftEffect]) {
    guard case .leader(let leader) = role, let position = leader.position(of: message.from) else { return }
    if message.reject {
      let hint =
        message.logTerm > 0
        ? log.lastIndex(upTo: message.rejectHint, withTermAtMost: message.logTerm).index : message.rejectHint
      if leader.peers[position].refused(previous: message.index, hint: hint) {
        sendAppends(leader, position, evenEmpty: true, &effects)
      }
      return
    }
    guard message.index <= log.lastIndex else {
      return refuse(message, .indexOutOfRange, &effects)
    }
    let isNews = leader.peers[position].acknowledged(message.index)
    if leader.peers[position].pace != .replicate && leader.peers[position].match == message.index {
      leader.peers[position].startReplicating()
    }
    if isNews { advanceCommit(leader, &effects) }
    sendAppends(leader, position, evenEmpty: false, &effects)
  }

  mutating func receiveHeartbeatResponse(_ message: Message, _ effects: inout [RaftEffect]) {
    guard case .leader(let leader) = role, let position = leader.position(of: message.from) else { return }
    if case .probe = leader.peers[position].pace { leader.peers[position].pace = .probe(waiting: false) }
    // Appends or their answers may be lost: an empty append finds out.
    if leader.peers[position].match < log.lastIndex {
      sendAppends(leader, position, evenEmpty: true, &effects)
    }
    confirmRound(message, leader, position, &effects)
  }

  mutating func ownLogGrew(_ leader: LeaderState, _ effects: inout [RaftEffect]) {
    guard let position = leader.position(of: configuration.memberID) else { return }
    if leader.peers[position].acknowledged(log.stableIndex) { advanceCommit(leader, &effects) }
  }

  /// Commits what a quorum holds durably, if that reaches into this term. Flush tells the peers.
  private mutating func advanceCommit(_ leader: LeaderState, _ effects: inout [RaftEffect]) {
    guard !voters.voters.isEmpty else { return }
    let index = voters.committedIndex { leader.match(of: $0) }
    guard index > log.commitIndex, log.term(at: index) == term else { return }
    leader.uncommittedBytes -= log.bytes(after: log.commitIndex, through: index, ofTerm: term)
    log.commit(to: index)
    retryPostponedReads(leader, &effects)
  }

  /// Takes a new set of voters in; a leader keeps what it knows about those that stay.
  mutating func adopt(_ newVoters: MajorityConfiguration, _ effects: inout [RaftEffect]) {
    voters = newVoters
    guard case .leader(let leader) = role else { return }
    let known = leader.peers
    leader.peers = newVoters.voters.map { id in
      known.first { $0.id == id }
        ?? Progress(
          id: id, match: id == configuration.memberID ? log.stableIndex : 0, next: log.lastIndex + 1)
    }
    // A smaller quorum may already hold more.
    advanceCommit(leader, &effects)
  }
}

// MARK: - Follower

extension RaftMachine {
  mutating func receiveAppend(_ message: Message, _ effects: inout [RaftEffect]) {
    electionElapsedTicks = 0
    if message.index < log.commitIndex {
      // What is committed agrees with every leader.
      return sendWhenDurable(Message(kind: .appendResponse, to: message.from, index: log.commitIndex))
    }
    guard log.term(at: message.index) == message.logTerm else {
      let hint = log.lastIndex(upTo: message.index, withTermAtMost: message.logTerm)
      return sendWhenDurable(
        Message(
          kind: .appendResponse, to: message.from, logTerm: hint.term, index: message.index, reject: true,
          rejectHint: hint.index))
    }
    if let conflict = log.firstConflict(message.entries) {
      guard message.entries[conflict].index > log.commitIndex else {
        return refuse(message, .contradictsCommitted, &effects)
      }
      log.replaceSuffix(message.entries[conflict...])
    }
    let lastNew = message.index + UInt64(message.entries.count)
    log.commit(to: min(message.commit, lastNew))
    sendWhenDurable(Message(kind: .appendResponse, to: message.from, index: lastNew))
  }

  mutating func receiveHeartbeat(_ message: Message, _ effects: inout [RaftEffect]) {
    electionElapsedTicks = 0
    guard message.commit <= log.lastIndex else { return refuse(message, .indexOutOfRange, &effects) }
    log.commit(to: message.commit)
    // Not held back by the disk: it promises nothing beyond the term, and a slow sync must not look like death.
    send(Message(kind: .heartbeatResponse, to: message.from, context: message.context), &effects)
  }
}
