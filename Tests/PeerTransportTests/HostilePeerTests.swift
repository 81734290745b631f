import Model
import NIOCore
import NIOPosix
import Synchronization
import Testing

@testable import PeerTransport

/// Peers that answer with what no member sends, or do not read what they asked for.
@Suite struct HostilePeerTests {
  /// Answers every connection's first bytes with the same bytes.
  private func answering(_ bytes: [UInt8]) throws -> any Channel {
    try ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(Answerer(bytes: bytes))
        }
      }
      .bind(host: "127.0.0.1", port: 0).wait()
  }

  private func stream(_ body: [UInt8]) -> [UInt8] {
    let head = "HTTP/1.1 200 OK\r\nX-Server-Version: 3.5.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    let size = String(body.count, radix: 16)
    return Array(head.utf8) + Array("\(size)\r\n".utf8) + body + Array("\r\n".utf8)
  }

  @Test func `what a peer sends that is not its own is not delivered, and the peer is named`() throws {
    var output = ByteBuffer()
    MessageFraming.encode(Message(kind: .heartbeat, to: 1, from: 3, term: 9), into: &output)
    try expectMalformed(stream(Array(output.readableBytesView)), .wrongAddress(from: 3, to: 1))
    output.clear()
    MessageFraming.encode(Message(kind: .heartbeat, to: 7, from: 2, term: 9), into: &output)
    try expectMalformed(stream(Array(output.readableBytesView)), .wrongAddress(from: 2, to: 7))
  }

  @Test func `a stream of garbage ends, and the peer is named`() throws {
    let bytes = Array(repeating: UInt8(0xff), count: 100)
    try expectMalformed(stream(bytes), .tooLarge(.max, limit: 64 << 20))
  }

  private func expectMalformed(_ answer: [UInt8], _ expected: PeerCodecError) throws {
    let server = try answering(answer)
    defer { #expect(throws: Never.self) { try server.close().wait() } }
    let member = try TestMember(id: 1)
    defer { #expect(throws: Never.self) { try member.stop() } }
    member.transport.add(
      2, urls: [try #require(PeerURL("http://127.0.0.1:\(server.localAddress?.port ?? 0)"))])
    try wait("it is noticed") {
      member.now.notices.contains { notice in
        if case .malformed(peer: 2, expected) = notice { return true }
        return false
      }
    }
    try wait("it is inactive") { member.transport.status(of: 2)?.failure != nil }
    #expect(member.now.messages.isEmpty)
    #expect(try member.transport.statistics().wait().first?.receiveFailures ?? 0 > 0)
  }

  @Test func `an answer that is no HTTP is a failed dial`() throws {
    let server = try answering(Array("SSH-2.0-hello\r\n".utf8))
    defer { #expect(throws: Never.self) { try server.close().wait() } }
    let member = try TestMember(id: 1)
    defer { #expect(throws: Never.self) { try member.stop() } }
    member.transport.add(
      2, urls: [try #require(PeerURL("http://127.0.0.1:\(server.localAddress?.port ?? 0)"))])
    try wait("it is inactive") { member.transport.status(of: 2)?.failure != nil }
    #expect(member.transport.status(of: 2)?.isActive == false)
  }

  @Test func `a peer that asks for its stream and does not read it is cut off`() throws {
    var limits = PeerLimits()
    limits.queuedBytes = 32 << 20
    let member = try TestMember(id: 1, limits: limits, timeouts: PeerTimeouts(unchecked: 1000))
    defer { #expect(throws: Never.self) { try member.stop() } }
    member.transport.add(2, urls: [try #require(PeerURL("http://127.0.0.1:1"))])
    let request = """
      GET /raft/stream/msgapp/2 HTTP/1.1\r\nHost: a\r\nX-Server-Version: 3.5.1\r\nX-Min-Cluster-Version: 3.0.0\r
      X-Etcd-Cluster-ID: abc\r\nX-Raft-To: 1\r\n\r\n
      """
    let client = try ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .channelOption(ChannelOptions.autoRead, value: false)
      .channelOption(ChannelOptions.socketOption(.so_rcvbuf), value: 4096)
      .connect(host: "127.0.0.1", port: member.port).wait()
    defer { _ = client.close() }
    try client.writeAndFlush(ByteBuffer(string: request)).wait()
    try wait("the stream is there") {
      member.now.notices.contains {
        if case .streamOpened(peer: 2, .append, .outgoing) = $0 { true } else { false }
      }
    }
    member.transport.send(
      (0..<400).map { index in
        Message(
          kind: .append, to: 2, from: 1, term: 1, logTerm: 1, index: UInt64(index),
          entries: [Entry(term: 1, index: 1, data: Array(repeating: 7, count: 50_000))])
      })
    try wait("it is cut off") {
      member.now.notices.contains { notice in
        if case .streamLost(peer: 2, .append, .outgoing, reason: "i/o timeout") = notice { return true }
        return false
      }
    }
    try wait("Raft is told of it") { member.now.unreachable.contains(2) }
  }
}

private final class Answerer: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer
  private let bytes: [UInt8]
  private var hasAnswered = false

  init(bytes: [UInt8]) { self.bytes = bytes }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    guard !hasAnswered else { return }
    hasAnswered = true
    context.writeAndFlush(wrapOutboundOut(ByteBuffer(bytes: bytes)), promise: nil)
  }
}
