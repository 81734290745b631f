import Model
import NIOCore
import Synchronization
import Testing
import Wire

@Suite struct StreamingTests {
  @Test func serverStreamDeliversEverythingThroughItsQueue() throws {
    var options = ServerOptions()
    options.callQueueHighBytes = 10_000
    options.callQueueLowBytes = 1000
    try TestServer.run(options) { server in
      let connection = try server.connect()
      let count = Mutex(0)
      try connection.serverStream(server.method(.many), message: framed(bigEndian(20_000, 777))) { message in
        if message.count == 777 { count.withLock { $0 += 1 } }
      }.wait()
      #expect(count.withLock { $0 } == 20_000)
    }
  }

  @Test func chatEchoesInOrder() throws {
    final class Chat: ClientCallObserver, @unchecked Sendable {
      let answers = Mutex<[[UInt8]]>([])
      let done: EventLoopPromise<ClientError>
      init(_ done: EventLoopPromise<ClientError>) { self.done = done }
      func received(_ call: ClientCall, message: UnsafeRawBufferPointer) {
        answers.withLock { $0.append(Array(message)) }
      }
      func ended(_ call: ClientCall, with status: ClientError) { done.succeed(status) }
    }
    try TestServer.run { server in
      let connection = try server.connect()
      let chat = Chat(connection.eventLoop.makePromise())
      let method = server.method(.chat)
      connection.eventLoop.execute {
        guard let call = connection.startStream(method, observer: chat) else { return }
        for index in 0..<1000 { call.send(framed("message \(index)")) }
        call.finishRequests()
      }
      #expect(try chat.done.futureResult.wait().code == .ok)
      let answers = chat.answers.withLock { $0 }
      #expect(answers == (0..<1000).map { Array("message \($0)".utf8) })
      #expect(server.seen.now.requestsEnded == 1)
    }
  }

  @Test(arguments: [1, 7, 100, 16_384])
  func tinyWindowsStillDeliverTheWholeAnswer(window: UInt32) throws {
    try TestServer.run { server in
      let peer = try RawPeer(port: server.port, settings: [(id: 4, value: window)])
      let size = Int(window) * 50 + 13
      peer.call(1, TestMethod.blob.path, bigEndian(size))
      let response = try #require(try peer.response(1))
      #expect(response.body == grpc([UInt8](repeating: 7, count: size)))
      #expect(response.status == 0)
    }
  }

  @Test func windowOpenedBySettingsResumesTheAnswer() throws {
    try TestServer.run { server in
      let peer = try RawPeer(port: server.port, settings: [(id: 4, value: 0)])
      peer.call(1, TestMethod.blob.path, bigEndian(1000))
      peer.call(3, TestMethod.many.path, bigEndian(10, 100))
      peer.send(.ping(1))
      #expect(server.eventually { $0.messages == 2 })
      peer.send(.settings([(id: 4, value: 65_535)]))
      #expect(try peer.response(1)?.body.count == 1005)
      #expect(try peer.response(3)?.body.count == 1050)
    }
  }

  @Test func smallAnswersOvertakeALongStream() throws {
    try TestServer.run { server in
      let connection = try server.connect()
      let streamed = Mutex(0)
      let long = connection.serverStream(server.method(.many), message: framed(bigEndian(2000, 65_536))) {
        message in
        streamed.withLock { $0 += message.count }
      }
      #expect(server.eventually { $0.producedBytes > 0 })
      _ = try connection.unary(server.method(.echo), message: framed("quick")).wait()
      #expect(streamed.withLock { $0 } < 2000 * 65_536)
      try long.wait()
      #expect(streamed.withLock { $0 } == 2000 * 65_536)
    }
  }
}
