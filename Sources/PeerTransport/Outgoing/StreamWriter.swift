import Model
import NIOCore

/// Sends messages over the stream that a peer opened, when it has. Confined to the peers' event loop.
///
/// Encodes no more than the connection takes at once: what waits stays a message, so that one that must not wait (a
/// heartbeat, a vote) overtakes appends up to the last moment.
final class StreamWriter {
  private enum Encoder {
    case append(AppendStreamEncoder)
    case message
  }

  private struct Waiting {
    let message: Message
    let bytes: Int
  }

  private let kind: StreamKind
  private let limits: PeerLimits
  private let timeouts: PeerTimeouts
  private let eventLoop: any EventLoop
  private var stream: OutgoingStream?
  private var encoder = Encoder.message
  private var urgent = CircularBuffer<Waiting>()
  private var ordinary = CircularBuffer<Waiting>()
  private var waitingBytes = 0
  private var heartbeat: RepeatedTask?
  private var stall: Scheduled<Void>?
  /// Bytes written to the connection.
  var onSent: ((Int) -> Void)?
  /// The stream has gone, and what it carried may be lost.
  var onLost: ((String) -> Void)?

  init(kind: StreamKind, limits: PeerLimits, timeouts: PeerTimeouts, eventLoop: any EventLoop) {
    self.kind = kind
    self.limits = limits
    self.timeouts = timeouts
    self.eventLoop = eventLoop
  }

  var isAttached: Bool { stream != nil }
  var waitingCount: Int { urgent.count + ordinary.count }

  /// The peer opened the stream, perhaps anew. What waits goes over the new connection; what the old one carried is
  /// as lost as if it had broken.
  func attach(_ stream: OutgoingStream) {
    if self.stream != nil { detach("replaced by a new connection", keepingQueue: true) }
    self.stream = stream
    encoder = kind == .append ? .append(AppendStreamEncoder()) : .message
    stream.onClose = { [weak self, weak stream] in
      guard let self, let stream, self.stream === stream else { return }
      self.detach("closed by the peer")
    }
    stream.onWritable = { [weak self] in self?.pump() }
    let pace = TimeAmount.nanoseconds(timeouts.linkHeartbeat)
    let me = NIOLoopBound(self, eventLoop: eventLoop)
    heartbeat = eventLoop.scheduleRepeatedTask(initialDelay: pace, delay: pace) { _ in
      me.value.sendHeartbeat()
    }
    pump()
  }

  /// Takes a message; false if too many wait or there is no stream.
  func enqueue(_ message: Message) -> Bool {
    guard stream != nil else { return false }
    let bytes = message.encodedSize
    guard waitingCount < limits.queuedMessages, waitingBytes + bytes <= limits.queuedBytes else {
      return false
    }
    waitingBytes += bytes
    if message.kind == .append {
      ordinary.append(Waiting(message: message, bytes: bytes))
    } else {
      urgent.append(Waiting(message: message, bytes: bytes))
    }
    return true
  }

  /// Writes what the connection takes. Called after a batch was enqueued and when the connection has room again.
  func pump() {
    guard let stream else { return }
    var sent = 0
    while stream.isWritable, let first = nextWaiting() {
      var output = stream.makeBuffer(capacity: min(first.bytes + 16, Self.pieceBytes + 1024))
      encode(first.message, into: &output)
      while output.readableBytes < Self.pieceBytes, let more = nextWaiting() {
        encode(more.message, into: &output)
      }
      sent += output.readableBytes
      stream.writeAndFlush(output)
      // A failed write closes the stream before it returns.
      guard self.stream === stream else { return }
    }
    if sent > 0 { onSent?(sent) }
    watchForStall()
  }

  func stop() {
    onLost = nil
    detach("stopped")
  }

  static let timeoutReason = "i/o timeout"
  private static let pieceBytes = 64 << 10

  private func nextWaiting() -> Waiting? {
    guard let next = urgent.popFirst() ?? ordinary.popFirst() else { return nil }
    waitingBytes -= next.bytes
    return next
  }

  private func encode(_ message: Message, into output: inout ByteBuffer) {
    switch encoder {
    case .message: MessageFraming.encode(message, into: &output)
    case .append(var state):
      state.encode(message, into: &output)
      encoder = .append(state)
    }
  }

  /// Data under way says as much as a heartbeat, so a connection that takes nothing gets none on top.
  private func sendHeartbeat() {
    guard let stream, stream.isWritable else { return }
    var output = stream.makeBuffer(capacity: 64)
    encode(.linkHeartbeat, into: &output)
    let count = output.readableBytes
    stream.writeAndFlush(output)
    onSent?(count)
  }

  /// A connection that takes nothing of what waits for it is broken, whatever TCP says.
  private func watchForStall() {
    guard let stream, !stream.isWritable else {
      stall?.cancel()
      stall = nil
      return
    }
    guard stall == nil else { return }
    let me = NIOLoopBound(self, eventLoop: eventLoop)
    stall = eventLoop.scheduleTask(in: .nanoseconds(timeouts.write)) {
      me.value.stall = nil
      if let stream = me.value.stream, !stream.isWritable { me.value.detach(Self.timeoutReason) }
    }
  }

  private func detach(_ reason: String, keepingQueue: Bool = false) {
    guard let stream else { return }
    self.stream = nil
    stream.onClose = nil
    stream.onWritable = nil
    stream.close()
    heartbeat?.cancel()
    heartbeat = nil
    stall?.cancel()
    stall = nil
    if !keepingQueue {
      urgent.removeAll()
      ordinary.removeAll()
      waitingBytes = 0
    }
    onLost?(reason)
  }
}
