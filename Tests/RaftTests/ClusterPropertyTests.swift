import Foundation
import Model
import Primitives
import Raft
import Testing

/// The Raft paper's properties under loss, repetition, reordering, partitions and crashes that lose unsynced writes.
///
/// `CAIRN_SEEDS=n` runs that many seeds.
@Suite struct ClusterPropertyTests {
  /// How much of what goes wrong in a run; every run has its own mix.
  private struct Faults {
    var loss: Int
    var repetition: Int
    var crashes: Int
    var changes: Int
    var transfers: Int
    var partitions: Int

    init(_ random: inout SeededRandom, changes hasChanges: Bool) {
      loss = Int.random(in: 0...3, using: &random)
      repetition = Int.random(in: 0...2, using: &random)
      crashes = Int.random(in: 0...2, using: &random)
      changes = hasChanges ? Int.random(in: 1...4, using: &random) : 0
      transfers = Int.random(in: 0...1, using: &random)
      partitions = Int.random(in: 0...1, using: &random)
    }
  }

  private static let seeds =
    1...(ProcessInfo.processInfo.environment["CAIRN_SEEDS"].flatMap(UInt64.init) ?? 160)

  @Test(arguments: [1, 2, 3, 5])
  func safetyAndLiveness(size: Int) throws {
    var diskReads = 0
    for seed in Self.seeds {
      do {
        _ = try run(size: size, joiners: 0, seed: seed, readsDisk: false)
        diskReads += try run(size: size, joiners: 0, seed: seed, readsDisk: true).diskReads
      } catch {
        Issue.record("size \(size), seed \(seed): \(error)")
        return
      }
    }
    #expect(diskReads > 40 || size < 3)
  }

  /// Members come, learn, are promoted, leave; some have to be caught up with snapshots.
  @Test(arguments: [1, 3, 4])
  func changingMembers(size: Int) throws {
    var totals = (changes: 0, snapshots: 0, diskReads: 0)
    for seed in Self.seeds {
      do {
        let cluster = try run(size: size, joiners: 3, seed: seed &+ 1_000, readsDisk: false)
        totals.changes += cluster.changes
        totals.snapshots += cluster.snapshots
        totals.diskReads += try run(size: size, joiners: 3, seed: seed &+ 1_000, readsDisk: true).diskReads
      } catch {
        Issue.record("size \(size), seed \(seed): \(error)")
        return
      }
    }
    #expect(totals.changes > 400)
    #expect(totals.snapshots > 8)
    #expect(totals.diskReads > 10)
  }

  private func run(size: Int, joiners: Int, seed: UInt64, readsDisk: Bool) throws -> SimulatedCluster {
    var limits = RaftLimits()
    // Small bounds make the edges common.
    limits.catchUpEntries = 3
    limits.messageBytes = 24
    limits.inflightMessages = 5
    limits.inflightBytes = 40
    limits.applyBytes = 32
    let variety = seed
    var cluster = SimulatedCluster(size: size, joiners: joiners, seed: seed, limits: limits) {
      configuration in
      configuration.preVote = variety & 1 == 1
      configuration.checkQuorum = variety & 2 == 2
      configuration.stepDownOnRemoval = variety & 4 == 4
      configuration.hasSnapshots = true
    }
    // What is no longer in memory is sent from the disk, or else a snapshot.
    if readsDisk { for member in cluster.members { member.readsDisk = true } }
    let faults = Faults(&cluster.random, changes: joiners > 0)
    var cut: UInt64 = 0
    for step in 0..<1_500 {
      if faults.partitions > 0 && step.isMultiple(of: 150) {
        cut =
          cluster.random.chance(1, in: 2) ? UInt64.random(in: 1...UInt64(size), using: &cluster.random) : 0
      }
      try chaos(&cluster, faults, cut: cut)
      if step.isMultiple(of: 100) && size > 1 { try cluster.checkLogMatching() }
    }
    try recover(&cluster)
    return cluster
  }

  private func chaos(_ cluster: inout SimulatedCluster, _ faults: Faults, cut: UInt64) throws {
    let member = cluster.members[Int.random(in: 0..<cluster.members.count, using: &cluster.random)]
    switch Int.random(in: 0..<100, using: &cluster.random) {
    case 0..<50: try deliver(&cluster, faults, cut: cut)
    case 50..<65: member.completeWrites(Int.random(in: 0...3, using: &cluster.random))
    case 65..<73:
      try cluster.apply(member, Int.random(in: 0...4, using: &cluster.random))
      if cluster.random.chance(1, in: 3) { member.commitStore() }
    case 73..<81: member.handle(.tick)
    case 81..<88: cluster.propose(at: member)
    case 88..<91 where cluster.random.chance(faults.changes, in: 4): cluster.proposeChange(at: member)
    case 91..<94: cluster.read(at: member)
    case 94..<95 where cluster.random.chance(faults.crashes, in: 2):
      let survivors = Int.random(in: 0...member.writes.count, using: &cluster.random)
      member.crash(survivingWrites: survivors, seed: cluster.random.next())
    case 95..<96 where faults.transfers > 0:
      let heir = UInt64.random(in: 1...UInt64(cluster.members.count), using: &cluster.random)
      switch Int.random(in: 0..<3, using: &cluster.random) {
      case 0: member.handle(.transferLeadership(to: heir))
      case 1: member.handle(.forgetLeader)
      default: member.handle(.unreachable(peer: heir))
      }
    default: try cluster.flush(member)
    }
    // A storm of ticks without deliveries would fill the memory with messages.
    if cluster.network.count > 2_000 { cluster.network.removeFirst(1_000) }
  }

  private func deliver(_ cluster: inout SimulatedCluster, _ faults: Faults, cut: UInt64) throws {
    guard !cluster.network.isEmpty else { return }
    let position = Int.random(in: 0..<cluster.network.count, using: &cluster.random)
    let message = cluster.network.swapRemove(at: position)
    let isCut = cut != 0 && (message.from == cut || message.to == cut)
    if isCut || cluster.random.chance(faults.loss, in: 10) {
      if message.kind == .snapshot {
        cluster.members[Int(message.from) - 1].handle(
          .snapshotReported(peer: message.to, succeeded: cluster.random.chance(1, in: 8)))
      }
      return
    }
    if cluster.random.chance(faults.repetition, in: 10) { cluster.network.append(message) }
    let receiver = cluster.members[Int(message.to) - 1]
    try cluster.deliver(message)
    if cluster.random.chance(1, in: 2) { try cluster.flush(receiver) }
  }

  /// Without faults a leader must appear and everything must commit, apply and agree.
  private func recover(_ cluster: inout SimulatedCluster) throws {
    try cluster.settle()
    for _ in 0..<400 where !cluster.isLed {
      for member in cluster.activeMembers { member.handle(.tick) }
      try cluster.settle()
    }
    guard cluster.isLed, let leader = cluster.leader else {
      throw Violation(description: "no leader: \(cluster.description)")
    }
    let answered = cluster.readsAnswered
    cluster.propose(at: leader)
    cluster.read(at: leader)
    try cluster.settle()
    for _ in 0..<30 {
      for member in cluster.activeMembers { member.handle(.tick) }
      try cluster.settle()
    }
    if cluster.readsAnswered == answered {
      throw Violation(description: "a read was not answered: \(cluster.description)")
    }
    guard let leader = cluster.leader else { throw Violation(description: "the leader is gone") }
    if leader.machine.uncommittedPayload != 0 { throw Violation(description: "bytes left uncommitted") }
    for member in cluster.activeMembers {
      guard member.appliedIndex == leader.machine.lastIndex, member.confState == leader.confState else {
        throw Violation(
          description: "member \(member.id) is at \(member.appliedIndex) of \(leader.machine.lastIndex)")
      }
    }
    try cluster.checkLogMatching()
  }
}

extension Array {
  /// Takes an element out without moving the others up.
  fileprivate mutating func swapRemove(at position: Int) -> Element {
    swapAt(position, count - 1)
    return removeLast()
  }
}
