import Primitives

/// The fixed part of a segment's header; drawn in LogFormat.swift.
struct SegmentHeader {
  var identity: LogIdentity
  var sequence: UInt64
  var firstIndex: UInt64
  var firstFrame: UInt64
  var salt: UInt32
  var chain: UInt32
  var chainEnd: Int
  var segmentBytes: Int
  var headerBytes: Int
  var isReused: Bool

  enum Failure: Error {
    case tooShort
    case notSegment
    case unknownVersion(UInt32)
    case badChecksum
    case badField(offset: Int)
  }
}

extension SegmentHeader {
  /// The whole header of a segment with this state, and its checksum. `headerBytes` is set by it.
  mutating func encode(state: [UInt8]) -> (bytes: [UInt8], checksum: UInt32) {
    let unit = LogFormat.segmentHeaderUnit
    headerBytes = (LogFormat.segmentHeaderFixedBytes + state.count + unit - 1) / unit * unit
    precondition(headerBytes <= LogFormat.segmentHeaderBytesMax, "the state of a log is small")
    var bytes = [UInt8](repeating: 0, count: headerBytes)
    let checksum = bytes.withUnsafeMutableBytes { buffer in
      buffer.setLittle(0, LogFormat.segmentMagic)
      buffer.setLittle(8, LogFormat.version)
      buffer.setLittle(16, identity.clusterID)
      buffer.setLittle(24, identity.memberID)
      buffer.setLittle(32, sequence)
      buffer.setLittle(40, firstIndex)
      buffer.setLittle(48, firstFrame)
      buffer.setLittle(56, salt)
      buffer.setLittle(60, chain)
      buffer.setLittle(64, UInt64(chainEnd))
      buffer.setLittle(72, UInt64(segmentBytes))
      buffer.setLittle(80, UInt32(headerBytes))
      buffer.setLittle(84, UInt32(state.count))
      buffer.setLittle(92, UInt32(isReused ? 1 : 0))
      UnsafeMutableRawBufferPointer(rebasing: buffer[LogFormat.segmentHeaderFixedBytes...])
        .copyBytes(from: state)
      let checksum = Self.checksum(UnsafeRawBufferPointer(buffer))
      buffer.setLittle(12, checksum)
      return checksum
    }
    return (bytes, checksum)
  }

  /// Reads the header at the start of a segment's bytes; the state lies in them at the range returned.
  static func decode(
    _ bytes: UnsafeRawBufferPointer
  ) throws(Failure) -> (header: SegmentHeader, state: Range<Int>, checksum: UInt32) {
    guard bytes.count >= LogFormat.segmentHeaderUnit else { throw .tooShort }
    guard bytes.little(0, as: UInt64.self) == LogFormat.segmentMagic else { throw .notSegment }
    let version = bytes.little(8, as: UInt32.self)
    guard version == LogFormat.version else { throw .unknownVersion(version) }
    let headerBytes = Int(bytes.little(80, as: UInt32.self))
    guard headerBytes > 0, headerBytes % LogFormat.segmentHeaderUnit == 0,
      headerBytes <= LogFormat.segmentHeaderBytesMax
    else { throw .badField(offset: 80) }
    guard headerBytes <= bytes.count else { throw .tooShort }
    let checksum = bytes.little(12, as: UInt32.self)
    guard checksum == Self.checksum(UnsafeRawBufferPointer(rebasing: bytes[..<headerBytes])) else {
      throw .badChecksum
    }
    let stateBytes = Int(bytes.little(84, as: UInt32.self))
    guard stateBytes <= headerBytes - LogFormat.segmentHeaderFixedBytes else { throw .badField(offset: 84) }
    guard bytes.little(88, as: UInt32.self) == 0 else { throw .badField(offset: 88) }
    let chainEnd = bytes.little(64, as: UInt64.self)
    let segmentBytes = bytes.little(72, as: UInt64.self)
    guard chainEnd < 1 << 48 else { throw .badField(offset: 64) }
    guard segmentBytes < 1 << 48 else { throw .badField(offset: 72) }
    let header = SegmentHeader(
      identity: LogIdentity(
        clusterID: bytes.little(16, as: UInt64.self), memberID: bytes.little(24, as: UInt64.self)),
      sequence: bytes.little(32, as: UInt64.self), firstIndex: bytes.little(40, as: UInt64.self),
      firstFrame: bytes.little(48, as: UInt64.self), salt: bytes.little(56, as: UInt32.self),
      chain: bytes.little(60, as: UInt32.self), chainEnd: Int(chainEnd), segmentBytes: Int(segmentBytes),
      headerBytes: headerBytes, isReused: bytes.little(92, as: UInt32.self) & 1 == 1)
    let start = LogFormat.segmentHeaderFixedBytes
    return (header, start..<(start + stateBytes), checksum)
  }

  private static func checksum(_ bytes: UnsafeRawBufferPointer) -> UInt32 {
    let start = CRC32C.checksum(UnsafeRawBufferPointer(rebasing: bytes[..<12]))
    return CRC32C.checksum(UnsafeRawBufferPointer(rebasing: bytes[16...]), seed: start)
  }
}

/// The name of a segment file: what it begins with, so that a listing tells where an index is.
struct SegmentName: Equatable {
  static let suffix = ".wal"

  var sequence: UInt64
  var firstIndex: UInt64

  init(sequence: UInt64, firstIndex: UInt64) {
    self.sequence = sequence
    self.firstIndex = firstIndex
  }

  /// nil when the name is not one that `text` gives.
  init?(_ name: String) {
    let parts = name.dropLast(Self.suffix.count).split(separator: "-", omittingEmptySubsequences: false)
    guard name.hasSuffix(Self.suffix), parts.count == 2, let sequence = UInt64(parts[0], radix: 16),
      let firstIndex = UInt64(parts[1], radix: 16)
    else { return nil }
    self.init(sequence: sequence, firstIndex: firstIndex)
    guard text == name else { return nil }
  }

  var text: String { "\(digits(sequence))-\(digits(firstIndex))\(Self.suffix)" }
}

/// A number as 16 hexadecimal digits: the order of names is the order of numbers.
func digits(_ number: UInt64) -> String {
  let digits = hex(number)
  return String(repeating: "0", count: 16 - digits.utf8.count) + digits
}
