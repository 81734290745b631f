public import NIOCore
internal import NIOHTTP1

/// One HTTP/1.1 request: whole, or without its body where that comes in pieces.
public struct HTTP1Request: Sendable {
  public var method: String
  /// Path and query as sent.
  public var target: String
  /// In order of arrival; names as sent.
  public var headers: [(name: String, value: String)]
  public var body: [UInt8]

  /// The target before any `?`.
  public var path: Substring { target.prefix { $0 != "?" } }
  /// The target after the first `?`, or nothing.
  public var query: Substring { target.drop { $0 != "?" }.dropFirst() }

  init(_ head: HTTPRequestHead, body: [UInt8] = []) {
    method = head.method.rawValue
    target = head.uri
    headers = head.headers.map { ($0.name, $0.value) }
    self.body = body
  }

  /// The first value of a header, compared without regard to case.
  public func header(_ name: String) -> String? {
    headers.first { $0.name.lowercased() == name.lowercased() }?.value
  }
}

/// One HTTP/1.1 response, whole. Content-Length is added.
public struct HTTP1Response: Sendable {
  public var status: Int
  public var headers: [(name: String, value: String)]
  public var body: [UInt8]

  public init(status: Int = 200, headers: [(name: String, value: String)] = [], body: [UInt8] = []) {
    self.status = status
    self.headers = headers
    self.body = body
  }

  public init(status: Int = 200, contentType: String, text: String) {
    self.init(status: status, headers: [("Content-Type", contentType)], body: Array(text.utf8))
  }
}

/// Answers HTTP/1.1 requests: called on the connection's event loop, may answer then or later from any thread.
public protocol HTTP1Handler: Sendable {
  func respond(to request: HTTP1Request, on eventLoop: any EventLoop) -> EventLoopFuture<HTTP1Response>

  /// Takes up a request whose body and answer come in pieces; nil leaves it to `respond`. The request has no body yet.
  func begin(_ exchange: HTTP1Exchange) -> (any HTTP1ExchangeHandler)?

  /// The request that a client makes by asking for a websocket with this one; nil answers it like any other. `begin` takes
  /// it up: the client's messages are its body, a line each, and lines of the answer are messages to the client.
  func webSocketRequest(_ request: HTTP1Request) -> HTTP1Request?
}

extension HTTP1Handler {
  public func begin(_ exchange: HTTP1Exchange) -> (any HTTP1ExchangeHandler)? { nil }
  public func webSocketRequest(_ request: HTTP1Request) -> HTTP1Request? { nil }
}
