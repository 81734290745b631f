import Crypto
public import Disk
import Primitives
import Zstd

/// A row of a snapshot. The buffers are valid until the reader's next call.
public struct SnapshotRow {
  public var table: UInt8
  public var key: UnsafeRawBufferPointer
  public var value: UnsafeRawBufferPointer
}

/// Reads a snapshot file. `open` verifies the whole file against its SHA-256 before anything of it is handed out;
/// then rows are streamed, each chunk once more verified by its checksum. Memory is bounded by a chunk, whatever the
/// file says. One owner at a time.
public final class SnapshotReader {
  public let header: SnapshotHeader
  public let summary: SnapshotSummary

  private let file: any DiskFile
  private let path: String
  private let decompressor = ZstdDecompressor()
  private var offset: Int
  private var stored: [UInt8] = []
  /// The current chunk, in memory of its own so that rows can point into it.
  private var plain = UnsafeMutableRawBufferPointer(start: nil, count: 0)
  private var plainCount = 0
  private var position = 0
  private var rowsRead: UInt64 = 0
  private var plainRead: UInt64 = 0
  private var isAtEnd = false

  /// Opens and verifies a file. `progress` is called after each piece verified, on the caller's thread.
  ///
  /// - Parameter isHashChecked: false to do without the SHA-256 of the whole; chunks are verified all the same.
  public static func open(
    disk: any Disk, path: String, isHashChecked: Bool = true, progress: (SnapshotProgress) -> Void
  ) throws(SnapshotError) -> SnapshotReader {
    let file = try onDisk { () throws(DiskError) in try disk.open(path, .read) }
    let size = try onDisk { () throws(DiskError) in try file.size() }
    let (header, rowsStart) = try readHeader(file, path, size: size)
    let summary = try verify(file, path, size: size, isHashChecked, progress)
    return SnapshotReader(file: file, path: path, header: header, summary: summary, rowsStart: rowsStart)
  }

  private init(
    file: any DiskFile, path: String, header: SnapshotHeader, summary: SnapshotSummary, rowsStart: Int
  ) {
    self.file = file
    self.path = path
    self.header = header
    self.summary = summary
    offset = rowsStart
  }

  deinit { plain.deallocate() }

  /// Plain bytes of the rows read so far, by whole chunks.
  public var plainBytesRead: UInt64 { plainRead }

  /// How far the reading of rows is.
  public var progress: SnapshotProgress { SnapshotProgress(bytes: offset, rows: rowsRead) }

  /// The next row, nil after the last one.
  public func nextRow() throws(SnapshotError) -> SnapshotRow? {
    while position == plainCount {
      if isAtEnd { return nil }
      try readChunk()
    }
    let table = plain[position]
    guard header.tables.contains(where: { $0.id == table }) else {
      throw corrupt(at: offset, "a row of table \(table), which the header does not list")
    }
    let rest = UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(plain)[(position + 1)..<plainCount])
    var reader = ProtoReader(rest)
    do throws(ProtoError) {
      let key = try reader.readBuffer()
      let value = try reader.readBuffer()
      guard let start = rest.baseAddress, let valueStart = value.baseAddress else { throw .truncated }
      position += 1 + (valueStart - start) + value.count
      rowsRead += 1
      return SnapshotRow(table: table, key: key, value: value)
    } catch {
      throw corrupt(at: offset, "a row that does not end in its chunk")
    }
  }

  private func readChunk() throws(SnapshotError) {
    let rowsEnd = summary.bytes - SnapshotFormat.trailerBytes
    let head = try read(SnapshotFormat.chunkHeaderBytes, at: offset, end: rowsEnd)
    let storedBytes = Int(head.little(0, as: UInt32.self))
    let plainBytes = Int(head.little(4, as: UInt32.self))
    let checksum = head.little(8, as: UInt32.self)
    guard plainBytes <= SnapshotFormat.chunkPlainBytesMax, storedBytes <= plainBytes,
      (storedBytes == 0) == (plainBytes == 0)
    else { throw corrupt(at: offset, "impossible chunk sizes \(storedBytes) and \(plainBytes)") }
    stored = try read(storedBytes, at: offset + SnapshotFormat.chunkHeaderBytes, end: rowsEnd)
    guard CRC32C.checksum(stored, seed: CRC32C.checksum(Array(head[..<8]))) == checksum else {
      throw corrupt(at: offset, "the chunk's checksum does not match")
    }
    if plain.count < plainBytes {
      plain.deallocate()
      plain = .allocate(byteCount: plainBytes, alignment: 16)
    }
    try fillPlain(plainBytes)
    offset += SnapshotFormat.chunkHeaderBytes + storedBytes
    plainCount = plainBytes
    position = 0
    plainRead += UInt64(plainBytes)
    if plainBytes == 0 { try endRows() }
  }

  private func fillPlain(_ plainBytes: Int) throws(SnapshotError) {
    let target = UnsafeMutableRawBufferPointer(rebasing: plain[..<plainBytes])
    if stored.count == plainBytes {
      target.copyBytes(from: stored)
      return
    }
    do throws(ZstdError) {
      try stored.withUnsafeBufferPointer { (stored) throws(ZstdError) in
        try decompressor.decompress(UnsafeRawBufferPointer(stored), into: target)
      }
    } catch {
      throw corrupt(at: offset, "\(error)")
    }
  }

  private func endRows() throws(SnapshotError) {
    isAtEnd = true
    guard rowsRead == summary.rows, plainRead == summary.plainBytes else {
      throw corrupt(
        at: offset, "\(rowsRead) rows of \(plainRead) bytes, but the trailer says \(summary.rows)")
    }
    guard summary.bytes - SnapshotFormat.trailerBytes - offset < SnapshotFormat.unit else {
      throw corrupt(at: offset, "more than padding behind the last chunk")
    }
  }

  private func read(_ count: Int, at offset: Int, end: Int) throws(SnapshotError) -> [UInt8] {
    guard offset + count <= end else { throw corrupt(at: offset, "a chunk goes on behind the rows' end") }
    return try Snapshot.read(file, path, count, at: offset)
  }

  private func corrupt(at offset: Int, _ reason: String) -> SnapshotError {
    .corrupt(file: path, offset: offset, reason: reason)
  }
}

// MARK: Verification

extension SnapshotReader {
  private static func readHeader(
    _ file: any DiskFile, _ path: String, size: Int
  ) throws(SnapshotError) -> (SnapshotHeader, rowsStart: Int) {
    guard size >= SnapshotFormat.headerFixedBytes else { throw .notSnapshot(file: path) }
    var bytes = try Snapshot.read(file, path, SnapshotFormat.headerFixedBytes, at: 0)
    guard bytes.little(0, as: UInt64.self) == SnapshotFormat.magic else { throw .notSnapshot(file: path) }
    let version = bytes.little(8, as: UInt32.self)
    guard version == SnapshotFormat.version else { throw .unknownFormat(file: path, version: version) }
    let descriptionBytes = Int(bytes.little(12, as: UInt32.self))
    let end = SnapshotFormat.headerFixedBytes + descriptionBytes
    guard descriptionBytes <= SnapshotFormat.descriptionBytesMax, end + 4 <= size else {
      throw .corrupt(file: path, offset: 12, reason: "impossible header size \(descriptionBytes)")
    }
    let rest = try Snapshot.read(file, path, descriptionBytes + 4, at: SnapshotFormat.headerFixedBytes)
    bytes += rest[..<descriptionBytes]
    guard CRC32C.checksum(bytes) == rest.little(descriptionBytes, as: UInt32.self) else {
      throw .corrupt(file: path, offset: 0, reason: "the header's checksum does not match")
    }
    do throws(ProtoError) {
      return (try SnapshotHeader(decoding: Array(rest[..<descriptionBytes])), end + 4)
    } catch {
      throw .corrupt(file: path, offset: SnapshotFormat.headerFixedBytes, reason: "header: \(error)")
    }
  }

  /// Checks size, trailer and digests, reading the file once from start to end.
  private static func verify(
    _ file: any DiskFile, _ path: String, size: Int, _ isHashChecked: Bool,
    _ progress: (SnapshotProgress) -> Void
  ) throws(SnapshotError) -> SnapshotSummary {
    // `etcdctl snapshot save` leaves the SHA-256 of the data behind it.
    let hasOuterDigest = size % SnapshotFormat.unit == SnapshotFormat.digestBytes
    let bytes = hasOuterDigest ? size - SnapshotFormat.digestBytes : size
    guard bytes % SnapshotFormat.unit == 0, bytes > SnapshotFormat.trailerBytes else {
      throw .corrupt(file: path, offset: size, reason: "the file is cut short")
    }
    let trailer = try Snapshot.read(
      file, path, SnapshotFormat.trailerBytes, at: bytes - SnapshotFormat.trailerBytes)
    guard trailer.little(0, as: UInt64.self) == SnapshotFormat.trailerMagic,
      trailer.little(24, as: UInt64.self) == UInt64(bytes)
    else {
      throw .corrupt(
        file: path, offset: bytes - SnapshotFormat.trailerBytes, reason: "no trailer at the end of the file")
    }
    let summary = SnapshotSummary(
      bytes: bytes, rows: trailer.little(8, as: UInt64.self), plainBytes: trailer.little(16, as: UInt64.self),
      digest: Array(trailer[(SnapshotFormat.trailerBytes - SnapshotFormat.digestBytes)...]))
    guard isHashChecked else { return summary }
    var inner = SHA256()
    var outer = SHA256()
    let covered = bytes - SnapshotFormat.digestBytes
    var offset = 0
    while offset < covered {
      let piece = try Snapshot.read(file, path, min(1 << 20, covered - offset), at: offset)
      piece.withUnsafeBytes { inner.update(bufferPointer: $0) }
      if hasOuterDigest { piece.withUnsafeBytes { outer.update(bufferPointer: $0) } }
      offset += piece.count
      progress(SnapshotProgress(bytes: offset, rows: 0))
    }
    let digest = summary.digest
    guard Array(inner.finalize()) == digest else {
      throw .corrupt(file: path, offset: covered, reason: "the file's SHA-256 does not match")
    }
    if hasOuterDigest {
      digest.withUnsafeBytes { outer.update(bufferPointer: $0) }
      guard
        Array(outer.finalize()) == (try Snapshot.read(file, path, SnapshotFormat.digestBytes, at: bytes))
      else {
        throw .corrupt(file: path, offset: bytes, reason: "the SHA-256 behind the snapshot does not match")
      }
    }
    return summary
  }
}

/// Exactly `count` bytes of a file, or an error that names it.
func read(_ file: any DiskFile, _ path: String, _ count: Int, at offset: Int) throws(SnapshotError) -> [UInt8]
{
  var bytes = [UInt8](repeating: 0, count: count)
  let done = try onDisk { () throws(DiskError) in
    try bytes.withUnsafeMutableBufferPointer { (buffer) throws(DiskError) in
      try file.read(at: offset, into: UnsafeMutableRawBufferPointer(buffer))
    }
  }
  guard done == count else {
    throw .corrupt(file: path, offset: offset + done, reason: "the file is cut short")
  }
  return bytes
}
