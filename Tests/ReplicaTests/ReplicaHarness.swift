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
  private(set) var sent: [Message] = []
  private(set) var commands: [RaftCommand] = []
  private(set) var isPublished = false

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
      case .published: isPublished = true
      case .leadershipChanged, .messageRefused: break
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
      for (entry, ticket) in zip(batch.entries, batch.tickets) {
        if let ticket {
          precondition(replies[ticket] == nil && applied[ticket] == nil, "answered twice")
          applied[ticket] = entry.index
        }
        if entry.kind == .normal, !entry.data.isEmpty, let command = try? RaftCommand(decoding: entry.data) {
          commands.append(command)
        }
      }
      if let last = batch.entries.last { handle(.applied(index: last.index)) }
    }
    flush()
  }

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
}
