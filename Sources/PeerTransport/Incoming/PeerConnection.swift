import Model
import NIOCore
import NIOHTTP1

/// One connection to the peer listener: reads requests one at a time, and answers them or becomes a stream.
final class PeerConnection: ChannelDuplexHandler {
  typealias InboundIn = HTTPServerRequestPart
  typealias OutboundIn = HTTPServerResponsePart
  typealias OutboundOut = HTTPServerResponsePart

  enum State {
    case idle
    case collecting(HTTPRequestHead, PeerRoute, path: String, body: ByteBuffer)
    case snapshot(SnapshotReception)
    /// The answer is being made; the request is complete.
    case answering
    /// The answer is out, the request goes on: what comes is thrown away, and the connection closes soon.
    case refused
    case streaming(OutgoingStream)
    case closed
  }

  let network: PeerNetwork
  var state = State.idle
  private(set) var context: ChannelHandlerContext?
  private var lastRead = NIODeadline.now()
  private var watch: RepeatedTask?
  private var readIsHeld = false
  var isReading = true

  init(network: PeerNetwork) {
    self.network = network
  }

  // MARK: Channel events

  func handlerAdded(context: ChannelHandlerContext) {
    self.context = context
    let pace = TimeAmount.nanoseconds(max(network.timeouts.read / 2, 1))
    let me = NIOLoopBound(self, eventLoop: context.eventLoop)
    watch = context.eventLoop.scheduleRepeatedTask(initialDelay: pace, delay: pace) { _ in
      me.value.checkTime()
    }
  }

  func handlerRemoved(context: ChannelHandlerContext) {
    ended()
    self.context = nil
  }

  func channelInactive(context: ChannelHandlerContext) {
    ended()
    context.fireChannelInactive()
  }

  func channelWritabilityChanged(context: ChannelHandlerContext) {
    if case .streaming(let stream) = state, context.channel.isWritable { stream.onWritable?() }
    context.fireChannelWritabilityChanged()
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    context.close(promise: nil)
  }

  func read(context: ChannelHandlerContext) {
    if isReading {
      context.read()
    } else {
      readIsHeld = true
    }
  }

  /// Stops or goes on reading: whoever takes the body has no room.
  func setReading(_ isReading: Bool) {
    self.isReading = isReading
    lastRead = .now()
    if isReading, readIsHeld {
      readIsHeld = false
      context?.read()
    }
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    lastRead = .now()
    switch (unwrapInboundIn(data), state) {
    case (.head(let head), .idle):
      begin(head)
    case (.body(let part), .collecting(let head, let route, let path, var body)):
      state = .idle
      guard body.readableBytes + part.readableBytes <= bodyBytesMax(route),
        network.collectedBytes + part.readableBytes <= network.limits.messageBytes * 2
      else {
        network.collectedBytes -= body.readableBytes
        refuse(tooLarge(route), path, head, isComplete: false)
        return
      }
      network.collectedBytes += part.readableBytes
      body.writeImmutableBuffer(part)
      state = .collecting(head, route, path: path, body: body)
    case (.end, .collecting(let head, let route, let path, let body)):
      network.collectedBytes -= body.readableBytes
      state = .answering
      answer(head, route, path, body)
    case (.body(let part), .snapshot(let reception)):
      reception.received(part)
    case (.end, .snapshot(let reception)):
      reception.receivedEnd()
    case (.head, .answering), (.head, .streaming):
      // A second request before the first was answered; no member sends one.
      context.close(promise: nil)
    case (.head, _), (.body, _), (.end, _):
      break
    }
  }

  // MARK: Answers

  func respond(_ response: PeerResponse, closes: Bool) {
    guard let context, context.channel.isActive else { return }
    var headers = HTTPHeaders(response.headers.map { ($0.name, $0.value) })
    if response.status != 204 {
      headers.replaceOrAdd(name: "Content-Length", value: String(response.body.count))
    }
    if closes { headers.replaceOrAdd(name: "Connection", value: "close") }
    let head = HTTPResponseHead(
      version: .http1_1, status: HTTPResponseStatus(statusCode: response.status), headers: headers)
    context.write(wrapOutboundOut(.head(head)), promise: nil)
    if !response.body.isEmpty {
      context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(bytes: response.body)))), promise: nil)
    }
    let written = context.writeAndFlush(wrapOutboundOut(.end(nil)))
    state = closes ? .refused : .idle
    if closes {
      let channel = context.channel
      // The sender may still be writing: an immediate close would reset the connection under the answer.
      let delay = TimeAmount.milliseconds(500)
      written.whenComplete { _ in
        channel.close(mode: .output, promise: nil)
        _ = channel.eventLoop.scheduleTask(in: delay) { channel.close(promise: nil) }
      }
    }
  }

  /// Answers with an error and notes it.
  func refuse(_ response: PeerResponse, _ path: String, _ head: HTTPRequestHead, isComplete: Bool) {
    var reason = String(decoding: response.body.prefix(200), as: UTF8.self)
    if reason.hasSuffix("\n") { reason.removeLast() }
    let from = String((head.headers.first(name: PeerHeader.from) ?? "").prefix(20))
    network.callbacks.notice(
      .refused(from: from, path: String(path.prefix(100)), status: response.status, reason: reason))
    respond(response, closes: !isComplete || !head.isKeepAlive)
  }

  // MARK: Time

  /// Closes a connection on which nothing comes that should; streams are kept alive from here.
  private func checkTime() {
    guard isReading, NIODeadline.now() - lastRead > .nanoseconds(network.timeouts.read) else { return }
    switch state {
    case .idle, .collecting: context?.close(promise: nil)
    // A complete snapshot takes its time to be synced.
    case .snapshot(let reception): if !reception.isComplete { context?.close(promise: nil) }
    case .answering, .refused, .streaming, .closed: break
    }
  }

  private func ended() {
    watch?.cancel()
    watch = nil
    let last = state
    state = .closed
    switch last {
    case .collecting(_, _, path: _, let body): network.collectedBytes -= body.readableBytes
    case .snapshot(let reception): reception.connectionLost()
    case .streaming(let stream): stream.closed()
    case .idle, .answering, .refused, .closed: break
    }
  }
}
