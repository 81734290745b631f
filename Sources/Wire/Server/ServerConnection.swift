internal import CNGHTTP2
import Model
public import NIOCore

/// One HTTP/2 connection: an nghttp2 session between a socket and an `RPCHandler`.
///
/// Bytes come in by `channelRead`; nghttp2's callbacks turn them into calls and messages; answers are submitted to
/// nghttp2 at once and serialised into one reused buffer when the read batch or the loop's turn ends.
/// Confined to its event loop (`@unchecked Sendable` only so that a reference may travel).
///
/// Memory a peer can make us hold is bounded: unfinished messages, queued responses (beyond a mark further
/// requests are parked and their bytes not credited back, so that the peer's window closes), header
/// bytes, streams, and control frames each have a limit in `ServerOptions`.
public final class ServerConnection: ChannelInboundHandler, @unchecked Sendable {
  public typealias InboundIn = ByteBuffer
  public typealias OutboundOut = ByteBuffer

  public let eventLoop: any EventLoop
  public let channel: any Channel
  /// Anything the handler wants to find again with this connection.
  public var userObject: AnyObject?

  let loop: ServerLoop
  let options: ServerOptions
  let handler: any RPCHandler
  let methods: MethodTable
  let headers = StaticHeaders.shared
  var session: OpaquePointer?
  var context: ChannelHandlerContext?
  var loopSlot = -1

  /// Open calls; each knows its position.
  var calls: [RPCCall] = []
  var pool: [RPCCall] = []
  /// Messages that wait until queued responses have drained, oldest first.
  var parked: [ParkedMessage] = []
  var parkedHead = 0
  /// Calls finished while the client might still send: reset once the answer is out.
  var finishedEarly: [RPCCall] = []
  /// Calls whose queue has drained to the low mark.
  var drained: [RPCCall] = []
  /// Response bytes queued on all calls.
  public internal(set) var queuedBytes = 0
  /// Bytes of requests held, as `ServerOptions.heldRequestBytesMax` counts them.
  var heldBytes = 0
  var isCongested = false

  var output: ByteBuffer
  var isReading = false
  var isMarked = false
  var isFlushing = false
  var isClosing = false
  /// nghttp2 is on the stack: the session must not be deleted under it.
  var isInSession = false

  var deadlines = DeadlineQueue()
  var deadlineTimer: Scheduled<Void>?
  var deadlineTimerAt = NIODeadline.distantFuture
  /// When the bytes of the batch came, and when all calls in it had been dealt with: read once per batch.
  public internal(set) var batchTime = NIODeadline.now()
  public internal(set) var batchEnd = NIODeadline.now()
  var keepalive: KeepaliveEnforcement
  var keepaliveTimer: Scheduled<Void>?
  var lastRead = NIODeadline.now()
  var pingOutstanding = false
  var settingsFrames = 0
  var emptyDataFrames = 0
  var drainStage = DrainStage.none

  enum DrainStage { case none, notified, announced }

  struct ParkedMessage {
    var call: RPCCall
    var message: [UInt8]
    /// Bytes of flow control window that the peer gets back once the message is delivered.
    var credit: Int
  }

  init(channel: any Channel, loop: ServerLoop) {
    self.channel = channel
    self.eventLoop = channel.eventLoop
    self.loop = loop
    self.options = loop.options
    self.handler = loop.handler
    self.methods = loop.methods
    self.keepalive = KeepaliveEnforcement(minTime: loop.options.keepaliveMinTime)
    self.output = channel.allocator.buffer(capacity: 16_384)
  }

  /// Calls that have begun and not ended.
  public var openCalls: Int { calls.count }

  /// Whether so many response bytes wait that no more should be produced for this connection.
  public var isBackedUp: Bool { queuedBytes >= options.connectionQueueHighBytes }

  // MARK: ChannelInboundHandler

  public func handlerAdded(context: ChannelHandlerContext) {
    self.context = context
    do {
      session = try makeServerSession(self)
    } catch {
      context.close(promise: nil)
      return
    }
    loop.add(self)
    armKeepalive(after: options.keepaliveInterval)
    if loop.isDraining { drain() }
  }

  public func handlerRemoved(context: ChannelHandlerContext) {
    tearDown()
    self.context = nil
  }

  public func channelInactive(context: ChannelHandlerContext) {
    tearDown()
    context.fireChannelInactive()
  }

  public func errorCaught(context: ChannelHandlerContext, error: any Error) {
    context.close(promise: nil)
  }

  public func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    guard let session, !isClosing else { return }
    if !isReading {
      isReading = true
      batchTime = .now()
      lastRead = batchTime
      pingOutstanding = false
    }
    let buffer = unwrapInboundIn(data)
    isInSession = true
    let result = buffer.withUnsafeReadableBytes { bytes in
      nghttp2_session_mem_recv(session, bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), bytes.count)
    }
    isInSession = false
    if result < 0 {
      // A flood, a bad preface or no memory: nghttp2 may have left a GOAWAY to send.
      failConnection(NGHTTP2_PROTOCOL_ERROR.rawValue)
    }
  }

  public func channelReadComplete(context: ChannelHandlerContext) {
    if isReading {
      isReading = false
      batchEnd = .now()
      loop.endedCalls.settle(now: batchEnd)
      handler.batchEnded(self)
      flush()
    }
    context.fireChannelReadComplete()
  }

  public func channelWritabilityChanged(context: ChannelHandlerContext) {
    if context.channel.isWritable { flush() }
    context.fireChannelWritabilityChanged()
  }

  /// Closes at once; open calls are cancelled.
  public func close() {
    guard !isClosing else { return }
    isClosing = true
    context?.close(promise: nil)
  }

  /// Ends every call and the session. Runs once.
  private func tearDown() {
    guard let session else { return }
    isClosing = true
    if isInSession {
      eventLoop.assumeIsolated().execute { [self] in tearDown() }
      return
    }
    self.session = nil
    keepaliveTimer?.cancel()
    keepaliveTimer = nil
    deadlineTimer?.cancel()
    deadlineTimer = nil
    let open = calls
    calls = []
    for call in open {
      let tell = call.announced && !call.finished
      call.closed = true
      if tell {
        countEnd(call, .cancelled)
        handler.cancelled(call, reason: .connectionClosed)
      }
      call.release()
    }
    parked = []
    parkedHead = 0
    finishedEarly = []
    drained = []
    pool = []
    nghttp2_session_del(session)
    handler.closed(self)
    userObject = nil
    loop.remove(self)
  }
}
