import Model
import Primitives
import Raft
import Testing

/// The Raft paper's properties under loss, repetition, reordering and crashes that lose unsynced writes.
@Suite struct ClusterPropertyTests {
  @Test(arguments: [1, 2, 3, 5])
  func safetyAndLiveness(size: Int) throws {
    for seed in UInt64(1)...150 {
      do {
        try run(size: size, seed: seed)
      } catch {
        Issue.record("size \(size), seed \(seed): \(error)")
        return
      }
    }
  }

  private func run(size: Int, seed: UInt64) throws {
    var limits = RaftLimits()
    // Small bounds make the edges common; the window must hold everything, since no snapshots are sent here.
    limits.catchUpEntries = size == 1 ? 8 : 1 << 20
    limits.messageBytes = 12
    limits.inflightEntries = 5
    limits.applyBytes = 16
    var cluster = SimulatedCluster(size: size, seed: seed, limits: limits)
    // Every run has its own mix of faults.
    let loss = Int.random(in: 0...3, using: &cluster.random)
    let repetition = Int.random(in: 0...2, using: &cluster.random)
    let crashes = Int.random(in: 0...2, using: &cluster.random)
    for step in 0..<1_500 {
      try chaos(&cluster, loss: loss, repetition: repetition, crashes: crashes)
      if step.isMultiple(of: 100) && size > 1 { try cluster.checkLogMatching() }
    }
    try recover(&cluster)
  }

  private func chaos(
    _ cluster: inout SimulatedCluster, loss: Int, repetition: Int, crashes: Int
  ) throws {
    let member = cluster.members[Int.random(in: 0..<cluster.members.count, using: &cluster.random)]
    switch Int.random(in: 0..<100, using: &cluster.random) {
    case 0..<50:
      guard !cluster.network.isEmpty else { break }
      let position = Int.random(in: 0..<cluster.network.count, using: &cluster.random)
      let message = cluster.network.swapRemove(at: position)
      if cluster.random.chance(loss, in: 10) { break }
      if cluster.random.chance(repetition, in: 10) { cluster.network.append(message) }
      let receiver = cluster.members[Int(message.to) - 1]
      receiver.handle(.message(message))
      if cluster.random.chance(1, in: 2) { try cluster.flush(receiver) }
    case 50..<65:
      member.completeWrites(Int.random(in: 0...3, using: &cluster.random))
    case 65..<73:
      _ = member.apply(Int.random(in: 0...4, using: &cluster.random))
      if cluster.random.chance(1, in: 3) { member.commitStore() }
    case 73..<81: member.handle(.tick)
    case 81..<91: cluster.propose(at: member)
    case 91..<95: cluster.read(at: member)
    case 95..<96 where cluster.random.chance(crashes, in: 2):
      let survivors = Int.random(in: 0...member.writes.count, using: &cluster.random)
      member.crash(survivingWrites: survivors, seed: cluster.random.next())
    default: try cluster.flush(member)
    }
    // A storm of ticks without deliveries would fill the memory with messages.
    if cluster.network.count > 2_000 { cluster.network.removeFirst(1_000) }
  }

  /// Without faults a leader must appear and everything must commit, apply and agree.
  private func recover(_ cluster: inout SimulatedCluster) throws {
    try cluster.settle()
    for _ in 0..<200 where !cluster.isLed {
      for member in cluster.members { member.handle(.tick) }
      try cluster.settle()
    }
    guard let leader = cluster.leader else { throw Violation(description: "no leader") }
    let answered = cluster.readsAnswered
    cluster.propose(at: leader)
    cluster.read(at: leader)
    try cluster.settle()
    for _ in 0..<30 {
      for member in cluster.members { member.handle(.tick) }
      try cluster.settle()
    }
    #expect(cluster.readsAnswered > answered)
    for member in cluster.members {
      #expect(member.machine.lastIndex == leader.machine.lastIndex)
      #expect(member.appliedIndex == leader.machine.lastIndex, "member \(member.id)")
    }
    if cluster.members.count > 1 { try cluster.checkLogMatching() }
  }
}

extension Array {
  /// Takes an element out without moving the others up.
  fileprivate mutating func swapRemove(at position: Int) -> Element {
    swapAt(position, count - 1)
    return removeLast()
  }
}
