import LMDB
import Model
import Primitives
import Store
import Testing

/// Physical compaction: what goes and what stays, and that a crash after any batch changes nothing of it.
struct EngineCompactionTests {
  /// A history with every shape that the rule distinguishes.
  private static func history(_ random: inout SeededRandom) -> [EngineEntry] {
    var entries: [EngineEntry] = []
    var live: Set<Int> = []
    for _ in 0..<120 {
      let key = Int.random(in: 0..<12, using: &random)
      let name = engineBytes("key\(key)")
      switch (live.contains(key), Int.random(in: 0..<10, using: &random)) {
      case (true, 0..<4):
        entries.append(EngineEntry(changes: [.delete(key: name)]))
        live.remove(key)
      case (true, 4):
        // Gone and back in one entry: two rows of one main revision, a tombstone between two lives.
        entries.append(EngineEntry(changes: [.delete(key: name), .put(key: name, value: [7], lease: 0)]))
      case (false, 4):
        entries.append(EngineEntry(changes: [.put(key: name, value: [8], lease: 0), .delete(key: name)]))
      default:
        entries.append(EngineEntry(changes: [.put(key: name, value: [UInt8(key)], lease: 0)]))
        live.insert(key)
      }
    }
    return entries
  }

  @Test(arguments: 0..<8 as Range<UInt64>)
  func aCrashAfterAnyBatchResumes_17780(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    let entries = Self.history(&random)
    let directory = try EngineDirectory()
    var options = StoreOptions.edges
    options.compactionBatchRows = 1
    var naive = NaiveEngine()
    do {
      let fixture = try EngineFixture(directory, options: options)
      for entry in entries {
        naive.apply(entry)
        try entry.apply(to: fixture.applier, index: naive.appliedIndex)
      }
      try fixture.commitAll()
    }
    // Three compactions in a row, the last one at the newest revision; and the store is opened anew for
    // every single batch.
    for target in [naive.revision / 3, naive.revision * 2 / 3, naive.revision] {
      var batches = 0
      var isFinished = false
      var hasScheduled = false
      while !isFinished {
        let fixture = try EngineFixture(directory, options: options)
        #expect(
          fixture.store.recovery.revision == naive.revision, "the current revision is stored, not found")
        if !hasScheduled {
          naive.apply(EngineEntry(changes: [.compact(target)]))
          try fixture.apply(.compact(target))
          #expect(try fixture.applier.freeze())
          hasScheduled = true
        }
        #expect(fixture.applier.compactRevision == target)
        #expect(try fixture.committer.hasWork)
        let report = try #require(try fixture.committer.commitNext())
        isFinished = report.compactionFinished == target
        batches += 1
        try check(fixture, naive)
      }
      #expect(batches > 5)
      let fixture = try EngineFixture(directory, options: options)
      #expect(fixture.store.recovery.finishedCompactRevision == target)
      #expect(try fixture.revisions() == naive.rowsKept().map(\.0))
    }
  }

  private func check(_ fixture: EngineFixture, _ naive: NaiveEngine) throws {
    let view = try fixture.store.view()
    for at in max(naive.compactRevision, 1)...naive.revision {
      let expected = naive.range(from: [], to: .unbounded, at: at)
      #expect(try view.keyValues(at: at) == expected.map { engineKeyValue($0) })
      #expect(try view.count(from: [], to: .unbounded, at: at) == Int64(expected.count))
    }
    let hashes = try fixture.store.verifySetHash()
    #expect(hashes.stored == hashes.computed)
  }

  @Test func aTombstoneAtTheRevisionStaysForWatches_18089() throws {
    let fixture = try EngineFixture(try EngineDirectory())
    try fixture.put("a", "1")  // 2
    try fixture.delete("a")  // 3
    try fixture.put("b", "1")  // 4
    try fixture.apply(.compact(3))
    try fixture.commitAll()
    #expect(try fixture.revisions().map(\.main) == [3, 4])
    try fixture.apply(.compact(4))
    try fixture.commitAll()
    #expect(try fixture.revisions().map(\.main) == [4])
    let rows = try fixture.committedRows()
    #expect(rows.filter { $0.0 == .key }.map(\.1) == [engineBytes("b")])
  }

  /// The hash of a revision is of what can be read, not of how far the deletion of rows has come.
  @Test(arguments: 0..<4 as Range<UInt64>)
  func theHashIsTheSameAfterEveryBatch_16048(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    var options = StoreOptions.edges
    options.compactionBatchRows = 1
    let fixture = try EngineFixture(try EngineDirectory(), options: options)
    var naive = NaiveEngine()
    for entry in Self.history(&random) {
      naive.apply(entry)
      try entry.apply(to: fixture.applier, index: naive.appliedIndex)
    }
    try fixture.commitAll()
    for target in [naive.revision / 2, naive.revision] {
      let compaction = EngineEntry(changes: [.compact(target)])
      naive.apply(compaction)
      try compaction.apply(to: fixture.applier, index: naive.appliedIndex)
      #expect(try fixture.applier.freeze())
      var first: [UInt32] = []
      var batches = 0
      var isFinished = false
      while !isFinished {
        isFinished = try #require(try fixture.committer.commitNext()).compactionFinished == target
        let view = try fixture.store.view()
        let hashes = try (target...naive.revision).map { try MVCCHarness.hash($0, in: view).get() }
        if first.isEmpty { first = hashes }
        #expect(hashes == first)
        batches += 1
      }
      #expect(batches > 5 && Set(first).count == first.count)
    }
  }

  /// A new compaction arrives while the last one has visited some rows of its own revision: what stayed there
  /// for watches is looked at again.
  @Test func aCompactionOvertakenInItsLastRevision() throws {
    var options = StoreOptions.edges
    options.compactionBatchRows = 1
    let fixture = try EngineFixture(try EngineDirectory(), options: options)
    let keys = (0..<10).map { engineBytes("key\($0)") }
    for key in keys { try fixture.apply(.put(key: key, value: [1], lease: 0)) }  // 2...11
    try fixture.apply(.compact(1))
    try fixture.commitAll()
    try fixture.apply(EngineEntry(changes: keys.map { .delete(key: $0) }))  // 12
    try fixture.put("last", "1")  // 13
    try fixture.commitAll()
    try fixture.apply(.compact(12))
    #expect(try fixture.applier.freeze())
    var visited = 0
    while visited < 15 { visited += try #require(try fixture.committer.commitNext()).rowsVisited }
    #expect(fixture.committer.isCompacting)
    try fixture.apply(.compact(13))
    try fixture.commitAll()
    #expect(try fixture.revisions().map(\.main) == [13])
  }

  @Test func aRecreatedKeyKeepsItsRow() throws {
    let fixture = try EngineFixture(try EngineDirectory())
    try fixture.put("a", "1")  // 2
    try fixture.delete("a")  // 3
    try fixture.put("a", "2")  // 4
    try fixture.put("b", "1")  // 5
    try fixture.apply(.compact(5))
    try fixture.commitAll()
    #expect(try fixture.revisions().map(\.main) == [4, 5])
    let view = try fixture.store.view()
    let row = try #require(try view.latest(engineBytes("a")))
    #expect(row.version.create == 4 && row.version.version == 1)
  }

  @Test func compactionWaitsForItsCommit() throws {
    let fixture = try EngineFixture(try EngineDirectory())
    for round in 0..<20 { try fixture.put("a", "\(round)") }
    try fixture.commitAll()
    try fixture.apply(.compact(15))
    // Views know of it as soon as it is published; rows go only once the mark is durable.
    #expect(try fixture.store.view().compactRevision == 15)
    #expect(try fixture.committer.commitNext() == nil)
    #expect(try fixture.revisions().count == 20)
    try fixture.commitAll()
    #expect(try fixture.revisions().count == 7)
  }

  /// A pointer into what compaction deleted means absent; the same hole above the compaction is corruption.
  @Test func missingTargetsAreToldApart() throws {
    let directory = try EngineDirectory()
    do {
      let fixture = try EngineFixture(directory)
      for round in 0..<8 { try fixture.put("a", "\(round)") }  // 2...9
      try fixture.apply(.compact(5))
      try fixture.commitAll()
      #expect(try fixture.store.view().latest(engineBytes("a"), at: 4) == nil)
    }
    do {
      let environment = try rawEnvironment(directory)
      var transaction = try environment.beginWrite()
      let key: [UInt8] = [0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0]
      let deleted = try key.withUnsafeBytes { try transaction.delete(environment.table(.rev), $0) }
      #expect(deleted)
      try transaction.commit()
    }
    let fixture = try EngineFixture(directory)
    let view = try fixture.store.view()
    let error = #expect(throws: StoreError.self) { _ = try view.latest(engineBytes("a"), at: 7) }
    guard case .corrupt(let file, .rev, let key, _)? = error else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect(file == directory.file && key.suffix(9).first == 7)
  }

  @Test func filesLevelOffUnderPutAndCompact() throws {
    let fixture = try EngineFixture(try EngineDirectory())
    var sizes: [Int64] = []
    for round in 0..<40 {
      for key in 0..<50 { try fixture.put("key\(key)", String(repeating: "\(round % 10)", count: 300)) }
      try fixture.apply(.compact(fixture.applier.revision))
      #expect(try fixture.applier.freeze())
      while try fixture.committer.commitNext() != nil {}
      sizes.append(try fixture.store.sizes().databaseBytes)
    }
    #expect(sizes[39] == sizes[20])
    #expect(try fixture.revisions().count == 50)
  }
}
