internal import Model

// What a leader sends.
extension RaftMachine {
  /// Appends entries of this leader and term. They count for it once they are durable here: the acknowledgement to
  /// itself waits like those to others.
  mutating func appendOwn(_ entries: [Entry]) {
    precondition(role == .leader, "only a leader appends")
    for entry in entries {
      uncommittedBytes += entry.data.count
      _ = log.append(term: term, kind: entry.kind, data: entry.data)
    }
    send(Message(kind: .appendResponse, to: id, index: log.lastIndex))
  }

  /// Tells every peer what is new: at once, or when the batch ends.
  mutating func broadcastAppends() {
    if configuration.batches {
      isBroadcastDue = true
      return
    }
    for position in progress.indices where progress[position].id != id {
      _ = sendAppend(position, evenIfEmpty: true)
    }
  }

  /// Ends a batch on a leader.
  mutating func broadcastBatch() {
    guard isBroadcastDue, role == .leader else { return }
    isBroadcastDue = false
    for position in progress.indices where progress[position].id != id {
      let isCommitNews = progress[position].canUseCommit(log.commitIndex)
      if sendAppend(position, evenIfEmpty: isCommitNews) { sendAllAppends(position) }
    }
  }

  /// Sends as many appends with entries as the limits allow.
  mutating func sendAllAppends(_ position: Int) {
    while sendAppend(position, evenIfEmpty: false) {}
  }

  /// Sends one append, or a snapshot where the log does not reach back far enough. False: nothing was sent.
  mutating func sendAppend(_ position: Int, evenIfEmpty: Bool) -> Bool {
    if progress[position].isPaused { return false }
    let previous = progress[position].next - 1
    guard let previousTerm = log.term(at: previous) else {
      if previous + 1 < log.firstReachableIndex { return sendSnapshot(position) }
      if readLog(for: position) || !evenIfEmpty { return false }
      // Everything that it was sent may be lost, and no more is read for it until it answers.
      guard let previousTerm = progress[position].termOfLastSent else { return false }
      sendAppend(position, [], previousTerm: previousTerm)
      return true
    }
    progress[position].canFollow()
    var entries: [Entry] = []
    if progress[position].mayTakeEntries {
      entries = log.slice(
        from: previous + 1, through: log.lastIndex, maxBytes: configuration.limits.messageBytes)
    }
    if entries.isEmpty && !evenIfEmpty { return false }
    sendAppend(position, entries, previousTerm: previousTerm)
    return true
  }

  /// Sends entries that follow on what the peer has been sent.
  private mutating func sendAppend(_ position: Int, _ entries: [Entry], previousTerm: UInt64) {
    let previous = progress[position].next - 1
    var bytes = 0
    for entry in entries { bytes += entry.data.count }
    progress[position].sentEntries(
      count: entries.count, bytes: bytes, lastTerm: entries.last?.term ?? previousTerm)
    progress[position].sentCommit(log.commitIndex)
    send(
      Message(
        kind: .append, to: progress[position].id, logTerm: previousTerm, index: previous, entries: entries,
        commit: log.commitIndex))
  }

  /// Asks for entries that are no longer in memory. False: the peer is to have none now.
  private mutating func readLog(for position: Int) -> Bool {
    let limits = configuration.limits
    // A peer that is gone needs nothing, and one that is behind by far shall not fill the memory on its way.
    guard progress[position].isRecentlyActive, progress[position].mayTakeEntries,
      progress[position].inflights.bytes < limits.readBytes
    else { return false }
    let previous = progress[position].next - 1
    progress[position].startReadingLog()
    logReads.append(
      LogRead(
        peer: progress[position].id, previous: previous, last: log.baseIndex,
        bytesMax: min(limits.messageBytes, limits.readBytes)))
    return true
  }

  /// Sends what was read, if it still is what the peer needs.
  mutating func receive(_ slice: LogSlice?, of read: LogRead) {
    guard role == .leader, let position = progress.position(of: read.peer), progress[position].isReadingLog
    else { return }
    progress[position].endReadingLog()
    guard progress[position].next == read.previous + 1, !progress[position].isPaused else {
      _ = sendAppend(position, evenIfEmpty: false)
      return
    }
    guard let slice else {
      _ = sendSnapshot(position)
      return
    }
    sendAppend(position, slice.entries, previousTerm: slice.previousTerm)
    sendAllAppends(position)
  }

  private mutating func sendSnapshot(_ position: Int) -> Bool {
    let peer = progress[position].id
    if !progress[position].isRecentlyActive {
      tracer.debug("ignore sending snapshot to \(peer.hex) since it is not recently active")
      return false
    }
    guard configuration.hasSnapshots, let snapshot = presentSnapshot else {
      tracer.debug(
        "\(id.hex) failed to send snapshot to \(peer.hex) because snapshot is temporarily unavailable")
      return false
    }
    tracer.debug(
      "\(id.hex) [firstindex: \(log.firstIndex), commit: \(log.commitIndex)] sent snapshot[index: \(snapshot.index), term: \(snapshot.term)] to \(peer.hex) [\(progress[position])]"
    )
    progress[position].becomeSnapshot(snapshot.index)
    tracer.debug("\(id.hex) paused sending replication messages to \(peer.hex) [\(progress[position])]")
    send(Message(kind: .snapshot, to: peer, snapshot: snapshot))
    return true
  }

  /// The state that a snapshot made now would hold at least.
  private var presentSnapshot: SnapshotMetadata? {
    if let offeredSnapshot { return offeredSnapshot }
    guard log.appliedIndex > 0, let term = log.term(at: log.appliedIndex) else { return nil }
    return SnapshotMetadata(confState: appliedConfState, index: log.appliedIndex, term: term)
  }

  mutating func broadcastHeartbeats() {
    let context = reads.round.map { encode($0.number) } ?? []
    for position in progress.indices where progress[position].id != id {
      // Never a commit beyond what the peer is known to hold.
      let commit = min(progress[position].match, log.commitIndex)
      send(Message(kind: .heartbeat, to: progress[position].id, commit: commit, context: context))
      progress[position].sentCommit(commit)
    }
  }

  /// Commits what a quorum holds durably, if that reaches into this term. Entries of earlier terms are committed by
  /// one of this term only, never by counting.
  mutating func advanceCommit() -> Bool {
    precondition(role == .leader, "only a leader commits by counting")
    let index = members.voters.committedIndex { progress.match(of: $0) }
    guard index > log.commitIndex, log.term(at: index) == term else { return false }
    log.commit(to: index)
    return true
  }

  // MARK: Sending

  mutating func send(_ message: Message) {
    var message = message
    if message.from == 0 { message.from = id }
    switch message.kind {
    case .vote, .voteResponse, .preVote, .preVoteResponse:
      precondition(message.term != 0, "an election has a term")
    case .propose, .readIndex:
      // Forwarded requests belong to whatever term the leader is in.
      message.term = 0
    default: message.term = term
    }
    switch message.kind {
    case .appendResponse, .voteResponse, .preVoteResponse:
      sendAfterAppend(message)
    case .vote where configuration.batches:
      // The request promises the log it describes. Were it lost in a crash, an answer to it could still come back.
      messagesAfterAppend.append(message)
    default:
      precondition(message.to != id, "only answers go to this member itself")
      messages.append(message)
    }
  }

  private mutating func sendAfterAppend(_ message: Message) {
    if configuration.batches, message.kind == .appendResponse, message.to == id,
      let last = messagesAfterAppend.indices.last, messagesAfterAppend[last].to == id,
      messagesAfterAppend[last].kind == .appendResponse, messagesAfterAppend[last].term == message.term
    {
      // A batch of proposals is acknowledged once.
      messagesAfterAppend[last].index = message.index
    } else {
      messagesAfterAppend.append(message)
    }
  }
}
