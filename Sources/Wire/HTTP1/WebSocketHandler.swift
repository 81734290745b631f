import NIOCore
import NIOHTTP1
import NIOWebSocket

/// One websocket. What the client's messages say is the body of one request, a line for each; every line of the answer is
/// a message to the client, and its end closes the connection.
final class WebSocketHandler: ChannelDuplexHandler, ExchangeConnection {
  typealias InboundIn = WebSocketFrame
  typealias OutboundIn = WebSocketFrame
  typealias OutboundOut = WebSocketFrame

  private let loop: ServerLoop
  private let http: any HTTP1Handler
  private let request: HTTP1Request
  private var context: ChannelHandlerContext?
  /// Both until the exchange is over; the exchange knows this connection only weakly.
  private var exchange: HTTP1Exchange?
  private var handler: (any HTTP1ExchangeHandler)?
  private var inwardConnection: ClientConnection?
  private var isInMessage = false
  private var wantsWritable = false
  private var isReadingPaused = false
  private var hasHeldRead = false
  private var pinging: RepeatedTask?
  private var isSilent = false

  /// Time between pings. A client that does not answer until the next one is gone (etcd: within 60 s).
  private static let pingInterval = TimeAmount.seconds(54)

  private static let closeTimeout = TimeAmount.seconds(10)

  private init(_ http: any HTTP1Handler, _ request: HTTP1Request, _ loop: ServerLoop) {
    self.http = http
    self.request = request
    self.loop = loop
  }

  /// Makes a websocket of a connection whose first request asks for one that the handler admits.
  static func upgrader(_ handler: any HTTP1Handler, _ loop: ServerLoop) -> NIOWebSocketServerUpgrader {
    // JSON may take twice the bytes of the message it spells.
    let frameBytesMax = 2 * min(loop.options.requestBytesMax, 1 << 30)
    return NIOWebSocketServerUpgrader(
      maxFrameSize: frameBytesMax,
      shouldUpgrade: { channel, head in
        guard handler.webSocketRequest(HTTP1Request(head)) != nil else {
          return channel.eventLoop.makeSucceededFuture(nil)
        }
        var headers = HTTPHeaders()
        let protocols = head.headers.first(name: "Sec-WebSocket-Protocol")
        if let protocols, protocols.hasPrefix("Bearer") {
          headers.add(name: "Sec-WebSocket-Protocol", value: "Bearer")
        }
        return channel.eventLoop.makeSucceededFuture(headers)
      },
      upgradePipelineHandler: { channel, head in
        channel.eventLoop.makeCompletedFuture {
          guard let request = handler.webSocketRequest(HTTP1Request(head)) else {
            throw ChannelError.inputClosed
          }
          let connection = WebSocketHandler(handler, request, loop)
          try channel.pipeline.syncOperations.addHandler(connection)
        }
      })
  }

  // MARK: Channel events

  func handlerAdded(context: ChannelHandlerContext) {
    self.context = context
    let me = NIOLoopBound(self, eventLoop: context.eventLoop)
    pinging = context.eventLoop.scheduleRepeatedTask(
      initialDelay: Self.pingInterval, delay: Self.pingInterval
    ) { _ in
      me.value.ping()
    }
    let exchange = HTTP1Exchange(request: request, connection: self, eventLoop: context.eventLoop)
    self.exchange = exchange
    handler = http.begin(exchange)
    if handler == nil { close(.unexpectedServerError) }
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
    let frame = unwrapInboundIn(data)
    guard exchange != nil else { return }
    // By the protocol's rules: a client's frames are masked, and what nobody agreed on is not used.
    guard frame.maskKey != nil, !frame.rsv1, !frame.rsv2, !frame.rsv3 else { return close(.protocolError) }
    switch frame.opcode {
    case .text, .binary: take(frame, begins: true)
    case .continuation: take(frame, begins: false)
    case .ping:
      // Nothing is queued for a client that does not read; a later ping is answered for this one too (RFC 6455, 5.5.3).
      if context.channel.isWritable { write(.pong, frame.unmaskedData) }
    case .pong: isSilent = false
    case .connectionClose: close(.normalClosure)
    default: close(.protocolError)
    }
  }

  func channelWritabilityChanged(context: ChannelHandlerContext) {
    if context.channel.isWritable, wantsWritable {
      wantsWritable = false
      handler?.writable()
    }
    context.fireChannelWritabilityChanged()
  }

  func read(context: ChannelHandlerContext) {
    if isReadingPaused { hasHeldRead = true } else { context.read() }
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    // The handler before this one has answered faults of the protocol, and closes.
    if error is NIOWebSocketError { tearDown() } else { context.close(promise: nil) }
  }

  private func tearDown() {
    pinging?.cancel()
    pinging = nil
    exchange?.connection = nil
    exchange = nil
    let ended = handler
    handler = nil
    ended?.closed()
    inwardConnection?.close()
    inwardConnection = nil
  }

  // MARK: Messages

  private func take(_ frame: WebSocketFrame, begins: Bool) {
    guard begins != isInMessage else { return close(.protocolError) }
    isInMessage = !frame.fin
    handler?.received(frame.unmaskedData)
    if frame.fin { handler?.received(ByteBuffer(integer: UInt8(ascii: "\n"))) }
  }

  private func write(_ opcode: WebSocketOpcode, _ data: ByteBuffer) {
    context?.writeAndFlush(
      wrapOutboundOut(WebSocketFrame(fin: true, opcode: opcode, data: data)), promise: nil)
  }

  private func writeLine(_ bytes: [UInt8]) {
    let line = bytes.last == UInt8(ascii: "\n") ? bytes.dropLast() : bytes[...]
    if !line.isEmpty { write(.text, ByteBuffer(bytes: line)) }
  }

  private func ping() {
    // Who is not read cannot show that it is there.
    if isSilent, !isReadingPaused {
      context?.close(promise: nil)
    } else {
      isSilent = true
      write(.ping, ByteBuffer())
    }
  }

  /// Ends the exchange and then the connection.
  private func close(_ code: WebSocketErrorCode) {
    guard let context else { return }
    tearDown()
    var reason = ByteBuffer()
    reason.write(webSocketErrorCode: code)
    let channel = context.channel
    let frame = WebSocketFrame(fin: true, opcode: .connectionClose, data: reason)
    context.writeAndFlush(wrapOutboundOut(frame)).whenComplete { _ in channel.close(promise: nil) }
    // Also when the client takes nothing more.
    context.eventLoop.scheduleTask(in: Self.closeTimeout) { channel.close(promise: nil) }
  }

  // MARK: Answers

  func respond(_ response: HTTP1Response, in exchange: HTTP1Exchange) {
    guard exchange === self.exchange else { return }
    writeLine(response.body)
    close(.normalClosure)
  }

  func start(status: Int, headers: [(name: String, value: String)], in exchange: HTTP1Exchange) {}

  func send(_ bytes: [UInt8], in exchange: HTTP1Exchange) -> Bool {
    guard exchange === self.exchange, let context else { return true }
    writeLine(bytes)
    wantsWritable = !context.channel.isWritable
    return !wantsWritable
  }

  func finish(_ exchange: HTTP1Exchange) {
    guard exchange === self.exchange else { return }
    close(.normalClosure)
  }

  func setReading(_ isReading: Bool) {
    isReadingPaused = !isReading
    guard isReading, hasHeldRead else { return }
    hasHeldRead = false
    context?.read()
  }

  func inward() -> EventLoopFuture<ClientConnection> {
    let me = NIOLoopBound(self, eventLoop: loop.eventLoop)
    return loop.connectInward().map { connection in
      if me.value.exchange == nil {
        connection.close()
      } else {
        me.value.inwardConnection = connection
      }
      return connection
    }
  }
}
