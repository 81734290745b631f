import Crypto
public import Disk
import Primitives
import Zstd

/// What a finished or verified snapshot file is.
public struct SnapshotSummary: Hashable, Sendable {
  /// Bytes of the file; a multiple of 512.
  public var bytes: Int
  public var rows: UInt64
  /// Bytes of all rows before compression.
  public var plainBytes: UInt64
  /// The SHA-256 in the trailer.
  public var digest: [UInt8]
}

/// Writes a snapshot file beside its place and moves it there when it is complete and synced: the name never stands for
/// half a snapshot. Memory is bounded by a chunk. One owner at a time.
public final class SnapshotWriter {
  /// What the file is called, behind its name, until it is complete.
  public static let temporarySuffix = ".part"

  private let disk: any Disk
  private let path: String
  private let file: any DiskFile
  private let compressor: ZstdCompressor
  private let chunkBytes: Int
  private let progress: (SnapshotProgress) -> Void

  private var hash = SHA256()
  private var offset = 0
  private var pacing: PacedWriting
  private var rows: UInt64 = 0
  private var plainBytes: UInt64 = 0
  private var chunk = ProtoWriter()
  private var output: [UInt8] = []
  private var isDone = false

  /// Begins the file. `progress` is called after each chunk, on the caller's thread.
  ///
  /// - Parameters:
  ///   - chunkBytes: plain bytes after which a chunk is ended.
  ///   - compressionLevel: zstd's.
  ///   - pacing: how what is written reaches the disk.
  public init(
    disk: any Disk, path: String, header: SnapshotHeader, compressionLevel: Int32, chunkBytes: Int,
    pacing: PacedWriting = .alone, progress: @escaping (SnapshotProgress) -> Void
  ) throws(SnapshotError) {
    precondition(
      chunkBytes > 0 && chunkBytes <= SnapshotFormat.chunkPlainBytesMax / 2, "a chunk of bounded size")
    self.disk = disk
    self.path = path
    self.chunkBytes = chunkBytes
    self.pacing = pacing
    self.progress = progress
    compressor = ZstdCompressor(level: compressionLevel)
    let temporary = path + Self.temporarySuffix
    file = try onDisk { () throws(DiskError) in
      if try disk.exists(temporary) { try disk.remove(temporary) }
      return try disk.open(temporary, .create)
    }
    try write(header.encode())
  }

  deinit { abandon() }

  /// Adds a row. Rows come in the order of the header's tables and of their keys.
  public func append(
    table: UInt8, key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer
  ) throws(SnapshotError) {
    precondition(!isDone, "a finished or abandoned snapshot takes no rows")
    let bytes = key.count + value.count
    guard bytes + 32 <= SnapshotFormat.chunkPlainBytesMax - chunkBytes else {
      throw .rowTooLarge(bytes: bytes)
    }
    chunk.raw([table])
    chunk.varint(UInt64(key.count))
    chunk.raw(key)
    chunk.varint(UInt64(value.count))
    chunk.raw(value)
    rows += 1
    if chunk.count >= chunkBytes { try endChunk() }
  }

  /// Completes the file, syncs it, gives it its name and syncs the directory. The snapshot is durable when this
  /// returns.
  public func finish() throws(SnapshotError) -> SnapshotSummary {
    precondition(!isDone, "a snapshot is finished once")
    try endChunk()
    var tail: [UInt8] = []
    tail.appendLittle(0 as UInt32)
    tail.appendLittle(0 as UInt32)
    tail.appendLittle(CRC32C.checksum(tail))
    let unit = SnapshotFormat.unit
    let end = offset + tail.count + SnapshotFormat.trailerBytes
    let total = (end + unit - 1) / unit * unit
    tail += [UInt8](repeating: 0, count: total - end)
    tail.appendLittle(SnapshotFormat.trailerMagic)
    tail.appendLittle(rows)
    tail.appendLittle(plainBytes)
    tail.appendLittle(UInt64(total))
    try write(tail)
    let digest = Array(hash.finalize())
    try onDisk { () throws(DiskError) in
      try file.write(digest, at: offset)
      try file.syncData()
      file.close()
      try disk.rename(path + Self.temporarySuffix, to: path)
      isDone = true
      try disk.syncDirectory(parentDirectory(of: path))
    }
    progress(SnapshotProgress(bytes: total, rows: rows))
    return SnapshotSummary(bytes: total, rows: rows, plainBytes: plainBytes, digest: digest)
  }

  /// Gives the snapshot up and removes what was written.
  public func abandon() {
    if isDone { return }
    isDone = true
    file.close()
    // What cannot be removed now is removed by `removeLeftovers` at the next start.
    do throws(DiskError) { try disk.remove(path + Self.temporarySuffix) } catch {}
  }

  /// Removes the unfinished snapshots that a crash left in a directory; returns their names.
  public static func removeLeftovers(disk: any Disk, directory: String) throws(SnapshotError) -> [String] {
    try onDisk { () throws(DiskError) in
      let names = try disk.list(directory).filter { $0.hasSuffix(temporarySuffix) }
      for name in names { try disk.remove("\(directory)/\(name)") }
      return names
    }
  }

  private func endChunk() throws(SnapshotError) {
    if chunk.count == 0 { return }
    let start = SnapshotFormat.chunkHeaderBytes
    let needed = start + chunk.count
    if output.count < needed { output.append(contentsOf: repeatElement(0, count: needed - output.count)) }
    let plain = chunk.bytes
    let compressed: Int?
    do throws(ZstdError) {
      compressed = try plain.withUnsafeBufferPointer { (plain) throws(ZstdError) in
        try output.withUnsafeMutableBufferPointer { (output) throws(ZstdError) in
          // One byte less than plain: equal sizes mean raw.
          let room = UnsafeMutableRawBufferPointer(output)[start..<(needed - 1)]
          return try compressor.compress(
            UnsafeRawBufferPointer(plain), into: UnsafeMutableRawBufferPointer(rebasing: room))
        }
      }
    } catch {
      throw .compression(error)
    }
    if compressed == nil { output.replaceSubrange(start..<needed, with: plain) }
    let end = start + (compressed ?? plain.count)
    output.withUnsafeMutableBytes { bytes in
      bytes.storeBytes(of: UInt32(end - start).littleEndian, toByteOffset: 0, as: UInt32.self)
      bytes.storeBytes(of: UInt32(plain.count).littleEndian, toByteOffset: 4, as: UInt32.self)
      let all = UnsafeRawBufferPointer(bytes)
      let head = CRC32C.checksum(UnsafeRawBufferPointer(rebasing: all[..<8]))
      let checksum = CRC32C.checksum(UnsafeRawBufferPointer(rebasing: all[start..<end]), seed: head)
      bytes.storeBytes(of: checksum.littleEndian, toByteOffset: 8, as: UInt32.self)
    }
    try write(output[..<end])
    plainBytes += UInt64(plain.count)
    chunk.removeAll()
    progress(SnapshotProgress(bytes: offset, rows: rows))
  }

  private func write(_ bytes: [UInt8]) throws(SnapshotError) { try write(bytes[...]) }

  private func write(_ bytes: ArraySlice<UInt8>) throws(SnapshotError) {
    try bytes.withUnsafeBufferPointer { (buffer) throws(SnapshotError) in
      let raw = UnsafeRawBufferPointer(buffer)
      hash.update(bufferPointer: raw)
      try onDisk { () throws(DiskError) in
        try file.write(raw, at: offset)
        try pacing.wrote(raw.count, to: file)
      }
      offset += raw.count
    }
  }
}
