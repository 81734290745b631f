import Model
import Primitives
import Store
import Testing

/// Reads of the history: the scan against the naive store, and the walk along one key's chain against the scan.
struct HistoryTests {
  struct Change: Equatable {
    var revision: Revision
    /// Nil for a tombstone.
    var keyValue: [UInt8]?
  }

  #if DEBUG
    static let seeds: Range<UInt64> = 0..<8
  #else
    static let seeds: Range<UInt64> = 0..<60
  #endif

  @Test(arguments: seeds)
  func chainEqualsScanEqualsNaive(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    let fixture = try EngineFixture(try EngineDirectory())
    var naive = NaiveEngine()
    let keys = (0..<6).map { engineBytes("k\($0)") } + [[UInt8](repeating: 7, count: 700)]
    var compared = 0
    for _ in 0..<25 {
      for _ in 0..<Int.random(in: 1...30, using: &random) {
        let entry = Self.entry(&random, keys, naive)
        naive.apply(entry)
        try fixture.apply(entry)
      }
      switch Int.random(in: 0..<6, using: &random) {
      case 0: _ = try fixture.applier.freeze()
      case 1: _ = try fixture.committer.commitNext()
      case 2: try fixture.commitAll()
      default: break
      }
      let view = try fixture.store.view()
      let lowest = max(1, naive.compactRevision)
      for key in keys {
        let from = Int64.random(in: lowest...(naive.revision + 1), using: &random)
        let through = Int64.random(in: from...(naive.revision + 2), using: &random)
        let expected = (naive.history[key] ?? []).filter { (from...through).contains($0.revision.main) }
          .map { Change(revision: $0.revision, keyValue: $0.keyValue.map(engineKeyValue)) }
        #expect(try Self.scanned(key, from, through, view, &random) == expected)
        #expect(try Self.chained(key, from, through, view, &random) == expected)
        compared += expected.count
      }
      view.end()
    }
    #expect(compared > 100)
  }

  private static func entry(
    _ random: inout SeededRandom, _ keys: [[UInt8]], _ naive: NaiveEngine
  ) -> EngineEntry {
    if random.chance(1, in: 40) {
      let low = max(naive.compactRevision + 1, 1)
      if low <= naive.revision {
        return EngineEntry(changes: [.compact(Int64.random(in: low...naive.revision, using: &random))])
      }
    }
    var changes: [EngineEntry.Change] = []
    var isLive: [[UInt8]: Bool] = [:]
    for _ in 0..<Int.random(in: 1...4, using: &random) {
      // Two of three changes hit the first key, whose chain gets long.
      let key = random.chance(2, in: 3) ? keys[0] : keys[Int.random(in: 0..<keys.count, using: &random)]
      if isLive[key] ?? naive.isLive(key), random.chance(1, in: 4) {
        changes.append(.delete(key: key))
        isLive[key] = false
      } else {
        changes.append(
          .put(
            key: key, value: [UInt8](repeating: 1, count: Int.random(in: 0...90, using: &random)), lease: 0))
        isLive[key] = true
      }
    }
    return EngineEntry(changes: changes)
  }

  private static func change(_ row: Row, _ revision: Revision) -> Change {
    Change(revision: revision, keyValue: row.version.isTombstone ? nil : Array(row.keyValue))
  }

  private static func scanned(
    _ key: [UInt8], _ from: Int64, _ through: Int64, _ view: ReadView, _ random: inout SeededRandom
  ) throws -> [Change] {
    var found: [Change] = []
    var scan = HistoryScan(from: from)
    while true {
      var stopsAfter = Int.random(in: 1...20, using: &random)
      let before = scan.through
      let step = try scan.slice(in: view, last: through, rows: Int.random(in: 1...20, using: &random)) {
        revision, row in
        #expect(revision == row.version.mod && revision.main > before)
        if stopsAfter == 0 { return .stop }
        stopsAfter -= 1
        if Array(row.key) == key { found.append(change(row, revision)) }
        return .next
      }
      #expect(found.allSatisfy { $0.revision.main >= from && $0.revision < scan.next })
      switch step {
      case .done:
        #expect(scan.through == max(from - 1, min(through, view.revision)))
        return found
      case .more: #expect(scan.through < through)
      case .compacted: Issue.record("nothing below the compaction was asked for")
      }
    }
  }

  private static func chained(
    _ key: [UInt8], _ from: Int64, _ through: Int64, _ view: ReadView, _ random: inout SeededRandom
  ) throws -> [Change] {
    var found: [Change] = []
    var next = from
    while next <= min(through, view.revision) {
      let before = found.count
      let rows = Int.random(in: 1...12, using: &random)
      let slice = try key.withUnsafeBytes { bytes in
        try view.versions(
          of: bytes, from: next, through: through, rows: rows, bytes: Int.random(in: 1...600, using: &random)
        ) { row in
          #expect(Array(row.key) == key)
          found.append(change(row, row.version.mod))
        }
      }
      #expect(slice.through >= next && slice.through <= through, "each slice gets on")
      #expect(found[before...].allSatisfy { (next...slice.through).contains($0.revision.main) })
      // More than `rows` only where one transaction changed the key that often.
      #expect(found.count - before <= rows || Set(found[before...].map(\.revision.main)).count == 1)
      next = slice.through + 1
    }
    return found
  }

  /// Reading one slice of a hot key costs its rows and a logarithm, wherever in the history it lies.
  @Test func aChainIsEnteredByJumps() throws {
    let fixture = try EngineFixture(try EngineDirectory())
    for version in 0..<3000 { try fixture.put("hot", "\(version)") }
    try fixture.commitAll()
    let view = try fixture.store.view()
    let key = engineBytes("hot")
    for from in stride(from: Int64(2), to: 2900, by: 97) {
      let before = view.revisionLookups
      var revisions: [Int64] = []
      let slice = try key.withUnsafeBytes { bytes in
        try view.versions(of: bytes, from: from, through: .max, rows: 10, bytes: .max) { row in
          revisions.append(row.version.mod.main)
        }
      }
      #expect(revisions == Array(from..<(from + 10)) && slice.through == from + 9)
      #expect(view.revisionLookups - before <= 10 + 3 * 40)
    }
  }

  @Test func aScanThatCompactionOvertakesSaysSo() throws {
    let fixture = try EngineFixture(try EngineDirectory())
    for version in 0..<20 { try fixture.put("k", "\(version)") }  // 2...21
    var scan = HistoryScan(from: 5)
    let view = try fixture.store.view()
    #expect(try scan.slice(in: view, rows: 4) { _, _ in .next } == .more)
    #expect(scan.through == 8 && scan.next == Revision(main: 9, sub: 0))
    try fixture.apply(.compact(9))
    try view.renew()
    var copy = scan
    #expect(try copy.slice(in: view, rows: 4) { _, _ in .next } == .more, "its own revision is kept")
    try fixture.apply(.compact(10))
    try fixture.commitAll()
    try view.renew()
    #expect(try scan.slice(in: view, rows: 4) { _, _ in .next } == .compacted(10))
  }

  /// The state before an event, which transactions that touch a key twice do not blur.
  @Test func previousIsTheStateBeforeTheTransaction() throws {
    let fixture = try EngineFixture(try EngineDirectory())
    let key = engineBytes("k")
    try fixture.put("k", "first")  // 2
    try fixture.apply(.delete(key: key), .put(key: key, value: [1], lease: 0))  // 3
    try fixture.delete("k")  // 4
    try fixture.put("k", "again")  // 5
    for round in 0..<3 {
      let view = try fixture.store.view()
      let value = { (main: Int64) throws -> String? in
        try key.withUnsafeBytes { bytes in
          try view.previous(bytes, before: main).map { row in
            let fields = try KeyValue(decoding: Array(row.keyValue))
            return String(decoding: fields.value, as: UTF8.self)
          }
        }
      }
      #expect(try value(2) == nil)
      #expect(try value(3) == (round < 2 ? "first" : nil), "compacted at 3")
      #expect(try value(4) == "\u{1}")
      #expect(try value(5) == nil)
      #expect(try value(6) == "again")
      if round == 0 { try fixture.commitAll() }
      if round == 1 { try fixture.apply(.compact(3)) }
    }
  }
}

/// What watchers that are behind read.
struct HistorySliceTests {
  struct Seen: Equatable {
    var revision: Revision
    var keyValue: [UInt8]
    var isCreate: Bool
  }

  private func seen(_ batch: EventBatch) -> [Seen] {
    batch.items.map { item in
      Seen(
        revision: Revision(main: item.mainRevision, sub: Int64(item.subRevision)),
        keyValue: Array(batch.bytes[item.keyValue]), isCreate: item.isCreate)
    }
  }

  private func expected(_ naive: NaiveEngine, from: Int64, _ wanted: ([UInt8]) -> Bool) -> [Seen] {
    naive.history.filter { wanted($0.key) }.flatMap { (key, versions) in
      versions.filter { $0.revision.main >= from }.map { version in
        Seen(
          revision: version.revision,
          keyValue: engineKeyValue(
            version.keyValue ?? KeyValue(key: key, modRevision: version.revision.main)),
          isCreate: version.keyValue.map { $0.createRevision == version.revision.main } ?? false)
      }
    }
    .sorted { $0.revision < $1.revision }
  }

  @Test(arguments: 0..<6 as Range<UInt64>)
  func slicesPutTogetherAreTheHistory(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    let fixture = try EngineFixture(try EngineDirectory())
    var naive = NaiveEngine()
    for _ in 0..<300 {
      var entry = EngineEntry(changes: [])
      for _ in 0..<Int.random(in: 1...5, using: &random) {
        let key = engineBytes("k\(Int.random(in: 0..<9, using: &random))")
        let deletes = naive.isLive(key) && entry.changes.isEmpty && random.chance(1, in: 3)
        entry.changes.append(deletes ? .delete(key: key) : .put(key: key, value: key, lease: 3))
      }
      naive.apply(entry)
      try fixture.apply(entry)
      if random.chance(1, in: 50) { try fixture.commitAll() }
    }
    let keys = KeySet([
      .init(key: engineBytes("k2"), end: engineBytes("k4")), .init(key: [0x6b, 0x37], end: nil),
    ])
    for from in [1, 2, 57, 300, 301, 302] as [Int64] {
      let bytesMax = Int.random(in: 1...400, using: &random)
      let ranges = try collect(fixture, from: from) { next in
        try fixture.store.history(
          from: next, of: keys, bytesMax: bytesMax,
          revisionsMax: Int64.random(in: 1...50, using: &random))
      }
      #expect(ranges == expected(naive, from: from) { keys.contains($0) })
      let single = try collect(fixture, from: from) { next in
        try fixture.store.history(from: next, of: engineBytes("k5"), bytesMax: bytesMax)
      }
      #expect(single == expected(naive, from: from) { $0 == engineBytes("k5") })
      #expect(from > 200 || (ranges.count > 50 && single.count > 20))
    }
  }

  private func collect(
    _ fixture: EngineFixture, from: Int64, _ read: (Int64) throws -> HistorySlice
  ) throws -> [Seen] {
    var next = from
    var found: [Seen] = []
    while next <= fixture.applier.revision {
      guard case .events(let batch) = try read(next) else {
        Issue.record("nothing was compacted")
        return []
      }
      #expect(batch.firstRevision == next && batch.lastRevision >= next && batch.isComplete)
      found += seen(batch)
      next = batch.lastRevision + 1
    }
    return found
  }

  /// Bug 18089, 19179: the tombstone at the compaction's revision is an event that a watch from there must get.
  @Test func aDeleteAtTheCompactionRevisionIsKept_18089() throws {
    let fixture = try EngineFixture(try EngineDirectory())
    try fixture.put("k", "v")  // 2
    try fixture.delete("k")  // 3
    try fixture.apply(.compact(3))
    for isCommitted in [false, true] {
      if isCommitted { try fixture.commitAll() }
      for slice in [
        try fixture.store.history(from: 3, of: engineBytes("k"), bytesMax: 1000),
        try fixture.store.history(from: 3, of: .all, bytesMax: 1000, revisionsMax: 10),
      ] {
        guard case .events(let batch) = slice else {
          Issue.record("the compaction's own revision can be read")
          continue
        }
        #expect(batch.items.map(\.kind) == [.delete] && batch.firstRevision == 3 && batch.lastRevision == 3)
      }
      for slice in [
        try fixture.store.history(from: 2, of: engineBytes("k"), bytesMax: 1000),
        try fixture.store.history(from: 2, of: .all, bytesMax: 1000, revisionsMax: 10),
      ] {
        guard case .compacted(3) = slice else {
          Issue.record("below the compaction there is nothing to read")
          continue
        }
      }
    }
  }
}
