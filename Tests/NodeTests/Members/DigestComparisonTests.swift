import Testing

@testable import Node
@testable import Store

@Suite struct DigestComparisonTests {
  private func digest(_ index: UInt64, _ hash: UInt64) -> StateDigest {
    StateDigest(
      index: index, revision: Int64(index), compactRevision: -1, hash: SetHash(high: hash, low: hash))
  }

  private func isVerdict(
    _ verdict: (digest: StateDigest, differing: [UInt64])?, at index: UInt64, _ differing: [UInt64]
  ) -> Bool {
    verdict?.digest.index == index && verdict?.differing == differing
  }

  @Test func equalDataIsNoVerdict() {
    var comparison = DigestComparison(memberID: 1)
    for index in UInt64(1)...100 {
      comparison.takeOwn(digest(index, index))
      comparison.take(digest(index, index), from: 2)
      comparison.take(digest(index, index), from: 3)
      #expect(comparison.verdict(members: [1, 2, 3]) == nil)
    }
  }

  @Test func theMinorityIsNamedAndOnce() {
    var comparison = DigestComparison(memberID: 1)
    comparison.takeOwn(digest(5, 7))
    comparison.take(digest(5, 8), from: 3)
    #expect(comparison.verdict(members: [1, 2, 3]) == nil, "one against one: the third has not spoken")
    comparison.take(digest(5, 7), from: 2)
    #expect(isVerdict(comparison.verdict(members: [1, 2, 3]), at: 5, [3]))
    #expect(comparison.verdict(members: [1, 2, 3]) == nil)
    comparison.takeOwn(digest(6, 9))
    comparison.take(digest(6, 10), from: 3)
    comparison.take(digest(6, 9), from: 2)
    #expect(isVerdict(comparison.verdict(members: [1, 2, 3]), at: 6, [3]))
  }

  @Test func theLeaderItselfMayBeTheOne() {
    var comparison = DigestComparison(memberID: 1)
    comparison.takeOwn(digest(5, 8))
    comparison.take(digest(5, 7), from: 2)
    comparison.take(digest(5, 7), from: 3)
    #expect(isVerdict(comparison.verdict(members: [1, 2, 3]), at: 5, [1]))
  }

  @Test func withoutAMajorityNobodyIsNamed() {
    var comparison = DigestComparison(memberID: 1)
    comparison.takeOwn(digest(5, 8))
    comparison.take(digest(5, 7), from: 2)
    #expect(isVerdict(comparison.verdict(members: [1, 2]), at: 5, [0]))
    var three = DigestComparison(memberID: 1)
    three.takeOwn(digest(5, 1))
    three.take(digest(5, 2), from: 2)
    three.take(digest(5, 3), from: 3)
    #expect(isVerdict(three.verdict(members: [1, 2, 3]), at: 5, [0]))
  }

  @Test func onlyEqualIndexesAreCompared() {
    var comparison = DigestComparison(memberID: 1)
    comparison.takeOwn(digest(5, 7))
    comparison.take(digest(6, 8), from: 2)
    comparison.take(digest(4, 8), from: 3)
    #expect(comparison.verdict(members: [1, 2, 3]) == nil)
  }

  @Test func membersThatLeftAreNotHeard() {
    var comparison = DigestComparison(memberID: 1)
    comparison.takeOwn(digest(5, 7))
    comparison.take(digest(5, 8), from: 3)
    comparison.take(digest(5, 7), from: 2)
    #expect(comparison.verdict(members: [1, 2]) == nil)
  }

  /// A peer that talks without end fills no memory and pushes nobody else out.
  @Test func whatAPeerSaysIsBounded() {
    var comparison = DigestComparison(memberID: 1)
    comparison.takeOwn(digest(1, 7))
    comparison.take(digest(1, 7), from: 2)
    for index in UInt64(1)...10_000 { comparison.take(digest(index, 8), from: 3) }
    #expect(comparison.verdict(members: [1, 2, 3]) == nil, "what it said of index 1 was forgotten")
    comparison.take(digest(1, 8), from: 3)
    #expect(isVerdict(comparison.verdict(members: [1, 2, 3]), at: 1, [3]))
  }

  @Test func theLastWordOfAMemberCounts() {
    var comparison = DigestComparison(memberID: 1)
    comparison.takeOwn(digest(5, 7))
    comparison.take(digest(5, 7), from: 2)
    comparison.take(digest(5, 8), from: 3)
    comparison.take(digest(5, 7), from: 3)
    #expect(comparison.verdict(members: [1, 2, 3]) == nil)
  }
}
