internal import Model

/// What a command line asks for: a member, or a text and an exit code.
public enum LaunchPlan: Sendable {
  case start(ServerConfiguration, notices: [LogRecord])
  case stop(Stop)

  public struct Stop: Sendable, Equatable {
    public var exitCode: Int32
    public var standardOutput = ""
    /// Plain text, printed before the log records.
    public var standardError = ""
    public var notices: [LogRecord] = []
  }

  /// Reads a command line, without the program's own name, and the environment.
  ///
  /// Exit codes are etcd's: 0 for help and version, 2 when a flag does not parse, 1 for everything else.
  public static func make(arguments: [String], environment: [String: String]) -> LaunchPlan {
    var parser: FlagParser
    do {
      parser = try FlagParser(arguments: arguments)
    } catch {
      switch error {
      case .help:
        return .stop(Stop(exitCode: 0, standardOutput: HelpText.flags, standardError: HelpText.usage))
      case .malformed(let line):
        return .stop(Stop(exitCode: 2, standardError: "\(line)\n\(HelpText.usage)"))
      }
    }
    var notices = parser.ignored.map { name in
      LogRecord(.warn, "flag is no longer supported - ignoring", ["flag-name": .text("-\(name)")])
    }
    if let leftover = parser.leftovers.first {
      let error = ConfigurationError.invalid("\(GoValueSyntax.quoted(leftover)) is not a valid flag")
      return .stop(failure(error, notices, arguments))
    }
    if (try? GoValueSyntax.boolean(parser.values.text("version"))) == true {
      return .stop(Stop(exitCode: 0, standardOutput: Version.text))
    }
    do throws(ConfigurationError) {
      let environment = prepared(environment, &notices)
      let flags: FlagValues
      if let path = ConfigurationFile.path(parser.values, environment) {
        flags = try ConfigurationFile.read(path: path)
        notices.append(ConfigurationFile.loaded(path: path))
      } else {
        try parser.merge(environment: environment, notices: &notices)
        flags = parser.values
      }
      let configuration = try ServerConfiguration(flags: flags, notices: &notices)
      notices.append(running(arguments))
      return .start(configuration, notices: notices)
    } catch {
      return .stop(failure(error, notices, arguments))
    }
  }

  /// Removes the variables that are about the process and not about an option.
  private static func prepared(
    _ environment: [String: String], _ notices: inout [LogRecord]
  ) -> [String: String] {
    var environment = environment
    environment["ETCD_UNSUPPORTED_ARCH"] = nil
    if let version = environment.removeValue(forKey: "ETCD_VERSION"), !version.isEmpty {
      notices.append(
        LogRecord(
          .warn, "cannot set special environment variable",
          ["key": "ETCD_VERSION", "value": .text(version)]))
    }
    return environment
  }

  private static func running(_ arguments: [String]) -> LogRecord {
    LogRecord(.info, "Running: ", ["args": .list(["cairn"] + Redaction.arguments(arguments))])
  }

  /// How a launch ends that cannot go on.
  static func failure(
    _ error: ConfigurationError, _ notices: [LogRecord], _ arguments: [String]
  ) -> Stop {
    var stop = Stop(exitCode: 1, notices: notices)
    switch error {
    case .unrecognizedLogLevel:
      stop.exitCode = 2
      stop.standardError = "panic: \(error)\n"
    case .conflictingVariable(let variable):
      stop.notices.append(
        LogRecord(.fatal, error.description, ["environment-variable": .text(variable)]))
    case .unusableFileURL: stop.standardError = "\(error)\n"
    case .invalid, .notBuilt, .advertiseClientURLsUnset, .unusableFile:
      let field: LogFields = ["error": .text(error.description)]
      stop.notices.append(running(arguments))
      stop.notices.append(LogRecord(.warn, "failed to verify flags", field))
      if error == .advertiseClientURLsUnset {
        stop.notices.append(LogRecord(.warn, "advertise client URLs are not set", field))
      }
    }
    return stop
  }
}
