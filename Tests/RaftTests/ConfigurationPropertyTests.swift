import Model
import Primitives
import Raft
import Testing

/// Changes of the configuration against sets and their definitions.
@Suite struct ConfigurationPropertyTests {
  /// 100,000 changes in release builds.
  private var cases: Int {
    #if DEBUG
      8_000
    #else
      100_000
    #endif
  }

  private func change(_ random: inout SeededRandom) -> [ConfChangeSingle] {
    (0..<Int.random(in: 0...4, using: &random)).map { _ in
      let kinds = ConfChange.Kind.allCases
      return ConfChangeSingle(
        kind: kinds[Int.random(in: 0..<kinds.count, using: &random)],
        nodeID: UInt64.random(in: 0...6, using: &random))
    }
  }

  /// What the changes make of voters and learners, as sets: the later word counts.
  private func naive(
    _ changes: [ConfChangeSingle], voters: Set<UInt64>, learners: Set<UInt64>
  ) -> (voters: Set<UInt64>, learners: Set<UInt64>) {
    var (voters, learners) = (voters, learners)
    for change in changes where change.nodeID != 0 && change.kind != .updateNode {
      voters.remove(change.nodeID)
      learners.remove(change.nodeID)
      if change.kind == .addNode { voters.insert(change.nodeID) }
      if change.kind == .addLearnerNode { learners.insert(change.nodeID) }
    }
    return (voters, learners)
  }

  /// Through a joint configuration and out of it, any list of changes does what it says; without one, the same lists
  /// do the same if they alter one voter at most, and are refused otherwise.
  @Test func jointAndSimpleChangesEqualTheirDefinition() {
    var random = SeededRandom(seed: 4)
    var state = ConfState(voters: [1])
    var simple = 0
    for _ in 0..<cases {
      let changes = change(&random)
      let before = Set(state.voters)
      let expected = naive(changes, voters: before, learners: Set(state.learners))
      var changer = ConfigurationChanger(lastIndex: 7)
      start(&changer, state)
      let direct = result { () throws(ConfigurationError) in try changer.simple(changes) }
      let isSmall = before.symmetricDifference(expected.voters).count <= 1
      #expect((direct == nil) == (isSmall && !expected.voters.isEmpty))
      if direct == nil {
        simple += 1
        check(changer.configuration, expected)
      }
      var joint = ConfigurationChanger(lastIndex: 7)
      start(&joint, state)
      let entered = result { () throws(ConfigurationError) in
        try joint.enterJoint(autoLeave: true, changes)
      }
      #expect((entered == nil) == !expected.voters.isEmpty)
      guard entered == nil else { continue }
      #expect(Set(joint.configuration.voters.incoming.voters) == expected.voters)
      #expect(joint.configuration.voters.outgoing.voters == before.sorted())
      #expect(before.isSuperset(of: joint.configuration.learnersNext))
      #expect(before.isDisjoint(with: joint.configuration.learners), "nobody votes and learns")
      #expect(result { () throws(ConfigurationError) in try joint.leaveJoint() } == nil)
      check(joint.configuration, expected)
      state = joint.configuration.confState
    }
    #expect(simple > cases / 20)
  }

  private func check(
    _ configuration: ClusterConfiguration, _ expected: (voters: Set<UInt64>, learners: Set<UInt64>)
  ) {
    #expect(configuration.voters.incoming.voters == expected.voters.sorted())
    #expect(configuration.learners == expected.learners.sorted())
    #expect(!configuration.isJoint && !configuration.autoLeave && configuration.learnersNext.isEmpty)
    #expect(ClusterConfiguration(configuration.confState) == configuration)
  }

  private func start(_ changer: inout ConfigurationChanger, _ state: ConfState) {
    // Built by changes, since they are what there is.
    for voter in state.voters { add(&changer, .addNode, voter) }
    for learner in state.learners { add(&changer, .addLearnerNode, learner) }
  }

  private func add(_ changer: inout ConfigurationChanger, _ kind: ConfChange.Kind, _ id: UInt64) {
    let fault = result { () throws(ConfigurationError) in
      try changer.simple([ConfChangeSingle(kind: kind, nodeID: id)])
    }
    #expect(fault == nil)
  }

  private func result(_ body: () throws(ConfigurationError) -> Void) -> ConfigurationError? {
    do throws(ConfigurationError) {
      try body()
      return nil
    } catch {
      return error
    }
  }
}
