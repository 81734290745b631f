internal import Model

/// A leader's reads, from the request to the proof of leadership.
struct ReadQueue {
  enum Origin {
    case local(UInt64)
    case peer(UInt64, context: [UInt8])
  }

  /// Heartbeats that all carry one number. Its reads were waiting when it began.
  struct Round {
    var number: UInt64
    /// The commit index when the round began.
    var index: UInt64
    var reads: [Origin]
  }

  /// Waiting for the first commit of this term.
  var postponed: [Origin] = []
  /// Waiting for the next round.
  var waiting: [Origin] = []
  var round: Round?

  var count: Int { postponed.count + waiting.count + (round?.reads.count ?? 0) }
}

extension RaftMachine {
  mutating func readIndex(_ origin: ReadQueue.Origin, _ effects: inout [RaftEffect]) {
    switch role {
    case .leader(let leader):
      if leader.reads.count >= configuration.limits.waitingReads { return drop(origin, &effects) }
      if !hasCommittedInTerm {
        leader.reads.postponed.append(origin)
      } else if isSoleVoter {
        answer(origin, index: log.commitIndex, &effects)
      } else {
        leader.reads.waiting.append(origin)
      }
    case .follower(let leader):
      guard case .local(let context) = origin, leader != 0 else { return drop(origin, &effects) }
      let entry = Entry(term: 0, index: 0, data: encode(context))
      send(Message(kind: .readIndex, to: leader, entries: [entry]), &effects)
    case .candidate:
      drop(origin, &effects)
    }
  }

  mutating func startReadRound(_ leader: LeaderState, _ effects: inout [RaftEffect]) {
    guard leader.reads.round == nil, !leader.reads.waiting.isEmpty else { return }
    lastRound += 1
    leader.reads.round = ReadQueue.Round(
      number: lastRound, index: log.commitIndex, reads: leader.reads.waiting)
    leader.reads.waiting.removeAll(keepingCapacity: true)
    broadcastHeartbeats(leader, &effects)
  }

  func confirmRound(
    _ message: Message, _ leader: LeaderState, _ position: Int, _ effects: inout [RaftEffect]
  ) {
    guard let number = decode(message.context), let round = leader.reads.round, number == round.number else {
      return
    }
    leader.peers[position].confirmedRound = number
    let verdict = voters.result { voter in
      let isConfirmed =
        voter == configuration.memberID
        || leader.position(of: voter).map { leader.peers[$0].confirmedRound == number } == true
      return isConfirmed ? true : nil
    }
    guard verdict == .won else { return }
    leader.reads.round = nil
    for read in round.reads { answer(read, index: round.index, &effects) }
  }

  /// The leader committed in its term: what came before that may now be confirmed.
  mutating func retryPostponedReads(_ leader: LeaderState, _ effects: inout [RaftEffect]) {
    if leader.reads.postponed.isEmpty { return }
    let postponed = leader.reads.postponed
    leader.reads.postponed.removeAll()
    for read in postponed { readIndex(read, &effects) }
  }

  func dropReads(_ leader: LeaderState, _ effects: inout [RaftEffect]) {
    let reads = leader.reads
    leader.reads = ReadQueue()
    for read in (reads.round?.reads ?? []) + reads.waiting + reads.postponed { drop(read, &effects) }
  }

  func receiveReadIndexResponse(_ message: Message, _ effects: inout [RaftEffect]) {
    guard case .follower(let leader) = role, leader == message.from, message.entries.count == 1,
      let context = decode(message.entries[0].data)
    else { return }
    effects.append(.readReady(context: context, index: message.index))
  }

  private func answer(_ origin: ReadQueue.Origin, index: UInt64, _ effects: inout [RaftEffect]) {
    switch origin {
    case .local(let context):
      effects.append(.readReady(context: context, index: index))
    case .peer(let peer, let context):
      let entry = Entry(term: 0, index: 0, data: context)
      send(Message(kind: .readIndexResponse, to: peer, index: index, entries: [entry]), &effects)
    }
  }

  /// A peer's read is dropped in silence: it asks again.
  private func drop(_ origin: ReadQueue.Origin, _ effects: inout [RaftEffect]) {
    if case .local(let context) = origin { effects.append(.readDropped(context: context)) }
  }

  func encode(_ number: UInt64) -> [UInt8] {
    (0..<8).map { UInt8(truncatingIfNeeded: number >> (56 - 8 * $0)) }
  }

  func decode(_ bytes: [UInt8]) -> UInt64? {
    guard bytes.count == 8 else { return nil }
    return bytes.reduce(0) { $0 << 8 | UInt64($1) }
  }
}
