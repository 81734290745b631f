import Testing

@testable import Node
@testable import Store

@Suite struct DigestComparisonTests {
  private func digest(_ index: UInt64, _ hash: UInt64) -> StateDigest {
    StateDigest(
      index: index, revision: Int64(index), compactRevision: -1, hash: SetHash(high: hash, low: hash))
  }

  /// What members say of their data at an index, the first of them this one.
  private func say(
    _ hashes: KeyValuePairs<UInt64, UInt64>, at index: UInt64 = 5, _ comparison: inout DigestComparison
  ) {
    for (member, hash) in hashes { comparison.take(digest(index, hash), from: member) }
  }

  private func comparison(_ hashes: KeyValuePairs<UInt64, UInt64>) -> DigestComparison {
    var comparison = DigestComparison(memberID: 1)
    say(hashes, &comparison)
    return comparison
  }

  private func isVerdict(
    _ verdict: Divergence?, at index: UInt64, _ differing: [UInt64]
  ) -> Bool {
    verdict?.index == index && verdict?.differing == differing
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
    var comparison = comparison([1: 7, 3: 8])
    #expect(comparison.verdict(members: [1, 2, 3]) == nil, "one against one: the third has not spoken")
    say([2: 7], &comparison)
    #expect(isVerdict(comparison.verdict(members: [1, 2, 3]), at: 5, [3]))
    #expect(comparison.verdict(members: [1, 2, 3]) == nil)
    say([1: 9, 3: 10, 2: 9], at: 6, &comparison)
    #expect(isVerdict(comparison.verdict(members: [1, 2, 3]), at: 6, [3]))
  }

  @Test func theLeaderItselfMayBeTheOne() {
    var comparison = comparison([1: 8, 2: 7, 3: 7])
    #expect(isVerdict(comparison.verdict(members: [1, 2, 3]), at: 5, [1]))
  }

  @Test func withoutAMajorityNobodyIsNamed() {
    var two = comparison([1: 8, 2: 7])
    #expect(isVerdict(two.verdict(members: [1, 2]), at: 5, [0]))
    var three = comparison([1: 1, 2: 2, 3: 3])
    #expect(isVerdict(three.verdict(members: [1, 2, 3]), at: 5, [0]))
  }

  /// The third is down: what the others differ in must not wait for it.
  @Test func silenceHidesNothing() {
    var comparison = comparison([1: 7, 2: 8])
    #expect(comparison.verdict(members: [1, 2, 3]) == nil)
    #expect(comparison.isDoubtful)
    for index in UInt64(6)...10 {
      say([1: 7, 2: 8], at: index, &comparison)
      #expect(comparison.verdict(members: [1, 2, 3]) == nil)
    }
    say([1: 7, 2: 8], at: 11, &comparison)
    #expect(isVerdict(comparison.verdict(members: [1, 2, 3]), at: 5, [0]))
    #expect(comparison.verdict(members: [1, 2, 3]) == nil)
    say([3: 7], at: 11, &comparison)
    #expect(isVerdict(comparison.verdict(members: [1, 2, 3]), at: 11, [2]))
    #expect(comparison.verdict(members: [1, 2, 3]) == nil && !comparison.isDoubtful)
  }

  @Test func whenAllHaveSpokenIsKnown() {
    var comparison = comparison([1: 7, 2: 7])
    _ = comparison.verdict(members: [1, 2, 3])
    #expect(comparison.completeIndex == 0)
    say([3: 8], &comparison)
    _ = comparison.verdict(members: [1, 2, 3])
    #expect(comparison.completeIndex == 5)
  }

  @Test func onlyEqualIndexesAreCompared() {
    var comparison = DigestComparison(memberID: 1)
    comparison.takeOwn(digest(5, 7))
    comparison.take(digest(6, 8), from: 2)
    comparison.take(digest(4, 8), from: 3)
    #expect(comparison.verdict(members: [1, 2, 3]) == nil)
  }

  @Test func membersThatLeftAreNotHeard() {
    var comparison = comparison([1: 7, 3: 8, 2: 7])
    #expect(comparison.verdict(members: [1, 2]) == nil)
    comparison.keep([1, 2])
    #expect(comparison.verdict(members: [1, 2, 3]) == nil, "what it said is forgotten")
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
    var comparison = comparison([1: 7, 2: 7, 3: 8, 3: 7])
    #expect(comparison.verdict(members: [1, 2, 3]) == nil)
  }
}
