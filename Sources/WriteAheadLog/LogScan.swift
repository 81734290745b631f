public import Disk
public import Model
import Primitives
import Zstd

/// A frame of a log as it lies in its file: superseded entries are still there.
public struct ScannedFrame: Sendable {
  public var file: String
  /// Of the frame's header in the file, in bytes.
  public var offset: Int
  public var number: UInt64
  public var storedBytes: Int
  public var plainBytes: Int
  public var entries: [Entry] = []
  public var hardState: HardState?
  public var snapshot: SnapshotMetadata?
  public var confState: ConfState?
  /// Entries before this frame are void: a received snapshot replaced them.
  public var isReset: Bool
  /// The log was closed in order here.
  public var isClose: Bool
  /// Another segment follows.
  public var isSeal: Bool
}

/// The head of a segment.
public struct ScannedSegment: Sendable {
  public var file: String
  public var identity: LogIdentity
  public var sequence: UInt64
  public var firstIndex: UInt64
  public var hardState: HardState?
  public var snapshot: SnapshotMetadata?
  public var confState: ConfState?
}

/// What a scan meets, in the order of the log.
public enum LogScanEvent: Sendable {
  case segment(ScannedSegment)
  case frame(ScannedFrame)
  /// Bytes that were durable are not what was written.
  case damage(LogError)
  /// The unsynced end of the last batch before a crash, which the next start cuts off. No damage.
  case tornTail(file: String, offset: Int)
}

/// Reads a log frame by frame without changing anything, and goes on behind damage where it can: for tools. Nobody
/// may have the log open for writing. Memory is bounded by a frame.
public struct LogScan {
  private let disk: any Disk
  private let directory: String
  private let expected: LogIdentity?
  private let report: (LogScanEvent) -> Void

  private var previous: SegmentEnd?
  /// The index that the next entry has or supersedes; nil behind damage.
  private var nextIndex: UInt64?
  private let decompressor = ZstdDecompressor()

  /// Where a segment ended.
  private struct SegmentEnd {
    var path: String
    var header: SegmentHeader
    var end: Int
    var chain: UInt32
    var chainBeforeSeal: UInt32
    var nextFrame: UInt64
    var isSealed = false
    var isTorn = false
  }

  /// Scans the log in `directory`. An `identity` of nil accepts the log of any member.
  ///
  /// - Throws: when there is no log or it cannot be read at all; damage is reported instead.
  public static func run(
    disk: any Disk, directory: String, identity: LogIdentity?, report: @escaping (LogScanEvent) -> Void
  ) throws(LogError) {
    guard try onDisk({ () throws(DiskError) in try disk.exists(directory) }) else {
      throw .missing(directory: directory)
    }
    let names = try onDisk { () throws(DiskError) in try disk.list(directory) }
    let segments = names.filter { $0.hasSuffix(SegmentName.suffix) }
    var scan = LogScan(disk: disk, directory: directory, expected: identity, report: report)
    guard !segments.isEmpty else { throw .missing(directory: directory) }
    let known = segments.compactMap(SegmentName.init).sorted { $0.sequence < $1.sequence }
    for name in segments where SegmentName(name) == nil {
      report(
        .damage(
          .corrupt(file: "\(directory)/\(name)", offset: 0, reason: "the name is not one of a segment")))
    }
    for (index, name) in known.enumerated() {
      do throws(LogError) {
        try scan.scan(name, isLast: index == known.count - 1)
      } catch {
        scan.lost(error)
      }
    }
    if let last = scan.previous, last.isSealed {
      report(.damage(.segmentMissing(directory: directory, sequence: last.header.sequence &+ 1)))
    }
  }

  private init(
    disk: any Disk, directory: String, expected: LogIdentity?, report: @escaping (LogScanEvent) -> Void
  ) {
    self.disk = disk
    self.directory = directory
    self.expected = expected
    self.report = report
  }

  private mutating func lost(_ error: LogError) {
    report(.damage(error))
    previous = nil
    nextIndex = nil
  }

  private mutating func scan(_ name: SegmentName, isLast: Bool) throws(LogError) {
    let path = "\(directory)/\(name.text)"
    let file = try onDisk { () throws(DiskError) in try disk.open(path, .read) }
    defer { file.close() }
    let size = try onDisk { () throws(DiskError) in try file.size() }
    let (header, state, checksum) = try readHeader(file, path, size: size)
    guard header.sequence == name.sequence, header.firstIndex == name.firstIndex else {
      throw .corrupt(file: path, offset: 32, reason: "the file has the name of another segment")
    }
    checkJoint(header, path)
    if nextIndex == nil { nextIndex = header.firstIndex }
    report(
      .segment(
        ScannedSegment(
          file: path, identity: header.identity, sequence: header.sequence, firstIndex: header.firstIndex,
          hardState: state.hardState, snapshot: state.snapshot, confState: state.confState)))
    var segment = SegmentEnd(
      path: path, header: header, end: header.headerBytes, chain: checksum, chainBeforeSeal: checksum,
      nextFrame: header.firstFrame)
    try scanFrames(file, size: size, &segment, isLast: isLast)
    if !isLast, !segment.isTorn, size < header.segmentBytes {
      report(.damage(.corrupt(file: path, offset: size, reason: "the file is cut short")))
    }
    previous = segment
  }

  private func readHeader(
    _ file: any DiskFile, _ path: String, size: Int
  ) throws(LogError) -> (SegmentHeader, LogState, UInt32) {
    var bytes = try read(file, LogFormat.segmentHeaderUnit, at: 0)
    if bytes.count == LogFormat.segmentHeaderUnit {
      let declared = Int(bytes.withUnsafeBytes { $0.little(80, as: UInt32.self) })
      if declared > bytes.count, declared <= min(LogFormat.segmentHeaderBytesMax, size) {
        bytes = try read(file, declared, at: 0)
      }
    }
    return try bytes.withUnsafeBufferPointer { (buffer) throws(LogError) in
      let all = UnsafeRawBufferPointer(buffer)
      let (header, range, checksum) = try FoundSegment.decodeHeader(all, path: path, identity: expected)
      var state = LogState()
      var none: [Entry] = []
      do throws(ProtoError) {
        _ = try decodeRecords(
          UnsafeRawBufferPointer(rebasing: all[range]), keeping: 0..<0, entries: &none, state: &state)
      } catch {
        throw .corrupt(file: path, offset: range.lowerBound, reason: "state: \(error)")
      }
      return (header, state, checksum)
    }
  }

  /// The later segment says where the earlier one ended when it was left.
  private func checkJoint(_ later: SegmentHeader, _ path: String) {
    guard let earlier = previous else { return }
    func damage(_ error: LogError) { report(.damage(error)) }
    guard later.sequence == earlier.header.sequence &+ 1 else {
      return damage(.segmentMissing(directory: directory, sequence: earlier.header.sequence &+ 1))
    }
    guard
      Salt(of: earlier.header.salt, sequence: earlier.header.sequence)
        == Salt(of: later.salt, sequence: later.sequence)
    else { return damage(.corrupt(file: path, offset: 56, reason: "the segment belongs to another log")) }
    guard !earlier.isTorn else { return }
    let expectedEnd = later.chainEnd + (earlier.isSealed ? LogFormat.frameHeaderBytes : 0)
    guard earlier.end == expectedEnd,
      earlier.nextFrame == later.firstFrame &+ (earlier.isSealed ? 1 : 0),
      (earlier.isSealed ? earlier.chainBeforeSeal : earlier.chain) == later.chain
    else {
      return damage(
        .corrupt(
          file: earlier.path, offset: min(earlier.end, later.chainEnd),
          reason: "segment \(later.sequence) follows frames up to \(later.chainEnd)"))
    }
  }

  // MARK: Frames

  private mutating func scanFrames(
    _ file: any DiskFile, size: Int, _ segment: inout SegmentEnd, isLast: Bool
  ) throws(LogError) {
    while segment.end < size {
      if let (header, bytes) = try frame(file, at: segment.end, size: size, segment),
        header.previous == segment.chain, header.number == segment.nextFrame
      {
        take(header, bytes, &segment)
        continue
      }
      let tail = try searchTail(file, size: size, segment)
      guard let found = tail.frame else {
        if isLast, tail.hasRemnants { report(.tornTail(file: segment.path, offset: segment.end)) }
        return
      }
      guard found.header.durableBytes > segment.end || !isLast else {
        // What lies behind was never synced after this spot was: a torn flush.
        report(.tornTail(file: segment.path, offset: segment.end))
        return
      }
      report(
        .damage(
          .corrupt(
            file: segment.path, offset: segment.end,
            reason: "no valid frame \(segment.nextFrame), but frame \(found.header.number) at \(found.offset)"
          )))
      segment.end = found.offset
      segment.chain = found.header.previous
      segment.nextFrame = found.header.number
      segment.isTorn = true
      nextIndex = nil
    }
  }

  private mutating func take(_ header: FrameHeader, _ bytes: [UInt8], _ segment: inout SegmentEnd) {
    var frame = ScannedFrame(
      file: segment.path, offset: segment.end, number: header.number, storedBytes: header.storedBytes,
      plainBytes: header.plainBytes, isReset: header.content.contains(.reset),
      isClose: header.content.contains(.close), isSeal: header.content.contains(.seal))
    do throws(LogError) {
      if !frame.isClose { try decode(bytes, header, into: &frame) }
      if header.entryCount > 0 || frame.isReset {
        if let nextIndex, !frame.isReset, header.firstIndex > nextIndex {
          report(
            .damage(
              .corrupt(
                file: segment.path, offset: segment.end,
                reason: "entries from \(header.firstIndex) do not follow on \(nextIndex &- 1)")))
        }
        nextIndex = header.nextIndex
      }
      report(.frame(frame))
    } catch {
      report(.damage(error))
    }
    segment.isSealed = frame.isSeal
    segment.chainBeforeSeal = segment.chain
    segment.chain = header.checksum
    segment.end += header.frameBytes
    segment.nextFrame = header.number &+ 1
  }

  private func decode(
    _ bytes: [UInt8], _ header: FrameHeader, into frame: inout ScannedFrame
  ) throws(LogError) {
    var plain: [UInt8]
    let start = LogFormat.frameHeaderBytes
    let stored = Array(bytes[start..<(start + header.storedBytes)])
    if header.isCompressed {
      plain = [UInt8](repeating: 0, count: header.plainBytes)
      do throws(ZstdError) {
        try plain.withUnsafeMutableBufferPointer { (plain) throws(ZstdError) in
          try stored.withUnsafeBufferPointer { (stored) throws(ZstdError) in
            try decompressor.decompress(
              UnsafeRawBufferPointer(stored), into: UnsafeMutableRawBufferPointer(plain))
          }
        }
      } catch {
        throw .corrupt(file: frame.file, offset: frame.offset, reason: "\(error)")
      }
    } else {
      plain = stored
    }
    var state = LogState()
    let count: Int
    do throws(ProtoError) {
      count = try plain.withUnsafeBufferPointer { (plain) throws(ProtoError) in
        try decodeRecords(
          UnsafeRawBufferPointer(plain), keeping: 0..<UInt64.max, entries: &frame.entries, state: &state)
      }
    } catch {
      throw .corrupt(file: frame.file, offset: frame.offset, reason: "payload: \(error)")
    }
    guard count == header.entryCount else {
      throw .corrupt(
        file: frame.file, offset: frame.offset, reason: "\(count) entries instead of \(header.entryCount)")
    }
    (frame.hardState, frame.snapshot, frame.confState) = (state.hardState, state.snapshot, state.confState)
  }
}

// MARK: Reading

extension LogScan {
  private static let blockBytes = 1 << 20

  private func read(_ file: any DiskFile, _ count: Int, at offset: Int) throws(LogError) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    let done = try onDisk { () throws(DiskError) in
      try bytes.withUnsafeMutableBufferPointer { (buffer) throws(DiskError) in
        try file.read(at: offset, into: UnsafeMutableRawBufferPointer(buffer))
      }
    }
    bytes.removeLast(count - done)
    return bytes
  }

  /// The frame at `offset` with all its bytes, if its own checksums hold; its place in the chain is for the caller.
  private func frame(
    _ file: any DiskFile, at offset: Int, size: Int, _ segment: SegmentEnd
  ) throws(LogError) -> (FrameHeader, [UInt8])? {
    guard offset + LogFormat.frameHeaderBytes <= size else { return nil }
    let salt = segment.header.salt
    let head = try read(file, LogFormat.frameHeaderBytes, at: offset)
    guard let header = head.withUnsafeBytes({ FrameHeader($0, at: 0, salt: salt, fileOffset: offset) }),
      header.frameBytes <= size - offset
    else { return nil }
    let bytes = try read(file, header.frameBytes, at: offset)
    guard
      bytes.withUnsafeBytes({ $0.count == header.frameBytes && header.payloadHolds($0, at: 0, salt: salt) })
    else { return nil }
    return (header, bytes)
  }

  private struct Tail {
    var frame: (header: FrameHeader, offset: Int)?
    /// Something is there that was not there when the file was made.
    var hasRemnants = false
  }

  /// Looks behind the last good frame for one that was written later.
  private func searchTail(
    _ file: any DiskFile, size: Int, _ segment: SegmentEnd
  ) throws(LogError) -> Tail {
    var tail = Tail()
    var start = segment.end
    while start < size {
      let block = try read(file, min(Self.blockBytes + LogFormat.frameHeaderBytes, size - start), at: start)
      var candidates: [Int] = []
      block.withUnsafeBytes { bytes in
        if !segment.header.isReused, !tail.hasRemnants { tail.hasRemnants = bytes.contains { $0 != 0 } }
        var offset = start == segment.end ? LogFormat.alignment : 0
        while offset < min(Self.blockBytes, bytes.count), offset + LogFormat.frameHeaderBytes <= bytes.count {
          if bytes.little(offset, as: UInt32.self) == LogFormat.frameMagic,
            let header = FrameHeader(
              bytes, at: offset, salt: segment.header.salt, fileOffset: start + offset),
            header.number >= segment.nextFrame
          {
            candidates.append(start + offset)
          }
          offset += LogFormat.alignment
        }
      }
      for offset in candidates {
        if let (header, _) = try frame(file, at: offset, size: size, segment) {
          tail.frame = (header, offset)
          return tail
        }
      }
      start += Self.blockBytes
    }
    return tail
  }
}
