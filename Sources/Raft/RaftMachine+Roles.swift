internal import Model

// Transitions between roles.
extension RaftMachine {
  mutating func becomeFollower(term newTerm: UInt64, leader newLeader: UInt64) {
    precondition(newTerm >= term, "terms only grow")
    reset(term: newTerm)
    role = .follower
    leader = newLeader
    tracer.info("\(id.hex) became follower at term \(term)")
  }

  mutating func becomePreCandidate() {
    precondition(role != .leader, "a leader does not campaign")
    // Nothing durable changes: this is only a question.
    ballot = Ballot()
    role = .preCandidate
    leader = 0
    tracer.info("\(id.hex) became pre-candidate at term \(term)")
  }

  mutating func becomeCandidate() {
    precondition(role != .leader, "a leader does not campaign")
    reset(term: term + 1)
    role = .candidate
    vote = id
    tracer.info("\(id.hex) became candidate at term \(term)")
  }

  mutating func becomeLeader() {
    precondition(role == .candidate && vote == id, "a leader was a candidate and voted for itself")
    reset(term: term)
    role = .leader
    leader = id
    progress.update(id) { own in
      own.becomeReplicate()
      own.isRecentlyActive = true
    }
    // There may be a change among what is not applied; looking is not worth it.
    pendingChangeIndex = log.lastIndex
    // Entries of earlier terms commit only through one of this term.
    appendOwn([Entry(term: 0, index: 0)])
    precondition(uncommittedBytes == 0, "the first entry is empty")
    tracer.info("\(id.hex) became leader at term \(term)")
  }

  private mutating func reset(term newTerm: UInt64) {
    if role == .leader { dropReads() }
    if newTerm != term {
      term = newTerm
      vote = 0
    }
    leader = 0
    electionElapsedTicks = 0
    heartbeatElapsedTicks = 0
    electionTimeoutTicks =
      configuration.electionTicks + Int.random(in: 0..<configuration.electionTicks, using: &random)
    transferee = 0
    ballot = Ballot()
    for position in progress.indices {
      let known = progress[position]
      let match = known.id == id ? log.lastIndex : 0
      progress[position] = Progress(
        id: known.id, match: match, next: log.lastIndex + 1, limits: inflightLimits)
      progress[position].isLearner = known.isLearner
    }
    pendingChangeIndex = 0
    uncommittedBytes = 0
    isBroadcastDue = false
  }

  var inflightLimits: InflightLimits {
    InflightLimits(
      messages: configuration.limits.inflightMessages, bytes: configuration.limits.inflightBytes)
  }
}
