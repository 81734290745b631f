import Model
import NIOCore
import Testing
import Wire

/// A peer that does not read, or sends without end, costs bounded memory.
@Suite struct BackpressureTests {
  @Test func answersForAStalledReaderAreBoundedAndAllArriveLater() throws {
    var options = ServerOptions()
    options.connectionQueueHighBytes = 4 << 20
    options.connectionQueueLowBytes = 1 << 20
    try TestServer.run(options) { server in
      let peer = try RawPeer(port: server.port, settings: [(id: 4, value: 0)])
      let calls: [UInt32] = (0..<100).map { $0 * 2 + 1 }
      for stream in calls { peer.call(stream, TestMethod.blob.path, bigEndian(1 << 20)) }
      peer.send(.ping(1))
      #expect(server.eventually { $0.messages >= 4 })
      // 100 MiB were asked for; the handler is not even told of most of it.
      #expect(server.seen.now.producedBytes <= 6 << 20)
      // A well-behaved connection is served meanwhile.
      let other = try server.connect()
      #expect(try other.unary(server.method(.echo), message: framed("hello")).wait() == Array("hello".utf8))
      // Once it reads, it gets everything.
      peer.send(.settings([(id: 4, value: 2 << 20)]))
      peer.send(.windowUpdate(0, 512 << 20))
      var bodies = 0
      var ended = 0
      while ended < calls.count, let frame = try peer.next() {
        if frame.type == Frame.Kind.data { bodies += frame.payload.count }
        if frame.endsStream { ended += 1 }
      }
      #expect(bodies == 100 * ((1 << 20) + 5))
      #expect(server.seen.now.queuedBytesMax <= 6 << 20)
    }
  }

  @Test func producerStopsWhenNobodyReads() throws {
    var options = ServerOptions()
    options.callQueueHighBytes = 100_000
    options.callQueueLowBytes = 10_000
    try TestServer.run(options) { server in
      let peer = try RawPeer(port: server.port, settings: [(id: 4, value: 1000)])
      peer.call(1, TestMethod.many.path, bigEndian(1_000_000, 1000))
      peer.send(.ping(1))
      #expect(server.eventually { $0.producedBytes >= 100_000 })
      #expect(server.seen.now.producedBytes <= 102_000)
      peer.disconnect()
      #expect(server.eventually { $0.cancelled == [.connectionClosed] })
    }
  }

  @Test func unfinishedMessagesOfManyStreamsAreBounded() throws {
    var options = ServerOptions()
    options.heldRequestBytesMax = 1 << 20
    try TestServer.run(options) { server in
      let peer = try RawPeer(port: server.port)
      // Each stream announces 1 MiB and sends 100 KiB of it.
      let part = [0] + word(1 << 20) + [UInt8](repeating: 1, count: 16_000)
      var refused = 0
      for index in 0..<100 {
        let stream = UInt32(index * 2 + 1)
        peer.send(.request(stream, TestMethod.echo.path))
        peer.send(.data(stream, part, end: false))
      }
      peer.call(999, TestMethod.echo.path, [1])
      while let frame = try peer.next() {
        if frame.type == Frame.Kind.headers, frame.endsStream {
          if frame.stream == 999 { break }
          refused += 1
        }
      }
      // 1 MiB holds 64 parts of 16,005 bytes and their calls' headers.
      #expect(refused == 36)
    }
  }

  @Test func requestsOfAStalledReaderAreBoundedEvenWhenLargeOrCompressed() throws {
    var options = ServerOptions()
    options.connectionQueueHighBytes = 1 << 20
    options.connectionQueueLowBytes = 1 << 18
    options.heldRequestBytesMax = 8 << 20
    // This peer pays no heed to windows.
    options.streamWindowBytes = 4 << 20
    options.connectionWindowBytes = 64 << 20
    try TestServer.run(options) { server in
      let peer = try RawPeer(port: server.port, settings: [(id: 4, value: 0)])
      peer.send(.settings(ack: true))
      // Each asks for its own megabyte back.
      let megabyte = grpc([UInt8](repeating: 3, count: 1 << 20))
      var refused = 0
      for index in 0..<40 {
        let stream = UInt32(index * 2 + 1)
        peer.send(.request(stream, TestMethod.echo.path))
        var offset = 0
        while offset < megabyte.count {
          let piece = Array(megabyte[offset..<min(offset + 16_384, megabyte.count)])
          offset += piece.count
          peer.send(.data(stream, piece, end: offset == megabyte.count))
        }
      }
      peer.call(999, "/test.Unary/Nothing", [1])
      while let frame = try peer.next() {
        if frame.type == Frame.Kind.headers, frame.endsStream {
          if frame.stream == 999 { break }
          refused += 1
        }
      }
      // One or two were answered into the queue, about seven wait; the rest was refused.
      #expect(refused >= 30 && refused <= 33, "\(refused) refused")
      #expect(server.seen.now.messages <= 2)
    }
  }

  @Test func moreStreamsThanAllowedWaitTheirTurn() throws {
    var options = ServerOptions()
    options.concurrentStreamsMax = 10
    try TestServer.run(options) { server in
      // Our own client queues what the server's SETTINGS do not allow.
      let connection = try server.connect()
      _ = try connection.unary(server.method(.echo), message: framed("settings have arrived")).wait()
      let futures = (0..<500).map { connection.unary(server.method(.echo), message: framed("\($0)")) }
      for (index, future) in futures.enumerated() {
        #expect(try future.wait() == Array("\(index)".utf8))
      }
      // One that ignores them is refused.
      let peer = try RawPeer(port: server.port)
      peer.send(.settings(ack: true))
      for index in 0..<11 { peer.send(.request(UInt32(index * 2 + 1), TestMethod.hang.path)) }
      var refusal: Frame?
      while refusal == nil, let frame = try peer.next() {
        if frame.type == Frame.Kind.reset || frame.type == Frame.Kind.goAway { refusal = frame }
      }
      #expect(refusal != nil)
    }
  }
}
