/// When a log file is set aside, and what becomes of the old ones: `--log-rotation-config-json`.
public struct LogRotation: Sendable, Equatable {
  /// A file that would pass this is set aside first.
  public var sizeBytesMax: Int = 100 << 20
  /// Files set aside longer ago are removed; 0 keeps them whatever their age.
  public var ageDaysMax: Int = 0
  /// Only so many are kept; 0 keeps any number.
  public var backupsMax: Int = 0
  /// Names carry local time instead of UTC.
  public var usesLocalTime = false
  /// Files set aside are compressed with gzip.
  public var compresses = false

  public init() {}

  /// Whether a map is in braces and its first key in double quotes, which YAML does not ask for.
  private static func looksLikeJSON(_ text: String) -> Bool {
    let inked = text.filter { !$0.isWhitespace }
    return inked.hasPrefix("{\"") || inked.hasPrefix("{}")
  }

  /// Reads etcd's form; errors are in its words, but for the place of a syntax error.
  init(parsing json: String) throws(ConfigurationError) {
    self.init()
    guard let value = try Self.document(json) else {
      throw .invalid("improperly formatted log rotation config: unexpected end of JSON input")
    }
    guard case .map(let map) = value.content else {
      throw Self.mismatch(value, nil, "embed.logRotationConfig")
    }
    guard Self.looksLikeJSON(json) else {
      throw .invalid(
        "improperly formatted log rotation config: keys must be in double quotes, the object in braces")
    }
    for (key, value) in map.pairs {
      switch key.lowercased() {
      case "maxsize":
        // lumberjack takes no size, and one below zero, for its default.
        let megabytes = try Self.number(value, key)
        if megabytes > 0 { sizeBytesMax = megabytes.multipliedReportingOverflow(by: 1 << 20).partialValue }
        if megabytes > Int.max >> 20 { sizeBytesMax = .max }
      case "maxage": ageDaysMax = max(0, try Self.number(value, key))
      case "maxbackups": backupsMax = max(0, try Self.number(value, key))
      case "localtime": usesLocalTime = try Self.boolean(value, key)
      case "compress": compresses = try Self.boolean(value, key)
      default: break
      }
    }
  }

  /// JSON is YAML written more strictly.
  private static func document(_ json: String) throws(ConfigurationError) -> YAMLValue? {
    do {
      return try YAMLValue.parse(json)
    } catch {
      throw .invalid("improperly formatted log rotation config: \(error.text)")
    }
  }

  private static func number(_ value: YAMLValue, _ key: String) throws(ConfigurationError) -> Int {
    guard case .number(let text) = value.content, let number = Int(text) else {
      throw mismatch(value, key, "int")
    }
    return number
  }

  private static func boolean(_ value: YAMLValue, _ key: String) throws(ConfigurationError) -> Bool {
    guard case .boolean(let flag) = value.content else { throw mismatch(value, key, "bool") }
    return flag
  }

  private static func mismatch(_ value: YAMLValue, _ key: String?, _ goType: String) -> ConfigurationError {
    if case .text = value.content, key == nil {
      return .invalid("improperly formatted log rotation config: the value is no object")
    }
    var what = value.goDescription
    if goType != "int", what.hasPrefix("number") { what = "number" }
    let place = key.map { "Go struct field logRotationConfig.\($0)" } ?? "Go value"
    return .invalid(
      "invalid log rotation config: json: cannot unmarshal \(what) into \(place) of type \(goType)")
  }

  /// etcd's rule for the outputs that go with a rotation: at most one file, and not a single output that is none.
  static func check(_ outputs: [String]) throws(ConfigurationError) {
    let files = outputs.count { !["default", "stderr", "stdout"].contains($0) }
    guard files <= 1, outputs.count > 1 || files == 1 else {
      throw .invalid("--log-outputs requires a single file path when --log-rotate-config-json is defined")
    }
  }
}
