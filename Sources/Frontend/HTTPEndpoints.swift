public import Model
public import NIOCore
internal import Synchronization
public import Wire

/// The HTTP/1.1 endpoints on the client port: /version and /health.
public struct HTTPEndpoints: HTTP1Handler {
  private let gauge: MemberGauge
  /// Asks the member whether a linearizable read would be answered now; the future never fails.
  private let probe: @Sendable (any EventLoop) -> EventLoopFuture<ClientError?>

  public init(
    gauge: MemberGauge, probe: @escaping @Sendable (any EventLoop) -> EventLoopFuture<ClientError?>
  ) {
    self.gauge = gauge
    self.probe = probe
  }

  public func respond(to request: HTTP1Request, on eventLoop: any EventLoop) -> EventLoopFuture<HTTP1Response>
  {
    switch request.path {
    case "/version":
      guard request.method == "GET" else { return eventLoop.makeSucceededFuture(Self.methodNotAllowed) }
      return eventLoop.makeSucceededFuture(Self.version)
    case "/health":
      guard request.method == "GET" else { return eventLoop.makeSucceededFuture(Self.methodNotAllowed) }
      return health(
        serializable: request.query.split(separator: "&").contains("serializable=true"), eventLoop)
    default:
      return eventLoop.makeSucceededFuture(
        HTTP1Response(
          status: 404, headers: Self.textHeaders, body: Array("404 page not found\n".utf8)))
    }
  }

  private static let textHeaders = [
    ("Content-Type", "text/plain; charset=utf-8"), ("X-Content-Type-Options", "nosniff"),
  ]

  private static let methodNotAllowed = HTTP1Response(
    status: 405, headers: [("Allow", "GET")] + textHeaders, body: Array("Method Not Allowed\n".utf8))

  private static let version = HTTP1Response(
    contentType: "application/json",
    text: """
      {"etcdserver":"\(FrontendContext.apiVersion)","etcdcluster":"\(FrontendContext.clusterVersion)",\
      "storage":"\(FrontendContext.clusterVersion)"}
      """)

  private func health(serializable: Bool, _ eventLoop: any EventLoop) -> EventLoopFuture<HTTP1Response> {
    if serializable { return eventLoop.makeSucceededFuture(Self.healthy) }
    if gauge.leader.load(ordering: .relaxed) == 0 {
      return eventLoop.makeSucceededFuture(Self.unhealthy("RAFT NO LEADER"))
    }
    return probe(eventLoop).map { error in
      error.map { Self.unhealthy("RANGE ERROR:\($0.message)") } ?? Self.healthy
    }
  }

  private static let healthy = HTTP1Response(
    contentType: "application/json", text: #"{"health":"true","reason":""}"#)

  private static func unhealthy(_ reason: String) -> HTTP1Response {
    HTTP1Response(
      status: 503, headers: [("Content-Type", "application/json")],
      body: Array(#"{"health":"false","reason":"\#(reason)"}"#.utf8))
  }
}
