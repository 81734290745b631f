import Foundation
import Model
import Primitives
import Store
import Testing

/// Bugs of etcd's backend, index and compaction, each by its number: what went wrong there cannot go wrong here.
/// More of them stand beside what they are about: 14685, 18810 and 20271 (defragmentation), 17780 and 18089
/// (compaction), 16048 (the check of the data), 18679 (a failed commit), 14102 (flipped bits).
struct EnginePastBugTests {
  private let directory: EngineDirectory

  init() throws { directory = try EngineDirectory() }

  /// A copy of the file as a crash of the process would leave it now, opened.
  private func crashed() throws -> (Store, EngineDirectory) {
    let copy = try EngineDirectory()
    try FileManager.default.copyItem(atPath: directory.file, toPath: copy.file)
    return (try Store.open(path: copy.file, options: .edges, identity: .test), copy)
  }

  /// A commit stored the applied index of an entry before the entry's data: a crash then skipped the entry.
  /// Whenever the process ends, the index in the file and the data are those of one entry boundary.
  @Test(arguments: 0..<4 as Range<UInt64>)
  func indexAndDataAreCommittedTogether_13766(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    let fixture = try EngineFixture(directory)
    var naive = NaiveEngine()
    var history = [naive]
    for _ in 0..<150 {
      var entry = EngineEntry(changes: [])
      for number in 0..<Int.random(in: 1...3, using: &random) {
        let key = engineBytes("key\(Int.random(in: 0..<9, using: &random) * 3 + number)")
        entry.changes.append(.put(key: key, value: [UInt8.random(in: 0...255, using: &random)], lease: 0))
      }
      naive.apply(entry)
      history.append(naive)
      try fixture.apply(entry)
      guard random.chance(1, in: 3) else { continue }
      if random.chance(1, in: 2) { _ = try fixture.applier.freeze() }
      _ = try fixture.committer.commitNext()
      let (store, copy) = try crashed()
      let expected = history[Int(store.recovery.appliedIndex)]
      #expect(store.recovery.revision == expected.revision)
      let found = try store.view().keyValues()
      #expect(found == expected.range(from: [], to: .unbounded, at: .max).map { engineKeyValue($0) })
      withExtendedLifetime(copy) {}
    }
  }

  /// After a crash between two batches of a compaction, the index that was rebuilt lost a key whose first row left
  /// was a tombstone: a watch from the compaction's revision missed the deletion.
  @Test func aTombstoneWhoseCreationIsGoneIsStillAnEvent_19179() throws {
    var options = StoreOptions.edges
    options.compactionBatchRows = 1
    do {
      let fixture = try EngineFixture(directory, options: options)
      try fixture.put("a", "1")  // 2
      try fixture.put("b", "1")  // 3
      try fixture.delete("a")  // 4
      try fixture.put("c", "1")  // 5
      try fixture.commitAll()
    }
    var batches = 0
    var isFinished = false
    var isScheduled = false
    while !isFinished {
      let fixture = try EngineFixture(directory, options: options)
      if !isScheduled {
        try fixture.apply(.compact(4))
        #expect(try fixture.applier.freeze())
        isScheduled = true
      }
      isFinished = try #require(try fixture.committer.commitNext()).compactionFinished != nil
      batches += 1
      var events: [String] = []
      try fixture.store.view().rows(from: Revision(main: 4, sub: 0), through: .max) { revision, row in
        events.append(
          "\(revision.main) \(String(decoding: row.key, as: UTF8.self)) \(row.version.isTombstone)")
        return .next
      }
      #expect(events == ["4 a true", "5 c false"])
      #expect(try fixture.store.view().latest(engineBytes("a"))?.version.isTombstone == true)
    }
    #expect(batches >= 2)
  }

  /// A deletion in the write buffer was not seen by reads that went through the buffer.
  @Test func aDeletionIsSeenAtEveryStage_17230() throws {
    let fixture = try EngineFixture(directory)
    let key = engineBytes("key")
    func check(_ stage: String, isLive: Bool) throws {
      let view = try fixture.store.view()
      #expect(try view.latest(key)?.version.isTombstone != isLive, "\(stage)")
      #expect(try view.keyValues().isEmpty != isLive, "\(stage)")
      #expect(try view.count(from: [], to: .unbounded, at: .max) == (isLive ? 1 : 0), "\(stage)")
      let row = engineBytes("row")
      #expect(try (view.value(table: .lease, key: row) != nil) == isLive, "\(stage)")
      var rows = 0
      try view.tableRows(.lease, from: [], to: .unbounded) { _, _ in
        rows += 1
        return .next
      }
      #expect(rows == (isLive ? 1 : 0), "\(stage)")
    }
    for wasCommitted in [false, true] {
      try fixture.apply(
        .put(key: key, value: [1], lease: 0), .putRow(.lease, key: engineBytes("row"), value: [2]))
      if wasCommitted { try fixture.commitAll() }
      try check("put", isLive: true)
      let main = fixture.applier.revision + 1
      try fixture.applier.delete(key: key, main: main, sub: 0)
      try fixture.applier.deleteRow(table: .lease, key: engineBytes("row"))
      #expect(try key.withUnsafeBytes { try fixture.applier.latest($0)?.version.isTombstone } == true)
      #expect(try fixture.applier.count(from: [], to: .unbounded) == 0)
      #expect(try fixture.applier.value(table: .lease, key: engineBytes("row")) == nil)
      try check("not published", isLive: true)
      try fixture.applier.finishEntry(index: fixture.applier.appliedIndex + 1, term: 1)
      fixture.applier.publish()
      try check("published", isLive: false)
      #expect(try fixture.applier.freeze())
      try check("frozen", isLive: false)
      _ = try fixture.committer.commitNext()
      try check("committed", isLive: false)
      fixture.skipEntry()
    }
  }
}
