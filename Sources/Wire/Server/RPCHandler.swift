/// The services behind a server: told of calls, answers through `RPCCall`.
///
/// One handler serves one event loop and all connections on it, and every method is called on that loop, so its
/// state needs no lock. Calls come in this order: `began`, then any of `received` and `writable`, `requestsEnded`
/// once, and `cancelled` at most once as the last of all. A call that the handler has finished is not
/// mentioned again. Answers may be given inside these methods or at any later time on the loop; they are
/// collected and written once per read batch or per turn of the loop.
public protocol RPCHandler: AnyObject {
  /// A call with a known method and valid headers; its metadata can be read. Only for methods that are not
  /// unary: a unary call shows itself with its message.
  func began(_ call: RPCCall)

  /// One whole message, without its prefix. The bytes are valid during this call only.
  /// Unary and server-streaming methods get exactly one.
  func received(_ call: RPCCall, message: UnsafeRawBufferPointer)

  /// The client half-closed a bidirectional call; responses may still be sent.
  func requestsEnded(_ call: RPCCall)

  /// The call ended from the other side; nothing sent on it will leave any more. For a deadline the wire
  /// has answered DeadlineExceeded itself.
  func cancelled(_ call: RPCCall, reason: CancellationReason)

  /// `send` had returned false, and the queue of the call has drained to its low mark.
  func writable(_ call: RPCCall)

  /// Everything that one read of the socket brought has been delivered: the moment to hand a batch on.
  func batchEnded(_ connection: ServerConnection)

  /// The server stops: long-lived calls should be finished; new ones are no longer accepted.
  func draining(_ connection: ServerConnection)

  /// The connection is gone; its calls were cancelled before.
  func closed(_ connection: ServerConnection)
}

extension RPCHandler {
  public func began(_ call: RPCCall) {}
  public func requestsEnded(_ call: RPCCall) {}
  public func writable(_ call: RPCCall) {}
  public func batchEnded(_ connection: ServerConnection) {}
  public func draining(_ connection: ServerConnection) {}
  public func closed(_ connection: ServerConnection) {}
}

/// Why a call ended before the handler finished it.
public enum CancellationReason: Sendable {
  /// The client reset the stream.
  case reset
  /// The client's `grpc-timeout` ran out.
  case deadline
  /// The connection closed, or the server stopped waiting for it.
  case connectionClosed
  /// The client broke the protocol on this stream or exceeded a limit; the wire has answered.
  case protocolViolation
}

/// The request metadata that etcd gives a meaning; everything else is dropped unread.
public enum RPCMetadata: Int, CaseIterable, Sendable {
  case hasLeader
  case token
  case authorization
  case clientAPIVersion
}
