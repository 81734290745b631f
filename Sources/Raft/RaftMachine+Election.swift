internal import Model

/// What a vote request of a leadership transfer carries: it overrides the leader's lease.
private let transferContext = Array("CampaignTransfer".utf8)

// Time, elections and votes.
extension RaftMachine {
  private enum Campaign { case preElection, election, transfer }

  mutating func tick() {
    if role == .leader { return tickLeader() }
    electionElapsedTicks += 1
    if isPromotable && electionElapsedTicks >= electionTimeoutTicks {
      electionElapsedTicks = 0
      campaign()
    }
  }

  private mutating func tickLeader() {
    heartbeatElapsedTicks += 1
    electionElapsedTicks += 1
    if electionElapsedTicks >= configuration.electionTicks {
      electionElapsedTicks = 0
      if configuration.checkQuorum { checkQuorum() }
      // A transfer that takes longer will not succeed.
      if role == .leader { transferee = 0 }
    }
    guard role == .leader, heartbeatElapsedTicks >= configuration.heartbeatTicks else { return }
    heartbeatElapsedTicks = 0
    broadcastHeartbeats()
  }

  private mutating func checkQuorum() {
    let verdict = members.voters.result { voter in
      voter == id || progress[voter]?.isRecentlyActive == true
    }
    if verdict != .won {
      tracer.warning("\(id.hex) stepped down to follower since quorum is not active")
      becomeFollower(term: term, leader: 0)
    }
    for position in progress.indices where progress[position].id != id {
      progress[position].beginActivityPeriod()
    }
  }

  /// Whether this member could lead: a voter whose state is not about to be replaced.
  var isPromotable: Bool { members.voters.contains(id) && log.snapshot == nil }

  var hasUnappliedChange: Bool {
    log.changesConfiguration(after: log.appliedIndex, through: log.commitIndex)
  }

  mutating func campaign() { start(configuration.preVote ? .preElection : .election) }

  /// The leader wants this member to lead. It knows that no partition is to be healed: the question is skipped.
  mutating func campaignForTransfer() { start(.transfer) }

  private mutating func start(_ campaign: Campaign) {
    if role == .leader { return tracer.debug("\(id.hex) ignoring MsgHup because already leader") }
    guard isPromotable else { return tracer.warning("\(id.hex) is unpromotable and can not campaign") }
    guard !hasUnappliedChange else {
      return tracer.warning(
        "\(id.hex) cannot campaign at term \(term) since there are still pending configuration changes to apply"
      )
    }
    guard term < Self.largestTerm else { return }
    tracer.info("\(id.hex) is starting a new election at term \(term)")
    ask(campaign)
  }

  private mutating func ask(_ campaign: Campaign) {
    let kind: Message.Kind
    let askedTerm: UInt64
    if campaign == .preElection {
      becomePreCandidate()
      kind = .preVote
      askedTerm = term + 1
    } else {
      becomeCandidate()
      kind = .vote
      askedTerm = term
    }
    for voter in members.voters.ids {
      if voter == id {
        // Its own vote counts once it is durable: the answer to itself takes the same way as those to others.
        send(Message(kind: Self.response(to: kind), to: id, term: askedTerm))
        continue
      }
      tracer.info(
        "\(id.hex) [logterm: \(log.lastTerm), index: \(log.lastIndex)] sent \(kind.name) request to \(voter.hex) at term \(term)"
      )
      send(
        Message(
          kind: kind, to: voter, term: askedTerm, logTerm: log.lastTerm, index: log.lastIndex,
          context: campaign == .transfer ? transferContext : []))
    }
  }

  static func response(to kind: Message.Kind) -> Message.Kind {
    kind == .preVote ? .preVoteResponse : .voteResponse
  }

  /// Whether the leader's lease forbids so much as looking at a vote request of a higher term.
  mutating func isForbiddenByLease(_ message: Message) -> Bool {
    let hasLease =
      configuration.checkQuorum && leader != 0 && electionElapsedTicks < configuration.electionTicks
    guard hasLease, message.context != transferContext else { return false }
    let remaining = configuration.electionTicks - electionElapsedTicks
    tracer.info(
      "\(describe("ignored", message)): lease is not expired (remaining ticks: \(remaining))")
    return true
  }

  /// `1 [logterm: 1, index: 2, vote: 0] rejected MsgVote from 2 [logterm: 1, index: 1] at term 1`
  func describe(_ verdict: String, _ message: Message) -> String {
    let own = "\(id.hex) [logterm: \(log.lastTerm), index: \(log.lastIndex), vote: \(vote.hex)]"
    let link = verdict == "cast" ? "for" : "from"
    let theirs = "\(message.from.hex) [logterm: \(message.logTerm), index: \(message.index)]"
    return "\(own) \(verdict) \(message.kind.name) \(link) \(theirs) at term \(term)"
  }

  /// A learner votes too: it may have been promoted without having heard of it (etcd issue 10998).
  mutating func receiveVoteRequest(_ message: Message) {
    let isFree =
      vote == message.from || (vote == 0 && leader == 0) || (message.kind == .preVote && message.term > term)
    let response = Self.response(to: message.kind)
    guard isFree, log.isUpToDate(index: message.index, term: message.logTerm) else {
      tracer.info(describe("rejected", message))
      return send(Message(kind: response, to: message.from, term: term, reject: true))
    }
    tracer.info(describe("cast", message))
    // With the term asked for: a candidate that came back from a partition ignores answers of older terms.
    send(Message(kind: response, to: message.from, term: message.term))
    if message.kind == .vote {
      electionElapsedTicks = 0
      vote = message.from
    }
  }

  mutating func receiveVoteResponse(_ message: Message) {
    let name = message.kind.name
    tracer.info(
      "\(id.hex) received \(name)\(message.reject ? " rejection" : "") from \(message.from.hex) at term \(term)"
    )
    ballot.record(!message.reject, of: message.from)
    let (granted, refused, result) = ballot.tally(members.voters)
    tracer.info("\(id.hex) has received \(granted) \(name) votes and \(refused) vote rejections")
    switch result {
    case .pending: break
    case .lost: becomeFollower(term: term, leader: 0)
    case .won where role == .preCandidate: ask(.election)
    case .won:
      becomeLeader()
      broadcastAppends()
    }
  }
}
