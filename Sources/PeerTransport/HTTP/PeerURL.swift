/// Where a peer listens: `http://host:port` or `https://host:port`.
public struct PeerURL: Hashable, Sendable, CustomStringConvertible {
  public let isSecure: Bool
  /// Without the brackets of an IPv6 address.
  public let host: String
  public let port: Int

  /// Nil for whatever no member would advertise.
  public init?(_ text: some StringProtocol) {
    let schemes = [("http://", false), ("https://", true)]
    guard text.utf8.count <= Self.bytesMax, text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f }),
      let (scheme, isSecure) = schemes.first(where: { text.hasPrefix($0.0) })
    else { return nil }
    var rest = Substring(text.dropFirst(scheme.count))
    if rest.hasSuffix("/") { rest = rest.dropLast() }
    guard !rest.contains(where: { "/?#@".contains($0) }), let colon = rest.lastIndex(of: ":") else {
      return nil
    }
    let digits = rest[rest.index(after: colon)...]
    guard digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let port = Int(digits),
      (1...65535).contains(port)
    else { return nil }
    var host = rest[..<colon]
    if host.hasPrefix("[") && host.hasSuffix("]") {
      host = host.dropFirst().dropLast()
    } else if host.contains(":") {
      return nil
    }
    guard !host.isEmpty else { return nil }
    self.isSecure = isSecure
    self.host = String(host)
    self.port = port
  }

  private static let bytesMax = 300

  /// What stands in a Host header.
  var authority: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }

  public var description: String { (isSecure ? "https://" : "http://") + authority }
}
