import NIOCore
import NIOHTTP1

/// Tells HTTP/2 from HTTP/1.1 by the client's first bytes, sets up the rest of the pipeline and leaves it.
final class ProtocolSniffer: ChannelInboundHandler, RemovableChannelHandler {
  typealias InboundIn = ByteBuffer
  typealias InboundOut = ByteBuffer

  private static let preface: StaticString = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

  private let loop: ServerLoop
  private let service: ListenerService
  private var received: ByteBuffer?
  private var timer: Scheduled<Void>?
  private var decided = false

  init(loop: ServerLoop, service: ListenerService) {
    self.loop = loop
    self.service = service
  }

  func handlerAdded(context: ChannelHandlerContext) {
    let channel = context.channel
    timer = context.eventLoop.scheduleTask(in: loop.options.prefaceTimeout) { channel.close(promise: nil) }
  }

  func handlerRemoved(context: ChannelHandlerContext) {
    timer?.cancel()
    timer = nil
    received = nil
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    let buffer = unwrapInboundIn(data)
    // Setting up the pipeline is synchronous, so nothing can arrive here after the decision.
    guard !decided else { return context.fireChannelRead(data) }
    if received == nil { received = buffer } else { received?.writeImmutableBuffer(buffer) }
    guard let received else { return }
    let head = received.readableBytesView.prefix(24)
    let matches =
      service.takesCalls && Self.preface.withUTF8Buffer { preface in preface.starts(with: head) }
    if matches, head.count < 24 { return }
    decided = true
    do {
      if matches {
        let connection = ServerConnection(channel: context.channel, loop: loop)
        try context.pipeline.syncOperations.addHandler(connection, position: .after(self))
      } else {
        try setUpHTTP1(context)
      }
    } catch {
      context.close(promise: nil)
      return
    }
    self.received = nil
    context.fireChannelRead(wrapInboundOut(received))
    context.pipeline.syncOperations.removeHandler(self, promise: nil)
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    context.close(promise: nil)
  }

  private func setUpHTTP1(_ context: ChannelHandlerContext) throws {
    guard let handler = service.http1(loop.http1) else {
      context.close(promise: nil)
      return
    }
    let pipeline = context.pipeline.syncOperations
    let channelHandler = HTTP1ChannelHandler(handler: handler, loop: loop)
    let errors = HTTPServerProtocolErrorHandler()
    let decoder = ByteToMessageHandler(HTTPRequestDecoder(leftOverBytesStrategy: .forwardBytes))
    let encoder = HTTPResponseEncoder()
    let upgrade = HTTPServerUpgradeHandler(
      upgraders: [WebSocketHandler.upgrader(handler, loop)], httpEncoder: encoder,
      extraHTTPHandlers: [decoder, errors, channelHandler], upgradeCompletionHandler: { _ in })
    // Added in reverse, each right behind this handler.
    try pipeline.addHandler(channelHandler, position: .after(self))
    try pipeline.addHandler(upgrade, position: .after(self))
    try pipeline.addHandler(errors, position: .after(self))
    try pipeline.addHandler(decoder, position: .after(self))
    try pipeline.addHandler(encoder, position: .after(self))
  }
}
