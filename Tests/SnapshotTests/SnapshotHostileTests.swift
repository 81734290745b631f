import Crypto
import Disk
import Primitives
import Snapshot
import Testing

/// Files whose checksums all hold and whose content lies, crashes while writing, and the stream to etcdctl.
@Suite("Snapshot files: hostile content, crashes, streams")
struct SnapshotHostileTests {
  private typealias Files = SnapshotFileTests

  /// A file with one chunk of this head and payload, sealed with right checksums.
  private func crafted(
    _ base: [UInt8], headerBytes: Int, stored: UInt32, plain: UInt32, payload: [UInt8], rows: UInt64,
    total: UInt64
  ) -> [UInt8] {
    var bytes = Array(base[..<headerBytes])
    bytes.little(stored)
    bytes.little(plain)
    bytes.little(CRC32C.checksum(payload, seed: CRC32C.checksum(Array(bytes[(bytes.count - 8)...]))))
    bytes += payload
    let end = bytes.count
    bytes.little(0 as UInt32)
    bytes.little(0 as UInt32)
    bytes.little(CRC32C.checksum(Array(bytes[end...])))
    while (bytes.count + 64) % 512 != 0 { bytes.append(0) }
    bytes.little(0x444e_454e_5249_4143 as UInt64)
    bytes.little(rows)
    bytes.little(total)
    bytes.little(UInt64(bytes.count + 40))
    return bytes + Array(SHA256.hash(data: bytes))
  }

  private func base() throws -> (disk: SimulatedDisk, bytes: [UInt8], headerBytes: Int) {
    let disk = try Files.newDisk()
    try Files.write([], to: disk)
    let bytes = try #require(disk.contents(Files.path))
    let description = bytes[12..<16].reversed().reduce(0) { $0 << 8 | Int($1) }
    return (disk, bytes, 16 + description + 4)
  }

  @Test("lying sizes, bombs, foreign tables and rows cut short are refused within bounded memory")
  func lies() throws {
    let (disk, bytes, headerBytes) = try base()
    // 50 MB of zeros in a zstd frame of a few bytes: one raw-length-encoded block after another.
    let bomb: [UInt8] = zstdZeros(megabytes: 50)
    let row: [UInt8] = [1, 1, 65, 1, 66]
    let cases:
      [(name: String, stored: UInt32, plain: UInt32, payload: [UInt8], rows: UInt64, total: UInt64)] = [
        ("bomb larger than declared", UInt32(bomb.count), 4096, bomb, 1, 4096),
        ("declared above the bound", UInt32(bomb.count), 65 << 20, bomb, 1, 65 << 20),
        ("declared as 4 GiB", UInt32(bomb.count), .max, bomb, 1, UInt64(UInt32.max)),
        ("stored behind the end", .max, .max, row, 1, 5),
        ("stored larger than plain", 5, 4, row, 1, 4),
        ("plain of nothing", 0, 7, [], 1, 7),
        ("table not listed", 5, 5, [9, 1, 65, 1, 66], 1, 5),
        ("value goes on behind the chunk", 5, 5, [1, 1, 65, 9, 66], 1, 5),
        ("length without end", 5, 5, [1, 0xff, 0xff, 0xff, 0xff], 1, 5),
        ("rows miscounted", 5, 5, row, 2, 5),
        ("bytes miscounted", 5, 5, row, 1, 6),
        ("not zstd", 5, 6, row, 1, 6),
      ]
    for lie in cases {
      disk.setContents(
        Files.path,
        crafted(
          bytes, headerBytes: headerBytes, stored: lie.stored, plain: lie.plain, payload: lie.payload,
          rows: lie.rows,
          total: lie.total))
      do throws(SnapshotError) {
        _ = try Files.read(disk)
        Issue.record("accepted: \(lie.name)")
      } catch {
        guard case .corrupt(Files.path, _, _) = error else {
          Issue.record("\(lie.name): \(error)")
          continue
        }
      }
    }
    disk.setContents(
      Files.path,
      crafted(bytes, headerBytes: headerBytes, stored: 5, plain: 5, payload: row, rows: 1, total: 5))
    #expect(try Files.read(disk) == [.init(table: 1, key: [65], value: [66])], "the crafting itself is right")
  }

  /// A zstd frame of run-length blocks of 128 KiB.
  private func zstdZeros(megabytes: Int) -> [UInt8] {
    var frame: [UInt8] = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58]
    let blocks = megabytes * 8
    for block in 0..<blocks {
      let size = 128 << 10
      let head = size << 3 | 1 << 1 | (block == blocks - 1 ? 1 : 0)
      frame += [UInt8(head & 0xff), UInt8(head >> 8 & 0xff), UInt8(head >> 16 & 0xff), 0]
    }
    return frame
  }

  @Test("power cut at every operation of a replacement: the old file or the new one, never another")
  func powerCuts() throws {
    let old = Files.rows(count: 20, valueBytesMax: 50, seed: 1)
    let new = Files.rows(count: 40, valueBytesMax: 50, seed: 2)
    let base = try Files.newDisk()
    try Files.write(old, to: base)
    let start = base.operationCount
    let probe = base.copy()
    try Files.write(new, to: probe, chunkBytes: 500)
    let count = probe.operationCount - start
    #expect(count >= 8)
    var random = SeededRandom(seed: 3)
    for cut in 0..<count {
      let disk = base.copy()
      disk.cutPower(atOperation: start + cut)
      #expect(throws: SnapshotError.self) { try Files.write(new, to: disk, chunkBytes: 500) }
      for outcome in [CrashOutcome.loseEverything, .keepEverything, .random, .random, .random, .random] {
        let copy = disk.copy()
        copy.crash(outcome, random: &random)
        let rows = try Files.read(copy)
        #expect(rows == old || rows == new, "cut at \(cut)")
        _ = try SnapshotWriter.removeLeftovers(disk: copy, directory: "/snap")
        #expect(try copy.list("/snap") == ["db.snap"])
      }
    }
  }

  @Test("each operation fails once: the error is told, the old file stays, no temporary file is left")
  func failures() throws {
    let old = Files.rows(count: 20, valueBytesMax: 50, seed: 1)
    let new = Files.rows(count: 40, valueBytesMax: 50, seed: 2)
    let base = try Files.newDisk()
    try Files.write(old, to: base)
    let start = base.operationCount
    let probe = base.copy()
    try Files.write(new, to: probe, chunkBytes: 500)
    for number in start..<probe.operationCount {
      let disk = base.copy()
      disk.fail(operation: number, with: .noSpace)
      #expect(throws: SnapshotError.self) { try Files.write(new, to: disk, chunkBytes: 500) }
      let isLast = number == probe.operationCount - 1
      #expect(try Files.read(disk) == (isLast ? new : old), "operation \(number - start)")
      #expect(try disk.list("/snap") == ["db.snap"], "operation \(number - start)")
    }
    let full = base.copy()
    full.limitCapacity(bytes: (full.contents(Files.path)?.count ?? 0) + 600)
    #expect(throws: SnapshotError.self) { try Files.write(new, to: full, chunkBytes: 500) }
    #expect(try full.list("/snap") == ["db.snap"])
  }

  @Test(
    "the stream to etcdctl: pieces of 32 KiB, then the SHA-256 of all; the saved file opens and is verified")
  func stream() throws {
    let disk = try Files.newDisk()
    let rows = Files.rows(count: 900, valueBytesMax: 300)
    let summary = try Files.write(rows, to: disk)
    var stream = try SnapshotStream(disk: disk, path: Files.path)
    #expect(stream.size == summary.bytes)
    var saved: [UInt8] = []
    var pieces = 0
    while let piece = try stream.next() {
      saved += piece.bytes
      pieces += 1
      #expect(piece.remaining == max(0, summary.bytes - saved.count))
      #expect(piece.bytes.count <= 32 << 10)
    }
    #expect(pieces == (summary.bytes + (32 << 10) - 1) / (32 << 10) + 1)
    #expect(saved.count == summary.bytes + 32 && saved.count % 512 == 32)
    #expect(Array(saved[summary.bytes...]) == Array(SHA256.hash(data: saved[..<summary.bytes])))
    disk.setContents("/saved", saved)
    #expect(try Files.read(disk, path: "/saved") == rows)
    for bit in stride(from: summary.bytes * 8, to: saved.count * 8, by: 1) {
      disk.flipBit(bit, of: "/saved")
      #expect(throws: SnapshotError.self) { try Files.read(disk, path: "/saved") }
      disk.flipBit(bit, of: "/saved")
    }
  }

  @Test("a file that is not a snapshot, or of another version, is told apart")
  func foreign() throws {
    let (disk, bytes, _) = try base()
    disk.setContents("/other", Array("SQLite format 3 and more".utf8))
    #expect(throws: SnapshotError.notSnapshot(file: "/other")) { try Files.read(disk, path: "/other") }
    var newer = bytes
    newer[8] = 2
    disk.setContents("/newer", newer)
    #expect(throws: SnapshotError.unknownFormat(file: "/newer", version: 2)) {
      try Files.read(disk, path: "/newer")
    }
    #expect(throws: SnapshotError.disk(DiskError(.open, "/none", .notFound))) {
      try Files.read(disk, path: "/none")
    }
  }
}

extension [UInt8] {
  fileprivate mutating func little<T: FixedWidthInteger>(_ value: T) {
    Swift.withUnsafeBytes(of: value.littleEndian) { append(contentsOf: $0) }
  }
}
