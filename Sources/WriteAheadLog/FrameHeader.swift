import Primitives

/// The header of a frame; drawn in LogFormat.swift.
struct FrameHeader {
  struct Content: OptionSet {
    var rawValue: UInt8
    static let entries = Content(rawValue: 1)
    static let hardState = Content(rawValue: 2)
    static let snapshot = Content(rawValue: 4)
    static let confState = Content(rawValue: 8)
    static let reset = Content(rawValue: 16)
    static let close = Content(rawValue: 32)
    static let seal = Content(rawValue: 64)
  }

  var checksum: UInt32 = 0
  var previous: UInt32
  var content: Content
  var isCompressed: Bool
  var storedBytes: Int
  var plainBytes: Int
  var payloadChecksum: UInt32
  var entryCount: Int
  var number: UInt64
  var firstIndex: UInt64
  var durableBytes: Int

  /// Header, payload and padding.
  var frameBytes: Int { LogFormat.frameHeaderBytes + LogFormat.aligned(storedBytes) }

  /// The index after the frame's last entry.
  var nextIndex: UInt64 { firstIndex + UInt64(entryCount) }
}

extension FrameHeader {
  /// Writes the header to the first 56 bytes of `buffer`, computing its checksum.
  mutating func encode(into buffer: UnsafeMutableRawBufferPointer, salt: UInt32) {
    buffer.setLittle(0, LogFormat.frameMagic)
    buffer.setLittle(8, previous)
    buffer.setLittle(12, content.rawValue)
    buffer.setLittle(13, isCompressed ? 1 : 0 as UInt8)
    buffer.setLittle(14, 0 as UInt16)
    buffer.setLittle(16, UInt32(storedBytes))
    buffer.setLittle(20, UInt32(plainBytes))
    buffer.setLittle(24, payloadChecksum)
    buffer.setLittle(28, UInt32(entryCount))
    buffer.setLittle(32, number)
    buffer.setLittle(40, firstIndex)
    buffer.setLittle(48, UInt64(durableBytes))
    checksum = Self.checksum(UnsafeRawBufferPointer(buffer), at: 0, salt: salt)
    buffer.setLittle(4, checksum)
  }

  /// The header at `offset`, if its own checksum holds and its numbers make sense; whether it fits into its place
  /// in the chain is for the caller. `fileOffset` is where it lies in its file, where that is not `offset`.
  init?(_ bytes: UnsafeRawBufferPointer, at offset: Int, salt: UInt32, fileOffset: Int? = nil) {
    guard offset + LogFormat.frameHeaderBytes <= bytes.count,
      bytes.little(offset, as: UInt32.self) == LogFormat.frameMagic
    else { return nil }
    checksum = bytes.little(offset + 4, as: UInt32.self)
    guard checksum == Self.checksum(bytes, at: offset, salt: salt) else { return nil }
    previous = bytes.little(offset + 8, as: UInt32.self)
    content = Content(rawValue: bytes.little(offset + 12, as: UInt8.self))
    let codec = bytes.little(offset + 13, as: UInt8.self)
    isCompressed = codec == 1
    storedBytes = Int(bytes.little(offset + 16, as: UInt32.self))
    plainBytes = Int(bytes.little(offset + 20, as: UInt32.self))
    payloadChecksum = bytes.little(offset + 24, as: UInt32.self)
    entryCount = Int(bytes.little(offset + 28, as: UInt32.self))
    number = bytes.little(offset + 32, as: UInt64.self)
    firstIndex = bytes.little(offset + 40, as: UInt64.self)
    let durable = bytes.little(offset + 48, as: UInt64.self)
    guard codec <= 1, content.rawValue < 128, bytes.little(offset + 14, as: UInt16.self) == 0,
      storedBytes <= LogFormat.payloadBytesMax, plainBytes <= LogFormat.payloadBytesMax,
      isCompressed || storedBytes == plainBytes, durable <= UInt64(fileOffset ?? offset),
      !firstIndex.addingReportingOverflow(UInt64(entryCount)).overflow
    else { return nil }
    durableBytes = Int(durable)
  }

  /// The stored payload with its padding, when it lies in `bytes` and its checksum holds.
  func payloadHolds(_ bytes: UnsafeRawBufferPointer, at offset: Int, salt: UInt32) -> Bool {
    guard frameBytes <= bytes.count - offset else { return false }
    let payload = bytes[(offset + LogFormat.frameHeaderBytes)..<(offset + frameBytes)]
    return CRC32C.checksum(UnsafeRawBufferPointer(rebasing: payload), seed: salt) == payloadChecksum
  }

  private static func checksum(_ bytes: UnsafeRawBufferPointer, at offset: Int, salt: UInt32) -> UInt32 {
    let covered = bytes[(offset + 8)..<(offset + LogFormat.frameHeaderBytes)]
    return CRC32C.checksum(UnsafeRawBufferPointer(rebasing: covered), seed: salt)
  }
}
