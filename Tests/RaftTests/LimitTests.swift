import Model
import Raft
import Testing

/// Bounds of the in-memory log and of what is under way; bootstrap and configuration.
@Suite struct LimitTests {
  private func leader(limits: RaftLimits) -> SimulatedMember {
    let member = SimulatedMember(id: 1, voters: [1], limits: limits)
    member.handle(.campaign)
    work(member)
    return member
  }

  /// Writes, commits and applies everything.
  private func work(_ member: SimulatedMember) {
    while true {
      let effects = member.flush()
      if effects.isEmpty && member.writes.isEmpty && member.toApply.isEmpty { return }
      member.completeWrites(member.writes.count)
      _ = member.apply(member.toApply.count)
    }
  }

  @Test func windowStaysWithinItsEntries() {
    var limits = RaftLimits()
    limits.catchUpEntries = 100
    let member = leader(limits: limits)
    for number in 0..<5_000 {
      _ = member.propose([UInt8(number & 255)])
      work(member)
      let kept = member.machine.lastIndex - member.machine.firstIndex + 1
      #expect(kept <= 100 + 100 / 8 + 1)
    }
    let first = member.machine.firstIndex
    #expect(first > 4_800)
    #expect(member.machine.term(at: first - 1) == member.machine.term)
    #expect(member.machine.term(at: first - 2) == nil)
    #expect(member.machine.term(at: member.machine.lastIndex + 1) == nil)
  }

  @Test func windowStaysWithinItsBytes() {
    var limits = RaftLimits()
    limits.catchUpBytes = 10_000
    let member = leader(limits: limits)
    for _ in 0..<200 {
      _ = member.propose(Array(repeating: 1, count: 1_000))
      work(member)
      #expect(member.machine.lastIndex - member.machine.firstIndex + 1 <= 12)
    }
  }

  @Test func applyGetsNoMoreThanItsCredit() {
    var limits = RaftLimits()
    limits.applyBytes = 2_500
    let member = leader(limits: limits)
    for _ in 0..<10 { _ = member.propose(Array(repeating: 1, count: 1_000)) }
    _ = member.flush()
    member.completeWrites(9)
    _ = member.flush()
    #expect(member.toApply.count == 2)
    _ = member.flush()
    #expect(member.toApply.count == 2, "nothing was applied, nothing more comes")
    _ = member.apply(2)
    _ = member.flush()
    #expect(member.toApply.count == 2)
    work(member)
    #expect(member.appliedIndex == member.machine.lastIndex)
  }

  @Test func uncommittedBytesAreBounded() {
    var limits = RaftLimits()
    limits.uncommittedBytes = 2_500
    let member = leader(limits: limits)
    #expect(
      member.propose(Array(repeating: 1, count: 9_000)) != .overloaded, "one command of any size passes")
    #expect(member.propose([1]) == .overloaded)
    work(member)
    #expect(member.propose([1]) != .overloaded)
  }

  @Test func bootstrapMakesTheFirstEntries() throws {
    let configuration = RaftConfiguration(memberID: 9, seed: 1)
    var machine = RaftMachine(configuration: configuration, recovery: RaftRecovery())
    machine.bootstrap([(9, [1]), (4, [2])])
    #expect(machine.mayCampaign == false, "the changes may alter who votes; they are to be applied first")
    var effects: [RaftEffect] = []
    machine.flush(&effects)
    guard case .append(let append) = effects.first, effects.count == 1 else {
      Issue.record("one write expected, got \(effects)")
      return
    }
    #expect(append.hardState == HardState(term: 1, vote: 0, commit: 2))
    let changes = try append.entries.map { try ConfChange(decoding: $0.data) }
    #expect(changes.map(\.nodeID) == [4, 9])
    #expect(changes.map(\.context) == [[2], [1]])
    #expect(append.entries.map(\.kind) == [.confChange, .confChange])
    machine.handle(.appended(sequence: append.sequence), &effects)
    effects.removeAll()
    machine.flush(&effects)
    #expect(effects == [.committed(append.entries)])
    machine.handle(.applied(index: 2), &effects)
    #expect(machine.mayCampaign == true)
    #expect(machine.confState == ConfState(voters: [4, 9]))
  }

  @Test func configurationChangesArePure() {
    let start = ConfState(voters: [2])
    let added = start.applying(ConfChange(kind: .addNode, nodeID: 1))
    #expect(added == ConfState(voters: [1, 2]))
    #expect(
      added?.applying(ConfChange(kind: .addNode, nodeID: 1)) == added, "bootstrap applies its changes twice")
    #expect(added?.applying(ConfChange(kind: .updateNode, nodeID: 1)) == added)
    #expect(added?.applying(ConfChange(kind: .removeNode, nodeID: 2)) == ConfState(voters: [1]))
    var learning = start
    learning.learners = [3]
    #expect(start.applying(ConfChange(kind: .addLearnerNode, nodeID: 3)) == learning)
    #expect(start.applying(ConfChange(kind: .removeNode, nodeID: 2)) == nil, "a voter stays")
  }

  @Test func electionTimeoutsAreRandomAndBounded() {
    var timeouts: Set<Int> = []
    for seed in 1...200 {
      let member = SimulatedMember(id: 1, voters: [1, 2], electionTicks: 10, seed: UInt64(seed))
      var ticks = 0
      while member.machine.leadership.role == .follower {
        member.handle(.tick)
        ticks += 1
      }
      timeouts.insert(ticks)
    }
    #expect(timeouts == Set(10...19))
  }
}
