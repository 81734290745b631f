internal import Model

/// The answers to one vote request, in the order of their coming.
struct Ballot {
  private var answers: [(voter: UInt64, granted: Bool)] = []

  /// The first answer of a voter counts.
  mutating func record(_ granted: Bool, of voter: UInt64) {
    if answer(of: voter) == nil { answers.append((voter, granted)) }
  }

  func answer(of voter: UInt64) -> Bool? {
    for answer in answers where answer.voter == voter { return answer.granted }
    return nil
  }
}

extension RaftMachine {
  mutating func tick(_ effects: inout [RaftEffect]) {
    switch role {
    case .leader(let leader):
      heartbeatElapsedTicks += 1
      if heartbeatElapsedTicks >= configuration.heartbeatTicks {
        heartbeatElapsedTicks = 0
        broadcastHeartbeats(leader, &effects)
      }
    case .follower, .candidate:
      electionElapsedTicks += 1
      if electionElapsedTicks >= electionTimeoutTicks {
        electionElapsedTicks = 0
        campaign(&effects)
      }
    }
  }

  mutating func resetElectionTimer() {
    electionElapsedTicks = 0
    heartbeatElapsedTicks = 0
    electionTimeoutTicks =
      configuration.electionTicks + Int.random(in: 0..<configuration.electionTicks, using: &random)
  }

  mutating func campaign(_ effects: inout [RaftEffect]) {
    guard mayCampaign else { return }
    abandonRole(&effects)
    term += 1
    vote = configuration.memberID
    role = .candidate(Ballot())
    resetElectionTimer()
    effects.append(.leadershipChanged(leadership))
    deferred.append(Deferred(gate: nil, action: .ownVote(term: term)))
    for voter in voters.voters where voter != configuration.memberID {
      sendWhenDurable(Message(kind: .vote, to: voter, logTerm: log.lastTerm, index: log.lastIndex))
    }
  }

  mutating func becomeFollower(term newTerm: UInt64, leader: UInt64, _ effects: inout [RaftEffect]) {
    precondition(newTerm >= term, "terms only grow")
    let before = leadership
    abandonRole(&effects)
    if newTerm > term {
      term = newTerm
      vote = 0
    }
    role = .follower(leader: leader)
    resetElectionTimer()
    if leadership != before { effects.append(.leadershipChanged(leadership)) }
  }

  private mutating func becomeLeader(_ effects: inout [RaftEffect]) {
    precondition(vote == configuration.memberID, "a leader voted for itself")
    let leader = LeaderState(
      memberID: configuration.memberID, voters: voters, lastIndex: log.lastIndex, stableIndex: log.stableIndex
    )
    role = .leader(leader)
    resetElectionTimer()
    effects.append(.leadershipChanged(leadership))
    // Entries of earlier terms commit only through one of this term.
    _ = log.append(term: term, kind: .normal, data: [])
  }

  /// Leaves a role for another one: what waited on it is told.
  private mutating func abandonRole(_ effects: inout [RaftEffect]) {
    if case .leader(let leader) = role { dropReads(leader, &effects) }
  }

  mutating func receiveVoteRequest(_ message: Message) {
    let leaderKnown: Bool
    if case .follower(let leader) = role { leaderKnown = leader != 0 } else { leaderKnown = true }
    let isFree = vote == message.from || (vote == 0 && !leaderKnown)
    let granted = isFree && log.isUpToDate(index: message.index, term: message.logTerm)
    if granted {
      vote = message.from
      electionElapsedTicks = 0
    }
    sendWhenDurable(Message(kind: .voteResponse, to: message.from, reject: !granted))
  }

  mutating func count(vote granted: Bool, of voter: UInt64, _ effects: inout [RaftEffect]) {
    guard case .candidate(var ballot) = role else { return }
    ballot.record(granted, of: voter)
    role = .candidate(ballot)
    switch voters.result({ ballot.answer(of: $0) }) {
    case .pending: break
    case .won: becomeLeader(&effects)
    case .lost: becomeFollower(term: term, leader: 0, &effects)
    }
  }
}
