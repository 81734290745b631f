public import Model
public import NIOCore
import Primitives

// The msgappv2 stream carries appends alone. What follows the last one in order and term needs neither
// addresses nor position:
//
//   link heartbeat   | 1 | 0x00 |
//
//   entries          | 1 | 0x01                        |
//                    | 8 | number of entries           |
//                    | 8 | length of the first entry   |   repeated
//                    | n | raftpb.Entry                |   for each
//                    | 8 | commit index                |
//
//   whole message    | 1 | 0x02                        |
//                    | 8 | length of the message       |
//                    | n | raftpb.Message              |

enum AppendFrame {
  static let linkHeartbeat: UInt8 = 0
  static let entries: UInt8 = 1
  static let message: UInt8 = 2
}

/// Writes one msgappv2 stream. A new connection needs a new encoder, because both ends remember the last position.
public struct AppendStreamEncoder {
  private var term: UInt64 = 0
  private var index: UInt64 = 0

  public init() {}

  /// - Parameter message: an append, or the link heartbeat.
  public mutating func encode(_ message: Message, into output: inout ByteBuffer) {
    if message.isLinkHeartbeat {
      output.writeInteger(AppendFrame.linkHeartbeat)
    } else if follows(message) {
      output.writeInteger(AppendFrame.entries)
      output.writeInteger(UInt64(message.entries.count))
      for entry in message.entries {
        let bytes = entry.encoded()
        output.writeInteger(UInt64(bytes.count))
        output.writeBytes(bytes)
      }
      index &+= UInt64(message.entries.count)
      output.writeInteger(message.commit)
    } else {
      let bytes = message.encoded()
      output.writeInteger(AppendFrame.message)
      output.writeInteger(UInt64(bytes.count))
      output.writeBytes(bytes)
      term = message.term
      index = message.entries.last?.index ?? message.index
    }
  }

  /// Whether the receiver can tell all but entries and commit index by itself. An append that answers one of the
  /// leader's reads, or is anything beyond that, goes whole.
  private func follows(_ message: Message) -> Bool {
    term != 0 && message.index == index && message.logTerm == term && message.term == term
      && message.context.isEmpty && !message.reject && message.rejectHint == 0 && message.vote == 0
      && message.snapshot == nil
  }
}
