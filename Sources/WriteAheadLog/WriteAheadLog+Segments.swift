import Disk
import Primitives

/// Figures of a log for metrics; counters since it was opened.
public struct LogMetrics: Hashable, Sendable {
  public var flushes = 0
  /// Payload bytes before compression.
  public var plainBytes = 0
  /// Bytes of frames written.
  public var writtenBytes = 0
  public var rolls = 0
  /// Rolls that found no spare segment and had to make one while the flush waited.
  public var rollsWithoutSpare = 0
}

/// The size of a log on disk.
public struct LogSize: Hashable, Sendable {
  public var segments: Int
  public var spares: Int
  /// Bytes of segment files, preallocated space included, without spares.
  public var segmentBytes: Int
}

/// Files that wait to become segments, and segments that wait to become such files.
struct SparePool {
  struct Spare {
    var path: String
    var bytes: Int
    var isReused: Bool
  }

  static let freshSuffix = ".spare"
  static let reusedSuffix = ".used"
  static let temporarySuffix = ".tmp"

  var ready: [Spare] = []
  /// Purged segments, lowest first; still under their old names.
  var retired: [WriteAheadLog.Segment] = []
  /// The next number for a file's name.
  var nextName: UInt64 = 1
  /// A preparation is out, see `SegmentPreparation`.
  var isPreparing = false

  /// Reserves names for `count` files; returns the first number.
  mutating func takeNames(_ count: Int) -> UInt64 {
    defer { nextName += UInt64(count) }
    return nextName
  }

  /// Makes a spare of written zeros. It has the temporary name until it is complete.
  static func makeFresh(
    _ disk: any Disk, _ directory: String, name: UInt64, bytes: Int
  ) throws(DiskError) -> Spare {
    let temporary = "\(directory)/\(digits(name))\(temporarySuffix)"
    let path = "\(directory)/\(digits(name))\(freshSuffix)"
    let file = try disk.open(temporary, .create)
    do throws(DiskError) {
      defer { file.close() }
      try file.preallocate(to: bytes)
      try file.syncData()
      try disk.rename(temporary, to: path)
    } catch {
      // On a full disk what was written is worth more as free space. That it cannot be removed is no news then.
      do throws(DiskError) { try disk.remove(temporary) } catch {}
      throw error
    }
    return Spare(path: path, bytes: bytes, isReused: false)
  }
}

extension WriteAheadLog {
  var current: Segment { segments[segments.count - 1] }

  public var counters: LogMetrics { metrics }

  public var size: LogSize {
    LogSize(
      segments: segments.count, spares: spares.ready.count,
      segmentBytes: segments.reduce(0) { $0 + $1.fileBytes })
  }

  /// Gives up segments all of whose entries lie below `index`, which must be durable elsewhere (never above the
  /// applied index of a completed LMDB commit). No file is touched here: `prepareNextSegment` recycles or removes
  /// them, so a crash may bring them back.
  public func purge(below index: UInt64) throws(LogError) {
    try checkUsable()
    var count = 0
    while count < segments.count - 1, segments[count].highestIndex < index { count += 1 }
    guard count > 0 else { return }
    let highest = segments[..<count].map(\.highestIndex).max() ?? 0
    spares.retired += segments[..<count]
    segments.removeFirst(count)
    catalog.drop(before: segments[0].sequence, highestIndex: highest)
  }

  /// Leaves the full segment, whose frames are all synced, for a new one.
  ///
  /// The new segment is complete and synced before it gets its name, and the name is synced before any frame is
  /// written: at every moment the directory holds a chain of whole segments. The seal comes last and tells a log that
  /// ends from one whose last segment was lost.
  func roll() throws(LogError) {
    precondition(durableEnd == end, "a segment is left with all its frames synced")
    let spare = try takeSpare()
    var header = SegmentHeader(
      identity: identity, sequence: current.sequence + 1, firstIndex: laidIndex, firstFrame: nextFrame,
      salt: salt.value(current.sequence + 1), chain: chain, chainEnd: end, segmentBytes: spare.bytes,
      headerBytes: 0, isReused: spare.isReused)
    let (bytes, checksum) = header.encode(state: laidState.encode())
    let name = SegmentName(sequence: header.sequence, firstIndex: header.firstIndex)
    let path = "\(directory)/\(name.text)"
    let next = try onDisk { () throws(DiskError) in
      let next = try disk.open(spare.path, .readWrite)
      try next.write(bytes, at: 0)
      try next.syncData()
      try disk.rename(spare.path, to: path)
      try disk.syncDirectory(directory)
      return next
    }
    try seal()
    file.close()
    file = next
    segments.append(
      Segment(
        path: path, sequence: header.sequence, highestIndex: 0, fileBytes: spare.bytes,
        headerBytes: header.headerBytes, end: header.headerBytes))
    end = header.headerBytes
    durableEnd = end
    headerEnd = end
    chain = checksum
    metrics.rolls += 1
  }

  /// Its number is that of the next segment's first frame, which does not count it.
  private func seal() throws(LogError) {
    var header = FrameHeader(
      previous: chain, content: .seal, isCompressed: false, storedBytes: 0, plainBytes: 0, payloadChecksum: 0,
      entryCount: 0, number: nextFrame, firstIndex: laidIndex, durableBytes: durableEnd)
    let salt = salt.value(current.sequence)
    header.payloadChecksum = CRC32C.checksum([], seed: salt)
    var bytes = [UInt8](repeating: 0, count: LogFormat.frameHeaderBytes)
    bytes.withUnsafeMutableBytes { header.encode(into: $0, salt: salt) }
    try onDisk { () throws(DiskError) in
      try file.write(bytes, at: end)
      try file.syncData()
    }
  }

  private func takeSpare() throws(LogError) -> SparePool.Spare {
    if !spares.ready.isEmpty { return spares.ready.removeFirst() }
    metrics.rollsWithoutSpare += 1
    let name = spares.takeNames(1)
    return try onDisk { () throws(DiskError) in
      try SparePool.makeFresh(disk, directory, name: name, bytes: options.segmentBytes)
    }
  }
}
