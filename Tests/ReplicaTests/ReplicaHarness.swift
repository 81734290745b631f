import Model
import Raft
import Replica

/// A replica whose disk and apply stage work when told to, and what it asked for.
final class ReplicaHarness {
  var machine: ReplicaMachine
  private var effects: [ReplicaEffect] = []
  private(set) var writes: [LogAppend] = []
  private(set) var batches: [ApplyBatch] = []
  private(set) var replies: [Ticket: ClientError] = [:]
  /// Tickets that apply answered, with the index of their entry.
  private(set) var applied: [Ticket: UInt64] = [:]
  private(set) var readsReady: [Ticket: UInt64] = [:]
  private(set) var leaseAnswers: [Ticket: LeaseAnswer] = [:]
  /// Questions that go to the leader, and to whom.
  private(set) var asked: [Ticket: (question: LeaseQuestion, leader: UInt64)] = [:]
  private(set) var transferred: [Ticket] = []
  private(set) var sent: [Message] = []
  private(set) var commands: [RaftCommand] = []
  private(set) var isPublished = false
  /// What the store would hold, and the lease that each granting ticket got.
  private(set) var leases: [LeaseRecord] = []
  private(set) var granted: [Ticket: Int64] = [:]
  /// Applied revocations, and whether the member itself asked for them.
  private(set) var revocations: [(id: Int64, isOwn: Bool)] = []
  /// Messages of `sent` that `peersAnswer` has seen.
  private var answeredCount = 0

  static func configuration(
    memberID: UInt64 = 0x1122_3344_5566_7788, limits: ReplicaLimits = ReplicaLimits()
  ) -> ReplicaConfiguration {
    ReplicaConfiguration(
      raft: RaftConfiguration(memberID: memberID, seed: 5), clusterID: 1,
      startMilliseconds: 1_700_000_000_123,
      name: "m1", clientURLs: ["http://127.0.0.1:2379"], clusterVersion: "3.7.0", limits: limits)
  }

  /// A new cluster of this member and `others`.
  init(others: [UInt64] = [], limits: ReplicaLimits = ReplicaLimits()) {
    let configuration = Self.configuration(limits: limits)
    let members = ([configuration.raft.memberID] + others).map { id in
      Member(id: id, peerURLs: ["http://127.0.0.1:2380"], name: "m\(id)")
    }
    machine = ReplicaMachine(configuration: configuration, bootstrapping: members)
    flush()
  }

  /// A member that ran before, with what its store held; its log is empty behind that.
  init(voters: [UInt64], leases: [LeaseRecord], term: UInt64, appliedIndex: UInt64) {
    var configuration = Self.configuration()
    configuration.startMilliseconds += appliedIndex
    self.leases = leases
    machine = ReplicaMachine(
      configuration: configuration,
      recovery: RaftRecovery(
        hardState: HardState(term: term, vote: 0, commit: appliedIndex), compactedIndex: appliedIndex,
        compactedTerm: term, entries: [], confState: ConfState(voters: voters), appliedIndex: appliedIndex),
      clusterVersion: configuration.clusterVersion)
    machine.restoreLeases(leases)
    flush()
  }

  var memberID: UInt64 { machine.configuration.raft.memberID }

  func handle(_ input: ReplicaInput) {
    machine.handle(input, &effects)
    take()
  }

  func flush() {
    machine.flush(&effects)
    take()
  }

  private func take() {
    for effect in effects {
      switch effect {
      case .append(let append): writes.append(append)
      case .apply(let batch): batches.append(batch)
      case .reply(let ticket, let error):
        precondition(replies[ticket] == nil && applied[ticket] == nil, "answered twice")
        replies[ticket] = error
      case .readReady(let tickets, let index):
        for ticket in tickets {
          precondition(replies[ticket] == nil && readsReady[ticket] == nil, "answered twice")
          readsReady[ticket] = index
        }
      case .lease(let ticket, let answer):
        precondition(replies[ticket] == nil && leaseAnswers[ticket] == nil, "answered twice")
        leaseAnswers[ticket] = answer
      case .send(let message): sent.append(message)
      case .askLeader(let ticket, let question, let leader):
        precondition(asked[ticket] == nil && replies[ticket] == nil, "answered twice")
        asked[ticket] = (question, leader)
      case .transferred(let ticket): transferred.append(ticket)
      case .published: isPublished = true
      case .leadershipChanged, .messageRefused, .readLog: break
      }
    }
    effects.removeAll()
  }

  func write() {
    guard let last = writes.last else { return }
    writes.removeAll()
    handle(.appended(sequence: last.sequence))
    flush()
  }

  func apply() {
    let waiting = batches
    batches.removeAll()
    for batch in waiting {
      var changes: [LeaseChange] = []
      for (entry, ticket) in zip(batch.entries, batch.tickets) {
        if let ticket {
          precondition(replies[ticket] == nil && applied[ticket] == nil, "answered twice")
          applied[ticket] = entry.index
        }
        if entry.kind == .normal, !entry.data.isEmpty, let command = try? RaftCommand(decoding: entry.data) {
          commands.append(command)
          if let change = change(command.operation, ticket) { changes.append(change) }
        }
      }
      if !changes.isEmpty { handle(.leasesChanged(changes)) }
      if let last = batch.entries.last { handle(.applied(index: last.index)) }
    }
    flush()
  }

  private func change(_ operation: RaftCommand.Operation, _ ticket: Ticket?) -> LeaseChange? {
    switch operation {
    case .leaseGrant(let grant):
      guard !leases.contains(where: { $0.id == grant.id }) else { return nil }
      leases.append(LeaseRecord(id: grant.id, ttlSeconds: grant.ttl))
      if let ticket { granted[ticket] = grant.id }
      return .granted(id: grant.id, ttlSeconds: grant.ttl)
    case .leaseRevoke(let id):
      guard let position = leases.firstIndex(where: { $0.id == id }) else { return nil }
      leases.remove(at: position)
      revocations.append((id, ticket == nil))
      return .revoked(id: id, keys: keysPerLease)
    default: return nil
    }
  }

  /// How many keys each lease is said to hold.
  var keysPerLease = 1

  /// Until nothing is under way.
  func work() {
    repeat {
      flush()
      write()
      apply()
    } while !writes.isEmpty || !batches.isEmpty
  }

  func ticks(_ count: Int) { for _ in 0..<count { handle(.tick) } }

  func put(_ ticket: UInt64, bytes: Int = 1) {
    let command = RaftCommand(operation: .put(PutRequest(key: [1], value: Array(repeating: 2, count: bytes))))
    handle(.propose(Proposal(ticket: Ticket(ticket), operation: command.encoded())))
  }

  func read(_ ticket: UInt64) { handle(.readIndex(Ticket(ticket))) }

  /// Another member as the leader of `term`.
  func follow(_ leader: UInt64, term: UInt64) {
    handle(.message(Message(kind: .heartbeat, to: memberID, from: leader, term: term)))
    flush()
  }

  // MARK: Leases

  func grant(_ ticket: UInt64, ttl: Int64, id: Int64 = 0) {
    handle(.leaseGrant(Ticket(ticket), LeaseGrant(id: id, ttl: ttl)))
  }

  func renew(_ ticket: UInt64, _ id: Int64) { handle(.leaseRenew(Ticket(ticket), id: id)) }

  func timeToLive(_ ticket: UInt64, _ id: Int64) { handle(.leaseTimeToLive(Ticket(ticket), id: id)) }

  func revoke(_ ticket: UInt64, _ id: Int64) {
    let command = RaftCommand(operation: .leaseRevoke(id: id))
    handle(.propose(Proposal(ticket: Ticket(ticket), operation: command.encoded())))
  }

  // MARK: Other members

  /// One of the others grants every vote and takes every entry.
  func peersAnswer(_ peer: UInt64 = 2) {
    while answeredCount < sent.count {
      let message = sent[answeredCount]
      answeredCount += 1
      guard message.to == peer else { continue }
      var answer = Message(kind: .voteResponse, to: memberID, from: peer, term: message.term)
      switch message.kind {
      case .vote: break
      case .preVote: answer.kind = .preVoteResponse
      case .append:
        answer.kind = .appendResponse
        answer.index = message.index + UInt64(message.entries.count)
      case .heartbeat:
        answer.kind = .heartbeatResponse
        answer.context = message.context
      default: continue
      }
      handle(.message(answer))
    }
    flush()
  }

  /// Messages so far are lost.
  func forgetMessages() { answeredCount = sent.count }

  /// Until nothing is under way, with the help of one of the others.
  func workTogether() {
    repeat {
      work()
      peersAnswer()
    } while !writes.isEmpty || !batches.isEmpty || answeredCount < sent.count
  }

  /// Campaigns when it is time to, and wins.
  func win() {
    for _ in 0..<100 where machine.leadership.role != .leader {
      handle(.tick)
      workTogether()
    }
    workTogether()
  }
}
