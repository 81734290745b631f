import Model
import Primitives
import Store
import Testing

/// What reads cost: pointers that are followed only where they must be.
struct EngineReadTests {
  /// Skew-binary jumps: the walk to any revision of a key with many versions is logarithmic, whether they
  /// came in one generation or in many.
  @Test(arguments: [1, 7, 1000])
  func walksAreLogarithmic(entriesPerCommit: Int) throws {
    let fixture = try EngineFixture(try EngineDirectory())
    let versions: Int64 = 2000
    for version in 0..<versions {
      try fixture.put("hot", "\(version)")
      if version % Int64(entriesPerCommit) == 0 { try fixture.commitAll() }
    }
    try fixture.commitAll()
    let view = try fixture.store.view()
    var worst = 0
    for at in 2...(versions + 1) {
      let before = view.revisionLookups
      let row = try #require(try view.latest(engineBytes("hot"), at: at))
      #expect(row.version.mod.main == at && row.version.version == at - 1)
      worst = max(worst, view.revisionLookups - before)
    }
    #expect(worst <= 30, "3 * log2 of 2,000 at most")
  }

  @Test func countFollowsNoPointerWhereTheLatestRowDecides() throws {
    let fixture = try EngineFixture(try EngineDirectory())
    for key in 0..<100 { try fixture.put("key\(key)", "1") }  // 2...101
    for key in 0..<100 { try fixture.put("key\(key)", "2") }  // 102...201
    try fixture.commitAll()
    let view = try fixture.store.view()
    // Visible itself, or of a life that began before.
    #expect(try view.count(from: [], to: .unbounded, at: .max) == 100)
    #expect(try view.count(from: [], to: .unbounded, at: 150) == 100)
    #expect(view.revisionLookups == 0)
    // Keys born later are absent without a lookup as well: nothing precedes their first row.
    #expect(try view.count(from: [], to: .unbounded, at: 51) == 50)
    #expect(view.revisionLookups <= 50)
  }

  @Test func smallValuesNeedNoSecondLookup() throws {
    var options = StoreOptions.edges
    options.inlineBytesMax = 100
    let fixture = try EngineFixture(try EngineDirectory(), options: options)
    for key in 0..<50 { try fixture.put("small\(key)", "1") }
    try fixture.put("large", String(repeating: "v", count: 200))
    try fixture.commitAll()
    let view = try fixture.store.view()
    #expect(try view.keyValues(from: engineBytes("small")).count == 50)
    #expect(view.revisionLookups == 0)
    #expect(try view.keyValues(to: .before(engineBytes("small"))).count == 1)
    #expect(view.revisionLookups == 1)
  }

  /// Several changes of a key in one entry share their main revision: reads see the last one.
  @Test func subRevisionsOfOneEntry() throws {
    let fixture = try EngineFixture(try EngineDirectory())
    let key = engineBytes("k")
    try fixture.apply(
      .put(key: key, value: [1], lease: 0), .delete(key: key), .put(key: key, value: [2], lease: 5))  // 2
    try fixture.apply(.delete(key: key), .put(key: key, value: [3], lease: 0), .delete(key: key))  // 3
    for isCommitted in [false, true] {
      if isCommitted { try fixture.commitAll() }
      let view = try fixture.store.view()
      let row = try #require(try view.latest(key, at: 2))
      #expect(row.version.mod == Revision(main: 2, sub: 2) && row.version.create == 2)
      #expect(row.version.version == 1 && row.version.lease == 5)
      #expect(try view.latest(key, at: 3)?.version.isTombstone == true)
      #expect(try view.latest(key, at: 1) == nil)
      #expect(
        try fixture.revisions().map { "\($0.main)/\($0.sub)" } == ["2/0", "2/1", "2/2", "3/0", "3/1", "3/2"])
    }
  }

  @Test func rowsFromTheMiddle() throws {
    let fixture = try EngineFixture(try EngineDirectory())
    for round in 0..<30 {
      try fixture.put("a", "\(round)")
      if round == 9 { try fixture.commitAll() }
      if round == 19 { #expect(try fixture.applier.freeze()) }
    }
    let view = try fixture.store.view()
    for from in 0...33 as ClosedRange<Int64> {
      for through in [5, 11, 12, 21, 22, 30, 40] as [Int64] {
        var found: [Int64] = []
        try view.rows(from: Revision(main: from, sub: 0), through: through) { revision, row in
          #expect(row.version.mod == revision)
          found.append(revision.main)
          return .next
        }
        #expect(found == (2...31).filter { $0 >= from && $0 <= through })
      }
    }
  }
}
