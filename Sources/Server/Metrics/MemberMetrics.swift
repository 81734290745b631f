internal import Frontend
internal import Metrics
internal import NIOCore
internal import PeerTransport
internal import Store
internal import Synchronization
internal import Wire

/// Where the values of a scrape come from; made once, read by whoever asks. The families themselves are in the
/// extensions, by subject.
struct MemberMetrics: Sendable {
  let memberID: UInt64
  let quotaBytes: Int64?
  let gates: FeatureGates
  let gauge: MemberGauge
  let store: Store
  let services: ServiceMetrics
  let apply: ApplyMetrics
  let log: LogDiskMetrics
  let commits: CommitMetrics
  let keys: KeyCount
  let methods: [RPCMethod]
  let calls: [CallMetrics]
  let loops: [LoopMetrics]
  let links: ClusterLinks

  /// The text of a scrape. Reading the store's sizes and the process's state takes system calls, so it is made on the
  /// pool.
  static func page(
    _ sources: @escaping @Sendable () -> MemberMetrics?, fronts: FrontendGroup,
    runOnPool: @escaping @Sendable (@escaping @Sendable () -> Void) -> Void
  ) -> HTTPEndpoints.PageSource {
    { eventLoop in
      let peers = sources()?.links.statistics(eventLoop) ?? eventLoop.makeSucceededFuture([])
      return fronts.figures(eventLoop).and(peers).flatMap { figures, peers in
        let promise = eventLoop.makePromise(of: [UInt8].self)
        runOnPool {
          let families = sources().map { $0.families(figures) + $0.peerFamilies(peers) } ?? []
          promise.succeed(MetricsText.encode(families))
        }
        return promise.futureResult
      }
    }
  }

  func families(_ figures: [LoopFigures]) -> [MetricFamily] {
    serverFamilies() + clusterFamilies() + healthFamilies() + storeFamilies() + mvccFamilies(figures)
      + diskFamilies()
      + callFamilies(figures) + processFamilies()
  }

  func sum(_ values: [UInt64]) -> UInt64 { values.reduce(0, &+) }

  func sum(_ first: HistogramReading, _ rest: [Histogram]) -> HistogramReading {
    var sum = first
    for histogram in rest { sum.add(histogram.reading) }
    return sum
  }
}
