import Model
import Primitives
import Raft

/// A violated property of Raft, with what a person needs to see it again.
struct Violation: Error, CustomStringConvertible {
  var description: String
}

/// Members in one memory, messages that are lost, repeated and reordered, disks that forget; after each step the
/// safety properties of the Raft paper are checked.
struct SimulatedCluster {
  var members: [SimulatedMember]
  var network: [Message] = []
  var random: SeededRandom
  /// Index -> the entry some member took for committed.
  private(set) var committed: [UInt64: Entry] = [:]
  private var leaders: [UInt64: UInt64] = [:]
  private var reads: [UInt64: UInt64] = [:]
  private var lastRead: UInt64 = 0
  private(set) var readsAnswered = 0
  private(set) var elections = 0
  private var proposals: UInt64 = 0

  init(size: Int, seed: UInt64, limits: RaftLimits = RaftLimits()) {
    let ids = (1...UInt64(size)).map { $0 }
    random = SeededRandom(seed: seed)
    members = ids.map { SimulatedMember(id: $0, voters: ids, limits: limits, seed: seed &* 31 &+ $0) }
  }

  /// The highest index that any member knows to be committed.
  var commitIndex: UInt64 { members.map(\.commitSeen).max() ?? 0 }

  var leader: SimulatedMember? {
    members.filter { $0.machine.leadership.role == .leader }.max { $0.machine.term < $1.machine.term }
  }

  /// Whether all members follow a leader that may confirm reads. A leader that others have outgrown does not count.
  var isLed: Bool {
    guard let leader, leader.machine.hasCommittedInTerm else { return false }
    return members.allSatisfy {
      $0.machine.leadership.leader == leader.id && $0.machine.term == leader.machine.term
    }
  }

  mutating func propose(at member: SimulatedMember) {
    proposals += 1
    _ = member.propose(Array("\(proposals)".utf8))
  }

  mutating func read(at member: SimulatedMember) {
    lastRead += 1
    reads[lastRead] = commitIndex
    member.handle(.readIndex(context: lastRead))
  }

  mutating func flush(_ member: SimulatedMember) throws {
    let commitBefore = member.commitSeen
    let effects = member.flush()
    if member.machine.commitIndex < commitBefore { throw Violation(description: "commit went back") }
    for effect in effects {
      switch effect {
      case .append: break
      case .send(let message): network.append(message)
      case .committed(let entries): for entry in entries { try note(committed: entry, by: member) }
      case .readReady(let context, let index):
        // A repeated message answers a read again; each answer must be good.
        guard let wanted = reads[context] else {
          throw Violation(description: "read \(context) was never asked")
        }
        if index < wanted {
          throw Violation(description: "stale read: index \(index), committed before it \(wanted)")
        }
        readsAnswered += 1
      case .readDropped: break
      case .leadershipChanged(let leadership):
        if leadership.role == .leader { try note(leader: member, term: leadership.term) }
      case .messageRefused(let from, let kind, let fault):
        throw Violation(description: "\(member.id) refused \(kind) from \(from): \(fault)")
      }
    }
  }

  private mutating func note(committed entry: Entry, by member: SimulatedMember) throws {
    if let known = committed[entry.index] {
      if known != entry { throw Violation(description: "two entries committed at \(entry.index)") }
    } else {
      committed[entry.index] = entry
    }
    let holders = members.filter { $0.durable(entry.index) == entry }.count
    if holders < members.count / 2 + 1 {
      throw Violation(description: "\(entry.index) committed while durable on \(holders)")
    }
    if member.durable(entry.index) != entry {
      throw Violation(
        description: "\(entry.index) handed out by \(member.id), which does not have it durable")
    }
  }

  private mutating func note(leader: SimulatedMember, term: UInt64) throws {
    elections += 1
    if let other = leaders[term], other != leader.id {
      throw Violation(description: "\(other) and \(leader.id) lead term \(term)")
    }
    leaders[term] = leader.id
    for (index, entry) in committed
    where index >= leader.machine.firstIndex && leader.machine.term(at: index) != entry.term {
      throw Violation(description: "leader \(leader.id) of term \(term) lacks committed entry \(index)")
    }
  }

  /// If two logs hold an entry of the same index and term, they agree up to it.
  func checkLogMatching() throws {
    for (position, one) in members.enumerated() {
      for other in members[(position + 1)...] {
        var index = min(one.machine.lastIndex, other.machine.lastIndex)
        while index > 0, one.machine.term(at: index) != other.machine.term(at: index) { index -= 1 }
        let mine = one.machine.entries(from: 1, maxCount: Int(index))
        if mine != other.machine.entries(from: 1, maxCount: Int(index)) {
          throw Violation(description: "logs of \(one.id) and \(other.id) differ below \(index)")
        }
      }
    }
  }

  /// Everything works again: until nothing is under way, messages arrive in order, disks finish, entries apply.
  mutating func settle() throws {
    for _ in 0..<10_000 {
      for member in members { try flush(member) }
      let isQuiet = network.isEmpty && members.allSatisfy { $0.writes.isEmpty && $0.toApply.isEmpty }
      if isQuiet { return }
      let messages = network
      network.removeAll()
      for message in messages { members[Int(message.to) - 1].handle(.message(message)) }
      for member in members {
        member.completeWrites(member.writes.count)
        _ = member.apply(member.toApply.count)
      }
    }
    throw Violation(description: "does not come to rest")
  }
}
