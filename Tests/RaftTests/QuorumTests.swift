import Primitives
import Raft
import Testing

@Suite struct QuorumTests {
  /// The definition: an index is committed if a majority acknowledged at least that much.
  private func naiveCommit(_ indexes: [UInt64]) -> UInt64 {
    let candidates = indexes.filter { index in
      indexes.filter { $0 >= index }.count >= indexes.count / 2 + 1
    }
    return candidates.max() ?? 0
  }

  /// Two sets of up to 7 out of 9 voters, as bits; the second is often empty.
  private func halves(_ random: inout SeededRandom) -> (incoming: [UInt64], outgoing: [UInt64]) {
    func some(_ bits: UInt64) -> [UInt64] { (0..<9).filter { bits >> $0 & 1 == 1 }.map { $0 + 1 } }
    let bits = random.next()
    let incoming = some(bits & (bits >> 9) & 511 | 1 << (bits >> 40 % 9))
    return (incoming, bits >> 60 < 6 ? [] : some((bits >> 18 | bits >> 27) & 511))
  }

  /// A million random cases in release builds, where they take seconds.
  private var cases: Int {
    #if DEBUG
      60_000
    #else
      1_000_000
    #endif
  }

  @Test func commitEqualsItsDefinition() {
    var random = SeededRandom(seed: 1)
    for _ in 0..<cases {
      let (incoming, outgoing) = halves(&random)
      let scale = UInt64(1) << (random.next() & 31)
      let indexes = (0..<10).map { _ in random.next() % scale }
      let joint = JointConfiguration(
        incoming: MajorityConfiguration(incoming), outgoing: MajorityConfiguration(outgoing))
      let result = joint.committedIndex { indexes[Int($0)] }
      let naive = naiveCommit(incoming.map { indexes[Int($0)] })
      let expected = outgoing.isEmpty ? naive : min(naive, naiveCommit(outgoing.map { indexes[Int($0)] }))
      if result != expected { Issue.record("\(incoming) \(outgoing) \(indexes)") }
    }
  }

  /// A vote is won when each half has a majority of grants, lost when one half cannot have it any more.
  @Test func voteEqualsItsDefinition() {
    var random = SeededRandom(seed: 3)
    for _ in 0..<cases {
      let (incoming, outgoing) = halves(&random)
      let bits = random.next()
      let votes: [Bool?] = (0..<10).map { bits >> ($0 * 2) & 3 == 0 ? nil : bits >> ($0 * 2) & 1 == 1 }
      let joint = JointConfiguration(
        incoming: MajorityConfiguration(incoming), outgoing: MajorityConfiguration(outgoing))
      func naive(_ voters: [UInt64], _ missing: Bool) -> Bool {
        voters.isEmpty || voters.filter { votes[Int($0)] ?? missing }.count * 2 > voters.count
      }
      let isWon = naive(incoming, false) && naive(outgoing, false)
      let isLost = !naive(incoming, true) || !naive(outgoing, true)
      let expected: VoteResult = isWon ? .won : isLost ? .lost : .pending
      if joint.result({ votes[Int($0)] }) != expected { Issue.record("\(incoming) \(outgoing) \(votes)") }
    }
  }

  @Test func voteResultIsFinalWhateverTheMissingSay() {
    var random = SeededRandom(seed: 2)
    for _ in 0..<20_000 {
      let size = Int.random(in: 1...7, using: &random)
      let configuration = MajorityConfiguration((1...UInt64(size)).map { $0 })
      var votes: [Bool?] = (0..<size).map { _ in [true, false, nil][Int.random(in: 0..<3, using: &random)] }
      let early = configuration.result { votes[Int($0) - 1] }
      for position in votes.indices where votes[position] == nil { votes[position] = random.chance(1, in: 2) }
      let late = configuration.result { votes[Int($0) - 1] }
      #expect(late != .pending)
      #expect(early == .pending || early == late)
    }
  }

  @Test func duplicateVotersCountOnce() {
    let configuration = MajorityConfiguration([3, 1, 3, 2, 1])
    #expect(configuration.voters == [1, 2, 3])
    #expect(configuration.quorum == 2)
  }
}
