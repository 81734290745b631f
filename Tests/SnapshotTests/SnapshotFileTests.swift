import Disk
import Model
import Primitives
import Snapshot
import Testing

/// Snapshot files: written, read back, damaged.
@Suite("Snapshot files")
struct SnapshotFileTests {
  static let path = "/snap/db.snap"

  static let header = SnapshotHeader(
    clusterID: 0xc1, memberID: 0xa1, revision: 77,
    metadata: SnapshotMetadata(confState: ConfState(voters: [0xa1, 0xb2]), index: 123, term: 4),
    tables: [.init(id: 1, name: "rev"), .init(id: 2, name: "key"), .init(id: 200, name: "meta")])

  struct Row: Equatable {
    var table: UInt8
    var key: [UInt8]
    var value: [UInt8]
  }

  static func rows(count: Int, valueBytesMax: Int, seed: UInt64 = 1) -> [Row] {
    var random = SeededRandom(seed: seed)
    return (0..<count).map { number in
      let size = Int.random(in: 0...valueBytesMax, using: &random)
      let value = (0..<size).map { _ in
        random.chance(1, in: 2) ? 0 : UInt8.random(in: 0...255, using: &random)
      }
      let table: UInt8 = number < count / 2 ? 1 : number < count - 2 ? 2 : 200
      return Row(table: table, key: Array("key\(number)".utf8), value: value)
    }
  }

  @discardableResult
  static func write(
    _ rows: [Row], to disk: any Disk, path: String = path, chunkBytes: Int = 2000
  ) throws(SnapshotError) -> SnapshotSummary {
    let writer = try SnapshotWriter(
      disk: disk, path: path, header: header, compressionLevel: 1, chunkBytes: chunkBytes, progress: { _ in })
    for row in rows { try append(row, to: writer) }
    return try writer.finish()
  }

  static func append(_ row: Row, to writer: SnapshotWriter) throws(SnapshotError) {
    try row.key.withUnsafeBufferPointer { (key) throws(SnapshotError) in
      try row.value.withUnsafeBufferPointer { (value) throws(SnapshotError) in
        try writer.append(
          table: row.table, key: UnsafeRawBufferPointer(key), value: UnsafeRawBufferPointer(value))
      }
    }
  }

  static func readAll(_ reader: SnapshotReader) throws(SnapshotError) -> [Row] {
    var rows: [Row] = []
    while let row = try reader.nextRow() {
      rows.append(Row(table: row.table, key: [UInt8](row.key), value: [UInt8](row.value)))
    }
    return rows
  }

  static func read(_ disk: any Disk, path: String = path) throws(SnapshotError) -> [Row] {
    try readAll(try SnapshotReader.open(disk: disk, path: path, progress: { _ in }))
  }

  static func newDisk() throws -> SimulatedDisk {
    let disk = SimulatedDisk()
    try disk.createDirectories("/snap")
    return disk
  }

  @Test("round trip", arguments: [0, 1, 50, 3000], [1, 2000, 1 << 20])
  func roundTrip(count: Int, chunkBytes: Int) throws {
    let disk = try Self.newDisk()
    let rows = Self.rows(count: count, valueBytesMax: 300)
    let summary = try Self.write(rows, to: disk, chunkBytes: chunkBytes)
    #expect(summary.bytes % 512 == 0 && summary.bytes == disk.contents(Self.path)?.count)
    #expect(summary.rows == UInt64(count))
    let reader = try SnapshotReader.open(disk: disk, path: Self.path, progress: { _ in })
    #expect(reader.header == Self.header)
    #expect(reader.summary == summary)
    #expect(try Self.readAll(reader) == rows)
    #expect(try reader.nextRow() == nil)
    #expect(reader.progress.rows == summary.rows)
    #expect(try disk.list("/snap") == ["db.snap"], "no temporary file is left")
  }

  @Test("values larger than a chunk, empty keys and values; progress is told")
  func odd() throws {
    let disk = try Self.newDisk()
    let rows = [
      Row(table: 1, key: [], value: []),
      Row(table: 1, key: [0], value: [UInt8](repeating: 9, count: 3_000_000)),
      Row(table: 200, key: [UInt8](repeating: 1, count: 70_000), value: [1]),
    ]
    var told: [SnapshotProgress] = []
    let writer = try SnapshotWriter(
      disk: disk, path: Self.path, header: Self.header, compressionLevel: 1, chunkBytes: 1000,
      progress: { told.append($0) })
    for row in rows { try Self.append(row, to: writer) }
    let summary = try writer.finish()
    #expect(told.last == SnapshotProgress(bytes: summary.bytes, rows: 3))
    #expect(zip(told, told.dropFirst()).allSatisfy { $0.bytes < $1.bytes && $0.rows <= $1.rows })
    #expect(summary.bytes < 100_000, "compressed")
    #expect(try Self.read(disk) == rows)
    let huge = Row(table: 1, key: [1], value: [UInt8](repeating: 0, count: 64 << 20))
    let second = try SnapshotWriter(
      disk: disk, path: Self.path, header: Self.header, compressionLevel: 1, chunkBytes: 1000,
      progress: { _ in })
    #expect(throws: SnapshotError.rowTooLarge(bytes: huge.value.count + 1)) {
      try Self.append(huge, to: second)
    }
    second.abandon()
    #expect(try Self.read(disk) == rows, "the old file is untouched")
  }

  /// A file of 16 KiB.
  private func sixteenKiB() throws -> (disk: SimulatedDisk, bytes: [UInt8], rows: [Row]) {
    let disk = try Self.newDisk()
    let rows = Self.rows(count: 190, valueBytesMax: 250)
    try Self.write(rows, to: disk)
    let bytes = try #require(disk.contents(Self.path))
    #expect(abs(bytes.count - (16 << 10)) < 3 << 10)
    return (disk, bytes, rows)
  }

  private func refusal(_ disk: SimulatedDisk) -> SnapshotError? {
    do throws(SnapshotError) {
      _ = try SnapshotReader.open(disk: disk, path: Self.path, progress: { _ in })
      return nil
    } catch {
      return error
    }
  }

  private func namesFile(_ error: SnapshotError?) -> Bool {
    switch error {
    case .corrupt(let file, _, _), .notSnapshot(let file), .unknownFormat(let file, _): file == Self.path
    default: false
    }
  }

  @Test("cut at every byte, or with bytes behind it: refused by name")
  func cuts() throws {
    let (disk, bytes, rows) = try sixteenKiB()
    for cut in 0..<bytes.count {
      disk.setContents(Self.path, Array(bytes[..<cut]))
      if !namesFile(refusal(disk)) {
        Issue.record("cut at \(cut): \(String(describing: refusal(disk)))")
        return
      }
    }
    for extra in [1, 31, 32, 33, 511, 512, 1024] {
      disk.setContents(Self.path, bytes + [UInt8](repeating: 0, count: extra))
      #expect(namesFile(refusal(disk)), "\(extra) bytes behind the end")
    }
    disk.setContents(Self.path, bytes)
    #expect(try Self.read(disk) == rows)
  }

  @Test("every bit flipped: refused by name before any row", arguments: 0..<4)
  func flips(chunk: Int) throws {
    let (disk, bytes, _) = try sixteenKiB()
    for bit in stride(from: chunk, to: bytes.count * 8, by: 4) {
      disk.flipBit(bit, of: Self.path)
      if !namesFile(refusal(disk)) {
        Issue.record("bit \(bit): \(String(describing: refusal(disk)))")
        return
      }
      disk.flipBit(bit, of: Self.path)
    }
    #expect(refusal(disk) == nil)
  }
}
