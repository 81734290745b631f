internal import Model

/// One row of the flag table: the single source for parsing, environment variables, help and the refusal of
/// what is not built.
public struct FlagDefinition: Sendable {
  /// What a value must look like. The texts of failures follow Go's `flag` package and etcd's own flag types.
  public enum Kind: Sendable {
    case boolean
    case integer
    case unsigned
    /// 32 bits, with the error text of etcd's own type.
    case unsigned32
    case duration
    case text
    /// Comma-separated; an empty text leaves the default.
    case urls
    case names
    case choice([String], quotesValueInError: Bool)
    /// `Name=bool,...`; given twice, it counts together.
    case featureGates
    /// URLs and `*`, separated by commas.
    case origins
    /// Accepted in any form and without effect since etcd 3.0.
    case ignored
  }

  /// What the value does in this server.
  public enum Support: Sendable {
    case effective
    /// Valid, checked and without a meaning for this storage engine or cluster size; etcd's configurations
    /// stay usable.
    case withoutEffect
    /// Any value but the default stops the start, naming the flag and this feature.
    case notBuilt(String)
  }

  public enum Section: String, Sendable, CaseIterable {
    case member = "Member"
    case clustering = "Clustering"
    case security = "Security"
    case auth = "Auth"
    case monitoring = "Profiling and Monitoring"
    case logging = "Logging"
    case tracing = "Distributed tracing"
    case features = "Features"
    case unsafe = "Unsafe feature"
    /// Not shown in the help.
    case hidden = ""
  }

  public let name: String
  public let kind: Kind
  public let defaultText: String
  public let section: Section
  public let support: Support
  public let summary: String

  init(
    _ name: String, _ kind: Kind, _ defaultText: String, _ section: Section, _ support: Support,
    _ summary: String
  ) {
    self.name = name
    self.kind = kind
    self.defaultText = defaultText
    self.section = section
    self.support = support
    self.summary = summary
  }

  /// A flag that does what it says.
  init(_ name: String, _ kind: Kind, _ defaultText: String, _ section: Section, _ summary: String) {
    self.init(name, kind, defaultText, section, .effective, summary)
  }

  /// `ETCD_` and the name in capitals.
  public var variableName: String {
    "ETCD_" + name.uppercased().replacing("-", with: "_")
  }

  /// True when `--flag` alone means `--flag=true`.
  var needsNoValue: Bool {
    switch kind {
    case .boolean, .ignored: true
    default: false
    }
  }

  /// Checks a value's form; throws the words after `invalid value "x" for flag -name: `.
  func check(_ text: String) throws(ValueSyntaxError) {
    switch kind {
    case .boolean: _ = try GoValueSyntax.boolean(text)
    case .integer: _ = try GoValueSyntax.integer(text)
    case .unsigned: _ = try GoValueSyntax.unsigned(text)
    case .unsigned32: _ = try Self.unsigned32(text)
    case .duration: _ = try GoDuration(parsing: text)
    case .urls: if !text.isEmpty { _ = try EndpointURL.list(parsing: text) }
    case .choice(let choices, let quotes):
      guard choices.contains(text) else {
        throw ValueSyntaxError(quotes ? "invalid value \(GoValueSyntax.quoted(text))" : "invalid value")
      }
    case .featureGates: _ = try FeatureGates(parsing: text)
    case .origins:
      for origin in text.split(separator: ",") where origin != "*" {
        _ = try EndpointURL.list(parsing: String(origin))
      }
    case .text, .names, .ignored: break
    }
  }

  /// True when both spellings mean the same value (`60s` and `1m`, `1` and `true`).
  func sameValue(_ left: String, _ right: String) -> Bool {
    switch kind {
    case .boolean: (try? GoValueSyntax.boolean(left)) == (try? GoValueSyntax.boolean(right))
    case .integer: (try? GoValueSyntax.integer(left)) == (try? GoValueSyntax.integer(right))
    case .unsigned, .unsigned32: (try? GoValueSyntax.unsigned(left)) == (try? GoValueSyntax.unsigned(right))
    case .duration: (try? GoDuration(parsing: left)) == (try? GoDuration(parsing: right))
    case .text, .urls, .names, .choice, .featureGates, .origins, .ignored: left == right
    }
  }

  static func unsigned32(_ text: String) throws(ValueSyntaxError) -> UInt32 {
    let wide: UInt64
    do {
      wide = try GoValueSyntax.unsigned(text)
    } catch {
      let reason = error == .range ? error.text : "invalid syntax"
      throw ValueSyntaxError("strconv.ParseUint: parsing \(GoValueSyntax.quoted(text)): \(reason)")
    }
    guard let value = UInt32(exactly: wide) else {
      throw ValueSyntaxError(
        "strconv.ParseUint: parsing \(GoValueSyntax.quoted(text)): value out of range")
    }
    return value
  }
}
