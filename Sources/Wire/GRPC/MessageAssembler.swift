/// Cuts the DATA bytes of one call into gRPC messages.
///
/// A message that lies within one piece of input is handed out in place; only one that spans pieces is copied.
/// Memory grows with bytes received, never with a length that was merely announced.
struct MessageAssembler {
  enum Failure: Error {
    case tooLarge(length: Int)
    case compressed
    case unknownFormat(UInt8)
    case decompressedTooLarge
    case undecompressable(String)
  }

  /// Messages with the compression flag are gzip; without this they are errors.
  var acceptsGzip = false

  /// Bytes of an unfinished message, its prefix included.
  private var partial: [UInt8] = []

  /// Bytes held for an unfinished message.
  var bufferedBytes: Int { partial.count }

  mutating func reset() {
    if !partial.isEmpty { partial = [] }
    acceptsGzip = false
  }

  /// Feeds one piece of input.
  /// - Parameter body: gets each whole message; returns false to ignore all that follows.
  mutating func feed(
    _ input: UnsafeRawBufferPointer, limit: Int, _ body: (UnsafeRawBufferPointer) -> Bool
  ) throws(Failure) {
    var input = input
    if !partial.isEmpty {
      guard let remainder = try completePartial(input, limit: limit, body) else { return }
      input = remainder
    }
    while input.count >= 5 {
      let length = try parsePrefix(input, limit: limit)
      guard input.count - 5 >= length else { break }
      let message = UnsafeRawBufferPointer(rebasing: input[5..<(5 + length)])
      guard try pass(message, format: input[0], limit: limit, body) else { return }
      input = UnsafeRawBufferPointer(rebasing: input[(5 + length)...])
    }
    if !input.isEmpty {
      if input.count >= 5 {
        let length = try parsePrefix(input, limit: limit)
        // A chunk of 16 KiB in hand makes the announced length credible up to a point.
        partial.reserveCapacity(min(length + 5, input.count * 4))
      }
      partial.append(contentsOf: input)
    }
  }

  /// Whether the stream may end here.
  var isAtBoundary: Bool { partial.isEmpty }

  private mutating func completePartial(
    _ input: UnsafeRawBufferPointer, limit: Int, _ body: (UnsafeRawBufferPointer) -> Bool
  ) throws(Failure) -> UnsafeRawBufferPointer? {
    var input = input
    if partial.count < 5 {
      let piece = min(5 - partial.count, input.count)
      partial.append(contentsOf: input[0..<piece])
      input = UnsafeRawBufferPointer(rebasing: input[piece...])
      guard partial.count == 5 else { return nil }
    }
    let length = try check(
      format: partial[0],
      length: UInt32(partial[1]) << 24 | UInt32(partial[2]) << 16 | UInt32(partial[3]) << 8
        | UInt32(partial[4]),
      limit: limit)
    let missing = length + 5 - partial.count
    guard input.count >= missing else {
      partial.append(contentsOf: input)
      return nil
    }
    partial.append(contentsOf: input[0..<missing])
    let message = partial
    partial = []
    let result: Result<Bool, Failure> = message.withUnsafeBytes { bytes in
      do throws(Failure) {
        return .success(
          try pass(UnsafeRawBufferPointer(rebasing: bytes[5...]), format: bytes[0], limit: limit, body))
      } catch {
        return .failure(error)
      }
    }
    let goesOn = try result.get()
    guard goesOn else { return nil }
    return UnsafeRawBufferPointer(rebasing: input[missing...])
  }

  private func pass(
    _ message: UnsafeRawBufferPointer, format: UInt8, limit: Int, _ body: (UnsafeRawBufferPointer) -> Bool
  ) throws(Failure) -> Bool {
    guard format == 1 else { return body(message) }
    let plain: [UInt8]
    do throws(Gzip.Failure) {
      plain = try Gzip.decompress(message, limit: limit)
    } catch {
      switch error {
      case .tooLarge: throw .decompressedTooLarge
      case .corrupt(let text): throw .undecompressable(text)
      }
    }
    return plain.withUnsafeBytes { body($0) }
  }

  private func parsePrefix(_ bytes: UnsafeRawBufferPointer, limit: Int) throws(Failure) -> Int {
    let length = UInt32(bigEndian: bytes.loadUnaligned(fromByteOffset: 1, as: UInt32.self))
    return try check(format: bytes[0], length: length, limit: limit)
  }

  private func check(format: UInt8, length: UInt32, limit: Int) throws(Failure) -> Int {
    if Int(length) > limit { throw .tooLarge(length: Int(length)) }
    switch format {
    case 0: return Int(length)
    case 1:
      if !acceptsGzip { throw .compressed }
      return Int(length)
    default: throw .unknownFormat(format)
    }
  }
}
