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
  mutating func readIndex(_ origin: ReadQueue.Origin) {
    switch role {
    case .leader:
      if reads.count >= configuration.limits.waitingReads { return drop(origin) }
      if !hasCommittedInTerm {
        reads.postponed.append(origin)
      } else if isSoleVoter || configuration.readMode == .lease {
        answer(origin, index: log.commitIndex)
      } else {
        reads.waiting.append(origin)
      }
    case .follower:
      guard case .local(let context) = origin, leader != 0 else { return drop(origin) }
      let entry = Entry(term: 0, index: 0, data: encode(context))
      send(Message(kind: .readIndex, to: leader, entries: [entry]))
    case .candidate, .preCandidate:
      drop(origin)
    }
  }

  /// Ends a batch: one round for all reads that came with it.
  mutating func startReadRound() {
    guard role == .leader, reads.round == nil, !reads.waiting.isEmpty else { return }
    lastRound += 1
    reads.round = ReadQueue.Round(number: lastRound, index: log.commitIndex, reads: reads.waiting)
    reads.waiting.removeAll(keepingCapacity: true)
    if !concludeRound() { broadcastHeartbeats() }
  }

  mutating func confirmRound(_ message: Message, _ position: Int) {
    guard let number = decode(message.context), number == reads.round?.number else { return }
    progress[position].confirmedRound = number
    concludeRound()
  }

  /// Answers the reads of the round if a quorum has confirmed it. A leader may be one by itself, also in a joint
  /// configuration; then nobody's answer would ever come.
  @discardableResult mutating func concludeRound() -> Bool {
    guard let round = reads.round else { return false }
    let verdict = members.voters.result { voter in
      voter == id || progress[voter]?.confirmedRound == round.number ? true : nil
    }
    guard verdict == .won else { return false }
    precondition(hasCommittedInTerm, "no read is confirmed before a commit of its leader's term")
    reads.round = nil
    for read in round.reads { answer(read, index: round.index) }
    return true
  }

  /// The leader committed in its term: what came before that may now be confirmed.
  mutating func retryPostponedReads() {
    guard !reads.postponed.isEmpty, hasCommittedInTerm else { return }
    let postponed = reads.postponed
    reads.postponed.removeAll()
    for read in postponed { readIndex(read) }
  }

  mutating func dropReads() {
    let lost = reads
    reads = ReadQueue()
    for read in (lost.round?.reads ?? []) + lost.waiting + lost.postponed { drop(read) }
  }

  mutating func receiveReadIndexResponse(_ message: Message) {
    guard leader == message.from, message.entries.count == 1, let context = decode(message.entries[0].data)
    else { return }
    readStates.append(ReadState(context: context, index: message.index))
  }

  private mutating func answer(_ origin: ReadQueue.Origin, index: UInt64) {
    switch origin {
    case .local(let context):
      readStates.append(ReadState(context: context, index: index))
    case .peer(let peer, let context):
      let entry = Entry(term: 0, index: 0, data: context)
      send(Message(kind: .readIndexResponse, to: peer, index: index, entries: [entry]))
    }
  }

  /// A peer's read is dropped in silence: it asks again.
  private mutating func drop(_ origin: ReadQueue.Origin) {
    if case .local(let context) = origin { droppedReads.append(context) }
  }

  func encode(_ number: UInt64) -> [UInt8] {
    (0..<8).map { UInt8(truncatingIfNeeded: number >> (56 - 8 * $0)) }
  }

  private func decode(_ bytes: [UInt8]) -> UInt64? {
    guard bytes.count == 8 else { return nil }
    return bytes.reduce(0) { $0 << 8 | UInt64($1) }
  }
}
