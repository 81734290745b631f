/// A listen or advertise address as etcd accepts them: `http://host:port`, `https://host:port`,
/// `unix://path`, `unixs://path`.
public struct EndpointURL: Hashable, Comparable, Sendable, CustomStringConvertible {
  public enum Scheme: String, Sendable, CaseIterable {
    case http, https, unix, unixs

    public var isSecure: Bool { self == .https || self == .unixs }
  }

  public let scheme: Scheme
  /// Without the brackets of an IPv6 address; the socket path for `unix` and `unixs`.
  public let host: String
  /// Text, because etcd accepts any digits here and fails when it binds; nil for `unix` and `unixs`.
  public let port: String?
  /// The spelling that ids and cluster maps are computed from.
  public let description: String

  public static func < (left: EndpointURL, right: EndpointURL) -> Bool {
    left.description.utf8.lexicographicallyPrecedes(right.description.utf8)
  }

  /// Parses one address.
  ///
  /// Throws etcd's words for what is wrong with it.
  public init(parsing given: String) throws(ValueSyntaxError) {
    let text = given.trimmingBlanks()
    guard let separator = text.firstIndex(of: ":"), Self.isScheme(text[..<separator]) else {
      if let slashOrColon = text.firstIndex(where: { $0 == ":" || $0 == "/" }), text[slashOrColon] == ":" {
        throw ValueSyntaxError(
          "parse \(GoValueSyntax.quoted(text)): first path segment in URL cannot contain colon")
      }
      throw ValueSyntaxError("URL scheme must be http, https, unix, or unixs: \(text)")
    }
    let spelled = text[..<separator].lowercased()
    let rest = text[text.index(after: separator)...]
    guard let scheme = Scheme(rawValue: spelled) else {
      throw ValueSyntaxError("URL scheme must be http, https, unix, or unixs: \(spelled):\(rest)")
    }
    self.scheme = scheme
    let authority = rest.hasPrefix("//") ? rest.dropFirst(2) : rest[rest.endIndex...]
    switch scheme {
    case .unix, .unixs:
      host = String(authority)
      port = nil
    case .http, .https:
      let end = authority.firstIndex { $0 == "/" || $0 == "?" || $0 == "#" } ?? authority.endIndex
      guard let (host, port) = Self.splitHostPort(authority[..<end]) else {
        throw ValueSyntaxError("URL address does not have the form \"host:port\": \(text)")
      }
      guard port.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }) else {
        throw ValueSyntaxError("parse \(GoValueSyntax.quoted(text)): invalid port \":\(port)\" after host")
      }
      if end < authority.endIndex, authority[end] == "/" {
        throw ValueSyntaxError("URL must not contain a path: \(text)")
      }
      // Queries, fragments and user information mean nothing in an address; etcd drops them in silence.
      guard end == authority.endIndex, !authority[..<end].contains("@") else {
        throw ValueSyntaxError("URL must be just scheme, host and port: \(scheme.rawValue)://\(host):\(port)")
      }
      self.host = host
      self.port = port
    }
    description = "\(spelled):\(rest)"
  }

  /// Parses a comma-separated list; the result is sorted and free of repetitions, as etcd keeps it.
  public static func list(parsing text: String) throws(ValueSyntaxError) -> [EndpointURL] {
    var urls: Set<EndpointURL> = []
    for part in text.split(separator: ",", omittingEmptySubsequences: false) {
      urls.insert(try EndpointURL(parsing: String(part)))
    }
    return urls.sorted()
  }

  /// True for a literal IPv4 or IPv6 address, the only hosts besides `localhost` that a listener binds to.
  public var hostIsAddress: Bool { host.contains(":") || Self.isIPv4(host) }

  private static func isIPv4(_ text: String) -> Bool {
    let parts = text.split(separator: ".", omittingEmptySubsequences: false)
    return parts.count == 4
      && parts.allSatisfy { part in
        UInt8(part) != nil && (part.utf8.count == 1 || !part.hasPrefix("0")) && !part.hasPrefix("+")
      }
  }

  private static func isScheme(_ text: Substring) -> Bool {
    guard let first = text.utf8.first, (first | 0x20) >= 0x61, (first | 0x20) <= 0x7a else { return false }
    return text.utf8.allSatisfy { byte in
      ((byte | 0x20) >= 0x61 && (byte | 0x20) <= 0x7a) || (byte >= 0x30 && byte <= 0x39)
        || byte == UInt8(ascii: "+") || byte == UInt8(ascii: "-") || byte == UInt8(ascii: ".")
    }
  }

  private static func splitHostPort(_ text: Substring) -> (host: String, port: String)? {
    if text.hasPrefix("[") {
      guard let close = text.firstIndex(of: "]") else { return nil }
      let after = text[text.index(after: close)...]
      guard after.hasPrefix(":") else { return nil }
      return (String(text[text.index(after: text.startIndex)..<close]), String(after.dropFirst()))
    }
    guard let colon = text.lastIndex(of: ":") else { return nil }
    let host = text[..<colon]
    guard !host.contains(":") else { return nil }
    return (String(host), String(text[text.index(after: colon)...]))
  }
}

extension String {
  /// Go's `strings.TrimSpace` for the blanks that occur in flags.
  public func trimmingBlanks() -> String {
    let blank: (Character) -> Bool = { $0 == " " || $0 == "\t" || $0 == "\n" || $0 == "\r\n" || $0 == "\r" }
    guard let first = firstIndex(where: { !blank($0) }), let last = lastIndex(where: { !blank($0) }) else {
      return ""
    }
    return String(self[first...last])
  }
}
