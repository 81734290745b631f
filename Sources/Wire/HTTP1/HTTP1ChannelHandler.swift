import NIOCore
import NIOHTTP1

/// Collects the parts of one request, bounded, and writes the handler's answer; requests are taken one at a time.
final class HTTP1ChannelHandler: ChannelInboundHandler, RemovableChannelHandler {
  typealias InboundIn = HTTPServerRequestPart
  typealias OutboundOut = HTTPServerResponsePart

  private enum State {
    case idle
    case receiving(HTTPRequestHead, body: [UInt8])
    /// The body went over the limit: the rest is swallowed, the answer is out.
    case rejected
    case responding
  }

  private let handler: any HTTP1Handler
  private let options: ServerOptions
  private var state = State.idle
  private var timer: Scheduled<Void>?

  init(handler: any HTTP1Handler, options: ServerOptions) {
    self.handler = handler
    self.options = options
  }

  func handlerAdded(context: ChannelHandlerContext) {
    armTimer(context)
  }

  func handlerRemoved(context: ChannelHandlerContext) {
    timer?.cancel()
    timer = nil
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    switch (unwrapInboundIn(data), state) {
    case (.head(let head), .idle):
      timer?.cancel()
      timer = nil
      state = .receiving(head, body: [])
    case (.body(let part), .receiving(let head, var body)):
      state = .idle
      guard body.count + part.readableBytes <= options.http1BodyBytesMax else {
        state = .rejected
        let response = HTTP1Response(
          status: 413, contentType: "text/plain; charset=utf-8", text: "http: request body too large\n")
        write(response, to: head, close: true, context: context)
        return
      }
      body.append(contentsOf: part.readableBytesView)
      state = .receiving(head, body: body)
    case (.end, .receiving(let head, let body)):
      state = .responding
      answer(head, body: body, context: context)
    case (.head, _), (.body, _), (.end, _):
      break
    }
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    context.close(promise: nil)
  }

  private func answer(_ head: HTTPRequestHead, body: [UInt8], context: ChannelHandlerContext) {
    let request = HTTP1Request(
      method: head.method.rawValue, target: head.uri, headers: head.headers.map { ($0.name, $0.value) },
      body: body)
    let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
    let me = NIOLoopBound(self, eventLoop: context.eventLoop)
    handler.respond(to: request, on: context.eventLoop).hop(to: context.eventLoop).whenComplete { result in
      let response: HTTP1Response
      switch result {
      case .success(let value): response = value
      case .failure:
        response = HTTP1Response(
          status: 500, contentType: "text/plain; charset=utf-8", text: "Internal Server Error\n")
      }
      me.value.state = .idle
      me.value.write(response, to: head, close: !head.isKeepAlive, context: bound.value)
      me.value.armTimer(bound.value)
    }
  }

  private func write(
    _ response: HTTP1Response, to head: HTTPRequestHead, close: Bool, context: ChannelHandlerContext
  ) {
    var headers = HTTPHeaders(response.headers.map { ($0.name, $0.value) })
    headers.replaceOrAdd(name: "Content-Length", value: String(response.body.count))
    if close { headers.replaceOrAdd(name: "Connection", value: "close") }
    let responseHead = HTTPResponseHead(
      version: head.version, status: HTTPResponseStatus(statusCode: response.status), headers: headers)
    context.write(wrapOutboundOut(.head(responseHead)), promise: nil)
    if head.method != .HEAD, !response.body.isEmpty {
      context.write(
        wrapOutboundOut(.body(.byteBuffer(context.channel.allocator.buffer(bytes: response.body)))),
        promise: nil)
    }
    let written = context.writeAndFlush(wrapOutboundOut(.end(nil)))
    if close {
      let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
      written.whenComplete { _ in bound.value.close(promise: nil) }
    }
  }

  private func armTimer(_ context: ChannelHandlerContext) {
    timer?.cancel()
    guard context.channel.isActive else { return }
    let channel = context.channel
    timer = context.eventLoop.scheduleTask(in: options.http1HeaderTimeout) { channel.close(promise: nil) }
  }
}
