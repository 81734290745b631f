import NIOCore
import Testing
import Wire

@Suite struct SniffingTests {
  private func exchange(_ server: TestServer, _ text: String) throws -> String {
    let peer = try RawPeer(port: server.port, settings: nil)
    peer.send(Array(text.utf8))
    return String(decoding: try peer.readToEnd(), as: UTF8.self)
  }

  @Test func http1IsServedOnTheSamePort() throws {
    try TestServer.run { server in
      let answer = try exchange(server, "GET /health?a=b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
      #expect(answer.hasPrefix("HTTP/1.1 200 OK\r\n"))
      #expect(answer.contains("Content-Length: 17\r\n"))
      #expect(answer.hasSuffix("\r\n\r\nGET /health a=b 0"))
      // P is also how HTTP/2 begins.
      let post = try exchange(
        server, "POST /v3/kv/range HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"
      )
      #expect(post.hasSuffix("POST /v3/kv/range  5"))
    }
  }

  @Test func http1ConnectionsAreKeptAndPipelined() throws {
    try TestServer.run { server in
      let answer = try exchange(
        server,
        "GET /1 HTTP/1.1\r\nHost: x\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\n\r\n"
          + "GET /3 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
      #expect(answer.components("HTTP/1.1 200 OK") == 3)
      #expect(answer.hasSuffix("GET /3  0"))
    }
  }

  @Test func http2PrefaceMayComeInPieces() throws {
    try TestServer.run { server in
      let peer = try RawPeer(port: server.port, settings: nil)
      for byte in RawPeer.preface { peer.send([byte]) }
      peer.send(.settings())
      peer.call(1, TestMethod.echo.path, [3])
      #expect(try peer.response(1)?.body == grpc([3]))
    }
  }

  @Test func bodyOverTheLimitIsRefused() throws {
    var options = ServerOptions()
    options.http1BodyBytesMax = 10
    try TestServer.run(options) { server in
      let answer = try exchange(server, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\n01234567890")
      #expect(answer.hasPrefix("HTTP/1.1 413 "))
    }
  }

  @Test func silenceAndSlownessAreTimedOut() throws {
    var options = ServerOptions()
    options.prefaceTimeout = .milliseconds(100)
    options.http1HeaderTimeout = .milliseconds(100)
    try TestServer.run(options) { server in
      #expect(try RawPeer(port: server.port, settings: nil).readToEnd().isEmpty)
      let half = try RawPeer(port: server.port, settings: nil)
      half.send(Array("PRI * HT".utf8))
      #expect(try half.readToEnd().isEmpty)
      let slow = try RawPeer(port: server.port, settings: nil)
      slow.send(Array("GET / HTTP/1.1\r\nHos".utf8))
      #expect(try slow.readToEnd().isEmpty)
    }
  }

  @Test func garbageIsAnsweredOrClosed() throws {
    try TestServer.run { server in
      #expect(try exchange(server, "\u{1}\u{2}\r\n\r\n").hasPrefix("HTTP/1.1 400"))
      // After a good preface, garbage is a connection error.
      let peer = try RawPeer(port: server.port, settings: nil)
      peer.send(RawPeer.preface + Array("GET / HTTP/1.1\r\n\r\n".utf8))
      #expect(peer.waitForClose())
    }
  }
}

extension String {
  /// How often a piece occurs.
  fileprivate func components(_ piece: String) -> Int {
    ranges(of: piece).count
  }
}
