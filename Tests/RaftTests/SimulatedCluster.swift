import Model
import Primitives
import Raft

/// A violated property of Raft, with what a person needs to see it again.
struct Violation: Error, CustomStringConvertible {
  var description: String
}

/// Members in one memory, messages that are lost, repeated and reordered, disks that forget; after each step the
/// safety properties of the Raft paper and its TLA+ model are checked.
struct SimulatedCluster {
  var members: [SimulatedMember]
  var network: [Message] = []
  var random: SeededRandom
  let limits: RaftLimits
  /// Index -> the entry some member took for committed, and the configuration after it.
  private(set) var committed: [UInt64: Entry] = [:]
  private var confStates: [UInt64: ConfState] = [:]
  private var leaders: [UInt64: UInt64] = [:]
  /// Member -> term and last index when it was last seen leading.
  private var leaderLogs: [UInt64: (term: UInt64, last: UInt64)] = [:]
  private var checkedCommits: [UInt64: UInt64] = [:]
  private var reads: [UInt64: UInt64] = [:]
  private var lastRead: UInt64 = 0
  private(set) var readsAnswered = 0
  private(set) var snapshots = 0
  private(set) var changes = 0
  /// How often a peer was sent what its leader had to read back from its disk.
  var diskReads: Int { members.reduce(0) { $0 + $1.diskReadsServed } }
  private var proposals: UInt64 = 0

  /// `size` members that bootstrap the cluster, and `joiners` that know nothing.
  init(
    size: Int, joiners: Int = 0, seed: UInt64, limits: RaftLimits = RaftLimits(),
    configure: (inout RaftConfiguration) -> Void = { _ in }
  ) {
    random = SeededRandom(seed: seed)
    self.limits = limits
    members = []
    let initial = (1...UInt64(size)).map { $0 }
    for id in 1...UInt64(size + joiners) {
      var configuration = RaftConfiguration(memberID: id, seed: seed &* 31 &+ id, limits: limits)
      configure(&configuration)
      let isInitial = id <= UInt64(size)
      members.append(
        SimulatedMember(
          configuration, confState: ConfState(), baseIndex: 0, bootstrap: isInitial ? initial : []))
    }
  }

  /// The highest index that any member knows to be committed.
  var commitIndex: UInt64 { members.map(\.commitSeen).max() ?? 0 }

  var leader: SimulatedMember? {
    members.filter { $0.machine.leadership.role == .leader }.max { $0.machine.term < $1.machine.term }
  }

  /// The members of the configuration that the one who knows most has applied, and those of whom one of these does
  /// not know yet that they were removed: it may need their vote to find out.
  var activeMembers: [SimulatedMember] {
    guard let wisest = members.max(by: { $0.appliedIndex < $1.appliedIndex }) else { return [] }
    let ids = Self.ids(wisest.confState)
    let known = Set(members.filter { ids.contains($0.id) }.flatMap { Self.ids($0.confState) }).union(ids)
    return members.filter { known.contains($0.id) }
  }

  private static func ids(_ state: ConfState) -> Set<UInt64> {
    Set(state.voters + state.votersOutgoing + state.learners + state.learnersNext)
  }

  /// Whether all members follow a leader that may confirm reads. One that others have outgrown does not count.
  var isLed: Bool {
    guard let leader, leader.machine.hasCommittedInTerm else { return false }
    // One that was removed may still lead, and is to be replaced.
    let active = activeMembers
    return active.contains { $0.id == leader.id }
      && active.allSatisfy {
        $0.machine.leadership.leader == leader.id && $0.machine.term == leader.machine.term
      }
  }

  var description: String {
    members.map { member in
      let machine = member.machine.leadership
      let marks = "applied \(member.appliedIndex) commit \(member.commitSeen)"
      let log =
        "log \(member.machine.firstIndex)...\(member.machine.lastIndex) stable \(member.machine.stableIndex)"
      return
        "\(member.id) \(machine) \(marks) \(log) \(member.machine.confState) \(member.machine.progressDescription)"
    }.joined(separator: "\n")
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

  /// Some change of the configuration that keeps a voter.
  mutating func proposeChange(at member: SimulatedMember) {
    let kinds: [ConfChange.Kind] = [.addNode, .addNode, .addLearnerNode, .removeNode]
    var changes: [ConfChangeSingle] = []
    for _ in 0..<Int.random(in: 1...3, using: &random) {
      let kind = kinds[Int.random(in: 0..<kinds.count, using: &random)]
      let id = UInt64.random(in: 1...UInt64(members.count), using: &random)
      changes.append(ConfChangeSingle(kind: kind, nodeID: id))
    }
    let transitions = ConfChangeV2.Transition.allCases
    var change = ConfChangeV2(
      transition: transitions[Int.random(in: 0..<transitions.count, using: &random)], changes: changes)
    let state = member.machine.confState
    if !state.votersOutgoing.isEmpty { change = ConfChangeV2() }
    // Only a change that fits: the caller of Raft checks that, as etcd's server does.
    if state.applying(change) != nil { _ = member.propose(change) }
  }

  mutating func flush(_ member: SimulatedMember) throws {
    let commitBefore = member.commitSeen
    let effects = member.flush()
    if member.machine.commitIndex < commitBefore { throw Violation(description: "commit went back") }
    for effect in effects {
      switch effect {
      case .append(let append): if append.snapshot != nil { snapshots += 1 }
      case .send(let message):
        try check(promise: message, by: member)
        network.append(message)
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
      case .readDropped, .readLog: break
      case .leadershipChanged(let leadership):
        if leadership.role == .leader { try note(leader: member, term: leadership.term) }
      case .messageRefused(let from, let kind, let fault):
        throw Violation(description: "\(member.id) refused \(kind) from \(from): \(fault)")
      }
    }
    try check(member)
  }

  mutating func apply(_ member: SimulatedMember, _ count: Int) throws {
    // One by one: what is committed is checked against the configuration of that moment.
    for _ in 0..<count {
      try check(member)
      let before = member.confState
      guard let entry = member.apply(1).first else { break }
      if member.confState != before { changes += 1 }
      // All members have the same configuration after the same entry.
      if let known = confStates[entry.index], known != member.confState {
        throw Violation(description: "two configurations after \(entry.index)")
      }
      confStates[entry.index] = member.confState
    }
    try check(member)
  }

  mutating func deliver(_ message: Message) throws {
    let receiver = members[Int(message.to) - 1]
    receiver.handle(.message(message))
    try check(receiver)
  }
}

// MARK: - Properties

extension SimulatedCluster {
  /// What a message promises is durable when it is sent.
  private func check(promise message: Message, by member: SimulatedMember) throws {
    let disk = member.diskHardState
    let isKept: Bool
    switch message.kind {
    case .vote: isKept = disk.term >= message.term
    case .voteResponse where !message.reject:
      isKept = disk.term > message.term || (disk.term == message.term && disk.vote == message.to)
    case .appendResponse where !message.reject && message.index > 0:
      isKept = disk.term >= message.term && member.diskBase + UInt64(member.disk.count) >= message.index
    default: isKept = true
    }
    if !isKept { throw Violation(description: "\(member.id) sent \(message) before it was durable") }
  }

  private mutating func note(committed entry: Entry, by member: SimulatedMember) throws {
    if let known = committed[entry.index] {
      if known != entry { throw Violation(description: "two entries committed at \(entry.index)") }
    } else {
      committed[entry.index] = entry
    }
    if member.durable(entry.index) != entry {
      throw Violation(
        description: "\(entry.index) handed out by \(member.id), which does not have it durable")
    }
  }

  private mutating func note(leader: SimulatedMember, term: UInt64) throws {
    if let other = leaders[term], other != leader.id {
      throw Violation(description: "\(other) and \(leader.id) lead term \(term)")
    }
    leaders[term] = leader.id
    for (index, entry) in committed
    where index >= leader.machine.firstIndex && leader.machine.term(at: index) != entry.term {
      throw Violation(description: "leader \(leader.id) of term \(term) lacks committed entry \(index)")
    }
  }

  private mutating func check(_ member: SimulatedMember) throws {
    guard member.machine.appliedIndex <= member.machine.commitIndex,
      member.machine.commitIndex <= member.machine.lastIndex,
      member.machine.stableIndex <= member.machine.lastIndex
    else { throw Violation(description: "\(member.id): the marks of the log are out of order") }
    guard member.machine.leadership.role == .leader else {
      leaderLogs[member.id] = nil
      checkedCommits[member.id] = nil
      return
    }
    try checkLeader(member)
  }

  private mutating func checkLeader(_ member: SimulatedMember) throws {
    let term = member.machine.term
    if let seen = leaderLogs[member.id], seen.term == term, seen.last > member.machine.lastIndex {
      throw Violation(description: "leader \(member.id) dropped entries of its log")
    }
    leaderLogs[member.id] = (term, member.machine.lastIndex)
    if let before = checkedCommits[member.id], member.machine.commitIndex > before {
      try checkQuorumHolds(member.machine.commitIndex, member)
    }
    checkedCommits[member.id] = member.machine.commitIndex
    for peer in member.machine.flow where peer.id != member.id {
      if peer.messages > limits.inflightMessages || peer.match >= peer.next {
        throw Violation(description: "\(member.id) to \(peer.id): \(peer)")
      }
    }
    let open = member.machine.entries(from: commitIndex + 1, maxCount: .max).filter { $0.kind != .normal }
    if open.count > 1 { throw Violation(description: "\(open.count) changes of the configuration are open") }
  }

  /// A leader's commit is durable on a quorum of each half of its configuration, learners aside.
  private func checkQuorumHolds(_ index: UInt64, _ leader: SimulatedMember) throws {
    guard let entry = leader.machine.entries(from: index, maxCount: 1).first else { return }
    if entry.term != leader.machine.term {
      throw Violation(description: "\(index) of term \(entry.term) committed by counting")
    }
    let state = leader.machine.confState
    for half in [state.voters, state.votersOutgoing] where !half.isEmpty {
      let holders = half.filter { id in members[Int(id) - 1].holds(entry) }
      if holders.count < half.count / 2 + 1 {
        throw Violation(description: "\(index) committed while durable on \(holders) of \(half)")
      }
    }
  }

  /// If two logs hold an entry of the same index and term, they agree up to it.
  func checkLogMatching() throws {
    for (position, one) in members.enumerated() {
      for other in members[(position + 1)...] {
        let first = max(one.machine.firstIndex, other.machine.firstIndex)
        var index = min(one.machine.lastIndex, other.machine.lastIndex)
        while index >= first, one.machine.term(at: index) != other.machine.term(at: index) { index -= 1 }
        guard index >= first else { continue }
        let count = Int(index - first + 1)
        if one.machine.entries(from: first, maxCount: count)
          != other.machine.entries(from: first, maxCount: count)
        {
          throw Violation(description: "logs of \(one.id) and \(other.id) differ below \(index)")
        }
      }
    }
  }

  /// Everything works again for those who are members: until nothing is under way, messages arrive in order, disks
  /// finish, entries apply. Snapshots that were lost are reported.
  mutating func settle() throws {
    for member in members {
      for peer in members where peer.id != member.id {
        member.handle(.snapshotReported(peer: peer.id, succeeded: false))
      }
    }
    for _ in 0..<10_000 {
      let active = activeMembers
      for member in active { try flush(member) }
      let isQuiet = network.isEmpty && active.allSatisfy { $0.writes.isEmpty && $0.toApply.isEmpty }
      if isQuiet { return }
      let messages = network
      network.removeAll()
      for message in messages where active.contains(where: { $0.id == message.to }) {
        try deliver(message)
      }
      for member in active {
        member.completeWrites(member.writes.count)
        try apply(member, member.toApply.count)
      }
    }
    throw Violation(description: "does not come to rest")
  }
}
