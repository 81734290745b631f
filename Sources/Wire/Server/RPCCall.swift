internal import CNGHTTP2
public import Model
public import NIOCore

/// One call on a server connection, and the way to answer it.
///
/// Confined to its connection's event loop: it may be carried through other threads (`@unchecked Sendable` for
/// that alone), but only `connection.eventLoop` may call its methods or read its state. After the call ended,
/// from either side, answers are dropped silently, so a late reply needs no check.
/// Objects are reused for later calls once nobody else holds them.
public final class RPCCall: @unchecked Sendable {
  /// Bytes that a message handed to `respond` or `send` must leave free at its front, for gRPC's prefix.
  public static let messageHeadroom = 5

  public let connection: ServerConnection
  /// Index of the method in the server's table.
  public internal(set) var method = 0
  /// When the batch of reads that brought its headers began.
  public internal(set) var begunAt = NIODeadline.distantFuture
  /// Anything the handler wants to find again with this call; released when the call ends.
  public var userObject: AnyObject?

  var streamID: Int32 = 0
  var kind = RPCMethod.Kind.unary
  /// Position in the connection's list of open calls.
  var slot = 0
  var request = CallRequest()
  var assembler = MessageAssembler()
  var sendQueue = SendQueue()
  var deadline = NIODeadline.distantFuture
  /// When its bytes came, for metrics.
  var began = NIODeadline.distantPast
  /// The client may send no more.
  var remoteClosed = false
  /// The handler has heard of this call and is owed its end.
  var announced = false
  /// A unary or server-streaming call's one message has been delivered.
  var messageDelivered = false
  var headersSubmitted = false
  /// The status has been given: no more messages.
  var finished = false
  /// nghttp2 has let go of the stream.
  var closed = false
  var wantsWritable = false
  /// What its headers count in `ServerConnection.heldBytes`.
  var heldHeaderBytes = 0
  /// Messages of this call that wait for queued responses to drain.
  var parkedMessages = 0
  /// The data source told nghttp2 to wait until it is resumed.
  var deferred = false
  /// The end of the call, sent once the queue has drained.
  var status = StatusCode.ok
  var statusMessage = ""

  init(connection: ServerConnection) {
    self.connection = connection
  }

  /// Whether answers still reach the wire.
  public var isOpen: Bool { !finished && !closed }

  /// Response bytes accepted and not yet written to the socket.
  public var queuedBytes: Int { sendQueue.count }

  /// Answers a call with one message and status OK.
  /// - Parameter message: `messageHeadroom` bytes of any content, then the encoded message.
  @inline(__always)
  public func respond(_ message: consuming [UInt8]) {
    connection.respond(self, message)
  }

  /// Ends the call with an error.
  public func fail(_ error: ClientError) {
    connection.finish(self, error.code, error.message)
  }

  /// Queues one message of a stream.
  /// - Parameter message: `messageHeadroom` bytes of any content, then the encoded message.
  /// - Returns: false once the queue of this call or connection is over its high mark; the message is queued all
  ///   the same, and `RPCHandler.writable` tells when to go on.
  public func send(_ message: consuming [UInt8]) -> Bool {
    connection.send(self, message)
  }

  /// Sends the response headers now, ahead of the first message.
  public func sendHeaders() {
    connection.sendHeaders(self)
  }

  /// Ends the call after what was sent before.
  public func finish(_ code: StatusCode = .ok, _ message: String = "") {
    connection.finish(self, code, message)
  }

  /// Hands the value of a metadata field to `body`, or nil when the client sent none.
  public func withMetadata<Result>(
    _ field: RPCMetadata, _ body: (UnsafeRawBufferPointer?) -> Result
  ) -> Result {
    body(request.bytes(.init(field)))
  }

  /// A metadata value as text; invalid UTF-8 is repaired.
  public func metadataText(_ field: RPCMetadata) -> String? {
    request.bytes(.init(field)).map { String(decoding: $0, as: UTF8.self) }
  }

  /// Back to the state of a new call, for the next stream.
  func reset(streamID: Int32) {
    self.streamID = streamID
    method = 0
    kind = .unary
    deadline = .distantFuture
    remoteClosed = false
    announced = false
    messageDelivered = false
    headersSubmitted = false
    finished = false
    closed = false
    wantsWritable = false
    deferred = false
    parkedMessages = 0
    heldHeaderBytes = 0
    status = .ok
    if !statusMessage.isEmpty { statusMessage = "" }
  }

  /// Lets go of everything the call holds, when its stream is closed.
  func release() {
    closed = true
    userObject = nil
    request.release()
    assembler.reset()
    sendQueue.removeAll()
  }

  deinit { request.release() }
}
