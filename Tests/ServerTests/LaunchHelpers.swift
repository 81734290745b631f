import Server

/// What a launch plan came to, in a form that is easy to compare.
enum Outcome {
  static func configuration(
    _ arguments: [String], _ environment: [String: String] = [:]
  ) -> ServerConfiguration? {
    guard case .start(let configuration, _) = LaunchPlan.make(arguments: arguments, environment: environment)
    else { return nil }
    return configuration
  }

  static func stop(_ arguments: [String], _ environment: [String: String] = [:]) -> LaunchPlan.Stop? {
    guard case .stop(let stop) = LaunchPlan.make(arguments: arguments, environment: environment) else {
      return nil
    }
    return stop
  }

  static func notices(_ arguments: [String], _ environment: [String: String] = [:]) -> [LogRecord] {
    switch LaunchPlan.make(arguments: arguments, environment: environment) {
    case .start(_, let notices): notices
    case .stop(let stop): stop.notices
    }
  }

  static func verifyError(_ arguments: [String], _ environment: [String: String] = [:]) -> String? {
    stop(arguments, environment).flatMap(verifyError)
  }

  /// The text of the `error` field of "failed to verify flags".
  static func verifyError(_ stop: LaunchPlan.Stop) -> String? {
    let record = stop.notices.first { $0.message == "failed to verify flags" }
    guard case .text(let text) = record?.fields.pairs.first(where: { $0.name == "error" })?.value else {
      return nil
    }
    return text
  }
}
