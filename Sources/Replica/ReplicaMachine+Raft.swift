internal import Model
internal import Raft

// Between Raft and the outside: what its effects mean here, and what it is asked for when a batch ends.
extension ReplicaMachine {
  mutating func translate(_ effects: inout [ReplicaEffect]) {
    guard !raftEffects.isEmpty else { return }
    for effect in raftEffects {
      switch effect {
      case .append(let append): effects.append(.append(append))
      case .send(let message): effects.append(.send(message))
      case .readLog(let read): effects.append(.readLog(read))
      case .committed(let entries): effects.append(.apply(batch(of: entries)))
      case .readReady(let context, let index): reads.confirm(context: context, index: index)
      case .readDropped(let context):
        reads.askAgain(context: context)
        readsMayAskTick = nowTick + readRetryTicks
      case .leadershipChanged(let leadership): leadershipChanged(leadership, &effects)
      case .messageRefused(let from, let kind, let fault):
        effects.append(.messageRefused(from: from, kind: kind, fault))
      }
    }
    raftEffects.removeAll(keepingCapacity: true)
    releaseReads(&effects)
  }

  /// Finds who waits for which entry.
  private mutating func batch(of entries: [Entry]) -> ApplyBatch {
    var tickets: [Ticket?] = []
    tickets.reserveCapacity(entries.count)
    let isPublishing = publication.isAwaited
    for entry in entries {
      guard !entry.data.isEmpty, !requests.isEmpty || isPublishing else {
        tickets.append(nil)
        continue
      }
      let id: UInt64
      switch entry.kind {
      case .normal: id = CommandHeader.requestID(of: entry.data)
      case .confChange: id = (try? ConfChange(decoding: entry.data))?.id ?? 0
      case .confChangeV2: id = 0
      }
      tickets.append(requests.take(id))
      if isPublishing { publication.committed(id: id, index: entry.index) }
    }
    return ApplyBatch(entries: entries, tickets: tickets)
  }

  private mutating func leadershipChanged(_ leadership: Leadership, _ effects: inout [ReplicaEffect]) {
    effects.append(.leadershipChanged(leadership))
    reads.gatherQuestions()
    lessorFollows(leadership, &effects)
    for ticket in transfers.takeDone(leader: leadership.leader) { effects.append(.transferred(ticket)) }
    let isNewLeader = leadership.leader != 0 && leadership.leader != knownLeader
    knownLeader = leadership.leader
    guard isNewLeader else { return }
    counters.leaderChanges += 1
    leaderSinceTick = nowTick
    readsMayAskTick = nowTick
    counters.failedReadIndexes += UInt64(reads.asked.count)
    for ticket in reads.takeAsked() { effects.append(.reply(ticket, .leaderChanged)) }
  }

  mutating func releaseReads(_ effects: inout [ReplicaEffect]) {
    let ready = reads.takeReady(applied: raft.appliedIndex)
    if ready.isEmpty { return }
    var tickets: [Ticket] = []
    tickets.reserveCapacity(ready.count)
    for read in ready {
      if let question = read.question {
        answer(question, read.ticket, &effects)
      } else {
        tickets.append(read.ticket)
      }
    }
    if !tickets.isEmpty { effects.append(.readReady(tickets, appliedIndex: raft.appliedIndex)) }
  }

  mutating func askForReads() {
    guard reads.hasQuestion, readsMayAskTick <= nowTick else { return }
    raft.handle(.readIndex(context: reads.ask()), &raftEffects)
  }

  mutating func proposeParked(_ effects: inout [ReplicaEffect]) {
    guard !parked.isEmpty else { return }
    let commands = parked
    parked.removeAll()
    parkedBytes = 0
    for (id, command) in commands where requests.contains(id) {
      switch raft.propose(command, &raftEffects) {
      case .appended, .forwarded: break
      case .overloaded:
        if let ticket = requests.take(id) { effects.append(.reply(ticket, .tooManyRequests)) }
      case .noLeader:
        parkedBytes += command.count
        parked.append((id, command))
      }
    }
    lessor.holdUntilApplied(raft.lastIndex)
  }

  mutating func publish() {
    guard !publication.isDone, knownLeader != 0, !isStopped else { return }
    let memberID = configuration.raft.memberID
    if Publication.isDue(publication.attributes, tick: nowTick) {
      let attributes = MemberAttributes(
        memberID: memberID, name: configuration.name, clientURLs: configuration.clientURLs)
      publication.attributes = proposeUnattended(.clusterMemberAttributesSet(attributes))
    }
    if Publication.isDue(publication.clusterVersion, tick: nowTick), knownLeader == memberID,
      raft.isSoleVoter, raft.hasCommittedInTerm
    {
      publication.clusterVersion = proposeUnattended(.clusterVersionSet(configuration.clusterVersion))
    }
  }

  /// Proposes a command that no client waits for.
  mutating func proposeUnattended(_ operation: RaftCommand.Operation) -> Publication.Step {
    let id = requestIDs.next()
    _ = raft.propose(RaftCommand(id: id, operation: operation).encoded(), &raftEffects)
    return .proposed(id: id, retryTick: nowTick + UInt64(configuration.requestTimeoutTicks))
  }
}
