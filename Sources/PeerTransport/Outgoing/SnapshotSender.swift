import Model
import NIOCore
import NIOHTTP1

/// Posts one snapshot: its message, then its data as the connection takes it. Confined to the peers' event loop.
///
/// Holds one piece of the data beyond what the connection's buffer has.
final class SnapshotSender {
  let message: Message
  private let source: any SnapshotSource
  private unowned let peer: Peer
  private let network: PeerNetwork
  private let begin = NIODeadline.now()
  private var handler: SnapshotSenderHandler?
  private var url: PeerURL?
  private var hasEnded = false
  /// Told once: nil, or why the snapshot was not received.
  var onEnd: ((String?) -> Void)?

  init(_ message: Message, source: any SnapshotSource, peer: Peer, network: PeerNetwork) {
    self.message = message
    self.source = source
    self.peer = peer
    self.network = network
  }

  var sentBytes: Int { handler?.sentBytes ?? 0 }
  var seconds: Double { Double((NIODeadline.now() - begin).nanoseconds) / 1e9 }

  func start() {
    let url = peer.picker.current
    self.url = url
    var head = HTTPRequestHead(
      version: .http1_1, method: .POST, uri: "/raft/snapshot", headers: network.identity.headers)
    head.headers.add(name: "Host", value: url.authority)
    head.headers.add(name: "Content-Type", value: "application/octet-stream")
    head.headers.add(name: "Transfer-Encoding", value: "chunked")
    var frame = ByteBuffer()
    MessageFraming.encode(message, into: &frame)
    let handler = SnapshotSenderHandler(head, frame: frame, source: source, timeouts: network.timeouts)
    self.handler = handler
    handler.onEnd = { [weak self] result in self?.ended(result) }
    let bound = NIOLoopBound(handler, eventLoop: network.eventLoop)
    let me = NIOLoopBound(self, eventLoop: network.eventLoop)
    network.dialer.connect(to: url) { bound.value }.whenFailure { error in
      bound.value.abandon()
      me.value.ended(.failure(error))
    }
  }

  func stop() {
    onEnd = nil
    handler?.abandon()
    ended(.failure(PeerHTTPError.closed))
  }

  private func ended(_ result: Result<PeerAnswer, any Error>) {
    if hasEnded { return }
    hasEnded = true
    source.close()
    let failure: (any Error)? =
      switch result {
      case .success(let answer): answer.postError
      case .failure(let error): error
      }
    if failure != nil, let url { peer.picker.unreachable(url) }
    if failure as? PeerHTTPError == .removed { network.callbacks.notice(.removedFromCluster(by: peer.id)) }
    let handler = onEnd
    onEnd = nil
    handler?(failure.map { "\($0)" })
  }
}

/// The connection of a `SnapshotSender`.
final class SnapshotSenderHandler: ChannelInboundHandler {
  typealias InboundIn = HTTPClientResponsePart
  typealias OutboundOut = HTTPClientRequestPart

  private enum State {
    case sending
    /// The next piece was asked for.
    case fetching
    case sent
    case ended
  }

  private let head: HTTPRequestHead
  private let frame: ByteBuffer
  private let source: any SnapshotSource
  private let timeouts: PeerTimeouts
  private var state = State.sending
  private var context: ChannelHandlerContext?
  private var answer: PeerAnswer?
  private var timer: Scheduled<Void>?
  private(set) var sentBytes = 0
  var onEnd: ((Result<PeerAnswer, any Error>) -> Void)?

  init(_ head: HTTPRequestHead, frame: ByteBuffer, source: any SnapshotSource, timeouts: PeerTimeouts) {
    self.head = head
    self.frame = frame
    self.source = source
    self.timeouts = timeouts
  }

  func abandon() {
    onEnd = nil
    end(.failure(PeerHTTPError.closed))
  }

  func handlerAdded(context: ChannelHandlerContext) { self.context = context }

  func handlerRemoved(context: ChannelHandlerContext) {
    end(.failure(PeerHTTPError.closed))
    self.context = nil
  }

  func channelActive(context: ChannelHandlerContext) {
    context.write(wrapOutboundOut(.head(head)), promise: nil)
    context.writeAndFlush(wrapOutboundOut(.body(.byteBuffer(frame))), promise: nil)
    sentBytes += frame.readableBytes
    arm(timeouts.write)
    advance()
  }

  func channelWritabilityChanged(context: ChannelHandlerContext) {
    if context.channel.isWritable { advance() }
    context.fireChannelWritabilityChanged()
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    switch unwrapInboundIn(data) {
    case .head(let head):
      answer = PeerAnswer(status: Int(head.status.code), headers: head.headers, body: [])
    case .body(let part):
      guard let count = answer?.body.count else { return }
      answer?.body.append(contentsOf: part.readableBytesView.prefix(Self.answerBytesMax - count))
    case .end:
      // An answer before the data's end is a refusal; success would be a lie.
      guard let answer else { return }
      if case .sent = state {
        end(.success(answer))
      } else {
        end(.failure(answer.postError ?? PeerHTTPError.status(answer.status, "answered early")))
      }
    }
  }

  func channelInactive(context: ChannelHandlerContext) {
    end(.failure(PeerHTTPError.closed))
    context.fireChannelInactive()
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    end(.failure(error))
  }

  private static let answerBytesMax = 1024

  /// Asks for the next piece while the connection takes more.
  private func advance() {
    guard case .sending = state, let context, context.channel.isWritable else { return }
    state = .fetching
    let me = NIOLoopBound(self, eventLoop: context.eventLoop)
    source.next().hop(to: context.eventLoop).whenComplete { me.value.fetched($0) }
  }

  private func fetched(_ result: Result<ByteBuffer?, any Error>) {
    guard case .fetching = state, let context else { return }
    switch result {
    case .success(let piece?):
      state = .sending
      sentBytes += piece.readableBytes
      arm(timeouts.write)
      context.writeAndFlush(wrapOutboundOut(.body(.byteBuffer(piece))), promise: nil)
      // Not at once: a source that has its pieces ready would be called deeper and deeper.
      let me = NIOLoopBound(self, eventLoop: context.eventLoop)
      context.eventLoop.execute { me.value.advance() }
    case .success(nil):
      state = .sent
      arm(timeouts.snapshotResponse)
      context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
    case .failure(let error):
      end(.failure(error))
    }
  }

  /// Set anew with every piece: the connection took nothing for all of this time, or no answer came.
  private func arm(_ nanoseconds: Int64) {
    timer?.cancel()
    guard let context else { return }
    let me = NIOLoopBound(self, eventLoop: context.eventLoop)
    timer = context.eventLoop.scheduleTask(in: .nanoseconds(nanoseconds)) {
      me.value.end(.failure(PeerHTTPError.timedOut))
    }
  }

  private func end(_ result: Result<PeerAnswer, any Error>) {
    if case .ended = state { return }
    state = .ended
    timer?.cancel()
    timer = nil
    let handler = onEnd
    onEnd = nil
    context?.close(promise: nil)
    handler?(result)
  }
}
