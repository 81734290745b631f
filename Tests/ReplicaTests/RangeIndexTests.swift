import Model
import Primitives
import Replica
import Testing

/// The interval index and the set of keys, against a look at every range.
@Suite struct RangeIndexTests {
  private static func key(_ random: inout SeededRandom) -> [UInt8] {
    (0..<Int.random(in: 0...10, using: &random)).map { _ in
      // Few values, and lengths around a machine word: much in common.
      [0, 1, 97, 255][Int.random(in: 0..<4, using: &random)]
    }
  }

  private static func range(_ random: inout SeededRandom) -> KeySet.Interval {
    let (one, other) = (key(&random), key(&random))
    if random.chance(1, in: 10) { return KeySet.Interval(key: one, end: nil) }
    if one == other { return KeySet.Interval(key: one, end: one + [0]) }
    return one.lexicographicallyPrecedes(other)
      ? KeySet.Interval(key: one, end: other) : KeySet.Interval(key: other, end: one)
  }

  private static func contains(_ range: KeySet.Interval, _ key: [UInt8]) -> Bool {
    !key.lexicographicallyPrecedes(range.key)
      && (range.end.map { key.lexicographicallyPrecedes($0) } ?? true)
  }

  @Test(arguments: 0..<8) func `finds what a look at every range finds`(_ seed: UInt64) {
    var random = SeededRandom(seed: seed)
    var index = RangeIndex(seed: seed)
    var ranges: [(range: KeySet.Interval, node: UInt32, value: UInt32)] = []
    var found = 0
    for step in 0..<600 {
      // Grows, then shrinks.
      if random.chance(step < 400 ? 6 : 1, in: 8) || ranges.isEmpty {
        let range = random.chance(1, in: 5) ? ranges.last?.range ?? Self.range(&random) : Self.range(&random)
        ranges.append((range, index.insert(range, value: UInt32(step)), UInt32(step)))
      } else {
        let gone = ranges.remove(at: Int.random(in: 0..<ranges.count, using: &random))
        index.remove(gone.node)
      }
      let key = random.chance(1, in: 2) ? Self.key(&random) : ranges.last?.range.end ?? []
      var values: [UInt32] = []
      key.withUnsafeBytes { index.collect(containing: $0, into: &values) }
      let expected = ranges.filter { Self.contains($0.range, key) }
      guard index.count == ranges.count, values.sorted() == expected.map(\.value).sorted() else {
        Issue.record("step \(step): \(values) for \(key), not \(expected)")
        return
      }
      // In the order of first keys.
      let firsts = values.compactMap { value in expected.first { $0.value == value }?.range.key }
      #expect(!zip(firsts, firsts.dropFirst()).contains { $1.lexicographicallyPrecedes($0) })
      found += values.count
    }
    #expect(found > 1_000)
  }

  @Test func `a ten thousand ranges in order do not make it deep`() {
    var index = RangeIndex(seed: 1)
    func range(_ number: Int) -> KeySet.Interval {
      let key = withUnsafeBytes(of: UInt32(number).bigEndian) { Array($0) }
      return KeySet.Interval(key: key, end: key + [255])
    }
    let nodes = (0..<10_000).map { index.insert(range($0), value: UInt32($0)) }
    var values: [UInt32] = []
    for number in stride(from: 0, to: 10_000, by: 97) {
      range(number).key.withUnsafeBytes { index.collect(containing: $0, into: &values) }
    }
    #expect(values == stride(from: 0, to: 10_000, by: 97).map { UInt32($0) })
    for node in nodes { index.remove(node) }
    #expect(index.count == 0)
  }

  @Test(arguments: 0..<8) func `a set of keys is the union of its ranges`(_ seed: UInt64) {
    var random = SeededRandom(seed: seed)
    var hits = 0
    for _ in 0..<200 {
      var ranges = (0..<Int.random(in: 0...12, using: &random)).map { _ in Self.range(&random) }
      if random.chance(1, in: 3) { ranges.append(KeySet.Interval(key: [97, 97], end: [97])) }
      let set = KeySet(ranges)
      for _ in 0..<20 {
        let key = Self.key(&random)
        let expected = ranges.contains { Self.contains($0, key) }
        if set.contains(key) != expected { Issue.record("\(key) in \(ranges)") }
        hits += expected ? 1 : 0
      }
      for (one, next) in zip(set.intervals, set.intervals.dropFirst()) {
        #expect(one.end.map { $0.lexicographicallyPrecedes(next.key) } ?? false)
      }
    }
    #expect(hits > 300)
    #expect(KeySet.all.contains([]) && KeySet.all.contains([255, 255]))
    #expect(!KeySet([]).contains([]))
  }
}
