internal import CNGHTTP2
internal import Glibc
internal import Model
public import NIOCore
import NIOPosix

/// One HTTP/2 connection of a client: an nghttp2 session on a SwiftNIO channel, with pipelined calls.
///
/// Calls are started, and their observers called, on the connection's event loop; requests started in one turn
/// of the loop leave in one write. Confined to that loop (`@unchecked Sendable` only so that a reference may
/// travel); `unary` and `close` may be called from anywhere.
public final class ClientConnection: ChannelInboundHandler, @unchecked Sendable {
  public typealias InboundIn = ByteBuffer
  public typealias OutboundOut = ByteBuffer

  /// What a connection bounds or times.
  public struct Options: Sendable {
    public var responseBytesMax = Int(Int32.max)
    /// Receive windows: how far the server may be ahead of us.
    public var streamWindowBytes: Int32 = 4 << 20
    public var connectionWindowBytes: Int32 = 16 << 20
    public var connectTimeout = TimeAmount.seconds(5)
    public var outputChunkBytes = 256 << 10

    public init() {}
  }

  public let eventLoop: any EventLoop
  public let channel: any Channel
  let options: Options
  private var session: OpaquePointer?
  private var context: ChannelHandlerContext?
  private var calls: [ClientCall] = []
  private var pool: [ClientCall] = []
  private var output: ByteBuffer
  private var isReading = false
  private var isMarked = false
  private var isFlushing = false
  private var isInSession = false
  private var goingAway = false
  private var deadlines = DeadlineQueue()
  private var deadlineTimer: Scheduled<Void>?
  private var deadlineTimerAt = NIODeadline.distantFuture

  /// Connects over TCP.
  public static func connect(
    host: String, port: Int, on eventLoop: any EventLoop, options: Options = Options()
  ) -> EventLoopFuture<ClientConnection> {
    bootstrap(on: eventLoop, options)
      .channelOption(ChannelOptions.tcpOption(.tcp_nodelay), value: 1)
      .connect(host: host, port: port)
      .flatMapThrowing { try connection(of: $0) }
  }

  /// Takes over a socket that is connected already.
  static func adopt(
    socket: NIOBSDSocket.Handle, on eventLoop: any EventLoop, options: Options = Options()
  ) -> EventLoopFuture<ClientConnection> {
    bootstrap(on: eventLoop, options).withConnectedSocket(socket).flatMapThrowing { try connection(of: $0) }
  }

  private static func bootstrap(on eventLoop: any EventLoop, _ options: Options) -> ClientBootstrap {
    ClientBootstrap(group: eventLoop)
      .connectTimeout(options.connectTimeout)
      .channelOption(ChannelOptions.maxMessagesPerRead, value: 4)
      .channelOption(
        ChannelOptions.writeBufferWaterMark,
        value: .init(low: options.outputChunkBytes / 2, high: options.outputChunkBytes * 2)
      )
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(ClientConnection(channel: channel, options: options))
        }
      }
  }

  private static func connection(of channel: any Channel) throws -> ClientConnection {
    try channel.pipeline.syncOperations.handler(type: ClientConnection.self)
  }

  init(channel: any Channel, options: Options) {
    self.channel = channel
    self.eventLoop = channel.eventLoop
    self.options = options
    self.output = channel.allocator.buffer(capacity: 16_384)
  }

  /// Whether new calls can be made here.
  public var isUsable: Bool { session != nil && !goingAway && channel.isActive }

  /// Calls in flight.
  public var openCalls: Int { calls.count }

  // MARK: Calls

  /// Starts a call with one request message, and no more to follow.
  /// - Parameter message: five bytes of headroom, then the encoded message.
  /// - Returns: nil when the connection takes no more calls; the observer is not called then.
  @discardableResult
  public func start(
    _ method: ClientMethod, message: consuming [UInt8], options callOptions: CallOptions = CallOptions(),
    observer: any ClientCallObserver, tag: UInt64 = 0
  ) -> ClientCall? {
    begin(method, message: message, halfClosed: true, callOptions, observer: observer, tag: tag)
  }

  /// Starts a call whose requests follow by `ClientCall.send`.
  public func startStream(
    _ method: ClientMethod, options callOptions: CallOptions = CallOptions(), observer: any ClientCallObserver
  ) -> ClientCall? {
    begin(method, message: nil, halfClosed: false, callOptions, observer: observer, tag: 0)
  }

  private func begin(
    _ method: ClientMethod, message: consuming [UInt8]?, halfClosed: Bool, _ callOptions: CallOptions,
    observer: any ClientCallObserver, tag: UInt64
  ) -> ClientCall? {
    guard let session, !goingAway else { return nil }
    let call = pool.popLast() ?? ClientCall(connection: self)
    call.reset()
    call.observer = observer
    call.method = method
    call.tag = tag
    call.halfClosed = halfClosed
    if let message { call.sendQueue.append(message) }
    let pointer = Unmanaged.passUnretained(call).toOpaque()
    var provider = nghttp2_data_provider()
    provider.source.ptr = pointer
    provider.read_callback = clientReadData
    let streamID: Int32
    if callOptions.isPlain {
      streamID = nghttp2_submit_request(
        session, nil, method.fields.baseAddress, method.fields.count, &provider, pointer)
    } else {
      streamID = submit(session, method, callOptions, &provider, pointer)
    }
    guard streamID > 0 else {
      goingAway = true
      call.release()
      return nil
    }
    call.streamID = streamID
    call.slot = calls.count
    calls.append(call)
    if let timeout = callOptions.timeoutNanoseconds { startDeadline(call, nanoseconds: timeout) }
    markForFlush()
    return call
  }

  private func submit(
    _ session: OpaquePointer, _ method: ClientMethod, _ callOptions: CallOptions,
    _ provider: inout nghttp2_data_provider, _ pointer: UnsafeMutableRawPointer
  ) -> Int32 {
    var extra = HeaderBlock()
    if let timeout = callOptions.timeoutNanoseconds {
      extra.add("grpc-timeout", Array(GRPCTimeout.text(nanoseconds: timeout).utf8))
    }
    for field in callOptions.metadata {
      let secret = field.name == "token" || field.name == "authorization"
      extra.add(field.name, Array(field.value.utf8), secret: secret)
    }
    return extra.withFields { fields, count in
      let all = Array(method.fields) + Array(UnsafeBufferPointer(start: fields, count: count))
      return all.withUnsafeBufferPointer {
        nghttp2_submit_request(session, nil, $0.baseAddress, $0.count, &provider, pointer)
      }
    }
  }

  func send(_ call: ClientCall, _ message: consuming [UInt8]) {
    guard !call.ended, !call.halfClosed else { return }
    call.sendQueue.append(message)
    resume(call)
  }

  func finishRequests(_ call: ClientCall) {
    guard !call.ended, !call.halfClosed else { return }
    call.halfClosed = true
    resume(call)
  }

  func cancel(_ call: ClientCall, _ status: ClientError, reset code: UInt32) {
    guard let session, !call.ended, call.ownStatus == nil else { return }
    call.ownStatus = status
    _ = nghttp2_submit_rst_stream(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), call.streamID, code)
    markForFlush()
  }

  private func resume(_ call: ClientCall) {
    if call.deferred, let session {
      call.deferred = false
      _ = nghttp2_session_resume_data(session, call.streamID)
    }
    markForFlush()
  }

  /// Stops or resumes taking bytes from the server, whose flow control then holds it back. On the event loop.
  public func setReading(_ isReading: Bool) {
    _ = channel.setOption(ChannelOptions.autoRead, value: isReading)
  }

  /// Closes at once; calls in flight end with Unavailable. From any thread.
  public func close() {
    channel.close(promise: nil)
  }

  // MARK: ChannelInboundHandler

  public func handlerAdded(context: ChannelHandlerContext) {
    self.context = context
    session = makeClientSession(self)
    if session == nil { return context.close(promise: nil) }
    if channel.isActive { flush() }
  }

  public func channelActive(context: ChannelHandlerContext) {
    flush()
    context.fireChannelActive()
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
    guard let session else { return }
    isReading = true
    isInSession = true
    let result = unwrapInboundIn(data).withUnsafeReadableBytes { bytes in
      nghttp2_session_mem_recv(session, bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), bytes.count)
    }
    isInSession = false
    if result < 0 { context.close(promise: nil) }
  }

  public func channelReadComplete(context: ChannelHandlerContext) {
    isReading = false
    flush()
    context.fireChannelReadComplete()
  }

  public func channelWritabilityChanged(context: ChannelHandlerContext) {
    if context.channel.isWritable { flush() }
    context.fireChannelWritabilityChanged()
  }

  private func tearDown() {
    guard let session else { return }
    if isInSession {
      eventLoop.assumeIsolated().execute { [self] in tearDown() }
      return
    }
    self.session = nil
    deadlineTimer?.cancel()
    deadlineTimer = nil
    let open = calls
    calls = []
    pool = []
    nghttp2_session_del(session)
    for call in open { end(call, call.ownStatus ?? ClientError(.unavailable, "connection closed")) }
  }

  // MARK: Output

  @inline(__always)
  private func markForFlush() {
    guard !isReading, !isMarked, !isFlushing else { return }
    isMarked = true
    eventLoop.assumeIsolated().execute { [self] in
      isMarked = false
      if !isReading { flush() }
    }
  }

  private func flush() {
    guard let session, let context, !isFlushing, channel.isActive else { return }
    isFlushing = true
    defer { isFlushing = false }
    while channel.isWritable {
      isInSession = true
      let result = nghttp2_session_send(session)
      isInSession = false
      let wrote = output.readableBytes > 0
      if wrote {
        context.writeAndFlush(wrapOutboundOut(output), promise: nil)
        output.clear()
      }
      if result != 0 { return context.close(promise: nil) }
      if !wrote || nghttp2_session_want_write(session) == 0 { break }
    }
    if nghttp2_session_want_read(session) == 0, nghttp2_session_want_write(session) == 0 {
      context.close(promise: nil)
    }
  }

  @inline(__always)
  var hasRoomForOutput: Bool { output.readableBytes < options.outputChunkBytes }

  @inline(__always)
  func appendOutput(_ bytes: UnsafePointer<UInt8>, _ count: Int) {
    output.writeWithUnsafeMutableBytes(minimumWritableBytes: count) { target in
      if let base = target.baseAddress { memcpy(base, bytes, count) }
      return count
    }
  }

  func appendData(_ call: ClientCall, frameHeader: UnsafePointer<UInt8>, length: Int) {
    output.writeWithUnsafeMutableBytes(minimumWritableBytes: length &+ 9) { target in
      if let base = target.baseAddress {
        memcpy(base, frameHeader, 9)
        call.sendQueue.take(length, into: base + 9)
      }
      return length &+ 9
    }
  }

  // MARK: Input

  func dataReceived(_ call: ClientCall, _ bytes: UnsafeRawBufferPointer) {
    guard call.ownStatus == nil, let observer = call.observer else { return }
    do {
      try call.assembler.feed(bytes, limit: options.responseBytesMax) { message in
        observer.received(call, message: message)
        return call.ownStatus == nil
      }
    } catch {
      let text =
        switch error {
        case .tooLarge(let length):
          "grpc: received message larger than max (\(length) vs. \(options.responseBytesMax))"
        case .compressed, .decompressedTooLarge, .undecompressable:
          "grpc: compressed flag set with identity or empty encoding"
        case .unknownFormat(let format): "grpc: received unexpected payload format \(format)"
        }
      cancel(call, ClientError(.internal, text), reset: NGHTTP2_CANCEL.rawValue)
    }
  }

  func streamClosed(_ call: ClientCall, error: UInt32) {
    guard !call.ended, call.slot < calls.count, calls[call.slot] === call else { return }
    var removed = calls[call.slot]
    let last = calls.removeLast()
    if last !== removed {
      calls[removed.slot] = last
      last.slot = removed.slot
    }
    end(removed, removed.finalStatus(streamError: error))
    if pool.count < 1024, isKnownUniquelyReferenced(&removed) { pool.append(removed) }
  }

  func goAwayReceived() {
    goingAway = true
  }

  private func end(_ call: ClientCall, _ status: ClientError) {
    guard !call.ended else { return }
    call.ended = true
    let observer = call.observer
    call.release()
    observer?.ended(call, with: status)
  }

  // MARK: Deadlines

  private func startDeadline(_ call: ClientCall, nanoseconds: Int64) {
    let deadline = NIODeadline.now() + .nanoseconds(min(max(nanoseconds, 0), .max / 2))
    deadlines.compact(liveCount: calls.count) { openCall($0) != nil }
    deadlines.insert(.init(deadline: deadline, streamID: call.streamID))
    if deadline < deadlineTimerAt { armDeadlineTimer(deadline) }
  }

  private func armDeadlineTimer(_ deadline: NIODeadline) {
    deadlineTimer?.cancel()
    deadlineTimerAt = deadline
    deadlineTimer = eventLoop.assumeIsolated().scheduleTask(deadline: deadline) { [self] in
      deadlineTimerFired()
    }
  }

  private func deadlineTimerFired() {
    deadlineTimer = nil
    deadlineTimerAt = .distantFuture
    let now = NIODeadline.now()
    while let earliest = deadlines.heap.first {
      let call = openCall(earliest.streamID)
      if call != nil, earliest.deadline > now { break }
      _ = deadlines.popEarliest()
      if let call {
        let status = ClientError(.deadlineExceeded, "context deadline exceeded")
        cancel(call, status, reset: NGHTTP2_CANCEL.rawValue)
      }
    }
    if let earliest = deadlines.earliest { armDeadlineTimer(earliest) }
  }

  private func openCall(_ streamID: Int32) -> ClientCall? {
    guard let session, let pointer = nghttp2_session_get_stream_user_data(session, streamID) else {
      return nil
    }
    return Unmanaged<ClientCall>.fromOpaque(pointer).takeUnretainedValue()
  }
}
