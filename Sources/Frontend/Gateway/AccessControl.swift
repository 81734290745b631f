public import NIOCore
public import Wire

/// What etcd checks and adds before any plain HTTP request is looked at: the host it is addressed to, and CORS.
public struct AccessControl: HTTP1Handler {
  private let next: any HTTP1Handler
  private let origins: Set<String>
  private let hosts: Set<String>

  /// - Parameters:
  ///   - origins: `--cors`; empty or `*` admits all.
  ///   - hosts: `--host-whitelist`; empty or `*` admits all.
  public init(before next: any HTTP1Handler, origins: [String], hosts: [String]) {
    self.next = next
    self.origins = Set(origins)
    self.hosts = Set(hosts)
  }

  public func begin(_ exchange: HTTP1Exchange) -> (any HTTP1ExchangeHandler)? {
    guard answer(exchange.request) == nil else { return nil }
    exchange.addedHeaders = headers(for: exchange.request)
    return next.begin(exchange)
  }

  public func webSocketRequest(_ request: HTTP1Request) -> HTTP1Request? {
    answer(request) == nil ? next.webSocketRequest(request) : nil
  }

  public func respond(to request: HTTP1Request, on eventLoop: any EventLoop) -> EventLoopFuture<HTTP1Response>
  {
    if let answer = answer(request) { return eventLoop.makeSucceededFuture(answer) }
    let added = headers(for: request)
    return next.respond(to: request, on: eventLoop).map { response in
      var response = response
      response.headers += added
      return response
    }
  }

  /// The answer to a request that goes no further.
  private func answer(_ request: HTTP1Request) -> HTTP1Response? {
    let given = request.header("Host") ?? ""
    guard given.utf8.allSatisfy(Self.isOfHost) else { return Self.malformedHost }
    let host = Self.hostname(given)
    guard Self.admits(hosts, host) else { return Self.misdirected(host) }
    guard request.method == "OPTIONS" else { return nil }
    return HTTP1Response(headers: headers(for: request))
  }

  /// What Go's net/http admits in the header.
  private static func isOfHost(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"):
      true
    default: "!$%&'()*+,-.:;=[]_~".utf8.contains(byte)
    }
  }

  private static let malformedHost = HTTP1Response(
    status: 400, contentType: "text/plain; charset=utf-8", text: "400 Bad Request: malformed Host header")

  private static func admits(_ names: Set<String>, _ name: String) -> Bool {
    names.isEmpty || names.contains("*") || names.contains(name)
  }

  private func headers(for request: HTTP1Request) -> [(name: String, value: String)] {
    let origin: String
    if origins.isEmpty || origins.contains("*") {
      origin = "*"
    } else if let given = request.header("Origin"), origins.contains(given) {
      origin = given
    } else {
      return []
    }
    return [
      ("Access-Control-Allow-Methods", "POST, GET, OPTIONS, PUT, DELETE"),
      ("Access-Control-Allow-Origin", origin),
      ("Access-Control-Allow-Headers", "accept, content-type, authorization"),
    ]
  }

  /// The host without its port.
  private static func hostname(_ host: String) -> String {
    if host.hasPrefix("["), let end = host.firstIndex(of: "]") {
      return String(host[host.index(after: host.startIndex)..<end])
    }
    guard let colon = host.lastIndex(of: ":"), host.firstIndex(of: ":") == colon else { return host }
    return String(host[..<colon])
  }

  /// Against DNS rebinding (CVE-2018-5702), with etcd's text.
  private static func misdirected(_ host: String) -> HTTP1Response {
    HTTPEndpoints.refusal(
      421,
      """

      etcd received your request, but the Host header was unrecognized.

      To fix this, choose one of the following options:
      - Enable TLS, then any HTTPS request will be allowed.
      - Add the hostname you want to use to the whitelist in settings.
        - e.g. etcd --host-whitelist "\(host)"

      This requirement has been added to help prevent "DNS Rebinding" attacks (CVE-2018-5702).

      """)
  }
}
