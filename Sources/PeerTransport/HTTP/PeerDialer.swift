import NIOCore
import NIOHTTP1
import NIOPosix

/// Opens connections to peers, on the peers' event loop.
struct PeerDialer: Sendable {
  let eventLoop: any EventLoop
  let dialTimeout: Int64
  let writeBufferBytes: Int
  /// Handlers between the socket and HTTP for an https URL, outermost first; nil without TLS.
  let makeTransportHandlers: (@Sendable (any Channel, PeerURL) throws -> [any ChannelHandler])?

  /// Connects and puts `handler` behind HTTP/1.1's codec. The future fails with the reason.
  func connect(
    to url: PeerURL, makeHandler: @escaping @Sendable () -> any ChannelHandler
  ) -> EventLoopFuture<any Channel> {
    if url.isSecure && makeTransportHandlers == nil {
      return eventLoop.makeFailedFuture(PeerHTTPError.noTransportSecurity)
    }
    let makeTransportHandlers = url.isSecure ? self.makeTransportHandlers : nil
    return ClientBootstrap(group: eventLoop)
      .connectTimeout(.nanoseconds(dialTimeout))
      .channelOption(ChannelOptions.tcpOption(.tcp_nodelay), value: 1)
      .channelOption(
        ChannelOptions.writeBufferWaterMark, value: .init(low: writeBufferBytes / 4, high: writeBufferBytes)
      )
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          let pipeline = channel.pipeline.syncOperations
          for handler in try makeTransportHandlers?(channel, url) ?? [] { try pipeline.addHandler(handler) }
          try pipeline.addHTTPClientHandlers()
          try pipeline.addHandler(makeHandler())
        }
      }
      .connect(host: url.host, port: url.port)
  }

  /// One request and its whole answer over a connection of its own.
  /// - Parameters:
  ///   - responseBytesMax: of the answer's body.
  ///   - timeout: nanoseconds from the connection to the end of the answer.
  func exchange(
    _ url: PeerURL, _ method: HTTPMethod, _ path: String, headers: HTTPHeaders, body: ByteBuffer?,
    responseBytesMax: Int, timeout: Int64
  ) -> EventLoopFuture<PeerAnswer> {
    let promise = eventLoop.makePromise(of: PeerAnswer.self)
    var head = HTTPRequestHead(version: .http1_1, method: method, uri: path, headers: headers)
    head.headers.replaceOrAdd(name: "Host", value: url.authority)
    head.headers.replaceOrAdd(name: "Connection", value: "close")
    if let body { head.headers.replaceOrAdd(name: "Content-Length", value: String(body.readableBytes)) }
    let request = head
    connect(to: url) {
      ExchangeHandler(
        request, body: body, responseBytesMax: responseBytesMax, timeout: timeout, promise: promise)
    }.whenFailure { promise.fail($0) }
    return promise.futureResult
  }
}

/// The whole answer of a peer.
struct PeerAnswer: Sendable {
  var status: Int
  var headers: HTTPHeaders
  var body: [UInt8]

  /// The body as an error's text, without its line feed.
  var text: String {
    let text = String(decoding: body.prefix(300), as: UTF8.self)
    return text.hasSuffix("\n") ? String(text.dropLast()) : text
  }
}

/// Why there is no answer.
public enum PeerHTTPError: Error, Hashable, Sendable, CustomStringConvertible {
  case noTransportSecurity
  case timedOut
  case responseTooLarge
  /// The connection ended before the answer did.
  case closed
  case status(Int, String)
  case incompatibleVersion
  case clusterMismatch
  /// The peer says that this member was removed.
  case removed
  case badURL(String)

  public var description: String {
    switch self {
    case .noTransportSecurity: "TLS is not configured for this https URL"
    case .timedOut: "i/o timeout"
    case .responseTooLarge: "the answer is too large"
    case .closed: "unexpected EOF"
    case .status(let status, let text): "unexpected http status \(status): \(text)"
    case .incompatibleVersion: PeerRefusal.incompatibleVersion
    case .clusterMismatch: PeerRefusal.clusterMismatch
    case .removed: "the member has been permanently removed from the cluster"
    case .badURL(let text): "no peer URL: \(text)"
    }
  }
}

extension PeerAnswer {
  /// What the answer to a posted message says; nil for success.
  var postError: PeerHTTPError? {
    switch status {
    case 204: nil
    // etcd's members take every 403 for this; one that tells of a message to somebody else is none.
    case 403 where text.contains(PeerRefusal.removed): .removed
    case 412 where text == PeerRefusal.incompatibleVersion: .incompatibleVersion
    case 412 where text == PeerRefusal.clusterMismatch: .clusterMismatch
    default: .status(status, text)
    }
  }
}
