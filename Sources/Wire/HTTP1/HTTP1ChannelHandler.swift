import NIOCore
import NIOHTTP1
import NIOWebSocket

/// One HTTP/1.1 connection: takes requests one at a time, hands them on whole or in pieces, and writes the answers.
///
/// It goes on reading while an answer is under way, so that a client that leaves is noticed; what it sends ahead is kept
/// up to a limit.
final class HTTP1ChannelHandler: ChannelDuplexHandler, RemovableChannelHandler, ExchangeConnection {
  typealias InboundIn = HTTPServerRequestPart
  typealias OutboundIn = HTTPServerResponsePart
  typealias OutboundOut = HTTPServerResponsePart

  private enum State {
    case idle
    case receiving(HTTPRequestHead, body: [UInt8])
    /// The body went over the limit: the rest is swallowed, the answer is out.
    case rejected
    case responding
    case exchanging(Exchange)
  }

  /// What goes on in pieces.
  private struct Exchange {
    var head: HTTPRequestHead
    var exchange: HTTP1Exchange
    var handler: any HTTP1ExchangeHandler
    var requestEnded = false
    var hasStarted = false
    var wantsWritable = false
  }

  private let loop: ServerLoop
  private var options: ServerOptions { loop.options }
  private let handler: any HTTP1Handler
  private var state = State.idle
  private var context: ChannelHandlerContext?
  private var timer: Scheduled<Void>?
  /// Parts of requests that came before their turn, in order.
  private var ahead: [HTTPServerRequestPart] = []
  private var aheadBytes = 0
  private var isReadingPaused = false
  private var hasHeldRead = false
  private var inwardConnection: ClientConnection?

  /// Memory of a queued part beside its bytes.
  private static let partBytes = 256

  init(handler: any HTTP1Handler, loop: ServerLoop) {
    self.handler = handler
    self.loop = loop
  }

  // MARK: Channel events

  func handlerAdded(context: ChannelHandlerContext) {
    self.context = context
    armTimer()
  }

  func handlerRemoved(context: ChannelHandlerContext) {
    tearDown()
    self.context = nil
  }

  func channelInactive(context: ChannelHandlerContext) {
    tearDown()
    context.fireChannelInactive()
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    take(unwrapInboundIn(data))
  }

  func channelWritabilityChanged(context: ChannelHandlerContext) {
    if context.channel.isWritable, case .exchanging(var current) = state, current.wantsWritable {
      current.wantsWritable = false
      state = .exchanging(current)
      current.handler.writable()
    }
    context.fireChannelWritabilityChanged()
  }

  func read(context: ChannelHandlerContext) {
    if isReadingPaused || aheadBytes >= options.http1AheadBytesMax {
      hasHeldRead = true
    } else {
      context.read()
    }
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    // Who asked for a websocket where there is none gets the answer of any other request.
    if error is NIOWebSocketUpgradeError { return }
    context.close(promise: nil)
  }

  private func tearDown() {
    timer?.cancel()
    timer = nil
    ahead = []
    inwardConnection?.close()
    inwardConnection = nil
    if case .exchanging(let current) = state {
      state = .responding
      current.exchange.connection = nil
      current.handler.closed()
    }
  }

  // MARK: Requests

  private func take(_ part: HTTPServerRequestPart) {
    switch (part, state) {
    case (.head(let head), .idle):
      timer?.cancel()
      timer = nil
      begin(head)
    case (.body(let bytes), .receiving(let head, let body)):
      // Taken out of the state first, so that appending does not copy.
      state = .idle
      collect(bytes, head, body)
    case (.end, .receiving(let head, let body)):
      state = .responding
      answer(head, body: body)
    case (.body(let bytes), .exchanging(let current)) where !current.requestEnded:
      current.handler.received(bytes)
    case (.end, .exchanging(var current)) where !current.requestEnded:
      current.requestEnded = true
      state = .exchanging(current)
      current.handler.requestEnded()
    case (_, .responding), (_, .exchanging):
      ahead.append(part)
      aheadBytes += Self.partBytes
      if case .body(let bytes) = part { aheadBytes += bytes.readableBytes }
    case (.head, _), (.body, _), (.end, _):
      break
    }
  }

  private func begin(_ head: HTTPRequestHead) {
    let request = HTTP1Request(head)
    if head.headers[canonicalForm: "expect"].contains(where: { $0.lowercased() == "100-continue" }) {
      let goOn = HTTPResponseHead(version: head.version, status: .continue)
      context?.writeAndFlush(wrapOutboundOut(.head(goOn)), promise: nil)
    }
    guard let context else { return }
    let exchange = HTTP1Exchange(request: request, connection: self, eventLoop: context.eventLoop)
    if let handler = handler.begin(exchange) {
      state = .exchanging(Exchange(head: head, exchange: exchange, handler: handler))
    } else {
      state = .receiving(head, body: [])
    }
  }

  private func collect(_ bytes: ByteBuffer, _ head: HTTPRequestHead, _ collected: consuming [UInt8]) {
    guard collected.count + bytes.readableBytes <= options.http1BodyBytesMax else {
      state = .rejected
      let response = HTTP1Response(
        status: 413, contentType: "text/plain; charset=utf-8", text: "http: request body too large\n")
      return write(response, to: head, close: true)
    }
    var body = collected
    body.append(contentsOf: bytes.readableBytesView)
    state = .receiving(head, body: body)
  }

  private func answer(_ head: HTTPRequestHead, body: [UInt8]) {
    guard let context else { return }
    let request = HTTP1Request(head, body: body)
    let me = NIOLoopBound(self, eventLoop: context.eventLoop)
    handler.respond(to: request, on: context.eventLoop).hop(to: context.eventLoop).whenComplete { result in
      let response: HTTP1Response
      switch result {
      case .success(let value): response = value
      case .failure:
        response = HTTP1Response(
          status: 500, contentType: "text/plain; charset=utf-8", text: "Internal Server Error\n")
      }
      me.value.write(response, to: head, close: !Self.goesOn(head))
      me.value.nextRequest()
    }
  }

  private func nextRequest() {
    state = .idle
    armTimer()
    let waiting = ahead
    ahead = []
    aheadBytes = 0
    for part in waiting { take(part) }
    releaseRead()
  }

  /// Whether another request may follow. The decoder reads nothing after a request to upgrade, granted or not.
  private static func goesOn(_ head: HTTPRequestHead) -> Bool {
    head.isKeepAlive && !head.headers.contains(name: "upgrade")
  }

  // MARK: Answers

  private func write(_ response: HTTP1Response, to head: HTTPRequestHead, close: Bool) {
    guard let context else { return }
    var headers = HTTPHeaders(response.headers.map { ($0.name, $0.value) })
    headers.replaceOrAdd(name: "Content-Length", value: String(response.body.count))
    if close { headers.replaceOrAdd(name: "Connection", value: "close") }
    let responseHead = HTTPResponseHead(
      version: head.version, status: HTTPResponseStatus(statusCode: response.status), headers: headers)
    context.write(wrapOutboundOut(.head(responseHead)), promise: nil)
    if head.method != .HEAD, !response.body.isEmpty { writeBody(response.body, context) }
    end(context, close: close)
  }

  private func writeBody(_ bytes: [UInt8], _ context: ChannelHandlerContext) {
    let buffer = context.channel.allocator.buffer(bytes: bytes)
    context.write(wrapOutboundOut(.body(.byteBuffer(buffer))), promise: nil)
  }

  private func end(_ context: ChannelHandlerContext, close: Bool) {
    let written = context.writeAndFlush(wrapOutboundOut(.end(nil)))
    guard close else { return }
    let channel = context.channel
    written.whenComplete { _ in channel.close(promise: nil) }
  }

  private func current(_ exchange: HTTP1Exchange) -> Exchange? {
    guard case .exchanging(let current) = state, current.exchange === exchange else { return nil }
    return current
  }

  func respond(_ response: HTTP1Response, in exchange: HTTP1Exchange) {
    guard let current = current(exchange), !current.hasStarted else { return }
    exchange.connection = nil
    setReading(true)
    write(response, to: current.head, close: !Self.goesOn(current.head) || !current.requestEnded)
    leave(current)
  }

  func start(status: Int, headers: [(name: String, value: String)], in exchange: HTTP1Exchange) {
    guard var current = current(exchange), !current.hasStarted, let context else { return }
    current.hasStarted = true
    state = .exchanging(current)
    // Without a length the encoder chunks what goes to an HTTP/1.1 client; others read to the connection's end.
    let head = HTTPResponseHead(
      version: current.head.version, status: HTTPResponseStatus(statusCode: status),
      headers: HTTPHeaders(headers.map { ($0.name, $0.value) }))
    context.writeAndFlush(wrapOutboundOut(.head(head)), promise: nil)
  }

  func send(_ bytes: [UInt8], in exchange: HTTP1Exchange) -> Bool {
    guard var current = current(exchange), current.hasStarted, let context else { return true }
    let buffer = context.channel.allocator.buffer(bytes: bytes)
    context.writeAndFlush(wrapOutboundOut(.body(.byteBuffer(buffer))), promise: nil)
    if context.channel.isWritable { return true }
    current.wantsWritable = true
    state = .exchanging(current)
    return false
  }

  func finish(_ exchange: HTTP1Exchange) {
    guard let current = current(exchange), current.hasStarted, let context else { return }
    exchange.connection = nil
    setReading(true)
    end(context, close: !Self.goesOn(current.head) || !current.requestEnded)
    leave(current)
  }

  /// What is left of a request whose answer is out cannot be told from the next one, so its connection closes.
  private func leave(_ current: Exchange) {
    if current.requestEnded { nextRequest() } else { state = .rejected }
  }

  // MARK: Reading

  func setReading(_ isReading: Bool) {
    isReadingPaused = !isReading
    releaseRead()
  }

  private func releaseRead() {
    guard hasHeldRead, !isReadingPaused, aheadBytes < options.http1AheadBytesMax else { return }
    hasHeldRead = false
    context?.read()
  }

  private func armTimer() {
    timer?.cancel()
    guard let context, context.channel.isActive else { return }
    let channel = context.channel
    timer = context.eventLoop.scheduleTask(in: options.http1HeaderTimeout) { channel.close(promise: nil) }
  }

  // MARK: Inward

  func inward() -> EventLoopFuture<ClientConnection> {
    if let inwardConnection, inwardConnection.isUsable {
      return loop.eventLoop.makeSucceededFuture(inwardConnection)
    }
    let me = NIOLoopBound(self, eventLoop: loop.eventLoop)
    return loop.connectInward().map { connection in
      if me.value.context == nil {
        connection.close()
      } else {
        me.value.inwardConnection?.close()
        me.value.inwardConnection = connection
      }
      return connection
    }
  }
}
