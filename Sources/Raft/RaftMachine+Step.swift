public import Model

// Every message goes through here: those of peers by `receive`, those of this member's own stages by `complete`.
extension RaftMachine {
  /// Takes a peer's message in, after a check of everything a peer could get wrong.
  public mutating func receive(_ message: Message) -> StepOutcome {
    if let fault = fault(of: message) {
      refusals.append((message.from, message.kind, fault))
      return .refused(fault)
    }
    if message.kind.isResponse && progress.position(of: message.from) == nil { return .peerUnknown }
    return step(message)
  }

  /// Takes in what a local stage answers, or what this member answers itself. Trusted.
  public mutating func complete(_ response: Message) {
    precondition(response.to == id, "a response for this member")
    _ = step(response)
  }

  mutating func step(_ message: Message) -> StepOutcome {
    if message.term > term {
      if !adoptTerm(of: message) { return .taken }
    } else if message.term != 0 && message.term < term {
      return stepOlder(message)
    }
    switch message.kind {
    case .storageAppendResponse:
      if message.index != 0 { log.stable(index: message.index, term: message.logTerm) }
      if let snapshot = message.snapshot { installed(snapshot) }
    case .storageApplyResponse:
      if let last = message.entries.last { applied(index: last.index) }
    case .vote, .preVote:
      receiveVoteRequest(message)
    default:
      switch role {
      case .leader: return stepLeader(message)
      case .candidate, .preCandidate: return stepCandidate(message)
      case .follower: return stepFollower(message)
      }
    }
    return .taken
  }

  /// Reacts to a higher term. False: the message is to be ignored.
  private mutating func adoptTerm(of message: Message) -> Bool {
    switch message.kind {
    case .vote, .preVote:
      if isForbiddenByLease(message) { return false }
      // A question about a term does not bring it about.
      if message.kind == .preVote { return true }
    case .preVoteResponse where !message.reject:
      // Carries the term that was asked for.
      return true
    default:
      break
    }
    tracer.info(
      "\(id.hex) [term: \(term)] received a \(message.kind.name) message with higher term from \(message.from.hex) [term: \(message.term)]"
    )
    let leads = message.kind == .append || message.kind == .heartbeat || message.kind == .snapshot
    becomeFollower(term: message.term, leader: leads ? message.from : 0)
    return true
  }

  private mutating func stepOlder(_ message: Message) -> StepOutcome {
    let isFromLeader = message.kind == .heartbeat || message.kind == .append
    if (configuration.checkQuorum || configuration.preVote) && isFromLeader {
      // This member went ahead alone and cannot win: its vote requests fall to the lease or to pre-vote. Its term
      // has to reach the leader some other way, or it never comes back.
      send(Message(kind: .appendResponse, to: message.from))
    } else if message.kind == .preVote {
      // Two members, one with the higher term and one with the longer log, would block each other in silence.
      tracer.info(describe("rejected", message))
      send(Message(kind: .preVoteResponse, to: message.from, term: term, reject: true))
    } else if message.kind == .storageAppendResponse {
      if message.index != 0 {
        // Entries of an older term may have been replaced, and replaced back, by writes still under way.
        tracer.info(
          "\(id.hex) [term: \(term)] ignored entry appends from a \(message.kind.name) message with lower term [term: \(message.term)]"
        )
      }
      // A snapshot holds what is committed, whatever the term.
      if let snapshot = message.snapshot { installed(snapshot) }
    } else {
      tracer.info(
        "\(id.hex) [term: \(term)] ignored a \(message.kind.name) message with lower term from \(message.from.hex) [term: \(message.term)]"
      )
    }
    return .taken
  }

  private mutating func stepCandidate(_ message: Message) -> StepOutcome {
    switch message.kind {
    case .propose:
      tracer.info("\(id.hex) no leader at term \(term); dropping proposal")
      return .proposalDropped
    case .append, .heartbeat, .snapshot:
      becomeFollower(term: message.term, leader: message.from)
      receiveFromLeader(message)
    case .voteResponse where role == .candidate, .preVoteResponse where role == .preCandidate:
      receiveVoteResponse(message)
    case .timeoutNow:
      let state = role == .candidate ? "StateCandidate" : "StatePreCandidate"
      tracer.debug(
        "\(id.hex) [term \(term) state \(state)] ignored MsgTimeoutNow from \(message.from.hex)")
    default: break
    }
    return .taken
  }

  private mutating func stepFollower(_ message: Message) -> StepOutcome {
    switch message.kind {
    case .propose: return forward(message)
    case .append, .heartbeat, .snapshot:
      electionElapsedTicks = 0
      leader = message.from
      receiveFromLeader(message)
    case .transferLeader: forwardTransfer(message)
    case .timeoutNow:
      tracer.info(
        "\(id.hex) [term \(term)] received MsgTimeoutNow from \(message.from.hex) and starts an election to get leadership."
      )
      campaignForTransfer()
    case .readIndex:
      // Asked of the wrong one; the asker tries again.
      if leader == 0 { tracer.info("\(id.hex) no leader at term \(term); dropping index reading msg") }
    case .readIndexResponse: receiveReadIndexResponse(message)
    default: break
    }
    return .taken
  }

  private mutating func stepLeader(_ message: Message) -> StepOutcome {
    switch message.kind {
    case .propose: return proposeEntries(message.entries)
    case .readIndex:
      readIndex(.peer(message.from, context: message.entries[0].data))
      return .taken
    default: break
    }
    guard let position = progress.position(of: message.from) else {
      tracer.debug("\(id.hex) no progress available for \(message.from.hex)")
      return .taken
    }
    switch message.kind {
    case .appendResponse: receiveAppendResponse(message, position)
    case .heartbeatResponse: receiveHeartbeatResponse(message, position)
    case .transferLeader: startTransfer(to: message.from, position)
    default: break
    }
    return .taken
  }
}

extension Message.Kind {
  /// Answers, which only members give.
  var isResponse: Bool {
    switch self {
    case .appendResponse, .voteResponse, .heartbeatResponse, .unreachable, .readIndexResponse,
      .preVoteResponse, .storageAppendResponse, .storageApplyResponse:
      true
    case .hup, .beat, .propose, .append, .vote, .snapshot, .heartbeat, .snapshotStatus, .checkQuorum,
      .transferLeader, .timeoutNow, .readIndex, .preVote, .storageAppend, .storageApply, .forgetLeader:
      false
    }
  }
}
