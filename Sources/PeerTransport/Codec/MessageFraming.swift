public import Model
public import NIOCore
import Primitives

// A message stream, and the head of a snapshot:
//
//   | 8 bytes | length of the message, big-endian |
//   | n       | raftpb.Message                    |

/// Writes the frames of a message stream.
public enum MessageFraming {
  public static func encode(_ message: Message, into output: inout ByteBuffer) {
    let bytes = message.encoded()
    output.writeInteger(UInt64(bytes.count))
    output.writeBytes(bytes)
  }
}

/// Reads the frames of a message stream, in whatever pieces they come.
public struct MessageStreamDecoder {
  private let bytesMax: Int
  private var input = ByteQueue()
  /// Announced and not complete.
  private var length: Int?

  /// - Parameter bytesMax: the largest message; a longer one is refused when its length arrives.
  public init(bytesMax: Int) {
    self.bytesMax = bytesMax
  }

  /// Bytes that belong to no message yet.
  public var pendingBytes: Int { input.count }
  /// Whether the stream may end here.
  public var isBetweenFrames: Bool { length == nil && input.count == 0 }

  public mutating func append(_ bytes: consuming ByteBuffer) { input.append(bytes) }

  /// The next message, link heartbeats among them; nil until more bytes come. After an error the stream is
  /// without meaning.
  public mutating func next() throws(PeerCodecError) -> Message? {
    if length == nil {
      guard let word = input.readWord() else { return nil }
      length = try bounded(word, by: bytesMax)
    }
    guard let length, let message = try input.readMessage(length, as: Message.self) else { return nil }
    self.length = nil
    return message
  }

  /// What follows the last message, for a body that goes on otherwise. The decoder is empty afterwards.
  mutating func takeRest() -> ByteBuffer { input.takeAll() ?? ByteBuffer() }
}
