import Foundation
import Model
import Store
import Testing

/// Snapshots: a boundary exported row by row, and a new file built from the rows.
struct EngineExportTests {
  private func filled(_ directory: EngineDirectory) throws -> EngineFixture {
    let fixture = try EngineFixture(directory)
    for round in 0..<300 { try fixture.put("key\(round % 40)", String(repeating: "v", count: round)) }
    try fixture.apply(.put(key: [UInt8](repeating: 1, count: 1500), value: [1], lease: 3))
    try fixture.apply(.putRow(.member, key: [1], value: [2]))
    try fixture.apply(.putRow(.meta, key: engineBytes("confState"), value: [4, 5]))
    try fixture.apply(.compact(100))
    try fixture.commitAll()
    return fixture
  }

  private func append(_ rows: [(Table, [UInt8], [UInt8])], to importer: StoreImporter) throws {
    for (table, key, value) in rows {
      try key.withUnsafeBytes { key in
        try value.withUnsafeBytes { value in try importer.append(table: table, key: key, value: value) }
      }
    }
  }

  @Test func importedStoreIsTheSameForAnotherMember() throws {
    let directory = try EngineDirectory()
    let fixture = try filled(directory)
    try fixture.put("after", "the boundary")
    let rows = try fixture.committedRows()
    let export = try fixture.store.export(fileGrowthBytesMax: 1 << 20)
    #expect(export.appliedIndex == 304 && export.revision == 302 && export.term == 1)
    #expect(try export.confState() == [4, 5])
    let target = directory.path + "/import"
    let identity = StoreIdentity(clusterID: StoreIdentity.test.clusterID, memberID: 99)
    do {
      let importer = try StoreImporter(
        path: target, options: .edges, identity: identity, transactionBytesMax: 10_000)
      try append(rows, to: importer)
      try importer.finish()
    }
    let store = try Store.open(path: target, options: .edges, identity: identity)
    #expect(store.recovery.appliedIndex == 304 && store.recovery.confState == [4, 5])
    var copied: [(Table, [UInt8], [UInt8])] = []
    try store.export(fileGrowthBytesMax: 0).forEachRow { table, key, value in
      copied.append((table, Array(key), Array(value)))
      return .next
    }
    func isKept(_ row: (Table, [UInt8], [UInt8])) -> Bool { row.1 != engineBytes("identity") }
    let expected = rows.filter(isKept)
    #expect(copied.filter(isKept).map(\.1) == expected.map(\.1))
    #expect(copied.filter(isKept).map(\.2) == expected.map(\.2))
    let hashes = try store.verifySetHash()
    #expect(hashes.stored == hashes.computed && hashes.stored == export.setHash)
    // It goes on like the original.
    let applier = try store.makeApplier()
    try EngineEntry(changes: [.put(key: engineBytes("key1"), value: [], lease: 0)]).apply(
      to: applier, index: 305)
    applier.publish()
    #expect(try store.view().latest(engineBytes("key1"))?.version.version == 9)
  }

  @Test func anUnfinishedImportIsNoStore() throws {
    let directory = try EngineDirectory()
    let rows = try filled(directory).committedRows()
    let target = directory.path + "/import"
    do {
      let importer = try StoreImporter(
        path: target, options: .edges, identity: .test, transactionBytesMax: 1000)
      try append(rows, to: importer)
    }
    #expect(throws: StoreError.incomplete(file: target)) {
      _ = try Store.open(path: target, options: .edges, identity: .test)
    }
  }

  @Test func missingDisorderedOrDamagedRowsAreRefused() throws {
    let directory = try EngineDirectory()
    let rows = try filled(directory).committedRows()
    var swapped = rows
    swapped.swapAt(10, 11)
    var damaged = rows
    damaged[20].2[30] ^= 4
    var attempt = 0
    func importing(_ rows: [(Table, [UInt8], [UInt8])]) throws {
      attempt += 1
      let importer = try StoreImporter(
        path: directory.path + "/import\(attempt)", options: .edges, identity: .test)
      try append(rows, to: importer)
      try importer.finish()
    }
    #expect(throws: StoreError.self) { try importing(swapped) }
    #expect(throws: StoreError.self) { try importing(damaged) }
    #expect(throws: StoreError.self) { try importing(Array(rows[..<30] + rows[31...])) }
    #expect(throws: StoreError.self) { try importing(rows.filter { $0.0 != .meta }) }
    try importing(rows)
  }

  @Test func anExportHoldsItsBoundaryAndGivesUpOnGrowth() throws {
    let directory = try EngineDirectory()
    let fixture = try filled(directory)
    let patient = try fixture.store.export(fileGrowthBytesMax: 1 << 30)
    let strict = try fixture.store.export(fileGrowthBytesMax: 64 << 10)
    let expected = try fixture.committedRows()
    for round in 0..<600 {
      try fixture.put("other\(round)", String(repeating: "w", count: 500))
      if round % 20 == 0 { try fixture.commitAll() }
    }
    try fixture.commitAll()
    var seen = 0
    try patient.forEachRow { table, key, value in
      #expect(expected[seen].0 == table && expected[seen].1.elementsEqual(key))
      seen += 1
      return .next
    }
    #expect(seen == expected.count)
    let error = #expect(throws: StoreError.self) { try strict.forEachRow { _, _, _ in .next } }
    guard case .exportAborted(let file, let grown)? = error else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect(file == directory.file && grown > 64 << 10)
    patient.end()
    strict.end()
  }
}
