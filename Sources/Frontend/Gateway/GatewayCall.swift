internal import EtcdAPI
internal import Model
internal import NIOCore
internal import Wire

/// One request of the gateway and the RPC it became. Confined to the connection's event loop.
///
/// A unary RPC has the first JSON object of the body, and answers with one. A stream may have several, sent on as they
/// come, and answers with a line for each message: when the client does not read, the inward connection is not read
/// either, so that the member's flow control holds the stream back.
final class GatewayCall: HTTP1ExchangeHandler, ClientCallObserver {
  private enum State {
    /// The call's connection is being made; requests wait.
    case connecting([[UInt8]])
    case calling(ClientCall)
    case over
  }

  /// Encoded requests on their way inward beyond which the client is not read.
  private static let queuedBytesMax = 1 << 20

  private let exchange: HTTP1Exchange
  private let route: GatewayRoute
  private let method: ClientMethod
  private var splitter: JSONValueSplitter
  private var state = State.connecting([])
  private var connection: ClientConnection?
  private var hasBegun = false
  private var requestsEnded = false
  private var hasRequest = false
  private var hasStarted = false
  private var response: [UInt8]?

  private var isUnary: Bool { route.method.kind == .unary }

  init(_ exchange: HTTP1Exchange, _ route: GatewayRoute, _ method: ClientMethod, bytesMax: Int) {
    self.exchange = exchange
    self.route = route
    self.method = method
    splitter = JSONValueSplitter(bytesMax: bytesMax)
  }

  // MARK: From the client

  func received(_ bytes: ByteBuffer) {
    if case .over = state { return }
    // A unary call looks at its first object only.
    if route.method.kind != .bidirectional, hasRequest { return }
    splitter.append(bytes.readableBytesView)
    do throws(JSONValueSplitter.Fault) {
      while let object = try splitter.next() {
        guard request(object) else { return }
        if route.method.kind != .bidirectional { break }
      }
    } catch {
      refuseRequest(error.text)
    }
  }

  func requestEnded() {
    if case .over = state { return }
    requestsEnded = true
    if splitter.isInValue, !(hasRequest && route.method.kind != .bidirectional) {
      return refuseRequest("unexpected EOF")
    }
    // No body is an empty request; a stream that gets none waits for what its client says.
    if !hasRequest, route.method.kind != .bidirectional { _ = request([]) }
    if !hasBegun { begin() }
    if case .calling(let call) = state, route.method.kind == .bidirectional { call.finishRequests() }
  }

  func closed() {
    guard case .over = state else {
      state = .over
      connection?.close()
      return
    }
  }

  func writable() {
    connection?.setReading(true)
  }

  /// False when the object was refused.
  private func request(_ object: ArraySlice<UInt8>) -> Bool {
    let message: [UInt8]
    do {
      message = try route.request(object)
    } catch {
      refuseRequest("invalid JSON for \(method.path): \(error)")
      return false
    }
    hasRequest = true
    switch state {
    case .connecting(var waiting):
      // Taken out of the state first, so that appending does not copy.
      state = .over
      waiting.append(message)
      state = .connecting(waiting)
      if !hasBegun { begin() }
    case .calling(let call):
      call.send(message)
      if call.queuedBytes > Self.queuedBytesMax { pauseClient(until: call) }
    case .over: break
    }
    return true
  }

  /// Leaves the client unread until most of what it asked for is on its way.
  private func pauseClient(until call: ClientCall) {
    exchange.setReading(false)
    let me = NIOLoopBound(self, eventLoop: exchange.eventLoop)
    let waiting = NIOLoopBound(call, eventLoop: exchange.eventLoop)
    exchange.eventLoop.scheduleTask(in: .milliseconds(10)) {
      guard case .calling = me.value.state else { return }
      if waiting.value.queuedBytes > Self.queuedBytesMax / 2 {
        me.value.pauseClient(until: waiting.value)
      } else {
        me.value.exchange.setReading(true)
      }
    }
  }

  /// grpc-gateway answers a stream whose request it cannot read with the code Unknown.
  private func refuseRequest(_ text: String) {
    fail(ClientError(isUnary || route.method.kind == .serverStream ? .invalidArgument : .unknown, text))
  }

  // MARK: Inward

  private func begin() {
    hasBegun = true
    // What a client sends meanwhile waits in its socket.
    exchange.setReading(false)
    let me = NIOLoopBound(self, eventLoop: exchange.eventLoop)
    exchange.inward().whenComplete { result in
      switch result {
      case .success(let connection): me.value.call(on: connection)
      case .failure: me.value.fail(ClientError(.unavailable, "the member takes no more connections"))
      }
    }
  }

  private func call(on connection: ClientConnection) {
    guard case .connecting(let messages) = state else { return }
    exchange.setReading(true)
    self.connection = connection
    let options: CallOptions
    switch Self.options(exchange.request) {
    case .success(let made): options = made
    case .failure(let error): return fail(error)
    }
    let call: ClientCall?
    if route.method.kind == .bidirectional {
      call = connection.startStream(method, options: options, observer: self)
    } else {
      call = connection.start(method, message: messages.first ?? [], options: options, observer: self)
    }
    guard let call else { return fail(ClientError(.unavailable, "the member takes no more calls")) }
    state = .calling(call)
    guard route.method.kind == .bidirectional else { return }
    for message in messages { call.send(message) }
    if requestsEnded { call.finishRequests() }
  }

  /// The metadata and the deadline that HTTP headers carry.
  private static func options(_ request: HTTP1Request) -> Result<CallOptions, ClientError> {
    var options = CallOptions()
    for (name, value) in request.headers {
      let name = name.lowercased()
      switch name {
      case "authorization": options.metadata.append((name, value))
      case "grpc-timeout":
        guard let nanoseconds = GatewayTimeout.nanoseconds(value) else {
          return .failure(ClientError(.invalidArgument, "invalid grpc-timeout: \(value)"))
        }
        options.timeoutNanoseconds = nanoseconds
      case _ where name.hasPrefix("grpc-metadata-"):
        let field = String(name.dropFirst("grpc-metadata-".count))
        // What means nothing to the member stays outside.
        if ["token", "authorization", "hasleader", "client-api-version"].contains(field) {
          options.metadata.append((field, value))
        }
      default: break
      }
    }
    return .success(options)
  }

  // MARK: From the member

  func received(_ call: ClientCall, message: UnsafeRawBufferPointer) {
    guard case .calling = state else { return }
    do {
      let text = try route.response(message)
      if isUnary {
        response = text
      } else {
        send(Array("{\"result\":".utf8) + text + Array("}\n".utf8))
      }
    } catch {
      fail(ClientError(.internal, "the answer cannot be spelled in JSON: \(error)"))
    }
  }

  func ended(_ call: ClientCall, with status: ClientError) {
    guard case .calling = state else { return }
    guard status.code == .ok else { return fail(status) }
    state = .over
    if isUnary {
      exchange.respond(HTTP1Response(headers: Self.headers, body: response ?? []))
    } else {
      // Without a message there are no headers of the call to pass on.
      if !hasStarted { exchange.start(headers: [Self.contentType]) }
      exchange.finish()
    }
  }

  private static let contentType = ("Content-Type", "application/json")
  private static let headers = [contentType, ("Grpc-Metadata-Content-Type", "application/grpc")]

  private func start() {
    guard !hasStarted else { return }
    hasStarted = true
    exchange.start(headers: Self.headers)
  }

  private func send(_ line: [UInt8]) {
    start()
    if !exchange.send(line) { connection?.setReading(false) }
  }

  private func fail(_ error: ClientError) {
    let ended = state
    state = .over
    if case .calling(let call) = ended { call.cancel() }
    // The connection may be paused or hold what is left of a stream.
    if !isUnary { connection?.close() }
    if hasStarted {
      _ = exchange.send(Array("{\"error\":".utf8) + GatewayJSON.text(of: error) + Array("}\n".utf8))
      exchange.finish()
    } else {
      exchange.respond(Gateway.refusal(error))
    }
  }
}

/// `Grpc-Timeout`: a number and a unit.
enum GatewayTimeout {
  static func nanoseconds(_ text: String) -> Int64? {
    guard let unit = text.last, let amount = Int64(text.dropLast()), amount >= 0 else { return nil }
    let factor: Int64
    switch unit {
    case "H": factor = 3_600_000_000_000
    case "M": factor = 60_000_000_000
    case "S": factor = 1_000_000_000
    case "m": factor = 1_000_000
    case "u": factor = 1_000
    case "n": factor = 1
    default: return nil
    }
    let (product, overflow) = amount.multipliedReportingOverflow(by: factor)
    return overflow ? .max : product
  }
}
