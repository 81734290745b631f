import NIOCore
import NIOHTTP1

/// Sends one request when the connection is there, collects the answer within its limit, and closes.
final class ExchangeHandler: ChannelInboundHandler {
  typealias InboundIn = HTTPClientResponsePart
  typealias OutboundOut = HTTPClientRequestPart

  private let request: HTTPRequestHead
  private let body: ByteBuffer?
  private let responseBytesMax: Int
  private let timeout: Int64
  /// Nil once completed.
  private var promise: EventLoopPromise<PeerAnswer>?
  private var answer: PeerAnswer?
  private var timer: Scheduled<Void>?

  init(
    _ request: HTTPRequestHead, body: ByteBuffer?, responseBytesMax: Int, timeout: Int64,
    promise: EventLoopPromise<PeerAnswer>
  ) {
    self.request = request
    self.body = body
    self.responseBytesMax = responseBytesMax
    self.timeout = timeout
    self.promise = promise
  }

  func channelActive(context: ChannelHandlerContext) {
    let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
    timer = context.eventLoop.scheduleTask(in: .nanoseconds(timeout)) {
      let (me, context) = bound.value
      me.finish(.failure(.timedOut), context)
    }
    context.write(wrapOutboundOut(.head(request)), promise: nil)
    if let body, body.readableBytes > 0 {
      context.write(wrapOutboundOut(.body(.byteBuffer(body))), promise: nil)
    }
    context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    switch unwrapInboundIn(data) {
    case .head(let head):
      answer = PeerAnswer(status: Int(head.status.code), headers: head.headers, body: [])
    case .body(let part):
      guard let count = answer?.body.count, count + part.readableBytes <= responseBytesMax else {
        finish(.failure(.responseTooLarge), context)
        return
      }
      answer?.body.append(contentsOf: part.readableBytesView)
    case .end:
      if let answer { finish(.success(answer), context) }
    }
  }

  func channelInactive(context: ChannelHandlerContext) {
    finish(.failure(.closed), context)
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    finish(.failure(.closed), context)
  }

  func handlerRemoved(context: ChannelHandlerContext) {
    finish(.failure(.closed), context)
  }

  private func finish(_ result: Result<PeerAnswer, PeerHTTPError>, _ context: ChannelHandlerContext) {
    guard let promise else { return }
    self.promise = nil
    timer?.cancel()
    timer = nil
    promise.completeWith(result.mapError { $0 as any Error })
    context.close(promise: nil)
  }
}
