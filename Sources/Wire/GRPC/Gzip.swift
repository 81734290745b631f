internal import CZlib

/// Decompression of gzip (RFC 1952), for requests of clients that compress: etcd takes them too.
///
/// zlib does the work. Its state of some 40 KiB is made for each message, because compressed requests are rare and a
/// state kept per connection or loop would cost those that never compress.
enum Gzip {
  enum Failure: Error {
    /// The output would be larger than allowed.
    case tooLarge
    /// In the words of Go's compress/gzip and compress/flate.
    case corrupt(String)
  }

  /// The content of all gzip members of `input`, as Go's reader joins them.
  /// - Parameter limit: bytes of output at most; memory grows with the output, never with what was announced.
  static func decompress(_ input: UnsafeRawBufferPointer, limit: Int) throws(Failure) -> [UInt8] {
    guard !input.isEmpty else { throw .corrupt("EOF") }
    var stream = z_stream()
    // 16 asks for gzip's frame and checksum, 15 is the window of 32 KiB.
    guard inflateInit2_(&stream, 16 + 15, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK else {
      preconditionFailure("no memory for zlib")
    }
    defer { inflateEnd(&stream) }
    var output: [UInt8] = []
    var used = 0
    stream.next_in = UnsafeMutablePointer(mutating: input.baseAddress?.assumingMemoryBound(to: UInt8.self))
    stream.avail_in = UInt32(clamping: input.count)
    while true {
      if used == output.count {
        // One byte above the limit tells what is too large from what just fits.
        guard used <= limit else { throw .tooLarge }
        let size = min(limit + 1, max(output.count * 2, input.count * 4, 1024))
        output.append(contentsOf: repeatElement(0, count: size - output.count))
      }
      let result = output.withUnsafeMutableBufferPointer { (target) -> Int32 in
        stream.next_out = target.baseAddress.map { $0 + used }
        stream.avail_out = UInt32(clamping: target.count - used)
        let offered = stream.avail_out
        let result = inflate(&stream, Z_NO_FLUSH)
        used += Int(offered - stream.avail_out)
        return result
      }
      switch result {
      case Z_OK where stream.avail_in > 0 || stream.avail_out == 0: continue
      case Z_OK, Z_BUF_ERROR: throw .corrupt("unexpected EOF")
      case Z_STREAM_END where stream.avail_in > 0: inflateReset(&stream)
      case Z_STREAM_END:
        guard used <= limit else { throw .tooLarge }
        output.removeLast(output.count - used)
        return output
      default: throw .corrupt(text(stream))
      }
    }
  }

  private static func text(_ stream: z_stream) -> String {
    switch stream.msg.map({ String(cString: $0) }) {
    case "incorrect header check", "unknown compression method", "header crc mismatch": "gzip: invalid header"
    case "incorrect data check", "incorrect length check": "gzip: invalid checksum"
    default: "flate: corrupt input before offset \(stream.total_in)"
    }
  }
}
