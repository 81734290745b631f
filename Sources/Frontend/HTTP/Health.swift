internal import Metrics
internal import Model
internal import NIOCore
internal import Synchronization
internal import Wire

/// Told of health requests that end badly: the path and what was answered.
public typealias HealthLog = @Sendable (_ path: String, _ output: String) -> Void

extension HTTPEndpoints {
  /// /health, in etcd's order: alarms that are not excluded, whether there is a leader, whether a read is answered.
  func health(_ request: HTTP1Request, _ eventLoop: any EventLoop) -> EventLoopFuture<HTTP1Response> {
    let parameters = QueryParameters(request.query)
    let excluded = parameters.all("exclude")
    let alarms = AlarmFlags(rawValue: gauge.alarms.load(ordering: .relaxed))
    for (flag, name) in [(AlarmFlags.noSpace, "NOSPACE"), (.corrupt, "CORRUPT")]
    where alarms.contains(flag) && !excluded.contains(name) {
      return eventLoop.makeSucceededFuture(judged("ALARM \(name)"))
    }
    if parameters.first("serializable") == "true" {
      return eventLoop.makeSucceededFuture(judged(reads.local().map(Self.rangeError)))
    }
    if gauge.leader.load(ordering: .relaxed) == 0 {
      return eventLoop.makeSucceededFuture(judged("RAFT NO LEADER"))
    }
    return reads.linearizable(eventLoop).map { error in judged(error.map(Self.rangeError)) }
  }

  private static func rangeError(_ error: ClientError) -> String { "RANGE ERROR:\(error.message)" }

  /// The answer, counted; nil for no reason to complain.
  private func judged(_ reason: String?) -> HTTP1Response {
    guard let reason else {
      counts.healthSuccess.add()
      return HTTP1Response(
        contentType: "text/plain; charset=utf-8", text: #"{"health":"true","reason":""}"#)
    }
    counts.healthFailures.add()
    var output = #"{"health":"false","reason":"#
    output.appendJSON(reason)
    output += "}"
    log("/health", output)
    return Self.refusal(503, output)
  }
}

extension String {
  /// Appends a text as a JSON string.
  public mutating func appendJSON(_ text: String) {
    self += "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": self += "\\\""
      case "\\": self += "\\\\"
      case "\n": self += "\\n"
      case _ where scalar.value < 0x20:
        let digits = String(scalar.value, radix: 16)
        self += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: unicodeScalars.append(scalar)
      }
    }
    self += "\""
  }
}
