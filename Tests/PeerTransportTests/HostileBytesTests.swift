import Model
import NIOCore
import PeerTransport
import Primitives
import Testing

/// Bytes that no member sends: errors, never traps, and memory bounded by what arrived.
@Suite struct HostileBytesTests {
  @Test func `a length above the limit is refused before its bytes come`() throws {
    var decoder = MessageStreamDecoder(bytesMax: 100)
    decoder.append(ByteBuffer(integer: UInt64(101)))
    #expect(throws: PeerCodecError.tooLarge(101, limit: 100)) { try decoder.next() }
    var largest = MessageStreamDecoder(bytesMax: 100)
    largest.append(ByteBuffer(integer: UInt64.max))
    #expect(throws: PeerCodecError.tooLarge(.max, limit: 100)) { try largest.next() }
  }

  @Test func `entries need a message before them`() throws {
    var decoder = AppendStreamDecoder(local: 1, remote: 2, bytesMax: 1000)
    decoder.append(ByteBuffer(bytes: [1]))
    #expect(throws: PeerCodecError.noPredecessor) { try decoder.next() }
  }

  @Test func `a type that does not exist is refused`() throws {
    var decoder = AppendStreamDecoder(local: 1, remote: 2, bytesMax: 1000)
    decoder.append(ByteBuffer(bytes: [0, 3]))
    #expect(try decoder.next()?.isLinkHeartbeat == true)
    #expect(throws: PeerCodecError.unknownType(3)) { try decoder.next() }
  }

  @Test func `the number of entries, their sizes and their sum are bounded`() throws {
    func begun() throws -> AppendStreamDecoder {
      var encoder = AppendStreamEncoder()
      var output = ByteBuffer()
      encoder.encode(Message(kind: .append, to: 1, from: 2, term: 3, logTerm: 3, index: 4), into: &output)
      output.writeInteger(UInt8(1))
      var decoder = AppendStreamDecoder(local: 1, remote: 2, bytesMax: 800)
      decoder.append(output)
      #expect(try decoder.next()?.index == 4)
      return decoder
    }
    var count = try begun()
    count.append(ByteBuffer(integer: UInt64(101)))
    #expect(throws: PeerCodecError.tooLarge(101, limit: 100)) { try count.next() }

    var size = try begun()
    size.append(ByteBuffer(integer: UInt64(1)))
    size.append(ByteBuffer(integer: UInt64(801)))
    #expect(throws: PeerCodecError.tooLarge(801, limit: 800)) { try size.next() }

    var sum = try begun()
    sum.append(ByteBuffer(integer: UInt64(2)))
    let entry = Entry(term: 3, index: 5, data: Array(repeating: 7, count: 400)).encoded()
    var output = ByteBuffer(integer: UInt64(entry.count))
    output.writeBytes(entry)
    sum.append(output)
    #expect(try sum.next() == nil)
    sum.append(ByteBuffer(integer: UInt64(entry.count)))
    #expect(throws: PeerCodecError.self) { try sum.next() }
  }

  @Test func `an index at the end of its range does not overflow`() throws {
    var encoder = AppendStreamEncoder()
    var output = ByteBuffer()
    let last = Message(kind: .append, to: 1, from: 2, term: 3, logTerm: 3, index: .max)
    encoder.encode(last, into: &output)
    output.writeBytes([1])
    output.writeInteger(UInt64(1))
    var decoder = AppendStreamDecoder(local: 1, remote: 2, bytesMax: 1000)
    decoder.append(output)
    #expect(try decoder.next() == last)
    #expect(throws: PeerCodecError.noPredecessor) { try decoder.next() }
  }

  @Test func `only appends on the append stream, only snapshots in front of a snapshot`() throws {
    let vote = Message(kind: .vote, to: 1, from: 2, term: 3)
    var frame = ByteBuffer()
    MessageFraming.encode(vote, into: &frame)
    var appends = AppendStreamDecoder(local: 1, remote: 2, bytesMax: 1000)
    appends.append(ByteBuffer(bytes: [2] + Array(frame.readableBytesView)))
    #expect(throws: PeerCodecError.wrongKind) { try appends.next() }
    var snapshot = SnapshotBodyDecoder(messageBytesMax: 1000)
    snapshot.append(frame)
    #expect(throws: PeerCodecError.wrongKind) { try snapshot.next() }
    var cut = SnapshotBodyDecoder(messageBytesMax: 1000)
    cut.append(ByteBuffer(bytes: [0, 0]))
    #expect(try cut.next() == nil)
    #expect(throws: PeerCodecError.truncated) { try cut.finish() }
  }

  @Test(arguments: 0..<40) func `mutated streams end in messages or errors`(_ seed: UInt64) {
    var random = RandomMessages(seed: seed)
    let sources = [
      Captures.appendStream, Captures.messageStream, Captures.snapshotHeadBegin + Captures.snapshotHeadEnd,
      encodedAppends(&random), encodedMessages(&random),
    ]
    var decoded = 0
    var failed = 0
    for round in 0..<60 {
      let bytes = random.mutated(sources[round % sources.count])
      let pieces = random.pieces(of: bytes)
      var messages = MessageStreamDecoder(bytesMax: 4096)
      feed(pieces, &decoded, &failed, { messages.append($0) }) { () throws(PeerCodecError) in
        let message = try messages.next()
        #expect(messages.pendingBytes <= bytes.count)
        return message != nil
      }
      var appends = AppendStreamDecoder(local: Captures.follower, remote: Captures.leader, bytesMax: 4096)
      feed(pieces, &decoded, &failed, { appends.append($0) }) { () throws(PeerCodecError) in
        let message = try appends.next()
        #expect(message.map { $0.isLinkHeartbeat || $0.kind == .append } ?? true)
        return message != nil
      }
      var snapshot = SnapshotBodyDecoder(messageBytesMax: 4096)
      feed(pieces, &decoded, &failed, { snapshot.append($0) }) { () throws(PeerCodecError) in
        try snapshot.next() != nil
      }
    }
    #expect(decoded > 0 && failed > 0, "the mutations do not reach both sides")
  }

  private func feed(
    _ pieces: [ByteBuffer], _ decoded: inout Int, _ failed: inout Int, _ append: (ByteBuffer) -> Void,
    _ next: () throws(PeerCodecError) -> Bool
  ) {
    for piece in pieces {
      append(piece)
      do throws(PeerCodecError) {
        while try next() { decoded += 1 }
      } catch {
        failed += 1
        return
      }
    }
  }

  private func encodedAppends(_ random: inout RandomMessages) -> [UInt8] {
    var encoder = AppendStreamEncoder()
    var output = ByteBuffer()
    for message in random.appendStream(count: 20, to: Captures.follower, from: Captures.leader) {
      encoder.encode(message, into: &output)
    }
    return Array(output.readableBytesView)
  }

  private func encodedMessages(_ random: inout RandomMessages) -> [UInt8] {
    var output = ByteBuffer()
    for _ in 0..<20 { MessageFraming.encode(random.message(to: 1, from: 2), into: &output) }
    return Array(output.readableBytesView)
  }
}
