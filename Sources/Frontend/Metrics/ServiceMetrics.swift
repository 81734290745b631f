public import Metrics
internal import NIOCore

/// What the services of one member count beside the calls themselves. Any thread.
public final class ServiceMetrics: Sendable {
  public static let rangeShape = HistogramShape.seconds(from: 0.0001, count: 20)
  private static let hashShape = HistogramShape.seconds(from: 0.01, count: 15)

  /// Ranges made on the pool, and what they belong to.
  public let ranges = SharedCounter()
  public let transactions = SharedCounter()
  public let succeededRanges = Histogram(rangeShape)
  public let failedRanges = Histogram(rangeShape)

  public let hashes = Histogram(hashShape)
  public let revisionHashes = Histogram(hashShape)
  /// From a snapshot's request until its file is written.
  public let snapshots = Histogram(.seconds(from: 0.01, count: 17))

  public let http = HTTPMetrics()

  public init() {}
}

extension Histogram {
  func observeShared(since began: NIODeadline) {
    observeShared(UInt64(max(0, (NIODeadline.now() - began).nanoseconds)))
  }
}

/// What the HTTP endpoints count. Any thread.
public final class HTTPMetrics: Sendable {
  public let healthSuccess = SharedCounter()
  public let healthFailures = SharedCounter()
  public let scrapes = SharedCounter()
  public let scrapesInFlight = Gauge()
  /// By kind, in the order of `HealthCheck.allCases`.
  public let liveness = HealthCheck.allCases.map { _ in CheckMetrics() }
  public let readiness = HealthCheck.allCases.map { _ in CheckMetrics() }

  public init() {}
}

/// The outcomes of one check.
public final class CheckMetrics: Sendable {
  public let successes = SharedCounter()
  public let errors = SharedCounter()
  public let lastOutcome = Gauge()

  func record(isSuccess: Bool) {
    lastOutcome.set(isSuccess ? 1 : 0)
    if isSuccess { successes.add() } else { errors.add() }
  }
}
