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
