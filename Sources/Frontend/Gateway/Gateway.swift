internal import EtcdAPI
internal import Model
public import NIOCore
public import Wire

/// etcd's JSON gateway: RPCs as POST requests below `/v3/`, streams as lines of JSON. Everything else goes to `next`.
///
/// A request becomes a call on a connection to the member's own RPC services (`HTTP1Exchange.inward`), as in etcd, whose
/// gateway is a client of its own server: every check, limit and count is that of gRPC, and nothing can be reached
/// here that is not reached there. Confined to nothing; each call lives on its connection's event loop.
public struct Gateway: HTTP1Handler {
  private let next: any HTTP1Handler
  private let methods: [EtcdMethod: ClientMethod]
  private let requestBytesMax: Int

  /// - Parameter requestBytesMax: of a message, encoded; its JSON may be twice as long.
  public init(before next: any HTTP1Handler, requestBytesMax: Int) {
    self.next = next
    self.requestBytesMax = requestBytesMax
    methods = Dictionary(
      uniqueKeysWithValues: EtcdMethod.allCases.map { method in
        (method, ClientMethod("\(method.path)", authority: "localhost"))
      })
  }

  public func begin(_ exchange: HTTP1Exchange) -> (any HTTP1ExchangeHandler)? {
    guard exchange.request.method == "POST", let route = GatewayRoute.find(exchange.request.path),
      let method = methods[route.method]
    else { return next.begin(exchange) }
    // What the gateway adds to a message is base64's third and names.
    let call = GatewayCall(exchange, route, method, bytesMax: 2 * requestBytesMax + 65_536)
    return call
  }

  /// As etcd has it: whatever the method, it becomes a POST, and few headers and the token go with it.
  public func webSocketRequest(_ request: HTTP1Request) -> HTTP1Request? {
    guard GatewayRoute.find(request.path) != nil else { return nil }
    var call = request
    call.method = "POST"
    call.headers.removeAll { !["host", "origin", "referer"].contains($0.name.lowercased()) }
    // A browser can send a token as the name of a sub-protocol only: `Bearer, token`.
    if let protocols = request.header("Sec-WebSocket-Protocol"), protocols.hasPrefix("Bearer,") {
      let token = protocols.dropFirst("Bearer,".count).drop { $0 == " " }
      call.headers.append(("Authorization", "Bearer \(token)"))
    }
    return call
  }

  public func respond(to request: HTTP1Request, on eventLoop: any EventLoop) -> EventLoopFuture<HTTP1Response>
  {
    if request.path == "/v3" {
      let moved = HTTP1Response(status: 301, headers: [("Location", "/v3/")])
      return eventLoop.makeSucceededFuture(moved)
    }
    guard GatewayRoute.isBelowGateway(request.path) else { return next.respond(to: request, on: eventLoop) }
    let isKnown = GatewayRoute.find(request.path) != nil
    // grpc-gateway's words and codes for another method and for a path that it does not have.
    let error =
      isKnown
      ? ClientError(.unimplemented, "Method Not Allowed") : ClientError(.notFound, "Not Found")
    return eventLoop.makeSucceededFuture(Self.refusal(error))
  }

  static func refusal(_ error: ClientError) -> HTTP1Response {
    HTTP1Response(
      status: GatewayJSON.httpStatus(error.code), headers: [("Content-Type", "application/json")],
      body: GatewayJSON.text(of: error))
  }
}
