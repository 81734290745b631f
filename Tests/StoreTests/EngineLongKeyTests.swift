import Model
import Primitives
import Store
import Testing

/// Keys that do not fit LMDB keep the byte order of ranges.
struct EngineLongKeyTests {
  /// Keys around every boundary of a level: lengths next to multiples of 480 over a few shared prefixes.
  private func keys(_ random: inout SeededRandom) -> [[UInt8]] {
    var keys: Set<[UInt8]> = []
    let prefixes: [[UInt8]] = (0..<4).map { _ in
      (0..<2000).map { _ in UInt8.random(in: 0x61...0x62, using: &random) }
    }
    while keys.count < 400 {
      let prefix = prefixes.randomElement(using: &random) ?? []
      let level = Int.random(in: 0...4, using: &random) * 480
      let length = max(1, level + Int.random(in: -3...4, using: &random))
      var key = Array(prefix.prefix(length))
      if random.chance(2, in: 3) { key[key.count - 1] = UInt8.random(in: 0...255, using: &random) }
      if random.chance(1, in: 3) { key.append(UInt8.random(in: 0...255, using: &random)) }
      keys.insert(key)
    }
    return keys.sorted { $0.lexicographicallyPrecedes($1) }
  }

  @Test(arguments: 0..<3 as Range<UInt64>)
  func rangesAgreeWithASortedOracle(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    let directory = try EngineDirectory()
    let fixture = try EngineFixture(directory)
    let keys = keys(&random)
    for key in keys.shuffled(using: &random) { try fixture.apply(.put(key: key, value: [1], lease: 0)) }
    try fixture.commitAll()
    try checkRanges(fixture, keys, ranges: 900, &random)
    // Half of them go again, rows and nodes too, and some stay in the overlay.
    let gone = Set(keys.shuffled(using: &random).prefix(200))
    for key in gone.sorted(by: { $0.lexicographicallyPrecedes($1) }) { try fixture.apply(.delete(key: key)) }
    let left = keys.filter { !gone.contains($0) }
    try checkRanges(fixture, left, ranges: 450, &random)
    try fixture.put("zz", "above the compaction")
    try fixture.apply(.compact(fixture.applier.revision))
    try fixture.commitAll()
    let all = (left + [engineBytes("zz")]).sorted { $0.lexicographicallyPrecedes($1) }
    try checkRanges(fixture, all, ranges: 450, &random)
    let rows = try fixture.committedRows()
    let leaves = rows.filter { $0.0 == .key && $0.1.count < 480 || $0.0 == .long && $0.1.count < 488 }
    #expect(leaves.count == left.count + 1, "a row for each key that is left")
  }

  private func checkRanges(
    _ fixture: EngineFixture, _ keys: [[UInt8]], ranges: Int, _ random: inout SeededRandom
  ) throws {
    let view = try fixture.store.view()
    for _ in 0..<ranges {
      var from = keys.randomElement(using: &random) ?? []
      if random.chance(1, in: 3) { from = Array(from.dropLast(Int.random(in: 0...500, using: &random))) }
      if random.chance(1, in: 3) { from.append(0) }
      var end = keys.randomElement(using: &random) ?? []
      if random.chance(1, in: 3) { end.append(UInt8.random(in: 0...255, using: &random)) }
      let to: KeyBound = random.chance(1, in: 6) ? .unbounded : .before(end)
      let expected = keys.filter { key in
        !key.lexicographicallyPrecedes(from) && (to == .unbounded || key.lexicographicallyPrecedes(end))
      }
      var found: [[UInt8]] = []
      try view.scan(from: from, to: to, at: .max) { row in
        found.append(Array(row.key))
        return .next
      }
      try #require(found == expected)
      #expect(try view.count(from: from, to: to, at: .max) == Int64(expected.count))
    }
  }

  @Test func emptyNodesAreRemoved() throws {
    let directory = try EngineDirectory()
    let fixture = try EngineFixture(directory)
    let key = [UInt8](repeating: 0x61, count: 3000)
    try fixture.apply(.put(key: key, value: [1], lease: 0))
    try fixture.commitAll()
    #expect(try fixture.committedRows().filter { $0.0 == .long }.count == 6)
    try fixture.apply(.delete(key: key))
    try fixture.put("b", "1")
    try fixture.apply(.compact(fixture.applier.revision))
    try fixture.commitAll()
    let rows = try fixture.committedRows()
    #expect(rows.filter { $0.0 == .long }.isEmpty)
    #expect(rows.filter { $0.0 == .key }.map(\.1) == [engineBytes("b")])
  }
}
