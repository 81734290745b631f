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
      return health(String(request.query), eventLoop)
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

  /// In etcd's order: alarms that are not excluded, whether there is a leader, whether a read is answered.
  private func health(_ query: String, _ eventLoop: any EventLoop) -> EventLoopFuture<HTTP1Response> {
    let parameters = query.split(separator: "&")
    let alarms = AlarmFlags(rawValue: gauge.alarms.load(ordering: .relaxed))
    for (flag, name) in [(AlarmFlags.noSpace, "NOSPACE"), (.corrupt, "CORRUPT")]
    where alarms.contains(flag) && !parameters.contains("exclude=\(name)") {
      return eventLoop.makeSucceededFuture(Self.unhealthy("ALARM \(name)"))
    }
    if parameters.contains("serializable=true") { return eventLoop.makeSucceededFuture(Self.healthy) }
    if gauge.leader.load(ordering: .relaxed) == 0 {
      return eventLoop.makeSucceededFuture(Self.unhealthy("RAFT NO LEADER"))
    }
    return probe(eventLoop).map { error in
      error.map { Self.unhealthy("RANGE ERROR:\($0.message)") } ?? Self.healthy
    }
  }

  // As Go's net/http sends them: the type is what it takes the body for, and an error ends with a line break.
  private static let healthy = HTTP1Response(
    contentType: "text/plain; charset=utf-8", text: #"{"health":"true","reason":""}"#)

  private static func unhealthy(_ reason: String) -> HTTP1Response {
    HTTP1Response(
      status: 503, headers: textHeaders,
      body: Array((#"{"health":"false","reason":"\#(reason)"}"# + "\n").utf8))
  }
}
