import Model
import Store
import Testing

@testable import Node

/// What `--strict-reconfig-check` refuses, every constellation of up to five voters against rules that count anew.
@Suite struct MembershipRulesTests {
  private static let own: UInt64 = 1

  private func rules(
    voters: Int, started: UInt32, healthy: UInt32, learners: Int = 0, isStrict: Bool = true,
    progress: ((UInt64) -> MembershipRules.Candidate?)? = nil
  ) -> MembershipRules {
    func has(_ set: UInt32, _ id: UInt64) -> Bool { set & (1 << UInt32(id - 1)) != 0 }
    var members = (1...UInt64(voters)).map { id in
      MemberRecord(id: id, peerURLs: ["http://m\(id):2380"], name: has(started, id) ? "m\(id)" : "")
    }
    for id in UInt64(100)..<UInt64(100 + learners) {
      members.append(MemberRecord(id: id, peerURLs: ["http://m\(id):2380"], isLearner: true))
    }
    return MembershipRules(
      isStrict: isStrict, learnersMax: 1, memberID: Self.own, members: members,
      isHealthy: { has(healthy, $0) }, isConnected: { has(healthy, $0) }, progress: progress)
  }

  private static let newVoter = MembershipRequest.add(Member(id: 9, peerURLs: ["http://m9:2380"]))
  private static let newLearner = MembershipRequest.add(
    Member(id: 9, peerURLs: ["http://m9:2380"], isLearner: true))

  @Test(arguments: 1...5)
  func everyConstellation(voters: Int) {
    for started in 0..<(UInt32(1) << UInt32(voters)) {
      for others in 0..<(UInt32(1) << UInt32(voters - 1)) {
        let healthy = others << 1
        let rules = rules(voters: voters, started: started, healthy: healthy)
        let named = (0..<voters).filter { started & (1 << UInt32($0)) != 0 }.count
        let reachable = 1 + (0..<voters).filter { healthy & (1 << UInt32($0)) != 0 }.count
        let isQuorate = reachable * 2 > voters
        // The new voter is part of the quorum and does not help to form it.
        let mayAdd = named * 2 > voters + 1 || (voters == 1 && named == 1)
        let expected: ClientError? = !mayAdd ? .notEnoughStartedMembers : isQuorate ? nil : .unhealthyCluster
        #expect(rules.refusal(of: Self.newVoter) == expected, "\(voters) \(started) \(healthy)")
        #expect(rules.refusal(of: Self.newLearner) == (isQuorate ? nil : .unhealthyCluster))
        for id in 1...UInt64(voters) {
          let isNamed = started & (1 << UInt32(id - 1)) != 0
          let rest = named - (isNamed ? 1 : 0)
          let isUp = id == Self.own || healthy & (1 << UInt32(id - 1)) != 0
          let expected: ClientError? =
            voters == 1 || rest * 2 <= voters - 1
            ? .notEnoughStartedMembers
            : isUp && (reachable - 1) * 2 <= voters - 1 ? .unhealthyCluster : nil
          #expect(rules.refusal(of: .remove(id: id)) == expected, "\(id) of \(voters) \(started) \(healthy)")
        }
      }
    }
  }

  @Test func oneOfThreeDownDoesNotKeepANewMemberOut_21667() {
    #expect(rules(voters: 3, started: 0b111, healthy: 0b010).refusal(of: Self.newVoter) == nil)
    #expect(rules(voters: 3, started: 0b111, healthy: 0).refusal(of: Self.newVoter) == .unhealthyCluster)
  }

  @Test func aSecondNewMemberWaitsForTheFirstToStart() {
    #expect(rules(voters: 1, started: 1, healthy: 0).refusal(of: Self.newVoter) == nil)
    let two = rules(voters: 2, started: 1, healthy: 0b10)
    #expect(two.refusal(of: Self.newVoter) == .notEnoughStartedMembers)
    // The one that did not start may go.
    #expect(rules(voters: 2, started: 1, healthy: 0).refusal(of: .remove(id: 2)) == nil)
    #expect(two.refusal(of: .remove(id: 1)) == .notEnoughStartedMembers)
  }

  @Test func withoutStrictnessOnlyLearnersAreCounted() {
    let lax = rules(voters: 3, started: 0, healthy: 0, learners: 1, isStrict: false)
    #expect(lax.refusal(of: Self.newVoter) == nil)
    #expect(lax.refusal(of: .remove(id: 1)) == nil)
    #expect(lax.refusal(of: Self.newLearner) == .tooManyLearners)
  }

  @Test func learnersComeAndGoWithoutTheQuorum() {
    let one = rules(voters: 3, started: 0b111, healthy: 0b110, learners: 1)
    #expect(one.refusal(of: Self.newLearner) == .tooManyLearners)
    #expect(one.refusal(of: .remove(id: 100)) == nil)
    #expect(rules(voters: 3, started: 0b111, healthy: 0, learners: 1).refusal(of: .remove(id: 100)) == nil)
  }

  @Test func aLearnerIsPromotedWhenItHasCaughtUp_15096() {
    func refusal(_ match: UInt64, active: Bool = true, started: UInt32 = 0b111) -> ClientError? {
      rules(voters: 3, started: started, healthy: 0b110, learners: 1) { id in
        switch id {
        case Self.own: MembershipRules.Candidate(match: 1_000, isRecentlyActive: true)
        case 100: MembershipRules.Candidate(match: match, isRecentlyActive: active)
        default: nil
        }
      }
      .refusal(of: .promote(id: 100))
    }
    #expect(refusal(900) == nil)
    #expect(refusal(899) == .learnerNotReady)
    #expect(refusal(0) == .learnerNotReady)
    #expect(refusal(1_000, active: false) == .learnerNotReady, "it never started")
    #expect(refusal(1_000, started: 0b001) == .notEnoughStartedMembers)
    let follower = rules(voters: 3, started: 0b111, healthy: 0b110, learners: 1)
    #expect(follower.refusal(of: .promote(id: 100)) == .notLeader)
    let unknown = rules(voters: 3, started: 0b111, healthy: 0b110) { id in
      id == Self.own ? MembershipRules.Candidate(match: 9, isRecentlyActive: true) : nil
    }
    #expect(unknown.refusal(of: .promote(id: 100)) == .memberNotFound)
  }

  /// Hostile numbers: a leader's log may end anywhere.
  @Test func theLargestIndexesAreCompared() {
    for match in [0, UInt64.max / 10 * 9, .max] {
      let rules = rules(voters: 1, started: 1, healthy: 0) { _ in
        MembershipRules.Candidate(match: match, isRecentlyActive: true)
      }
      #expect(rules.refusal(of: .promote(id: 100)) == nil)
    }
  }
}
