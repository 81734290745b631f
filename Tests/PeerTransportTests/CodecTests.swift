import Model
import NIOCore
import PeerTransport
import Primitives
import Testing

/// The codecs on what etcd sent, and on random messages.
@Suite struct CodecTests {
  // MARK: What etcd 3.5.1 sent

  @Test func `etcd's append stream is understood, whatever its pieces`() throws {
    for size in [1, 7, 64, 10_000] {
      let messages = try decodeAppends(Captures.appendStream, pieces: size)
      let appends = messages.filter { !$0.isLinkHeartbeat }
      #expect(messages.contains { $0.isLinkHeartbeat })
      let first = try #require(appends.first)
      #expect(first.kind == .append && first.term == 2 && first.entries.map(\.index) == [4])
      for message in appends {
        #expect(message.from == Captures.leader && message.to == Captures.follower)
      }
      #expect(appends.flatMap(\.entries).map(\.index) == Array(4...10))
      #expect(appends.map(\.commit).max() == 10)
      let commands = appends.flatMap(\.entries).compactMap { try? RaftCommand(decoding: $0.data) }
      #expect(commands.count >= 2)
    }
  }

  @Test func `etcd's append stream is written again to the byte`() throws {
    let messages = try decodeAppends(Captures.appendStream, pieces: 100)
    var encoder = AppendStreamEncoder()
    var output = ByteBuffer()
    for message in messages { encoder.encode(message, into: &output) }
    #expect(Array(output.readableBytesView) == withVoteField(Captures.appendStream, lengthAt: 1))
  }

  @Test func `etcd's message stream is understood and written again to the byte`() throws {
    var decoder = MessageStreamDecoder(bytesMax: 1000)
    decoder.append(ByteBuffer(bytes: Captures.messageStream))
    var kinds: [Message.Kind] = []
    var rest = Captures.messageStream[...]
    while let message = try decoder.next() {
      kinds.append(message.kind)
      #expect(message.from == Captures.follower && message.to == Captures.leader)
      var output = ByteBuffer()
      MessageFraming.encode(message, into: &output)
      let frame = Array(rest.prefix(output.readableBytes - 2))
      #expect(Array(output.readableBytesView) == withVoteField(frame, lengthAt: 0))
      rest = rest.dropFirst(frame.count)
    }
    #expect(decoder.isBetweenFrames && rest.isEmpty)
    #expect(kinds.count == 12)
    #expect(kinds.contains(.voteResponse) && kinds.contains(.appendResponse) && kinds.contains(.propose))
  }

  @Test func `etcd's posted message is understood and written again to the byte`() throws {
    let message = try Message(decoding: Captures.postedHeartbeat)
    #expect(message.kind == .heartbeat && message.from == Captures.leader && message.context.count == 8)
    #expect(message.encoded() == Captures.postedHeartbeat + [0x68, 0])
  }

  @Test func `etcd's snapshot is a message and then the file`() throws {
    let head =
      Captures.snapshotHeadBegin + Array(repeating: 0, count: Captures.snapshotDataBytes)
      + Captures.snapshotHeadEnd
    let body = head + Captures.snapshotData
    for size in [1, 13, 4096, body.count] {
      var decoder = SnapshotBodyDecoder(messageBytesMax: 64 << 20)
      var message: Message?
      var data: [UInt8] = []
      for start in stride(from: 0, to: body.count, by: size) {
        decoder.append(ByteBuffer(bytes: body[start..<min(start + size, body.count)]))
        while let part = try decoder.next() {
          switch part {
          case .message(let decoded): message = decoded
          case .data(let piece): data += piece.readableBytesView
          }
        }
      }
      try decoder.finish()
      #expect(message?.kind == .snapshot && message?.from == Captures.leader)
      #expect(message?.snapshot?.confState.voters.count == 3)
      #expect((message?.snapshot?.index ?? 0) > 5000)
      #expect(data == Captures.snapshotData)
    }
  }

  // MARK: Random messages

  @Test(arguments: 0..<50) func `a message stream comes out as it went in`(_ seed: UInt64) throws {
    var random = RandomMessages(seed: seed)
    let messages = (0..<40).map { _ in random.message(to: 1, from: 2) }
    var output = ByteBuffer()
    for message in messages { MessageFraming.encode(message, into: &output) }
    var decoder = MessageStreamDecoder(bytesMax: 10_000)
    var decoded: [Message] = []
    for piece in random.pieces(of: Array(output.readableBytesView)) {
      decoder.append(piece)
      while let message = try decoder.next() { decoded.append(message) }
    }
    #expect(decoded == messages)
    #expect(decoder.isBetweenFrames)
  }

  @Test(arguments: 0..<50) func `an append stream comes out as it went in`(_ seed: UInt64) throws {
    var random = RandomMessages(seed: seed)
    let messages = random.appendStream(count: 60, to: 1, from: 2)
    var encoder = AppendStreamEncoder()
    var output = ByteBuffer()
    for message in messages { encoder.encode(message, into: &output) }
    var decoder = AppendStreamDecoder(local: 1, remote: 2, bytesMax: 10_000)
    var decoded: [Message] = []
    for piece in random.pieces(of: Array(output.readableBytesView)) {
      decoder.append(piece)
      while let message = try decoder.next() { decoded.append(message) }
    }
    #expect(decoded == messages)
    #expect(decoder.isBetweenFrames)
  }

  @Test func `an append with a context goes whole`() throws {
    var encoder = AppendStreamEncoder()
    var output = ByteBuffer()
    let first = Message(kind: .append, to: 1, from: 2, term: 3, logTerm: 3, index: 4)
    var second = first
    second.context = [1, 2, 3]
    for message in [first, second, first] { encoder.encode(message, into: &output) }
    var decoder = AppendStreamDecoder(local: 1, remote: 2, bytesMax: 1000)
    decoder.append(output)
    #expect(try decoder.next() == first)
    #expect(try decoder.next() == second)
    #expect(try decoder.next() == first)
    #expect(try decoder.next() == nil)
  }

  /// The first frame's message as later releases write it: with field 13, the vote, which 3.5.1 does not have.
  private func withVoteField(_ bytes: [UInt8], lengthAt start: Int) -> [UInt8] {
    var bytes = bytes
    let length = bytes[start..<start + 8].reduce(0) { $0 << 8 | Int($1) }
    bytes[start + 7] += 2
    bytes.insert(contentsOf: [0x68, 0], at: start + 8 + length)
    return bytes
  }

  private func decodeAppends(_ bytes: [UInt8], pieces size: Int) throws -> [Message] {
    var decoder = AppendStreamDecoder(local: Captures.follower, remote: Captures.leader, bytesMax: 1000)
    var messages: [Message] = []
    for start in stride(from: 0, to: bytes.count, by: size) {
      decoder.append(ByteBuffer(bytes: bytes[start..<min(start + size, bytes.count)]))
      while let message = try decoder.next() { messages.append(message) }
    }
    #expect(decoder.isBetweenFrames)
    return messages
  }
}
