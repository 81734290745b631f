import Model
import Primitives
import Zstd

/// What a frame will hold, collected until the flush.
struct FrameBuilder {
  /// The entries, encoded.
  var payload = ProtoWriter()
  var state = LogState()
  /// The log begins anew with this frame, at `firstIndex`.
  var isReset = false
  /// The index of the first entry, or after a reset of the one to come.
  var firstIndex: UInt64 = 0
  var entryCount = 0

  var isEmpty: Bool { entryCount == 0 && !isReset && state == LogState() }
  var nextIndex: UInt64 { firstIndex + UInt64(entryCount) }
  var hasIndex: Bool { entryCount > 0 || isReset }

  mutating func add(_ entry: Entry) {
    if !hasIndex { firstIndex = entry.index }
    entryCount += 1
    payload.record(entry)
  }

  /// Writes the state behind the entries and says what there is in all.
  mutating func finish() -> FrameHeader.Content {
    var content: FrameHeader.Content = entryCount > 0 ? .entries : []
    if isReset { content.insert(.reset) }
    if state.hardState != nil { content.insert(.hardState) }
    if state.snapshot != nil { content.insert(.snapshot) }
    if state.confState != nil { content.insert(.confState) }
    if !state.isEmpty { payload.raw(state.encode()) }
    return content
  }

  mutating func removeAll() {
    payload.removeAll()
    state = LogState()
    isReset = false
    firstIndex = 0
    entryCount = 0
  }
}

/// Lays frames out behind each other for one write, compressing those that are worth it.
struct FrameOutput {
  private var bytes: [UInt8] = []
  private(set) var count = 0
  private let compressor: ZstdCompressor
  private let threshold: Int
  /// After payloads that would not shrink: how many more to store raw before the next try.
  private var rawLeft = 0
  private var rawRun = 0

  /// Larger buffers are given back after the flush.
  private static let keptBytesMax = 8 << 20
  private static let rawRunMax = 64

  init(level: Int32, threshold: Int) {
    compressor = ZstdCompressor(level: level)
    self.threshold = threshold
  }

  /// An upper bound of a frame's size, before it is known how well it compresses.
  static func bound(payloadBytes: Int) -> Int {
    LogFormat.frameHeaderBytes + LogFormat.aligned(payloadBytes)
  }

  /// Adds a frame. `header` has its place in the log; what follows from the payload is filled in here.
  mutating func add(
    _ payload: [UInt8], _ header: inout FrameHeader, salt: UInt32, compressing: Bool
  ) throws(ZstdError) {
    let bound = count + Self.bound(payloadBytes: payload.count)
    if bytes.count < bound {
      bytes.append(contentsOf: repeatElement(0, count: max(bound, 2 * bytes.count) - bytes.count))
    }
    let start = count
    let room = start + LogFormat.frameHeaderBytes
    let compressedBytes = compressing ? try compress(payload, at: room) : nil
    let stored = compressedBytes ?? payload.count
    header.isCompressed = compressedBytes != nil
    header.storedBytes = stored
    header.plainBytes = payload.count
    let end = room + LogFormat.aligned(stored)
    bytes.withUnsafeMutableBytes { buffer in
      if compressedBytes == nil {
        UnsafeMutableRawBufferPointer(rebasing: buffer[room...]).copyBytes(from: payload)
      }
      for offset in (room + stored)..<end { buffer[offset] = 0 }
      header.payloadChecksum = CRC32C.checksum(
        UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(buffer)[room..<end]), seed: salt)
      header.encode(into: UnsafeMutableRawBufferPointer(rebasing: buffer[start..<room]), salt: salt)
    }
    count = end
  }

  /// The size of the compressed payload at `offset`, or nil when it is to be stored raw.
  private mutating func compress(_ payload: [UInt8], at offset: Int) throws(ZstdError) -> Int? {
    guard payload.count >= threshold else { return nil }
    guard rawLeft == 0 else {
      rawLeft -= 1
      return nil
    }
    // A gain below an eighth is not worth the decompression; zstd stops early when the room is too small.
    let room = payload.count - payload.count / 8
    let size = try payload.withUnsafeBufferPointer { (payload) throws(ZstdError) in
      try bytes.withUnsafeMutableBufferPointer { (bytes) throws(ZstdError) in
        try compressor.compress(
          UnsafeRawBufferPointer(payload),
          into: UnsafeMutableRawBufferPointer(
            rebasing: UnsafeMutableRawBufferPointer(bytes)[offset..<(offset + room)]))
      }
    }
    rawRun = size == nil ? min(max(1, rawRun * 2), Self.rawRunMax) : 0
    rawLeft = rawRun
    return size
  }

  func withBytes<Failure: Error>(
    _ body: (UnsafeRawBufferPointer) throws(Failure) -> Void
  ) throws(Failure) {
    try bytes.withUnsafeBufferPointer { (bytes) throws(Failure) in
      try body(UnsafeRawBufferPointer(start: bytes.baseAddress, count: count))
    }
  }

  mutating func removeAll() {
    count = 0
    if bytes.count > Self.keptBytesMax { bytes = [] }
  }
}
