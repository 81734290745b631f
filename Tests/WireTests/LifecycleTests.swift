import Model
import NIOCore
import Testing
import Wire

@Suite struct CancellationTests {
  @Test func resetIsReportedOnceAndTheConnectionGoesOn() throws {
    try TestServer.run { server in
      let peer = try RawPeer(port: server.port)
      peer.call(1, TestMethod.hang.path, [1])
      #expect(server.eventually { $0.messages == 1 })
      peer.send(.reset(1))
      #expect(server.eventually { $0.cancelled == [.reset] })
      peer.call(3, TestMethod.echo.path, [2])
      #expect(try peer.response(3)?.body == grpc([2]))
      #expect(server.seen.now.cancelled == [.reset])
    }
  }

  @Test func lostConnectionCancelsItsCalls() throws {
    try TestServer.run { server in
      let peer = try RawPeer(port: server.port)
      for index in 0..<20 { peer.call(UInt32(index * 2 + 1), TestMethod.hang.path, [1]) }
      #expect(server.eventually { $0.messages == 20 })
      peer.disconnect()
      #expect(server.eventually { $0.connectionsClosed == 1 })
      #expect(server.seen.now.cancelled == [CancellationReason](repeating: .connectionClosed, count: 20))
      #expect(try server.server.connectionCount().wait() == 0)
    }
  }

  @Test func deadlineEndsTheCallOnTheServer() throws {
    try TestServer.run { server in
      let peer = try RawPeer(port: server.port)
      let start = NIODeadline.now()
      peer.call(1, TestMethod.hang.path, [1], [("grpc-timeout", "10S")])
      peer.call(3, TestMethod.hang.path, [1], [("grpc-timeout", "200m")])
      peer.call(5, TestMethod.hang.path, [1], [("grpc-timeout", "50000u")])
      let first = try #require(try peer.response(5))
      #expect(first.status == 4)
      #expect(first.message == "context deadline exceeded")
      #expect(try peer.response(3)?.status == 4)
      let elapsed = NIODeadline.now() - start
      #expect(elapsed >= .milliseconds(200))
      #expect(elapsed < .seconds(5))
      #expect(server.seen.now.cancelled == [.deadline, .deadline])
    }
  }

  @Test func clientKeepsItsOwnDeadline() throws {
    try TestServer.run { server in
      let connection = try server.connect()
      let options = CallOptions(timeoutNanoseconds: 50_000_000)
      let failure = connection.unary(server.method(.hang), message: framed("x"), options: options).failure()
      #expect(failure == ClientError(.deadlineExceeded, "context deadline exceeded"))
      #expect(
        try connection.unary(server.method(.echo), message: framed("y"), options: options).wait() == [121])
      // Deadlines of calls long over do no harm.
      for _ in 0..<1000 {
        _ = try connection.unary(server.method(.echo), message: framed("y"), options: options).wait()
      }
      #expect(server.seen.now.cancelled.count == 1)
    }
  }

  /// A request that waited for room is delivered by a flush, which then must not touch the session any more: it was
  /// freed under it once.
  @Test func handlerMayCloseTheConnectionDuringAFlush() throws {
    var options = ServerOptions()
    options.connectionQueueHighBytes = 1 << 20
    options.connectionQueueLowBytes = 1 << 18
    for _ in 0..<20 {
      try TestServer.run(options) { server in
        let peer = try RawPeer(port: server.port, settings: [(id: 4, value: 0)])
        peer.call(1, TestMethod.blob.path, bigEndian(2 << 20))
        peer.call(3, TestMethod.hangUp.path, [1])
        peer.call(5, TestMethod.echo.path, [1])
        #expect(server.eventually { $0.messages == 1 })
        peer.send(.settings([(id: 4, value: 4 << 20)]))
        peer.send(.windowUpdate(0, 64 << 20))
        while try peer.next() != nil {}
        #expect(server.eventually { $0.connectionsClosed == 1 })
        #expect(server.seen.now.messages == 2)
      }
    }
  }

  @Test func lateAnswersToEndedCallsAreDropped() throws {
    try TestServer.run { server in
      let peer = try RawPeer(port: server.port)
      // The call ends in the same read that delivers its message.
      peer.send(
        Frame.request(1, TestMethod.echo.path).bytes + Frame.data(1, grpc([1])).bytes + Frame.reset(1).bytes
          + Frame.request(3, TestMethod.echo.path).bytes + Frame.data(3, grpc([2])).bytes)
      #expect(try peer.response(3)?.body == grpc([2]))
    }
  }
}

@Suite struct DrainTests {
  @Test func drainLetsOpenCallsFinish() throws {
    try TestServer.run { server in
      let peer = try RawPeer(port: server.port)
      peer.send(.request(1, TestMethod.chat.path))
      peer.send(.data(1, grpc([1]), end: false))
      #expect(server.eventually { $0.messages == 1 })
      let stopped = server.server.shutDown(grace: .seconds(10))
      #expect(server.eventually { $0.draining == 1 })
      peer.send(.data(1, grpc([2])))
      var goAways: [UInt32] = []
      var body: [UInt8] = []
      while let frame = try peer.next() {
        switch frame.type {
        case Frame.Kind.goAway: goAways.append(UInt32(frame.payload[0]) << 24 | UInt32(frame.payload[3]))
        case Frame.Kind.ping where frame.flags & Frame.ack == 0: peer.send(.ping(frame.payload[0], ack: true))
        case Frame.Kind.data: body += frame.payload
        default: break
        }
      }
      #expect(body == grpc([1]) + grpc([2]))
      #expect(goAways == [0x7f00_00ff, 1])
      try stopped.wait()
      #expect(server.seen.now.cancelled.isEmpty)
      #expect(throws: (any Error).self) { _ = try server.connect() }
    }
  }

  @Test func callsThatDoNotFinishAreCancelledAfterTheGrace() throws {
    try TestServer.run { server in
      let connection = try server.connect()
      let hanging = connection.unary(server.method(.hang), message: framed("x"))
      #expect(server.eventually { $0.messages == 1 })
      let start = NIODeadline.now()
      try server.server.shutDown(grace: .milliseconds(200)).wait()
      #expect(NIODeadline.now() - start < .seconds(5))
      #expect(hanging.failure()?.code == .unavailable)
      #expect(server.eventually { $0.cancelled == [.connectionClosed] })
    }
  }
}

@Suite struct KeepaliveTests {
  private func goAwayReason(_ peer: RawPeer) throws -> String? {
    while let frame = try peer.next() {
      if frame.type == Frame.Kind.goAway {
        #expect(frame.payload[7] == 11, "ENHANCE_YOUR_CALM")
        return String(decoding: frame.payload[8...], as: UTF8.self)
      }
    }
    return nil
  }

  @Test func pingsWithoutTrafficAreStrikes() throws {
    try TestServer.run { server in
      let peer = try RawPeer(port: server.port)
      peer.call(1, TestMethod.hang.path, [1])
      // The first ping finds no ping before it; the fourth is the third strike.
      for mark in 1...3 { peer.send(.ping(UInt8(mark))) }
      var acknowledged = 0
      while acknowledged < 3, let frame = try peer.next() {
        #expect(frame.type != Frame.Kind.goAway)
        if frame.type == Frame.Kind.ping { acknowledged += 1 }
      }
      peer.send(.ping(4))
      #expect(try goAwayReason(peer) == "too_many_pings")
      #expect(peer.waitForClose())
    }
  }

  @Test func pingsOfAnIdleConnectionAreStrikesEvenWhenFarApart() throws {
    var options = ServerOptions()
    options.keepaliveMinTime = .nanoseconds(1)
    try TestServer.run(options) { server in
      let peer = try RawPeer(port: server.port)
      for mark in 1...4 { peer.send(.ping(UInt8(mark))) }
      #expect(try goAwayReason(peer) == "too_many_pings")
    }
  }

  @Test func pingsDuringTrafficAreFree() throws {
    try TestServer.run { server in
      let peer = try RawPeer(port: server.port)
      for index in 0..<300 {
        let stream = UInt32(index * 2 + 1)
        peer.call(stream, TestMethod.echo.path, [1])
        #expect(try peer.response(stream)?.status == 0)
        peer.send(.ping(1))
      }
    }
  }

  @Test func silentPeerIsPingedAndThenClosed() throws {
    var options = ServerOptions()
    options.keepaliveInterval = .milliseconds(50)
    options.keepaliveTimeout = .milliseconds(100)
    try TestServer.run(options) { server in
      let peer = try RawPeer(port: server.port)
      var pings = 0
      for _ in 0..<3 {
        while let frame = try peer.next() {
          if frame.type == Frame.Kind.ping {
            pings += 1
            peer.send(.ping(0, ack: true))
            break
          }
        }
      }
      #expect(pings == 3)
      // No answer any more.
      #expect(peer.waitForClose())
    }
  }
}
