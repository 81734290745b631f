public import Model
public import NIOCore
import Primitives

/// Reads one msgappv2 stream, in whatever pieces it comes; see `AppendStreamEncoder` for the drawing.
public struct AppendStreamDecoder {
  private enum State {
    case type
    case entryCount
    case entryLength(left: Int)
    case entry(length: Int, left: Int)
    case commit
    case messageLength
    case message(length: Int)
  }

  private let local: UInt64
  private let remote: UInt64
  private let bytesMax: Int
  private var input = ByteQueue()
  private var state = State.type
  private var term: UInt64 = 0
  private var index: UInt64 = 0
  private var entries: [Entry] = []
  /// What the frame under way took so far: many small entries count like one large message.
  private var frameBytes = 0

  /// - Parameters:
  ///   - local: the receiver, whom entries without a message are for.
  ///   - remote: the sender at the other end of the connection.
  ///   - bytesMax: the largest frame.
  public init(local: UInt64, remote: UInt64, bytesMax: Int) {
    self.local = local
    self.remote = remote
    self.bytesMax = bytesMax
  }

  /// Bytes that belong to no message yet.
  public var pendingBytes: Int { input.count }
  /// Whether the stream may end here.
  public var isBetweenFrames: Bool {
    if case .type = state { return input.count == 0 }
    return false
  }

  public mutating func append(_ bytes: consuming ByteBuffer) { input.append(bytes) }

  /// The next message, link heartbeats among them; nil until more bytes come. After an error the stream is
  /// without meaning.
  public mutating func next() throws(PeerCodecError) -> Message? {
    while true {
      switch state {
      case .type:
        guard let type = input.readByte() else { return nil }
        frameBytes = 0
        switch type {
        case AppendFrame.linkHeartbeat: return .linkHeartbeat
        case AppendFrame.entries:
          // Nothing was sent that these could follow.
          guard term != 0 else { throw .noPredecessor }
          state = .entryCount
        case AppendFrame.message: state = .messageLength
        default: throw .unknownType(type)
        }
      case .entryCount:
        guard let word = input.readWord() else { return nil }
        let count = try bounded(word, by: bytesMax / Self.entryBytesMin)
        guard index <= .max - UInt64(count) else { throw .noPredecessor }
        state = count == 0 ? .commit : .entryLength(left: count)
      case .entryLength(let left):
        guard let word = input.readWord() else { return nil }
        let length = try bounded(word, by: bytesMax)
        try count(length)
        state = .entry(length: length, left: left)
      case .entry(let length, let left):
        guard let entry = try input.readMessage(length, as: Entry.self) else { return nil }
        entries.append(entry)
        state = left == 1 ? .commit : .entryLength(left: left - 1)
      case .commit:
        guard let commit = input.readWord() else { return nil }
        state = .type
        return following(commit: commit)
      case .messageLength:
        guard let word = input.readWord() else { return nil }
        state = .message(length: try bounded(word, by: bytesMax))
      case .message(let length):
        guard let message = try input.readMessage(length, as: Message.self) else { return nil }
        guard message.kind == .append else { throw .wrongKind }
        state = .type
        term = message.term
        index = message.entries.last?.index ?? message.index
        return message
      }
    }
  }

  /// The word in front of each entry; what bounds the number of entries that can be announced.
  private static let entryBytesMin = 8

  private mutating func count(_ length: Int) throws(PeerCodecError) {
    frameBytes += length + Self.entryBytesMin
    guard frameBytes <= bytesMax else { throw .tooLarge(UInt64(frameBytes), limit: bytesMax) }
  }

  private mutating func following(commit: UInt64) -> Message {
    let message = Message(
      kind: .append, to: local, from: remote, term: term, logTerm: term, index: index, entries: entries,
      commit: commit)
    index += UInt64(entries.count)
    entries = []
    return message
  }
}
