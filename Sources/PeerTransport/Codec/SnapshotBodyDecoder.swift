public import Model
public import NIOCore
import Primitives

/// Reads the body of a snapshot request: one framed message, then the state's bytes to the end.
public struct SnapshotBodyDecoder {
  public enum Part: Sendable {
    /// Once, first.
    case message(Message)
    /// Never empty.
    case data(ByteBuffer)
  }

  private var head: MessageStreamDecoder?
  private var pending = ByteBuffer()

  /// - Parameter messageBytesMax: the largest message in front of the data.
  public init(messageBytesMax: Int) {
    head = MessageStreamDecoder(bytesMax: messageBytesMax)
  }

  public mutating func append(_ bytes: consuming ByteBuffer) {
    if head != nil {
      head?.append(bytes)
    } else if pending.readableBytes == 0 {
      pending = bytes
    } else {
      pending.discardReadBytes()
      pending.writeBuffer(&bytes)
    }
  }

  /// The next part; nil until more bytes come.
  public mutating func next() throws(PeerCodecError) -> Part? {
    if var decoder = head {
      // Moved out for the call: two owners would copy what is queued.
      head = nil
      guard let message = try decoder.next() else {
        head = decoder
        return nil
      }
      guard message.kind == .snapshot, message.snapshot != nil else { throw .wrongKind }
      pending = decoder.takeRest()
      return .message(message)
    }
    guard pending.readableBytes > 0 else { return nil }
    defer { pending = ByteBuffer() }
    return .data(pending.slice())
  }

  /// The end of the body. Throws if the message is not complete.
  public func finish() throws(PeerCodecError) {
    guard head == nil else { throw .truncated }
  }
}
