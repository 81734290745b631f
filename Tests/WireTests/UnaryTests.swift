import Model
import NIOCore
import Testing
import Wire

@Suite struct UnaryTests {
  @Test func messagesOfAllSizesComeBackWhole() throws {
    try TestServer.run { server in
      let connection = try server.connect()
      let echo = server.method(.echo)
      for size in [0, 1, 5, 16_379, 16_384, 65_530, 100_000, 1_572_864, 2_097_152] {
        let message = (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ size) }
        #expect(try connection.unary(echo, message: framed(message)).wait() == message, "size \(size)")
      }
      #expect(server.seen.now.messages == 9)
    }
  }

  @Test func manyCallsOnOneConnectionKeepTheirAnswersApart() throws {
    try TestServer.run { server in
      let connection = try server.connect()
      let echo = server.method(.echo)
      let futures = (0..<5000).map { index in
        connection.unary(echo, message: framed("call \(index)"))
      }
      for (index, future) in futures.enumerated() {
        #expect(try future.wait() == Array("call \(index)".utf8))
      }
    }
  }

  @Test func messageOverTheLimitIsRefusedInGRPCsWords() throws {
    var options = ServerOptions()
    options.requestBytesMax = 1000
    try TestServer.run(options) { server in
      let connection = try server.connect()
      let echo = server.method(.echo)
      let exact = [UInt8](repeating: 1, count: 1000)
      #expect(try connection.unary(echo, message: framed(exact)).wait() == exact)
      #expect(
        connection.unary(echo, message: framed(exact + [1])).failure()
          == ClientError(.resourceExhausted, "grpc: received message larger than max (1001 vs. 1000)"))
      // The connection goes on.
      #expect(try connection.unary(echo, message: framed("after")).wait() == Array("after".utf8))
    }
  }

  @Test func failuresCarryCodeAndTextUnharmed() throws {
    try TestServer.run { server in
      let connection = try server.connect()
      for text in ["etcdserver: key is not provided", "100 % über\nalles \u{7f}", ""] {
        #expect(
          connection.unary(server.method(.fail), message: framed(text)).failure()
            == ClientError(.failedPrecondition, text))
      }
    }
  }

  @Test func metadataReachesTheHandler() throws {
    try TestServer.run { server in
      let connection = try server.connect()
      let options = CallOptions(metadata: [
        ("token", "abc.1"), ("hasleader", "true"), ("authorization", "Bearer x"),
        ("client-api-version", "3.5"),
        ("unrelated", "y"),
      ])
      let answer = try connection.unary(server.method(.metadata), message: framed(""), options: options)
        .wait()
      #expect(String(decoding: answer, as: UTF8.self) == "true\nabc.1\nBearer x\n3.5")
      let plain = try connection.unary(server.method(.metadata), message: framed("")).wait()
      #expect(String(decoding: plain, as: UTF8.self) == "-\n-\n-\n-")
    }
  }

  @Test func messageMayComeByteByByteAndSeveralMayShareAFrame() throws {
    try TestServer.run { server in
      let peer = try RawPeer(port: server.port)
      peer.send(.request(1, TestMethod.echo.path))
      for byte in grpc(Array("slowly".utf8)) { peer.send(.data(1, [byte], end: false)) }
      peer.send(.data(1, []))
      #expect(try peer.response(1)?.body == grpc(Array("slowly".utf8)))

      peer.send(.request(3, TestMethod.chat.path))
      let three = grpc([1]) + grpc([2, 2]) + grpc([])
      peer.send(.data(3, Array(three.prefix(8)), end: false), .data(3, Array(three.dropFirst(8))))
      let response = try #require(try peer.response(3))
      #expect(response.body == three)
      #expect(response.status == 0)
    }
  }
}

/// Requests that gRPC cannot take up: status, text and what happens to the connection, as grpc-go has it.
@Suite struct RefusalTests {
  struct Refusal: Sendable {
    var path = TestMethod.echo.path
    var changes: [(String, String)] = []
    var data = grpc([1])
    var http = "200"
    var code: Int
    var message: String
  }

  static let refusals: [Refusal] = [
    Refusal(path: "/test.Unary/Nothing", code: 12, message: "unknown method Nothing for service test.Unary"),
    Refusal(path: "/test.Nothing/Echo", code: 12, message: "unknown service test.Nothing"),
    Refusal(path: "/a/b/c", code: 12, message: "unknown service a/b"),
    Refusal(path: "/nothing", code: 12, message: "malformed method name: \"/nothing\""),
    Refusal(
      changes: [("content-type", "application/json")], http: "415", code: 3,
      message: "invalid gRPC request content-type \"application/json\""),
    Refusal(
      changes: [("content-type", "")], http: "415", code: 3, message: "invalid gRPC request content-type \"\""
    ),
    Refusal(
      changes: [("content-type", "application/grpc-web")], http: "415", code: 3,
      message: "invalid gRPC request content-type \"application/grpc-web\""),
    Refusal(
      changes: [(":method", "GET")], http: "405", code: 13,
      message: "Received a HEADERS frame with :method \"GET\" which should be POST"),
    Refusal(
      changes: [("grpc-timeout", "5")], http: "400", code: 13,
      message: "malformed grpc-timeout: transport: timeout string is too short: \"5\""),
    Refusal(
      changes: [("grpc-timeout", "5x")], http: "400", code: 13,
      message: "malformed grpc-timeout: transport: timeout unit is not recognized: \"5x\""),
    Refusal(
      changes: [("grpc-timeout", "123456789S")], http: "400", code: 13,
      message: "malformed grpc-timeout: transport: timeout string is too long: \"123456789S\""),
    Refusal(
      changes: [("grpc-encoding", "snappy")], code: 12,
      message: "grpc: Decompressor is not installed for grpc-encoding \"snappy\""),
    Refusal(
      data: grpc([1], compressed: 1), code: 13,
      message: "grpc: compressed flag set with identity or empty encoding"),
    Refusal(data: grpc([1], compressed: 7), code: 13, message: "grpc: received unexpected payload format 7"),
    Refusal(data: [0, 0, 0, 0, 9, 1], code: 2, message: "unexpected EOF"),
    Refusal(path: TestMethod.many.path, data: [0, 0, 0, 0, 9, 1], code: 13, message: "unexpected EOF"),
    Refusal(
      data: [0, 0xff, 0xff, 0xff, 0xff, 1], code: 8,
      message: "grpc: received message larger than max (4294967295 vs. 2097152)"),
  ]

  @Test func refusalsReadLikeGRPCs() throws {
    try TestServer.run { server in
      for refusal in Self.refusals {
        let peer = try RawPeer(port: server.port)
        peer.send(.request(1, refusal.path, refusal.changes), .data(1, refusal.data))
        let response = try #require(try peer.response(1), "\(refusal)")
        #expect(response.headers[":status"] == refusal.http, "\(refusal)")
        #expect(response.headers["content-type"] == "application/grpc", "\(refusal)")
        #expect(response.status == refusal.code, "\(refusal)")
        #expect(response.message == refusal.message, "\(refusal)")
        // The next call on the connection is served.
        peer.call(3, TestMethod.echo.path, [5])
        #expect(try peer.response(3)?.body == grpc([5]), "\(refusal)")
      }
    }
  }

  @Test func headersOverTheLimitAreRefused() throws {
    var options = ServerOptions()
    options.headerBytesMax = 2000
    try TestServer.run(options) { server in
      let peer = try RawPeer(port: server.port)
      peer.call(1, TestMethod.echo.path, [1], [("padding", String(repeating: "x", count: 2000))])
      let response = try #require(try peer.response(1))
      #expect(response.headers[":status"] == "431")
      #expect(response.status == 8)
      // Far beyond it, the stream is reset unread.
      peer.call(3, TestMethod.echo.path, [1], [("padding", String(repeating: "x", count: 9000))])
      #expect(try peer.response(3)?.resetCode == 2)
      peer.call(5, TestMethod.echo.path, [5])
      #expect(try peer.response(5)?.body == grpc([5]))
    }
  }

  @Test func earlyEndIsToldBeforeTheClientIsStopped() throws {
    try TestServer.run { server in
      let peer = try RawPeer(port: server.port)
      for (index, path) in ["/test.Unary/Nothing", TestMethod.echo.path].enumerated() {
        let stream = UInt32(index * 2 + 1)
        peer.send(.request(stream, path), .data(stream, grpc([1]), end: false))
        let response = try #require(try peer.response(stream))
        #expect(response.status == (index == 0 ? 12 : 0))
        let reset = try #require(try peer.next())
        #expect(reset == .reset(stream, 0))
        peer.send(.data(stream, [1, 2, 3]))
      }
      peer.call(5, TestMethod.echo.path, [5])
      #expect(try peer.response(5)?.body == grpc([5]))
    }
  }

  @Test func acceptedVariationsAreServed() throws {
    let variations: [[(String, String)]] = [
      [("content-type", "application/grpc+proto")], [("content-type", "application/grpc;charset=utf8")],
      [("grpc-encoding", "identity")], [("grpc-timeout", "99999999H")], [("te", "")],
      [("grpc-accept-encoding", "gzip")], [("x-bin", "AAEC")],
    ]
    try TestServer.run { server in
      let peer = try RawPeer(port: server.port)
      for (index, changes) in variations.enumerated() {
        let stream = UInt32(index * 2 + 1)
        peer.call(stream, TestMethod.echo.path, [9], changes)
        let response = try peer.response(stream)
        #expect(response?.body == grpc([9]) && response?.status == 0, "\(changes)")
      }
    }
  }
}
