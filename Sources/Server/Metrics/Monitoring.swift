internal import Frontend
internal import Metrics
internal import NIOCore
internal import Store
internal import Synchronization
internal import Wire

/// What watches over a member and shows what it sees: the measures that no stage keeps itself, and the pages.
final class Monitoring: Sendable {
  let log = LogDiskMetrics()
  private let keys = KeyCount()
  private let sources = Mutex<MemberMetrics?>(nil)

  /// The HTTP endpoints. Metrics are empty until `begin`.
  func endpoints(
    _ context: FrontendContext, _ fronts: FrontendGroup, _ logger: Logger
  ) -> HTTPEndpoints {
    let variables = DebugVariables(
      arguments: CommandLine.arguments, memberID: context.memberID, gauge: context.gauge)
    return HTTPEndpoints(
      pages: .all, context: context, fronts: fronts,
      metrics: MemberMetrics.page(
        { [self] in sources.withLock { $0 } }, fronts: fronts, runOnPool: context.runLong),
      variables: variables.page(),
      log: { path, output in
        logger.warn("serving \(path) false", ["output": .text(output), "status-code": .integer(503)])
      })
  }

  /// All parts are there.
  func begin(
    _ context: FrontendContext, _ fronts: FrontendGroup, gates: FeatureGates, apply: ApplyMetrics,
    commits: CommitMetrics, server: WireServer, links: ClusterLinks
  ) {
    let metrics = MemberMetrics(
      memberID: context.memberID, quotaBytes: context.quotaBytes, gates: gates, gauge: context.gauge,
      store: context.store, services: context.metrics, apply: apply, log: log, commits: commits, keys: keys,
      methods: server.methods, calls: server.callMetrics, loops: fronts.metrics,
      links: links)
    sources.withLock { $0 = metrics }
  }

  /// Counts the keys on a thread of its own, which `stop` ends. Before anything is applied.
  func startCounting(_ store: Store) throws(StoreError) -> OSThread {
    let view = try store.view()
    return OSThread(name: "cairn-count") { [keys] in keys.count(view) }
  }

  func stop() { keys.stop() }
}
