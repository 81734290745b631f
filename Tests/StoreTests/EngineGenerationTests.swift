import Foundation
import Model
import Primitives
import Store
import Testing

/// Generations between applier, committer and views, and what happens when room runs out.
struct EngineGenerationTests {
  @Test func viewsSeeWholePublishedEntries() throws {
    let fixture = try EngineFixture(try EngineDirectory())
    try fixture.put("a", "1")
    let applier = fixture.applier
    let before = try fixture.store.view()
    try applier.put(key: engineBytes("a"), value: engineBytes("2"), lease: 0, main: 3, sub: 0)
    try applier.putRow(table: .member, key: [1], value: [1])
    // Not finished, not published: invisible to views, visible to the applier.
    func isOld(_ view: ReadView) throws {
      #expect(view.revision == 2)
      #expect(try view.latest(engineBytes("a"))?.version.mod.main == 2)
      #expect(try view.value(table: .member, key: [1]) == nil)
      #expect(try view.count(from: [], to: .unbounded, at: .max) == 1)
    }
    try isOld(fixture.store.view())
    let own = try engineBytes("a").withUnsafeBytes { key in try applier.latest(key)?.version.mod.main }
    #expect(own == 3)
    #expect(try applier.value(table: .member, key: [1]) == [1])
    try applier.finishEntry(index: 2, term: 1)
    try isOld(fixture.store.view())
    applier.publish()
    try isOld(before)
    let after = try fixture.store.view()
    #expect(after.revision == 3 && after.appliedIndex == 2 && after.term == 1)
    #expect(try after.latest(engineBytes("a"))?.version.version == 2)
    #expect(try after.value(table: .member, key: [1]) == [1])
    try before.renew()
    #expect(before.revision == 3)
  }

  @Test func backpressureUntilTheCommit() throws {
    let fixture = try EngineFixture(try EngineDirectory())
    #expect(try fixture.applier.freeze(), "nothing to hand over")
    #expect(try !fixture.committer.hasWork)
    try fixture.put("a", "1")
    #expect(try fixture.applier.freeze())
    try fixture.put("b", "1")
    #expect(try fixture.applier.isCommitting)
    #expect(try !fixture.applier.freeze(), "two generations at most")
    let held = try fixture.store.view()
    #expect(try fixture.committer.commitNext()?.appliedIndex == 1)
    #expect(try fixture.applier.freeze())
    #expect(try fixture.committer.commitNext()?.appliedIndex == 2)
    #expect(try fixture.committer.commitNext() == nil)
    // A view keeps the generations that it began with.
    #expect(try held.keyValues().count == 2)
    #expect(try fixture.store.view().keyValues().count == 2)
  }

  @Test func anEntryWithoutRowsMovesTheAppliedIndex() throws {
    let directory = try EngineDirectory()
    do {
      let fixture = try EngineFixture(directory)
      try fixture.apply()
      try fixture.apply()
      try fixture.commitAll()
      #expect(try fixture.store.view().appliedIndex == 2)
    }
    #expect(try EngineFixture(directory).store.recovery.appliedIndex == 2)
  }

  @Test func whatWasNotCommittedIsGoneAfterACrash() throws {
    let directory = try EngineDirectory()
    do {
      let fixture = try EngineFixture(directory)
      try fixture.put("a", "1")
      try fixture.apply(.putRow(.meta, key: engineBytes("confState"), value: [5]))
      try fixture.commitAll()
      try fixture.put("a", "2")
      #expect(try fixture.applier.freeze())
      try fixture.put("a", "3")
    }
    let fixture = try EngineFixture(directory)
    #expect(fixture.store.recovery.revision == 2 && fixture.store.recovery.appliedIndex == 2)
    #expect(fixture.store.recovery.confState == [5])
    #expect(!fixture.store.recovery.isNew)
    #expect(try fixture.store.view().latest(engineBytes("a"))?.version.mod.main == 2)
  }

  /// One entry of many changes: memory stays bounded, the rest lies in an unlinked file.
  @Test func aHugeEntrySpills() throws {
    let directory = try EngineDirectory()
    var options = StoreOptions.edges
    options.generationMemoryBytesMax = 64 << 10
    let fixture = try EngineFixture(directory, options: options)
    var changes: [EngineEntry.Change] = []
    var naive = NaiveEngine()
    for key in 0..<3000 {
      changes.append(
        .put(key: engineBytes("key\(key)"), value: [UInt8](repeating: 1, count: key % 300), lease: 0))
    }
    changes.append(.put(key: engineBytes("large"), value: [UInt8](repeating: 2, count: 1 << 20), lease: 0))
    naive.apply(EngineEntry(changes: changes))
    try EngineEntry(changes: changes).apply(to: fixture.applier, index: 1)
    fixture.applier.publish()
    #expect(fixture.applier.spilledBytes > 1 << 20)
    #expect(fixture.applier.fillingBytes - fixture.applier.spilledBytes <= 64 << 10)
    let names = try FileManager.default.contentsOfDirectory(atPath: directory.path)
    #expect(Set(names) == ["db", "db-lock"], "the spill file has no name")
    let expected = naive.range(from: [], to: .unbounded, at: .max).map { engineKeyValue($0) }
    #expect(try fixture.store.view().keyValues() == expected)
    try fixture.commitAll()
    #expect(try fixture.store.view().keyValues() == expected)
    #expect(fixture.applier.spilledBytes == 0)
  }

  // MARK: space

  @Test func theFileIsExtendedAheadOfCommits() throws {
    let fixture = try EngineFixture(try EngineDirectory())
    for key in 0..<500 { try fixture.put("key\(key)", String(repeating: "v", count: 500)) }
    let before = try fixture.store.sizes()
    // Rows of 600 bytes come twice, in pages that splits leave half empty.
    #expect(before.fileBytes > before.databaseBytes + 500 * 600 * 4)
    #expect(!fixture.store.isShortOfSpace)
    try fixture.commitAll()
    #expect(try fixture.store.sizes().databaseBytes < before.fileBytes)
  }

  @Test func shortOfSpaceIsKnownBeforeTheCommitFails() throws {
    var options = StoreOptions.edges
    options.mapBytes = 4 << 20
    let fixture = try EngineFixture(try EngineDirectory(), options: options)
    var accepted = 0
    while !fixture.store.isShortOfSpace, accepted < 100_000 {
      try fixture.put("key\(accepted)", String(repeating: "v", count: 900))
      accepted += 1
      if accepted % 50 == 0 { try fixture.commitAll() }
    }
    #expect(accepted > 100 && accepted < 100_000)
    // What was accepted fits; deletions and compaction still work, and give room again.
    try fixture.commitAll()
    for key in 0..<accepted {
      try fixture.delete("key\(key)")
      if key % 50 == 0 { try fixture.commitAll() }
    }
    try fixture.put("last", "1")
    try fixture.apply(.compact(fixture.applier.revision))
    try fixture.commitAll()
    #expect(try fixture.revisions().count == 1)
    #expect(try fixture.store.sizes().databaseInUseBytes < 1 << 20)
    #expect(try fixture.applier.freeze())
    #expect(!fixture.store.isShortOfSpace, "pages that compaction freed are room again")
    for key in 0..<100 { try fixture.put("again\(key)", String(repeating: "v", count: 900)) }
    try fixture.commitAll()
    #expect(!fixture.store.isShortOfSpace)
  }

  @Test func aFailedCommitPoisonsTheStore_18679() throws {
    let directory = try EngineDirectory()
    var options = StoreOptions.edges
    options.mapBytes = 1 << 20
    do {
      let fixture = try EngineFixture(directory, options: options)
      try fixture.put("a", "1")
      try fixture.commitAll()
      try fixture.put("b", String(repeating: "v", count: 2 << 20))
      #expect(fixture.store.isShortOfSpace)
      #expect(try fixture.applier.freeze())
      let error = #expect(throws: StoreError.self) { _ = try fixture.committer.commitNext() }
      guard case .noSpace(let file, let operation)? = error else {
        Issue.record("\(String(describing: error))")
        return
      }
      #expect(file == directory.file && operation.hasPrefix("mdb_"))
      for attempt: () throws -> Void in [
        { _ = try fixture.store.view() }, { _ = try fixture.committer.commitNext() },
        { _ = try fixture.applier.freeze() }, { try fixture.put("c", "1") },
        { _ = try fixture.store.export(fileGrowthBytesMax: 0) },
      ] {
        let later = #expect(throws: StoreError.self) { try attempt() }
        guard case .poisoned(let reason)? = later else {
          Issue.record("\(String(describing: later))")
          return
        }
        #expect(reason.contains(directory.file))
      }
    }
    // The file itself is as the last good commit left it.
    let fixture = try EngineFixture(directory)
    #expect(try fixture.store.view().keyValues().count == 1)
  }
}
