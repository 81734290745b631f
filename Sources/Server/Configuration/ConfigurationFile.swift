internal import Glibc
internal import Model

/// The file of `--config-file`, in YAML or JSON: the names of flags as keys, with the peculiarities of etcd's.
///
/// Durations are nanoseconds, lists of addresses are texts with commas, `log-outputs` and `cipher-suites` are lists, and
/// settings of TLS, discovery and sockets have maps of their own. Unknown keys are ignored, as etcd ignores them; a
/// value of a wrong type is an error that names its key.
enum ConfigurationFile {
  /// Far more than all settings take.
  private static let sizeBytesMax = 256 * 1024

  /// Where the file is, when a flag or the environment names one.
  static func path(_ flags: FlagValues, _ environment: [String: String]) -> String? {
    let given = flags.text("config-file")
    let path = given.isEmpty ? environment["ETCD_CONFIG_FILE"] ?? "" : given
    return path.isEmpty ? nil : path
  }

  static func loaded(path: String) -> LogRecord {
    LogRecord(
      .info,
      "loaded server configuration, other configuration command line flags and environment variables "
        + "will be ignored if provided", ["path": .text(path)])
  }

  static func read(path: String) throws(ConfigurationError) -> FlagValues {
    try parse(contents(path))
  }

  /// The settings of a document.
  static func parse(_ bytes: [UInt8]) throws(ConfigurationError) -> FlagValues {
    let document: YAMLValue?
    do throws(YAMLValue.Failure) {
      guard let text = String(validating: bytes, as: UTF8.self) else {
        throw YAMLValue.Failure(text: "yaml: invalid Unicode character")
      }
      document = try YAMLValue.parse(text)
    } catch {
      throw .unusableFile("error converting YAML to JSON: \(error.text)")
    }
    var reader = Reader()
    if let document { try reader.take(document, ConfigurationFileSchema.root, path: "") }
    return reader.values
  }

  private static func contents(_ path: String) throws(ConfigurationError) -> [UInt8] {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw failure("open", path) }
    defer { close(descriptor) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 16_384)
    while true {
      let count = Glibc.read(descriptor, &chunk, chunk.count)
      if count == 0 { return bytes }
      if count < 0 {
        if errno == EINTR { continue }
        throw failure("read", path)
      }
      bytes += chunk.prefix(count)
      guard bytes.count <= sizeBytesMax else {
        throw .unusableFile("read \(path): the file is larger than \(sizeBytesMax) bytes")
      }
    }
  }

  private static func failure(_ action: String, _ path: String) -> ConfigurationError {
    .unusableFile("\(action) \(path): \(SystemError.text(errno))")
  }
}

/// Walks a document beside the schema and collects flags.
private struct Reader {
  var values = FlagValues(source: .file)

  mutating func take(
    _ value: YAMLValue, _ shape: ConfigurationFileSchema.Shape, path: String
  ) throws(ConfigurationError) {
    if case .null = value.content { return }
    switch shape {
    case .map(let goType, let keys):
      guard case .map(let map) = value.content else { throw mismatch(value, path, goType) }
      for (key, inner) in map.pairs {
        // Go's JSON reader takes a key in any case of letters.
        guard let shape = keys[key.lowercased()] else { continue }
        try take(inner, shape, path: path.isEmpty ? key : "\(path).\(key)")
      }
    case .flag(let definition, let goType):
      try set(definition, try scalar(value, goType, path))
    case .list(let definition):
      let texts = try list(value, path)
      if !texts.isEmpty { try set(definition, texts.joined(separator: ",")) }
    case .refusedList(let feature):
      if try !list(value, path).isEmpty { throw .notBuilt(flag: path, feature: feature) }
    case .refusedSwitch(let feature):
      if try scalar(value, "bool", path) == "true" { throw .notBuilt(flag: path, feature: feature) }
    }
  }

  private func scalar(
    _ value: YAMLValue, _ goType: String, _ path: String
  ) throws(ConfigurationError) -> String {
    switch (goType, value.content) {
    case ("bool", .boolean(let flag)): return "\(flag)"
    case ("string", .text(let text)): return text
    case ("uint", .number(let text)), ("uint64", .number(let text)):
      if UInt64(text) != nil { return text }
    case ("uint32", .number(let text)): if UInt32(text) != nil { return text }
    case ("int", .number(let text)), ("int64", .number(let text)): if Int64(text) != nil { return text }
    case ("time.Duration", .number(let text)): if Int64(text) != nil { return "\(text)ns" }
    default: break
    }
    throw mismatch(value, path, goType)
  }

  private func list(_ value: YAMLValue, _ path: String) throws(ConfigurationError) -> [String] {
    guard case .list(let elements) = value.content else { throw mismatch(value, path, "[]string") }
    var texts: [String] = []
    for element in elements {
      guard case .text(let text) = element.content else { throw mismatch(element, path, "string") }
      texts.append(text)
    }
    return texts
  }

  /// Go names the number only where a number was asked for.
  private func mismatch(_ value: YAMLValue, _ path: String, _ goType: String) -> ConfigurationError {
    let wantsNumber = goType.contains("int") || goType == "time.Duration"
    var what = value.goDescription
    if what.hasPrefix("number "), !wantsNumber { what = "number" }
    let place = path.isEmpty ? "Go value" : "Go struct field configYAML.\(path)"
    return .unusableFile(
      "error unmarshaling JSON: while decoding JSON: json: cannot unmarshal \(what) into \(place) of type \(goType)"
    )
  }

  private mutating func set(_ definition: FlagDefinition, _ text: String) throws(ConfigurationError) {
    do {
      try values.set(definition, to: text)
    } catch {
      switch definition.name {
      case "initial-cluster-state":
        if text.isEmpty { return }
        throw .invalid("unexpected clusterState \(GoValueSyntax.quoted(text))")
      case "feature-gates": throw .unusableFile(error.text)
      // The value is not used, whatever it is.
      case "v2-deprecation": return
      // etcd's message names the peers here.
      case "advertise-client-urls":
        throw .unusableFileURL(flag: "advertise-peer-urls", reason: error.text)
      default: throw .unusableFileURL(flag: definition.name, reason: error.text)
      }
    }
  }
}
