internal import Model
internal import Raft

/// Requests to move leadership that wait until it has moved.
struct LeadershipTransfers {
  /// In the order of their arrival.
  private var waiting: [(ticket: Ticket, target: UInt64, tick: UInt64)] = []

  mutating func add(_ ticket: Ticket, to target: UInt64, tick: UInt64) {
    waiting.append((ticket, target, tick))
  }

  var count: Int { waiting.count }

  /// Takes the requests that wanted `leader`.
  mutating func takeDone(leader: UInt64) -> [Ticket] { take { $0.target == leader } }

  mutating func takeExpired(arrivedBy tick: UInt64) -> [Ticket] { take { $0.tick <= tick } }

  private mutating func take(_ isTaken: ((ticket: Ticket, target: UInt64, tick: UInt64)) -> Bool) -> [Ticket]
  {
    guard !waiting.isEmpty else { return [] }
    let taken = waiting.filter(isTaken).map(\.ticket)
    waiting.removeAll(where: isTaken)
    return taken
  }
}

// Moving leadership on demand: MoveLeader, and the leader's last act before it stops.
extension ReplicaMachine {
  mutating func transferLeadership(_ ticket: Ticket, to wanted: UInt64, _ effects: inout [ReplicaEffect]) {
    if isStopped { return effects.append(.reply(ticket, .serverStopped)) }
    let memberID = configuration.raft.memberID
    guard raft.leadership.role == .leader else {
      return effects.append(wanted == 0 ? .transferred(ticket) : .reply(ticket, .notLeader))
    }
    guard wanted != 0 else {
      guard let target = bestSuccessor else { return effects.append(.transferred(ticket)) }
      return startTransfer(ticket, to: target)
    }
    guard raft.confState.voters.contains(wanted) else {
      return effects.append(.reply(ticket, .badLeaderTransferee))
    }
    if wanted == memberID { return effects.append(.transferred(ticket)) }
    guard waitingCount < configuration.limits.waitingRequests else {
      return effects.append(.reply(ticket, .tooManyRequests))
    }
    startTransfer(ticket, to: wanted)
  }

  private mutating func startTransfer(_ ticket: Ticket, to target: UInt64) {
    transfers.add(ticket, to: target, tick: nowTick)
    raft.handle(.transferLeadership(to: target), &raftEffects)
  }

  /// The voter heard of lately that holds most of the log; nil: there is none, and the cluster elects its next leader
  /// when it misses this one.
  private var bestSuccessor: UInt64? {
    let candidates = raft.peers.filter { peer in
      peer.id != configuration.raft.memberID && peer.isRecentlyActive && !peer.isLearner
    }
    return candidates.max { ($0.match, $1.id) < ($1.match, $0.id) }?.id
  }
}
