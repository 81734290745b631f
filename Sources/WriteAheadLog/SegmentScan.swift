import Disk
import Model
import Primitives

/// The bytes of a segment file in memory of their own, given back as soon as the scan is over.
final class SegmentBytes {
  let all: UnsafeRawBufferPointer
  private let memory: UnsafeMutableRawBufferPointer

  init(_ file: any DiskFile) throws(DiskError) {
    let size = try file.size()
    guard size <= LogFormat.segmentFileBytesMax else { throw DiskError(.read, file.path, .fileTooLarge) }
    let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: max(size, 1), alignment: 16)
    var count = 0
    do throws(DiskError) {
      count = try file.read(at: 0, into: UnsafeMutableRawBufferPointer(rebasing: memory[..<size]))
    } catch {
      memory.deallocate()
      throw error
    }
    self.memory = memory
    all = UnsafeRawBufferPointer(rebasing: memory[..<count])
  }

  deinit { memory.deallocate() }
}

/// A frame that verified, and where it lies.
struct FoundFrame {
  var segment: Int
  var offset: Int
  var header: FrameHeader
}

/// One segment as found at recovery.
struct FoundSegment {
  var path: String
  var header: SegmentHeader
  var state: LogState
  /// The checksum that the next frame must carry as `previous`.
  var chain: UInt32
  /// The chain before the last frame: what the next segment continues when that frame is the seal.
  var chainBeforeSeal: UInt32 = 0
  /// Where the verified frames end.
  var end: Int
  var nextFrame: UInt64
  /// The content of the last frame, nil without frames.
  var lastContent: FrameHeader.Content?
  /// What the last frame says was synced before it; `headerBytes` without frames.
  var durableBytes: Int
  /// The highest index of an entry in the segment; 0 without entries.
  var highestIndex: UInt64
  var fileBytes: Int
  /// Bytes from `end` on that belong to a torn flush and are to be cleared; zero when nothing is left of one.
  var tornBytes = 0
}

extension FoundSegment {
  /// Reads the header and all frames up to the first spot that does not verify. Frames go to `frames`.
  static func scan(
    _ bytes: UnsafeRawBufferPointer, path: String, index: Int, identity: LogIdentity,
    frames: inout [FoundFrame]
  ) throws(LogError) -> FoundSegment {
    let (header, stateRange, checksum) = try decodeHeader(bytes, path: path, identity: identity)
    var state = LogState()
    var entries: [Entry] = []
    do throws(ProtoError) {
      let stateBytes = UnsafeRawBufferPointer(rebasing: bytes[stateRange])
      _ = try decodeRecords(stateBytes, keeping: 0..<0, entries: &entries, state: &state)
    } catch {
      throw .corrupt(file: path, offset: stateRange.lowerBound, reason: "state: \(error)")
    }
    var found = FoundSegment(
      path: path, header: header, state: state, chain: checksum, end: header.headerBytes,
      nextFrame: header.firstFrame, lastContent: nil, durableBytes: header.headerBytes, highestIndex: 0,
      fileBytes: bytes.count)
    while let frame = found.frameAtEnd(bytes) {
      frames.append(FoundFrame(segment: index, offset: found.end, header: frame))
      found.chainBeforeSeal = found.chain
      found.chain = frame.checksum
      found.end += frame.frameBytes
      found.nextFrame &+= 1
      found.lastContent = frame.content
      found.durableBytes = frame.durableBytes
      if frame.entryCount > 0 { found.highestIndex = max(found.highestIndex, frame.nextIndex - 1) }
    }
    return found
  }

  /// The header at the start of a segment's bytes. An `identity` of nil accepts any.
  static func decodeHeader(
    _ bytes: UnsafeRawBufferPointer, path: String, identity: LogIdentity?
  ) throws(LogError) -> (SegmentHeader, Range<Int>, UInt32) {
    let (header, state, checksum): (SegmentHeader, Range<Int>, UInt32)
    do throws(SegmentHeader.Failure) {
      (header, state, checksum) = try SegmentHeader.decode(bytes)
    } catch {
      switch error {
      case .tooShort: throw .corrupt(file: path, offset: bytes.count, reason: "the header is cut short")
      case .notSegment: throw .corrupt(file: path, offset: 0, reason: "not a segment of a log")
      case .unknownVersion(let version): throw .unknownFormat(file: path, version: version)
      case .badChecksum: throw .corrupt(file: path, offset: 0, reason: "the header's checksum does not match")
      case .badField(let offset): throw .corrupt(file: path, offset: offset, reason: "impossible header")
      }
    }
    if let identity, header.identity != identity {
      throw .foreign(file: path, found: header.identity, expected: identity)
    }
    return (header, state, checksum)
  }

  private func frameAtEnd(_ bytes: UnsafeRawBufferPointer) -> FrameHeader? {
    guard let frame = FrameHeader(bytes, at: end, salt: header.salt), frame.previous == chain,
      frame.number == nextFrame, frame.durableBytes >= header.headerBytes,
      frame.payloadHolds(bytes, at: end, salt: header.salt)
    else { return nil }
    return frame
  }

  /// For the last segment: looks behind the end for what tells a torn flush from damage to synced frames.
  mutating func examineTail(_ bytes: UnsafeRawBufferPointer) throws(LogError) {
    var remnantsEnd = end
    var nonzeroEnd = end
    var offset = end
    while offset < bytes.count {
      // Most of a segment is zeros or stale: this loop is what opening a log costs.
      let blockEnd = min(offset + Self.scanBlockBytes, bytes.count)
      if !Self.isZero(bytes, offset..<blockEnd) {
        nonzeroEnd = blockEnd
        remnantsEnd = max(remnantsEnd, try examineBlock(bytes, from: offset, to: blockEnd))
      }
      offset = blockEnd
    }
    if header.isReused {
      // Stale bytes are not news. What carries our chain or number is the torn header itself.
      if remnantsEnd == end, hasTornHeader(bytes) { remnantsEnd = end + LogFormat.frameHeaderBytes }
    } else {
      while nonzeroEnd > end, bytes[nonzeroEnd - 1] == 0 { nonzeroEnd -= 1 }
      remnantsEnd = max(remnantsEnd, nonzeroEnd)
    }
    tornBytes = remnantsEnd - end
  }

  /// The end of the last whole frame header's frame in a block that lies behind the verified frames.
  private func examineBlock(
    _ bytes: UnsafeRawBufferPointer, from start: Int, to blockEnd: Int
  ) throws(LogError) -> Int {
    var remnantsEnd = end
    var offset = start
    while offset < blockEnd, offset + LogFormat.frameHeaderBytes <= bytes.count {
      if bytes.little(offset, as: UInt32.self) == LogFormat.frameMagic,
        let frame = FrameHeader(bytes, at: offset, salt: header.salt), frame.number >= nextFrame
      {
        if offset > end, frame.durableBytes > end {
          throw .corrupt(
            file: path, offset: end,
            reason:
              "no valid frame \(nextFrame), but frame \(frame.number) at \(offset) was written after it was synced"
          )
        }
        remnantsEnd = max(remnantsEnd, min(offset + frame.frameBytes, bytes.count))
      }
      offset += LogFormat.alignment
    }
    return remnantsEnd
  }

  private static let scanBlockBytes = 128

  private static func isZero(_ bytes: UnsafeRawBufferPointer, _ block: Range<Int>) -> Bool {
    guard block.count == scanBlockBytes else { return bytes[block].allSatisfy { $0 == 0 } }
    var all: UInt64 = 0
    for offset in stride(from: block.lowerBound, to: block.upperBound, by: 8) {
      all |= bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
    }
    return all == 0
  }

  private func hasTornHeader(_ bytes: UnsafeRawBufferPointer) -> Bool {
    guard end + LogFormat.frameHeaderBytes <= bytes.count else { return false }
    return bytes.little(end + 8, as: UInt32.self) == chain
      || bytes.little(end + 32, as: UInt64.self) == nextFrame
  }
}
