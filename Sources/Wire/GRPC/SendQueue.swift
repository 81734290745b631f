internal import Glibc

/// Outbound messages of one call, each with its prefix, until HTTP/2 takes their bytes.
///
/// The first message has a place of its own, because most calls send exactly one.
struct SendQueue {
  /// Bytes that have not been taken yet.
  private(set) var count = 0
  private var first: [UInt8] = []
  private var offset = 0
  private var rest: [[UInt8]] = []
  private var restHead = 0

  /// Appends a message whose first five bytes are free, and writes its prefix there.
  mutating func append(_ message: consuming [UInt8]) {
    precondition(message.count >= 5, "a message needs its headroom")
    let length = UInt32(truncatingIfNeeded: message.count - 5)
    message.withUnsafeMutableBytes { bytes in
      bytes[0] = 0
      bytes.storeBytes(of: length.bigEndian, toByteOffset: 1, as: UInt32.self)
    }
    let size = message.count
    if count == 0 {
      first = message
      offset = 0
    } else {
      rest.append(message)
    }
    count &+= size
  }

  /// Moves the next `length` bytes to `target`.
  mutating func take(_ length: Int, into target: UnsafeMutableRawPointer) {
    precondition(length <= count, "more taken than queued")
    var written = 0
    while written < length {
      let available = first.count &- offset
      let piece = min(available, length &- written)
      first.withUnsafeBytes { bytes in
        if let base = bytes.baseAddress { _ = memcpy(target + written, base + offset, piece) }
      }
      written &+= piece
      offset &+= piece
      if offset == first.count { advance() }
    }
    count &-= length
  }

  mutating func removeAll() {
    guard count > 0 || !first.isEmpty else { return }
    count = 0
    offset = 0
    first = []
    rest = []
    restHead = 0
  }

  private mutating func advance() {
    offset = 0
    guard restHead < rest.count else {
      first = []
      return
    }
    first = rest[restHead]
    rest[restHead] = []
    restHead += 1
    if restHead == rest.count {
      rest.removeAll(keepingCapacity: rest.count <= 64)
      restHead = 0
    } else if restHead >= 64, restHead * 2 >= rest.count {
      rest.removeFirst(restHead)
      restHead = 0
    }
  }
}
