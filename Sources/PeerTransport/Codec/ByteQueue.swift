import Model
import NIOCore
import Primitives

/// Received bytes that no frame has taken yet. Grows with what arrives, never with what a length announces.
struct ByteQueue {
  private var buffer = ByteBuffer()

  var count: Int { buffer.readableBytes }

  mutating func append(_ bytes: consuming ByteBuffer) {
    if buffer.readableBytes == 0 {
      buffer = bytes
    } else {
      buffer.discardReadBytes()
      buffer.writeBuffer(&bytes)
    }
  }

  mutating func readByte() -> UInt8? { buffer.readInteger() }

  /// Eight bytes, most significant first.
  mutating func readWord() -> UInt64? { buffer.readInteger() }

  /// The message in the next `count` bytes, nil while they are not all there.
  mutating func readMessage<M: WireMessage>(_ count: Int, as type: M.Type) throws(PeerCodecError) -> M? {
    guard buffer.readableBytes >= count, let slice = buffer.readSlice(length: count) else { return nil }
    let decoded: Result<M, ProtoError> = slice.withUnsafeReadableBytes { bytes in
      do throws(ProtoError) {
        return .success(try M(decoding: bytes))
      } catch {
        return .failure(error)
      }
    }
    switch decoded {
    case .success(let message): return message
    case .failure(let error): throw .malformed(error)
    }
  }

  /// Everything that is left, as one piece.
  mutating func takeAll() -> ByteBuffer? {
    guard buffer.readableBytes > 0 else { return nil }
    defer { buffer = ByteBuffer() }
    return buffer.slice()
  }
}

/// A length or count from the network as a number to work with.
func bounded(_ length: UInt64, by limit: Int) throws(PeerCodecError) -> Int {
  guard let value = Int(exactly: length), value <= limit else { throw .tooLarge(length, limit: limit) }
  return value
}
