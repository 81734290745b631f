internal import CNGHTTP2
public import Model
import NIOCore

/// Hears what becomes of calls; called on the connection's event loop.
public protocol ClientCallObserver: AnyObject {
  /// One whole response message, without prefix; the bytes are valid during this call only.
  func received(_ call: ClientCall, message: UnsafeRawBufferPointer)
  /// The call is over; nothing more is heard of it. Code `.ok` is success.
  func ended(_ call: ClientCall, with status: ClientError)
}

/// One call that a client made. Confined to its connection's event loop (`@unchecked Sendable` only so that a
/// reference may travel). Objects are reused once nobody holds them.
public final class ClientCall: @unchecked Sendable {
  public let connection: ClientConnection
  /// Whatever the caller wants to find again.
  public var tag: UInt64 = 0

  var observer: (any ClientCallObserver)?
  /// nghttp2 reads the method's fields in place when the request leaves.
  var method: ClientMethod?
  var streamID: Int32 = -1
  var slot = 0
  var sendQueue = SendQueue()
  var assembler = MessageAssembler()
  /// No request message follows those in the queue.
  var halfClosed = false
  var deferred = false
  var ended = false
  var httpStatus = 0
  var hasStatus = false
  var code = StatusCode.unknown
  var message = ""
  /// Set when the client itself ends the call, and kept against what the stream's end would say.
  var ownStatus: ClientError?

  init(connection: ClientConnection) {
    self.connection = connection
  }

  /// Request bytes accepted and not yet written to the socket.
  public var queuedBytes: Int { sendQueue.count }

  /// Sends a further message of a stream of requests; five bytes of headroom at its front.
  public func send(_ message: consuming [UInt8]) {
    connection.send(self, message)
  }

  /// No further requests.
  public func finishRequests() {
    connection.finishRequests(self)
  }

  /// Ends the call from this side; the observer hears Canceled.
  public func cancel() {
    connection.cancel(self, ClientError(.cancelled, "context canceled"), reset: NGHTTP2_CANCEL.rawValue)
  }

  func reset() {
    tag = 0
    streamID = -1
    halfClosed = false
    deferred = false
    ended = false
    httpStatus = 0
    hasStatus = false
    code = .unknown
    if !message.isEmpty { message = "" }
    ownStatus = nil
  }

  func release() {
    observer = nil
    method = nil
    sendQueue.removeAll()
    assembler.reset()
  }

  func takeHeader(name: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer) {
    switch name.count {
    case 7 where name.equals(":status"):
      httpStatus = Self.number(value) ?? 0
    case 11 where name.equals("grpc-status"):
      hasStatus = true
      code = Self.number(value).flatMap { StatusCode(rawValue: Int32(clamping: $0)) } ?? .unknown
    case 12 where name.equals("grpc-message"):
      if !value.isEmpty { message = percentDecoded(value) }
    default: break
    }
  }

  /// What the observer is told at the end of the stream.
  func finalStatus(streamError: UInt32) -> ClientError {
    if let ownStatus { return ownStatus }
    if hasStatus { return ClientError(code, message) }
    if streamError != NGHTTP2_NO_ERROR.rawValue {
      let name = String(cString: nghttp2_http2_strerror(streamError))
      let code: StatusCode =
        switch streamError {
        case NGHTTP2_REFUSED_STREAM.rawValue: .unavailable
        case NGHTTP2_CANCEL.rawValue: .cancelled
        case NGHTTP2_ENHANCE_YOUR_CALM.rawValue: .resourceExhausted
        default: .internal
        }
      return ClientError(code, "stream terminated by RST_STREAM with error code: \(name)")
    }
    if httpStatus != 0, httpStatus != 200 {
      let code: StatusCode =
        switch httpStatus {
        case 400: .internal
        case 401: .unauthenticated
        case 403: .permissionDenied
        case 404: .unimplemented
        case 429, 502, 503, 504: .unavailable
        default: .unknown
        }
      return ClientError(code, "unexpected HTTP status code received from server: \(httpStatus)")
    }
    return ClientError(.internal, "server closed the stream without sending trailers")
  }

  private static func number(_ bytes: UnsafeRawBufferPointer) -> Int? {
    guard !bytes.isEmpty, bytes.count <= 9 else { return nil }
    var result = 0
    for byte in bytes {
      guard byte >= 0x30, byte <= 0x39 else { return nil }
      result = result &* 10 &+ Int(byte &- 0x30)
    }
    return result
  }
}
