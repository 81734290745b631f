internal import Model

/// The values given for flags; what was not given has its default.
public struct FlagValues: Sendable {
  public enum Source: Sendable { case commandLine, file }

  /// Addresses that a file gives to listen on need none to advertise beside them, as etcd has it.
  public let source: Source
  private var given: [String: String] = [:]

  public init(source: Source = .commandLine) { self.source = source }

  /// True when a flag or a variable set it, be it to its default.
  public func isSet(_ name: String) -> Bool { given[name] != nil }

  /// The text of a flag of the table.
  public func text(_ name: String) -> String {
    guard let definition = FlagTable.byName[name] else {
      preconditionFailure("no flag --\(name) in the table")
    }
    return given[name] ?? definition.defaultText
  }

  mutating func set(_ definition: FlagDefinition, to text: String) throws(ValueSyntaxError) {
    try definition.check(text)
    if case .featureGates = definition.kind, let earlier = given[definition.name] {
      given[definition.name] = "\(earlier),\(text)"
    } else {
      given[definition.name] = text
    }
  }
}

/// Go's `flag` syntax: `-name`, `--name`, `-name=value`, `-name value`; a boolean takes its value only after
/// `=`; `--` or the first other argument ends the flags.
public struct FlagParser {
  public enum Failure: Error, Equatable, Sendable {
    case help
    /// One line as Go prints it before the usage.
    case malformed(String)
  }

  public private(set) var values = FlagValues()
  /// Flags of etcd 2 that were given; each deserves a warning.
  public private(set) var ignored: [String] = []
  /// What follows the flags.
  public private(set) var leftovers: [String] = []

  public init(arguments: [String]) throws(Failure) {
    var rest = arguments[...]
    while let argument = rest.first {
      guard argument.utf8.count >= 2, argument.hasPrefix("-") else { break }
      rest = rest.dropFirst()
      if argument == "--" { break }
      try parse(argument, &rest)
    }
    leftovers = Array(rest)
  }

  private mutating func parse(_ argument: String, _ rest: inout ArraySlice<String>) throws(Failure) {
    let body = argument.dropFirst(argument.hasPrefix("--") ? 2 : 1)
    guard let first = body.first, first != "-", first != "=" else {
      throw .malformed("bad flag syntax: \(argument)")
    }
    let name: String
    var value: String?
    if let equals = body.firstIndex(of: "=") {
      name = String(body[..<equals])
      value = String(body[body.index(after: equals)...])
    } else {
      name = String(body)
    }
    guard let definition = FlagTable.byName[name] else {
      if name == "help" || name == "h" { throw .help }
      throw .malformed("flag provided but not defined: -\(name)")
    }
    if value == nil, !definition.needsNoValue {
      guard let next = rest.popFirst() else { throw .malformed("flag needs an argument: -\(name)") }
      value = next
    }
    if case .ignored = definition.kind { ignored.append(name) }
    let text = value ?? "true"
    do {
      try values.set(definition, to: text)
    } catch {
      let what =
        if case .boolean = definition.kind { "boolean value \(GoValueSyntax.quoted(text)) for -\(name)" } else
        {
          "value \(GoValueSyntax.quoted(text)) for flag -\(name)"
        }
      throw .malformed("invalid \(what): \(error.text)")
    }
  }

  /// Sets what the environment names and no flag did, by etcd's rules.
  ///
  /// A flag and its variable together are an error even when the variable is empty; otherwise an empty
  /// variable counts as unset. Warnings and uses go to `notices`.
  public mutating func merge(
    environment: [String: String], notices: inout [LogRecord]
  ) throws(ConfigurationError) {
    let flagsFromArguments = values
    var failure: ConfigurationError?
    var used: Set<String> = []
    for definition in FlagTable.all.sorted(by: { $0.name < $1.name }) {
      let variable = definition.variableName
      guard !flagsFromArguments.isSet(definition.name), let text = environment[variable], !text.isEmpty else {
        continue
      }
      used.insert(variable)
      do {
        try values.set(definition, to: text)
        notices.append(
          LogRecord(
            .info, "recognized and used environment variable",
            [
              "variable-name": .text(variable),
              "variable-value": .text(Redaction.variable(name: variable, value: text)),
            ]))
      } catch {
        failure = .invalid("invalid value \(GoValueSyntax.quoted(text)) for \(variable): \(error.text)")
      }
    }
    for (variable, text) in environment.sorted(by: { $0.key < $1.key }) where variable.hasPrefix("ETCD_") {
      if used.contains(variable) { continue }
      if let definition = FlagTable.all.first(where: { $0.variableName == variable }),
        flagsFromArguments.isSet(definition.name)
      {
        throw .conflictingVariable(variable)
      }
      notices.append(
        LogRecord(
          .warn, "unrecognized environment variable",
          ["environment-variable": .text("\(variable)=\(Redaction.variable(name: variable, value: text))")]))
    }
    if let failure { throw failure }
  }
}
