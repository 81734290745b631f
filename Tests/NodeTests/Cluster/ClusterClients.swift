import Model
import Node
import Primitives
import Raft
import Replica
import Store

/// What happened in a run: a simulation in which nothing happens proves nothing.
struct ClusterCounts {
  var crashes = 0
  var cleanStops = 0
  var partitions = 0
  var commits = 0
  var messages = 0
  var exports = 0
  var snapshots = 0
  var installations = 0
  var feedJumps = 0
  var digests = 0
  var removals = 0
  /// The operator's that succeeded.
  var operations = 0
  /// About leases, that a member passed on to the leader.
  var leaseQuestions = 0
}

extension ClusterSimulation {
  func anyMember() -> Int { Int.random(in: 0..<members.count, using: &random) }

  func request(_ client: Int) throws {
    guard isLoadOn else { return }
    guard history.submitted < personality.requestsMax || !areFaultsOn else {
      // Enough for now; what comes after healing is another matter.
      return time.schedule(.request(client: client), after: 100 * millisecond)
    }
    let position = homes[client]
    let member = members[position]
    guard let node = member.node, member.isServing else {
      homes[client] = anyMember()
      return time.schedule(.request(client: client), after: 20 * millisecond)
    }
    switch workload.next(&random) {
    case .write(let operation):
      let ticket = history.submit(.write(operation), client: client, member: member.id)
      waiting[client] = ticket
      // The user name is free to carry the ticket, by which the checks find the entry in the log.
      post(
        .replica(
          .propose(
            Proposal(
              ticket: Ticket(ticket), operation: RaftCommand(operation: operation).encoded(),
              username: "\(ticket)"))), to: position)
    case .read(let range, isLinearizable: true):
      let ticket = history.submit(.read(range), client: client, member: member.id)
      waiting[client] = ticket
      post(.replica(.readIndex(Ticket(ticket))), to: position)
    case .read(let range, isLinearizable: false):
      let ticket = history.submit(.read(range), client: client, member: member.id)
      try read(node, ticket, range, isLinearizable: false)
      time.schedule(.request(client: client), after: pause(personality.thinkTime))
    }
  }

  func read(_ node: ClusterNode, _ ticket: UInt64, _ range: RangeRequest, isLinearizable: Bool) throws {
    let view = try node.store.view()
    defer { view.end() }
    var body = ProtoWriter()
    guard case .success(let revision) = try RangeEvaluator.range(range, in: view, body: &body) else {
      throw fail("a range of the latest revision was refused")
    }
    note(ticket, view.appliedIndex, UInt64(revision))
    note(body.bytes)
    workload.knownRevision = max(workload.knownRevision, revision)
    try history.answer(
      read: ticket, range, at: view.appliedIndex, revision: revision, body: body.bytes,
      isLinearizable: isLinearizable)
  }

  /// Lets the client of an answered ticket go on.
  func proceed(_ ticket: UInt64) {
    guard let client = waiting.firstIndex(of: ticket) else { return leaseProceed(ticket) }
    waiting[client] = nil
    if random.chance(1, in: 20) { homes[client] = anyMember() }
    time.schedule(.request(client: client), after: pause(personality.thinkTime))
  }

  // MARK: Observation

  /// Notes the hash of some member's state at some revision, to be compared with the model's.
  func observe() throws {
    time.schedule(.observe, after: pause(100 * millisecond))
    guard let node = members[anyMember()].node else { return }
    try noteHash(node)
  }

  private func noteHash(_ node: ClusterNode) throws {
    let view = try node.store.view()
    defer { view.end() }
    guard view.appliedIndex > 0 else { return }
    let lowest = max(view.compactRevision, 1)
    let at =
      random.chance(1, in: 2)
      ? view.revision : Int64.random(in: lowest...max(lowest, view.revision), using: &random)
    guard case .success(var hash) = try KeyValueHash.start(at, in: view) else {
      throw fail("HashKV refused revision \(at)")
    }
    while true {
      if case .done(let value) = try hash.advance(rows: 50) {
        note(view.appliedIndex, UInt64(value))
        return history.noteHash(at: view.appliedIndex, revision: at, hash: value)
      }
    }
  }

  /// After healing: everybody is up, agrees, and has answered everything.
  func finish(answeredBefore: Int) throws {
    guard history.outstanding == 0 else { throw fail("\(history.outstanding) requests were never answered") }
    guard history.answeredWrites > answeredBefore else {
      throw fail("no write was answered after healing:\n\(description)")
    }
    var revision: Int64 = 0
    let leasedKeys = try history.leasedKeys()
    for member in present {
      guard let node = member.node else { throw fail("member \(member.id) is down at the end") }
      guard node.opened.node.appliedIndex == history.lastLogIndex else {
        let found = "\(node.opened.node.appliedIndex) of \(history.lastLogIndex) entries"
        throw fail("member \(member.id) has applied \(found), \(node.opened.node.leadership)")
      }
      try noteHash(node)
      let hashes = try node.store.verifySetHash()
      guard hashes.stored == hashes.computed else { throw fail("set-hash differs on \(member.id)") }
      let view = try node.store.view()
      revision = view.revision
      view.end()
      try checkLeases(member, node, keys: leasedKeys)
    }
    try history.check(appliedIndex: history.lastLogIndex, revision: revision)
    note(history.lastLogIndex, UInt64(revision))
  }

  private var description: String {
    members.map { member in
      guard let node = member.node else {
        return "\(member.id) is \(member.isRemoved ? "removed" : "down")"
      }
      let last = node.opened.node.lastIndex
      let commit = node.opened.node.commitIndex
      let applied = node.opened.node.appliedIndex
      let knows = "knows \(node.opened.node.memberIDs), removed \(member.knownRemoved.sorted())"
      return
        "\(member.id) \(node.opened.node.leadership) last \(last) commit \(commit) applied \(applied) \(knows)"
    }.joined(separator: "\n")
  }

  /// Those that are in the configuration of whoever knows most.
  private var present: [ClusterMember] {
    let running = members.compactMap { member in member.node.map { (member, $0) } }
    guard
      let wisest = running.max(by: { $0.1.opened.node.appliedIndex < $1.1.opened.node.appliedIndex })?.1
    else { return [] }
    let ids = wisest.opened.node.memberIDs
    return members.filter { ids.contains($0.id) }
  }
}
