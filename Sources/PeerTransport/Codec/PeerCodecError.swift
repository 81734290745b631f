public import Primitives

/// Why bytes of a peer are not what they should be. Nothing of the frame at fault is delivered.
public enum PeerCodecError: Error, Hashable, Sendable, CustomStringConvertible {
  /// A length or a count above the limit.
  case tooLarge(UInt64, limit: Int)
  /// The message is not a protocol buffer message.
  case malformed(ProtoError)
  /// No frame of the msgappv2 stream has this type.
  case unknownType(UInt8)
  /// Entries were announced to follow a message that was never sent, or their indexes would pass 2^64.
  case noPredecessor
  /// A message that this stream does not carry.
  case wrongKind
  /// Sender or receiver in the message are not those of the connection.
  case wrongAddress(from: UInt64, to: UInt64)
  /// The bytes end inside a frame.
  case truncated

  public var description: String {
    switch self {
    case .tooLarge(let length, let limit): "a length of \(length) where \(limit) is the most"
    case .malformed(let error): "a malformed message (\(error))"
    case .unknownType(let type): "failed to parse type \(type) in msgappv2 stream"
    case .noPredecessor: "entries without the message they follow"
    case .wrongKind: "a message of a kind that does not belong here"
    case .wrongAddress(let from, let to):
      "a message from \(String(from, radix: 16)) to \(String(to, radix: 16))"
    case .truncated: "unexpected EOF"
    }
  }
}
