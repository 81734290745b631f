internal import Model
internal import Yams

/// A value of a YAML or JSON document, typed by YAML 1.1's rules for plain words, as etcd's reader does it.
///
/// Looked at one key at a time: what nobody asks for is never visited, so that a document with aliases is never
/// expanded.
struct YAMLValue {
  enum Content {
    case null
    case boolean(Bool)
    /// Whole numbers in their decimal spelling, others as they were written.
    case number(String)
    case text(String)
    case list([YAMLValue])
    case map(YAMLMap)
  }

  struct Failure: Error { let text: String }

  private let node: Node

  fileprivate init(_ node: Node) { self.node = node }

  /// More aliases than anybody writes by hand: each may double what comparing two keys costs.
  private static let aliasesMax = 16

  /// Parses a document; nil when it is empty. libyaml ends it at a depth of 1,000.
  static func parse(_ text: String) throws(Failure) -> YAMLValue? {
    guard countAliases(text) <= aliasesMax else {
      throw Failure(text: "yaml: more than \(aliasesMax) aliases")
    }
    do {
      // The basic resolver gives no types; `content` does.
      return try Parser(yaml: text, resolver: .basic, encoding: .utf8).singleRoot().map(YAMLValue.init)
    } catch {
      throw Failure(text: "yaml: \(describe(error))")
    }
  }

  /// Counts what could be an alias, some words in comments and texts included.
  private static func countAliases(_ text: String) -> Int {
    var count = 0
    var before = UInt8(ascii: " ")
    var sawStar = false
    for byte in text.utf8 {
      let isWord =
        byte >= 0x80 || byte == UInt8(ascii: "_") || byte == UInt8(ascii: "-") || isLetterOrDigit(byte)
      if sawStar, isWord { count += 1 }
      sawStar = byte == UInt8(ascii: "*") && " \t\n\r[{,:?-".utf8.contains(before)
      before = byte
    }
    return count
  }

  private static func isLetterOrDigit(_ byte: UInt8) -> Bool {
    ((byte | 0x20) >= UInt8(ascii: "a") && (byte | 0x20) <= UInt8(ascii: "z"))
      || (byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9"))
  }

  /// libyaml's words with the line, which are those of Go's port of it.
  private static func describe(_ error: any Error) -> String {
    guard let error = error as? YamlError else { return "\(error)" }
    switch error {
    case .scanner(_, let problem, let mark, _), .composer(_, let problem, let mark, _):
      return "line \(mark.line): \(problem)"
    // Go's port counts from nought here, and leaves nought out.
    case .parser(_, let problem, let mark, _):
      return mark.line > 1 ? "line \(mark.line - 1): \(problem)" : problem
    case .reader(let problem, _, _, _): return problem
    case .memory: return "the document is too large or nested too deeply"
    case .duplicatedKeysInMapping(let duplicates, let context):
      return
        "line \(context.mark.line): key \(GoValueSyntax.quoted(duplicates.first ?? "")) already set in map"
    case .no, .writer, .emitter, .representer, .dataCouldNotBeDecoded: return "the document cannot be read"
    }
  }

  var content: Content {
    switch node {
    case .scalar(let scalar):
      let isPlain = scalar.style == .plain || scalar.style == .any
      return isPlain ? Self.plain(scalar.string) : .text(scalar.string)
    case .sequence(let sequence): return .list(sequence.map(YAMLValue.init))
    case .mapping(let mapping): return .map(YAMLMap(mapping))
    case .alias: return .null
    }
  }

  private static func plain(_ word: String) -> Content {
    switch word {
    case "", "~", "null", "Null", "NULL": return .null
    case "y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON": return .boolean(true)
    case "n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF": return .boolean(false)
    default: break
    }
    guard let first = word.utf8.first, "+-.0123456789".utf8.contains(first) else { return .text(word) }
    if let value = try? GoValueSyntax.integer(word) { return .number("\(value)") }
    if let value = try? GoValueSyntax.unsigned(word) { return .number("\(value)") }
    let isNumber = word.utf8.allSatisfy { "+-.0123456789eE".utf8.contains($0) }
    guard isNumber, let value = Double(word) else { return .text(word) }
    // JSON, which etcd goes by way of, writes a whole number without its fraction.
    if let whole = Int64(exactly: value) { return .number("\(whole)") }
    return .number(word)
  }

  /// JSON's name for what this is, and the number itself, as Go's errors have it.
  var goDescription: String {
    switch content {
    case .null: "null"
    case .boolean: "bool"
    case .number(let text): "number \(text)"
    case .text: "string"
    case .list: "array"
    case .map: "object"
    }
  }
}

/// Keys and values in the order of the document. Keys that are no text are nobody's.
struct YAMLMap {
  private let mapping: Node.Mapping

  fileprivate init(_ mapping: Node.Mapping) { self.mapping = mapping }

  var pairs: [(key: String, value: YAMLValue)] {
    mapping.compactMap { pair in
      guard case .scalar(let key) = pair.key else { return nil }
      return (key.string, YAMLValue(pair.value))
    }
  }
}
