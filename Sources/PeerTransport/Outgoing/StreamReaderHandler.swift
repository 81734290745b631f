import Model
import NIOCore
import NIOHTTP1

/// One connection that a `StreamReader` dialled: the request, the answer's status, and the messages that follow.
final class StreamReaderHandler: ChannelDuplexHandler {
  typealias InboundIn = HTTPClientResponsePart
  typealias OutboundIn = HTTPClientRequestPart
  typealias OutboundOut = HTTPClientRequestPart

  /// How the connection ended.
  enum End {
    /// The peer closed it.
    case closed(String)
    case timedOut
    case malformed(PeerCodecError)
    /// It was not established, or refused.
    case failed(String)
    case removed
  }

  private enum Decoder {
    case append(AppendStreamDecoder)
    case message(MessageStreamDecoder)
  }

  private enum State {
    case waiting
    case refused(status: Int, text: [UInt8])
    case streaming
    case ended
  }

  private let request: HTTPRequestHead
  private let local: UInt64
  private let remote: UInt64
  private let timeouts: PeerTimeouts
  private var decoder: Decoder
  private var state = State.waiting
  private var context: ChannelHandlerContext?
  private var batch: [Message] = []
  private var batchBytes = 0
  private var lastRead = NIODeadline.now()
  private var watch: RepeatedTask?
  private var readIsHeld = false
  var isReading = true
  var onOpen: (() -> Void)?
  var onMessages: (([Message], Int) -> Void)?
  var onEnd: ((End) -> Void)?

  init(
    _ request: HTTPRequestHead, kind: StreamKind, local: UInt64, remote: UInt64, limits: PeerLimits,
    timeouts: PeerTimeouts
  ) {
    self.request = request
    self.local = local
    self.remote = remote
    self.timeouts = timeouts
    decoder =
      switch kind {
      case .append:
        .append(AppendStreamDecoder(local: local, remote: remote, bytesMax: limits.messageBytes))
      case .message: .message(MessageStreamDecoder(bytesMax: limits.messageBytes))
      }
  }

  var hasEnded: Bool {
    if case .ended = state { return true }
    return false
  }

  /// Nobody listens any more.
  func abandon() {
    onOpen = nil
    onMessages = nil
    onEnd = nil
    end(.closed("stopped"))
  }

  func setReading(_ isReading: Bool) {
    self.isReading = isReading
    // The time in which nothing was read by choice does not count.
    lastRead = .now()
    if isReading, readIsHeld {
      readIsHeld = false
      context?.read()
    }
  }

  // MARK: Channel events

  func handlerAdded(context: ChannelHandlerContext) { self.context = context }

  func handlerRemoved(context: ChannelHandlerContext) {
    end(.closed("unexpected EOF"))
    self.context = nil
  }

  func channelActive(context: ChannelHandlerContext) {
    lastRead = .now()
    let pace = TimeAmount.nanoseconds(max(timeouts.read / 5, 1))
    let me = NIOLoopBound(self, eventLoop: context.eventLoop)
    watch = context.eventLoop.scheduleRepeatedTask(initialDelay: pace, delay: pace) { _ in
      me.value.checkTime()
    }
    context.write(wrapOutboundOut(.head(request)), promise: nil)
    context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
  }

  func read(context: ChannelHandlerContext) {
    if isReading {
      context.read()
    } else {
      readIsHeld = true
    }
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    lastRead = .now()
    switch (unwrapInboundIn(data), state) {
    case (.head(let head), .waiting):
      if head.status == .ok {
        state = .streaming
        onOpen?()
      } else {
        state = .refused(status: Int(head.status.code), text: [])
      }
    case (.body(let part), .refused(let status, var text)):
      state = .waiting
      text.append(contentsOf: part.readableBytesView.prefix(Self.refusalBytesMax - text.count))
      state = .refused(status: status, text: text)
    case (.end, .refused(let status, let text)):
      end(refusal(status, text))
    case (.body(let part), .streaming):
      decode(part)
    case (.end, .streaming):
      end(.closed("EOF"))
    case (.head, _), (.body, _), (.end, _):
      break
    }
  }

  func channelReadComplete(context: ChannelHandlerContext) {
    deliver()
    context.fireChannelReadComplete()
  }

  func channelInactive(context: ChannelHandlerContext) {
    deliver()
    end(.closed("unexpected EOF"))
    context.fireChannelInactive()
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    deliver()
    if case .streaming = state {
      end(.closed("\(error)"))
    } else {
      end(.failed("\(error)"))
    }
  }

  // MARK: Messages

  private static let refusalBytesMax = 1024

  private func decode(_ bytes: ByteBuffer) {
    batchBytes += bytes.readableBytes
    do throws(PeerCodecError) {
      switch decoder {
      case .append(var state):
        // The only owner while it is worked on.
        decoder = .message(MessageStreamDecoder(bytesMax: 0))
        defer { decoder = .append(state) }
        state.append(bytes)
        while let message = try state.next() { try take(message) }
      case .message(var state):
        decoder = .message(MessageStreamDecoder(bytesMax: 0))
        defer { decoder = .message(state) }
        state.append(bytes)
        while let message = try state.next() { try take(message) }
      }
    } catch {
      // What came whole before it was right.
      deliver()
      end(.malformed(error))
    }
  }

  private func take(_ message: Message) throws(PeerCodecError) {
    if message.isLinkHeartbeat { return }
    try PeerNetwork.checkAddress(of: message, local: local, remote: remote)
    batch.append(message)
  }

  private func deliver() {
    guard batchBytes > 0 else { return }
    let messages = batch
    let bytes = batchBytes
    batch.removeAll()
    batchBytes = 0
    onMessages?(messages, bytes)
  }

  // MARK: The end

  private func refusal(_ status: Int, _ text: [UInt8]) -> End {
    let words = PeerAnswer(status: status, headers: [:], body: text).text
    switch status {
    case 410: return .removed
    case 404:
      return .failed(
        "peer \(MemberText.hexadecimal(remote)) failed to find local node \(MemberText.hexadecimal(local))")
    case 412 where words == PeerRefusal.incompatibleVersion || words == PeerRefusal.clusterMismatch:
      return .failed(words)
    case 412: return .failed("unhandled error \"\(words)\" when precondition failed")
    default: return .failed("unhandled http status \(status)")
    }
  }

  private func checkTime() {
    guard isReading, NIODeadline.now() - lastRead > .nanoseconds(timeouts.read) else { return }
    end(.timedOut)
  }

  private func end(_ end: End) {
    if hasEnded { return }
    let wasStreaming: Bool
    if case .streaming = state { wasStreaming = true } else { wasStreaming = false }
    state = .ended
    watch?.cancel()
    watch = nil
    let handler = onEnd
    onEnd = nil
    onOpen = nil
    onMessages = nil
    context?.close(promise: nil)
    if case .closed(let reason) = end, !wasStreaming {
      handler?(.failed(reason))
    } else {
      handler?(end)
    }
  }
}
