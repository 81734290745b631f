internal import Metrics
public import NIOCore
internal import Synchronization
public import Wire

/// The HTTP/1.1 endpoints that are not the gateway's: health, version, metrics and variables.
public struct HTTPEndpoints: HTTP1Handler {
  /// What a listener offers.
  public enum Pages: Sendable {
    case all
    /// What `--listen-metrics-urls` is for: metrics and health.
    case monitoring
  }

  /// Makes a page, on any thread, for the event loop that asks; the future never fails.
  public typealias PageSource = @Sendable (any EventLoop) -> EventLoopFuture<[UInt8]>

  let pages: Pages
  let gauge: MemberGauge
  let counts: HTTPMetrics
  let reads: HealthReads
  let metrics: PageSource
  let variables: PageSource
  let log: HealthLog

  public init(
    pages: Pages, context: FrontendContext, fronts: FrontendGroup, metrics: @escaping PageSource,
    variables: @escaping PageSource, log: @escaping HealthLog
  ) {
    self.pages = pages
    gauge = context.gauge
    counts = context.metrics.http
    reads = HealthReads(context: context, fronts: fronts)
    self.metrics = metrics
    self.variables = variables
    self.log = log
  }

  /// The same for another listener.
  public func offering(_ pages: Pages) -> HTTPEndpoints { HTTPEndpoints(self, pages) }

  private init(_ other: HTTPEndpoints, _ pages: Pages) {
    self.pages = pages
    (gauge, counts, reads) = (other.gauge, other.counts, other.reads)
    (metrics, variables, log) = (other.metrics, other.variables, other.log)
  }

  public func respond(to request: HTTP1Request, on eventLoop: any EventLoop) -> EventLoopFuture<HTTP1Response>
  {
    let path = String(request.path)
    switch path {
    case "/metrics": return scrape(eventLoop)
    case "/health": return forGet(request, path, eventLoop) { health(request, eventLoop) }
    case "/version" where pages == .all:
      return forGet(request, path, eventLoop) { eventLoop.makeSucceededFuture(version) }
    case "/debug/vars" where pages == .all:
      return forGet(request, path, eventLoop) {
        variables(eventLoop).map { body in
          HTTP1Response(headers: [("Content-Type", "application/json; charset=utf-8")], body: body)
        }
      }
    default:
      if let kind = HealthCheck.Kind.of(path: path) {
        return forGet(request, path, eventLoop) { checks(kind, path, request, eventLoop) }
      }
      return eventLoop.makeSucceededFuture(Self.notFound)
    }
  }

  /// Other methods are refused, as etcd does.
  private func forGet(
    _ request: HTTP1Request, _ path: String, _ eventLoop: any EventLoop,
    _ answer: () -> EventLoopFuture<HTTP1Response>
  ) -> EventLoopFuture<HTTP1Response> {
    request.method == "GET" ? answer() : eventLoop.makeSucceededFuture(Self.methodNotAllowed)
  }

  private func scrape(_ eventLoop: any EventLoop) -> EventLoopFuture<HTTP1Response> {
    counts.scrapesInFlight.add(1)
    return metrics(eventLoop).map { [counts] body in
      counts.scrapesInFlight.add(-1)
      counts.scrapes.add()
      return HTTP1Response(
        headers: [("Content-Type", "text/plain; version=0.0.4; charset=utf-8")], body: body)
    }
  }

  // As Go's net/http sends them: a plain text is declared as such, and an error ends with a line break.
  static let textHeaders = [
    ("Content-Type", "text/plain; charset=utf-8"), ("X-Content-Type-Options", "nosniff"),
  ]

  static func refusal(_ status: Int, _ text: String) -> HTTP1Response {
    HTTP1Response(status: status, headers: textHeaders, body: Array("\(text)\n".utf8))
  }

  private static let notFound = refusal(404, "404 page not found")

  private static let methodNotAllowed = HTTP1Response(
    status: 405, headers: [("Allow", "GET")] + textHeaders, body: Array("Method Not Allowed\n".utf8))

  private var version: HTTP1Response {
    HTTP1Response(
      contentType: "application/json", text: FrontendContext.versionJSON(cluster: reads.clusterVersion()))
  }
}
