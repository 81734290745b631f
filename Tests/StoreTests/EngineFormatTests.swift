import LMDB
import Model
import Primitives
import Store
import Testing

/// The file format: final, so its bytes are written down, and damage to any of them is named.
struct EngineFormatTests {
  private func fill(_ fixture: EngineFixture) throws {
    try fixture.put("a", "1")
    try fixture.apply(.put(key: engineBytes("b"), value: engineBytes("22"), lease: 7))
    try fixture.put("a", "3")
    try fixture.delete("b")
    try fixture.apply(.putRow(.member, key: [9], value: engineBytes("nine")))
    try fixture.apply(.put(key: [UInt8](repeating: 0x6c, count: 482), value: [], lease: 0))
    try fixture.commitAll()
  }

  /// Changing any of these lines changes the format: it needs a new version, and the old one stays readable.
  @Test func rowsAreTheseBytes() throws {
    var options = StoreOptions.edges
    options.inlineBytesMax = 12
    let fixture = try EngineFixture(try EngineDirectory(), options: options)
    try fill(fixture)
    let long = String(repeating: "6c", count: 480)
    let longBytes = String(repeating: "6c", count: 482)
    // Checksums are zero here and verified below.
    let expected = [
      "rev 00000000000000020000000000000000 00000000 00000000 00000000 00000000 00000000 00000000 "
        + "0000000000000000 0000000000000000 0a0161 1002 1802 2001 2a0131",
      "rev 00000000000000030000000000000000 00000000 00000000 00000000 00000000 00000000 00000000 "
        + "0000000000000000 0000000000000000 0a0162 1003 1803 2001 2a023232 3007",
      "rev 00000000000000040000000000000000 00000000 00000000 00000000 00000001 00000000 00000000 "
        + "0000000000000002 0000000000000002 0a0161 1002 1804 2002 2a0133",
      "rev 00000000000000050000000000000000 00000000 01000000 00000000 00000001 00000000 00000000 "
        + "0000000000000003 0000000000000003 0a0162",
      "rev 00000000000000060000000000000000 00000000 00000000 00000000 00000000 00000000 00000000 "
        + "0000000000000000 0000000000000000 0ae203\(longBytes) 1006 1806 2001",
      "key 61 00000000 02000000 00000000 00000001 00000000 00000000 00000000 0000000000000004 "
        + "0000000000000002 0000000000000002 0000000000000002 0000000000000002 0000000000000000 "
        + "0a0161 1002 1804 2002 2a0133",
      "key 62 00000000 03000000 00000000 00000001 00000000 00000000 00000000 0000000000000005 "
        + "0000000000000003 0000000000000003 0000000000000000 0000000000000000 0000000000000000 0a0162",
      "key \(long) 00000000 04000000 0000000000000001",
      "long 00000000000000016c6c 00000000 00000000 00000000 00000000 00000000 00000000 00000000 "
        + "0000000000000006 0000000000000000 0000000000000000 0000000000000006 0000000000000001 "
        + "0000000000000000",
      "member 09 00000000 6e696e65",
    ]
    let rows = try fixture.committedRows().filter { $0.0 != .meta }
    #expect(rows.count == expected.count)
    for (row, line) in zip(rows, expected) {
      let parts = line.split(separator: " ", maxSplits: 2).map(String.init)
      #expect("\(row.0)" == parts[0] && engineHex(row.1) == parts[1])
      let value = try withoutChecksums(row)
      #expect(engineHex(value) == parts[2].replacing(" ", with: ""), "\(row.0) \(engineHex(row.1))")
    }
  }

  /// The value of a row with its checksums, which must be right, set to zero.
  private func withoutChecksums(_ row: (Table, [UInt8], [UInt8])) throws -> [UInt8] {
    var value = row.2
    func stored(_ offset: Int) -> UInt32 { value[offset..<offset + 4].reduce(0) { $0 << 8 | UInt32($1) } }
    let headerBytes =
      switch row.0 {
      case .rev: 40
      case .key, .long: min(76, value.count)
      default: value.count
      }
    #expect(stored(0) == CRC32C.checksum([row.0.rawValue] + row.1 + value[4..<headerBytes]))
    value.replaceSubrange(..<4, with: [0, 0, 0, 0])
    guard headerBytes == 40 || headerBytes == 76 else { return value }
    if value.count > headerBytes { #expect(stored(8) == CRC32C.checksum(Array(value[headerBytes...]))) }
    value.replaceSubrange(8..<12, with: [0, 0, 0, 0])
    return value
  }

  @Test func theStateRowIsTheseBytes() throws {
    let fixture = try EngineFixture(try EngineDirectory())
    try fill(fixture)
    try fixture.apply(.compact(4))
    try fixture.commitAll()
    let rows = try fixture.committedRows().filter { $0.0 == .meta }
    #expect(rows.map { String(decoding: $0.1, as: UTF8.self) } == ["identity", "state"])
    #expect(engineHex(Array(rows[0].2[4...])) == "0000000100000000" + "000000000000c1a5" + "0000000000003e3b")
    let export = try fixture.store.export(fileGrowthBytesMax: 0)
    let words: [UInt64] = [2, 7, 1, 6, 4, 4, 4, 0, export.setHash.high, export.setHash.low, 2]
    let expected = words.flatMap { word in withUnsafeBytes(of: word.bigEndian) { Array($0) } }
    #expect(Array(rows[1].2[4...]) == expected)
  }

  /// Every single bit of every value, in each kind of table.
  @Test func flippedBitsAreNamed() throws {
    let directory = try EngineDirectory()
    try fill(try EngineFixture(directory))
    let rows = try EngineFixture(directory).committedRows().filter { $0.0 != .meta }
    #expect(Set(rows.map(\.0)) == [.rev, .key, .long, .member])
    for (table, key, value) in rows {
      for bit in 0..<(value.count * 8) where value.count < 200 || bit % 97 == 0 {
        var damaged = value
        damaged[bit / 8] ^= 1 << (bit % 8)
        try write(directory, table, key, damaged)
        try expectNamed(directory, table, key)
      }
      try write(directory, table, key, value)
    }
    #expect(try EngineFixture(directory).store.view().keyValues().count == 2)
  }

  private func write(_ directory: EngineDirectory, _ table: Table, _ key: [UInt8], _ value: [UInt8]) throws {
    let environment = try rawEnvironment(directory)
    var transaction = try environment.beginWrite()
    var failure: LMDBError?
    key.withUnsafeBytes { key in
      value.withUnsafeBytes { value in
        do throws(LMDBError) { try transaction.put(environment.table(table), key, value) } catch {
          failure = error
        }
      }
    }
    if let failure { throw failure }
    try transaction.commit()
  }

  /// Whatever way leads to the row names file, table and key.
  private func expectNamed(_ directory: EngineDirectory, _ table: Table, _ key: [UInt8]) throws {
    let fixture = try EngineFixture(directory)
    let view = try fixture.store.view()
    let error = #expect(throws: StoreError.self) {
      switch table {
      case .rev: try view.rows(from: Revision(main: 0, sub: 0), through: .max) { _, _ in .next }
      case .member: try view.tableRows(table, from: [], to: .unbounded) { _, _ in .next }
      default: _ = try view.keyValues()
      }
    }
    guard case .corrupt(let file, let named, let namedKey, _)? = error else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect(file == directory.file && named == table && namedKey == key)
  }

  // MARK: whose file

  @Test func foreignFilesAreRefused() throws {
    let directory = try EngineDirectory()
    #expect(throws: StoreError.incomplete(file: directory.file)) {
      _ = try Store.open(path: directory.file, options: .edges, identity: nil)
    }
    do { #expect(try EngineFixture(directory).store.recovery.isNew) }
    #expect(try Store.open(path: directory.file, options: .edges, identity: nil).recovery.identity == .test)
    let other = StoreIdentity(clusterID: 1, memberID: StoreIdentity.test.memberID)
    #expect(throws: StoreError.foreign(file: directory.file, found: .test, expected: other)) {
      _ = try Store.open(path: directory.file, options: .edges, identity: other)
    }
  }

  @Test func unknownFormatsAreRefused() throws {
    let directory = try EngineDirectory()
    do { _ = try EngineFixture(directory) }
    let key = engineBytes("identity")
    let payload: [UInt8] = [0, 0, 0, 2, 0, 0, 0, 0]
    let checksum = CRC32C.checksum([Table.meta.rawValue] + key + payload)
    try write(directory, .meta, key, withUnsafeBytes(of: checksum.bigEndian) { Array($0) } + payload)
    #expect(throws: StoreError.unknownFormat(file: directory.file, version: 2)) {
      _ = try Store.open(path: directory.file, options: .edges, identity: .test)
    }
  }

  @Test func aStoreIsOpenOnce() throws {
    let directory = try EngineDirectory()
    let fixture = try EngineFixture(directory)
    #expect(throws: StoreError.self) {
      _ = try Store.open(path: directory.file, options: .edges, identity: .test)
    }
    withExtendedLifetime(fixture) {}
  }
}
