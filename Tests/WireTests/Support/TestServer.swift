import Model
import NIOCore
import NIOPosix
import Synchronization
import Wire

/// What the handler of a test server has seen, readable from the test's thread.
final class Observations: Sendable {
  struct Seen: Sendable {
    var messages = 0
    var messageBytes = 0
    var began = 0
    var requestsEnded = 0
    var cancelled: [CancellationReason] = []
    var connectionsClosed = 0
    var draining = 0
    var producedBytes = 0
    var queuedBytesMax = 0
    var metadata: [String?] = []
  }

  private let seen = Mutex(Seen())

  var now: Seen { seen.withLock { $0 } }
  func note(_ change: (inout Seen) -> Void) { seen.withLock { change(&$0) } }
}

/// The methods of a test server, in the order of its table.
enum TestMethod: Int, CaseIterable {
  /// Answers with its request.
  case echo
  /// Request: 8 bytes, big-endian: the size of the answer.
  case blob
  /// Never answers.
  case hang
  /// Answers with the metadata the wire hands out, one line per field.
  case metadata
  /// Request: count and size, 8 bytes each; that many messages, as fast as the queue allows.
  case many
  /// Answers each message with the same.
  case chat
  /// Fails with the request as its text.
  case fail
  /// Closes the connection.
  case hangUp

  var path: String {
    switch self {
    case .echo: "/test.Unary/Echo"
    case .blob: "/test.Unary/Blob"
    case .hang: "/test.Unary/Hang"
    case .metadata: "/test.Unary/Metadata"
    case .many: "/test.Stream/Many"
    case .chat: "/test.Stream/Chat"
    case .fail: "/test.Unary/Fail"
    case .hangUp: "/test.Unary/HangUp"
    }
  }

  var kind: RPCMethod.Kind {
    switch self {
    case .echo, .blob, .hang, .metadata, .fail, .hangUp: .unary
    case .many: .serverStream
    case .chat: .bidirectional
    }
  }
}

/// The services of the test server.
final class TestHandler: RPCHandler {
  private final class Producer {
    var left: Int
    let size: Int
    init(left: Int, size: Int) {
      self.left = left
      self.size = size
    }
  }

  private let observations: Observations

  init(_ observations: Observations) {
    self.observations = observations
  }

  func began(_ call: RPCCall) {
    observations.note { $0.began += 1 }
  }

  func received(_ call: RPCCall, message: UnsafeRawBufferPointer) {
    let queued = call.connection.queuedBytes
    observations.note {
      $0.messages += 1
      $0.messageBytes += message.count
      $0.queuedBytesMax = max($0.queuedBytesMax, queued)
    }
    guard let method = TestMethod(rawValue: call.method) else { return }
    switch method {
    case .echo: call.respond(framed(message))
    case .blob:
      let size = min(word(message, at: 0), 64 << 20)
      observations.note { $0.producedBytes += size }
      call.respond([UInt8](repeating: 7, count: size + RPCCall.messageHeadroom))
    case .hang: break
    case .metadata:
      let values = RPCMetadata.allCases.map { call.metadataText($0) }
      observations.note { $0.metadata = values }
      call.respond(framed(values.map { $0 ?? "-" }.joined(separator: "\n")))
    case .many:
      let producer = Producer(
        left: min(word(message, at: 0), 10_000_000), size: min(word(message, at: 8), 1 << 20))
      call.userObject = producer
      produce(call, producer)
    case .chat: _ = call.send(framed(message))
    case .fail: call.fail(ClientError(.failedPrecondition, String(decoding: message, as: UTF8.self)))
    case .hangUp: call.connection.close()
    }
  }

  func requestsEnded(_ call: RPCCall) {
    observations.note { $0.requestsEnded += 1 }
    call.finish()
  }

  func cancelled(_ call: RPCCall, reason: CancellationReason) {
    observations.note { $0.cancelled.append(reason) }
  }

  func writable(_ call: RPCCall) {
    if let producer = call.userObject as? Producer { produce(call, producer) }
  }

  func draining(_ connection: ServerConnection) {
    observations.note { $0.draining += 1 }
  }

  func closed(_ connection: ServerConnection) {
    observations.note { $0.connectionsClosed += 1 }
  }

  private func produce(_ call: RPCCall, _ producer: Producer) {
    while producer.left > 0 {
      producer.left -= 1
      observations.note { $0.producedBytes += producer.size }
      if !call.send([UInt8](repeating: 9, count: producer.size + RPCCall.messageHeadroom)) { return }
    }
    call.finish()
  }

  private func word(_ bytes: UnsafeRawBufferPointer, at offset: Int) -> Int {
    guard bytes.count >= offset + 8 else { return 0 }
    let value = UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
    return Int(value & 0xffff_ffff)
  }
}

/// Answers with what it was asked.
struct TestPages: HTTP1Handler {
  func respond(to request: HTTP1Request, on eventLoop: any EventLoop) -> EventLoopFuture<HTTP1Response> {
    let text = "\(request.method) \(request.path) \(request.query) \(request.body.count)"
    return eventLoop.makeSucceededFuture(HTTP1Response(contentType: "text/plain", text: text))
  }
}

/// A message with its headroom, as `RPCCall` wants it.
func framed(_ bytes: UnsafeRawBufferPointer) -> [UInt8] { [0, 0, 0, 0, 0] + Array(bytes) }
func framed(_ bytes: [UInt8]) -> [UInt8] { [0, 0, 0, 0, 0] + bytes }
func framed(_ text: String) -> [UInt8] { [0, 0, 0, 0, 0] + Array(text.utf8) }

func bigEndian(_ values: Int...) -> [UInt8] {
  values.flatMap { value in (0..<8).map { UInt8(truncatingIfNeeded: value >> (56 - 8 * $0)) } }
}

/// A server on a free port of the loopback interface, with one event loop, for the time of `body`.
struct TestServer {
  let server: WireServer
  let port: Int
  let seen: Observations
  let group: MultiThreadedEventLoopGroup

  static func run(
    _ options: ServerOptions = ServerOptions(), _ body: (TestServer) throws -> Void
  ) throws {
    let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    let seen = Observations()
    let configuration = WireServer.Configuration(
      options: options, methods: MethodTable(TestMethod.allCases.map { RPCMethod($0.path, $0.kind) }),
      http1: TestPages(), makeHandler: { _ in TestHandler(seen) })
    let server = try WireServer.make(group: group, configuration: configuration).wait()
    let address = try server.listen(host: "127.0.0.1", port: 0).wait()
    let port = address?.port ?? 0
    let result = Result { try body(TestServer(server: server, port: port, seen: seen, group: group)) }
    try server.shutDown(grace: .zero).wait()
    try group.syncShutdownGracefully()
    try result.get()
  }

  func connect() throws -> ClientConnection {
    try ClientConnection.connect(host: "127.0.0.1", port: port, on: group.next()).wait()
  }

  func method(_ method: TestMethod) -> ClientMethod {
    ClientMethod(method.path, authority: "127.0.0.1:\(port)")
  }

  /// Waits until the handler has seen what `condition` asks for; false after ten seconds.
  func eventually(_ condition: (Observations.Seen) -> Bool) -> Bool {
    let deadline = NIODeadline.now() + .seconds(10)
    while NIODeadline.now() < deadline {
      if condition(seen.now) { return true }
      usleepBriefly()
    }
    return condition(seen.now)
  }
}

extension EventLoopFuture where Value: Sendable {
  /// The failure of a call, or nil when it succeeded.
  func failure() -> ClientError? {
    do {
      _ = try wait()
      return nil
    } catch {
      return error as? ClientError ?? ClientError(.unknown, "\(error)")
    }
  }
}
