internal import Model

/// Why the configuration cannot be used. All end the process with exit code 1.
public enum ConfigurationError: Error, Equatable, Sendable, CustomStringConvertible {
  /// A rule of etcd's is broken; the text is etcd's.
  case invalid(String)
  /// A value asks for something that this version does not have.
  case notBuilt(flag: String, feature: String)
  /// The option was set by a flag and by this variable.
  case conflictingVariable(String)
  /// Clients cannot be told where to connect; logged twice, as etcd does.
  case advertiseClientURLsUnset
  /// The configuration file cannot be read or has a wrong type somewhere; the text is etcd's.
  case unusableFile(String)
  /// An address in the configuration file is none; etcd prints this without a log line.
  case unusableFileURL(flag: String, reason: String)
  /// No such level; etcd panics over it with exit code 2.
  case unrecognizedLogLevel(String)

  public var description: String {
    switch self {
    case .invalid(let text): text
    case .notBuilt(let flag, let feature): "\(flag): \(feature) is not supported by this version of cairn"
    case .conflictingVariable:
      "conflicting environment variable is shadowed by corresponding command-line flag "
        + "(either unset environment variable or disable flag))"
    case .advertiseClientURLsUnset:
      "--advertise-client-urls is required when --listen-client-urls is set explicitly"
    case .unusableFile(let text): text
    case .unusableFileURL(let flag, let reason): "unexpected error setting up \(flag): \(reason)"
    case .unrecognizedLogLevel(let level): "unrecognized level: \(GoValueSyntax.quoted(level))"
    }
  }
}

/// Keeps secrets out of the log: what is said about a value that may be one.
public enum Redaction {
  private static let marks = ["PASSWORD", "PASSWD", "SECRET", "CREDENTIAL", "PRIVATE"]

  /// The value, or asterisks when the variable's name says that it is a secret.
  public static func variable(name: String, value: String) -> String {
    marks.contains { name.uppercased().contains($0) } ? "***" : value
  }

  /// The command line with the values of secret flags replaced.
  public static func arguments(_ arguments: [String]) -> [String] {
    var result: [String] = []
    var hidesNext = false
    for argument in arguments {
      if hidesNext {
        result.append("***")
        hidesNext = false
        continue
      }
      let name = argument.prefix { $0 != "=" }
      let isSecret = argument.hasPrefix("-") && marks.contains { name.uppercased().contains($0) }
      if isSecret, name.endIndex < argument.endIndex {
        result.append("\(name)=***")
      } else {
        hidesNext = isSecret
        result.append(argument)
      }
    }
    return result
  }
}
