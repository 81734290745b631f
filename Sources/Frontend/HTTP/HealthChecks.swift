internal import Metrics
internal import Model
internal import NIOCore
internal import Synchronization
internal import Wire

/// The checks behind /livez and /readyz.
public enum HealthCheck: String, CaseIterable, Sendable {
  case dataCorruption = "data_corruption"
  case serializableRead = "serializable_read"
  case linearizableRead = "linearizable_read"
  case nonLearner = "non_learner"

  public enum Kind: String, CaseIterable, Sendable {
    case livez, readyz

    public var checks: [HealthCheck] {
      switch self {
      case .livez: [.serializableRead]
      case .readyz: HealthCheck.allCases
      }
    }

    /// The kind that a path belongs to, if it names one or a check of one.
    static func of(path: String) -> Kind? {
      allCases.first { kind in
        path == "/\(kind.rawValue)" || kind.checks.contains { path == "/\(kind.rawValue)/\($0.rawValue)" }
      }
    }
  }
}

extension HTTPMetrics {
  /// The outcomes of a check as part of one kind.
  public func outcomes(_ check: HealthCheck, of kind: HealthCheck.Kind) -> CheckMetrics {
    let all = kind == .livez ? liveness : readiness
    return zip(HealthCheck.allCases, all).first { $0.0 == check }?.1 ?? all[0]
  }
}

extension HTTPEndpoints {
  /// /livez and /readyz, whole or one check of them.
  func checks(
    _ kind: HealthCheck.Kind, _ path: String, _ request: HTTP1Request, _ eventLoop: any EventLoop
  ) -> EventLoopFuture<HTTP1Response> {
    let parameters = QueryParameters(request.query)
    var checks = kind.checks
    if path == "/\(kind.rawValue)" {
      let excluded = parameters.all("exclude")
      checks.removeAll { excluded.contains($0.rawValue) }
    } else {
      checks.removeAll { path != "/\(kind.rawValue)/\($0.rawValue)" }
    }
    let outcomes = checks.map { check in
      outcome(check, eventLoop).map { reason in (check: check, reason: reason) }
    }
    return EventLoopFuture.whenAllSucceed(outcomes, on: eventLoop).map { outcomes in
      answer(kind, path, outcomes, isVerbose: parameters.has("verbose"))
    }
  }

  /// Why a check fails, or nil; the future never fails.
  private func outcome(_ check: HealthCheck, _ eventLoop: any EventLoop) -> EventLoopFuture<String?> {
    switch check {
    case .dataCorruption:
      let alarms = AlarmFlags(rawValue: gauge.alarms.load(ordering: .relaxed))
      return eventLoop.makeSucceededFuture(alarms.contains(.corrupt) ? "alarm activated: CORRUPT" : nil)
    case .serializableRead: return eventLoop.makeSucceededFuture(reads.local()?.message)
    case .linearizableRead: return reads.linearizable(eventLoop).map { $0?.message }
    case .nonLearner:
      let isLearner = gauge.isLearner.load(ordering: .relaxed)
      return eventLoop.makeSucceededFuture(isLearner ? "not supported for learner" : nil)
    }
  }

  private func answer(
    _ kind: HealthCheck.Kind, _ path: String, _ outcomes: [(check: HealthCheck, reason: String?)],
    isVerbose: Bool
  ) -> HTTP1Response {
    var lines = ""
    for (check, reason) in outcomes {
      counts.outcomes(check, of: kind).record(isSuccess: reason == nil)
      let name = check.rawValue
      lines += reason.map { "[-]\(name) failed: \($0)\n" } ?? "[+]\(name) ok\n"
    }
    if outcomes.contains(where: { $0.reason != nil }) {
      log(path, lines)
      return Self.refusal(503, lines)
    }
    return HTTP1Response(headers: Self.textHeaders, body: Array("\(isVerbose ? lines : "")ok\n".utf8))
  }
}
