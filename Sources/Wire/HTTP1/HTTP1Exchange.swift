public import NIOCore

/// Hears what the client sends in one exchange; called on the connection's event loop.
public protocol HTTP1ExchangeHandler: AnyObject {
  /// A piece of the request's body.
  func received(_ bytes: ByteBuffer)
  /// The body is complete.
  func requestEnded()
  /// `HTTP1Exchange.send` had returned false, and what was queued has gone to the socket.
  func writable()
  /// The client is gone, or the server has lost patience: nothing more reaches it.
  func closed()
}

/// The connection below an exchange. Called on its event loop; each call means what that of `HTTP1Exchange` says.
protocol ExchangeConnection: AnyObject {
  func respond(_ response: HTTP1Response, in exchange: HTTP1Exchange)
  func start(status: Int, headers: [(name: String, value: String)], in exchange: HTTP1Exchange)
  func send(_ bytes: [UInt8], in exchange: HTTP1Exchange) -> Bool
  func finish(_ exchange: HTTP1Exchange)
  func setReading(_ isReading: Bool)
  func inward() -> EventLoopFuture<ClientConnection>
}

/// A request and the way to answer it in pieces. Ended with `finish` or by one `respond`; answers after that, or after
/// the client went away, are dropped.
///
/// Confined to its event loop (`@unchecked Sendable` only so that a reference may travel).
public final class HTTP1Exchange: @unchecked Sendable {
  public let request: HTTP1Request
  public let eventLoop: any EventLoop
  /// Sent with whatever answer there is.
  public var addedHeaders: [(name: String, value: String)] = []
  /// Nil once the exchange is over.
  weak var connection: (any ExchangeConnection)?

  init(request: HTTP1Request, connection: any ExchangeConnection, eventLoop: any EventLoop) {
    self.request = request
    self.connection = connection
    self.eventLoop = eventLoop
  }

  /// Answers at once and whole.
  public func respond(_ response: HTTP1Response) {
    var response = response
    response.headers += addedHeaders
    connection?.respond(response, in: self)
  }

  /// Sends status and headers; the body follows in chunks.
  public func start(status: Int = 200, headers: [(name: String, value: String)]) {
    connection?.start(status: status, headers: headers + addedHeaders, in: self)
  }

  /// Sends a chunk. False: enough is queued, `HTTP1ExchangeHandler.writable` tells when to go on.
  public func send(_ bytes: [UInt8]) -> Bool {
    connection?.send(bytes, in: self) ?? true
  }

  /// Ends the body.
  public func finish() {
    connection?.finish(self)
  }

  /// Stops or resumes taking bytes from the client.
  public func setReading(_ isReading: Bool) {
    connection?.setReading(isReading)
  }

  /// A connection to the RPC services of the same server, inside the process. It lasts as long as the client's
  /// connection, and exchanges share it one after another.
  public func inward() -> EventLoopFuture<ClientConnection> {
    guard let connection else { return eventLoop.makeFailedFuture(ChannelError.ioOnClosedChannel) }
    return connection.inward()
  }
}
