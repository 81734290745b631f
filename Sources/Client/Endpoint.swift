/// Where a server listens, as users write it: `127.0.0.1:2379`, `http://[::1]:2379`, `localhost`.
public struct Endpoint: Hashable, Sendable, CustomStringConvertible {
  public var host: String
  public var port: Int

  /// Why a text names no endpoint.
  public struct Malformed: Error, CustomStringConvertible {
    public var description: String
  }

  public init(host: String, port: Int) {
    self.host = host
    self.port = port
  }

  /// Port 2379 when none is given. TLS is not supported yet, so `https` is refused and not downgraded.
  public init(_ text: String) throws(Malformed) {
    var rest = Substring(text)
    if let range = text.firstRange(of: "://") {
      let scheme = text[..<range.lowerBound]
      guard scheme == "http" else {
        throw Malformed(description: "endpoint \(text): scheme \(scheme) is not supported")
      }
      rest = text[range.upperBound...]
    }
    if rest.last == "/" { rest = rest.dropLast() }
    var portText: Substring?
    if rest.first == "[" {
      guard let close = rest.firstIndex(of: "]") else {
        throw Malformed(description: "endpoint \(text): missing ]")
      }
      host = String(rest[rest.index(after: rest.startIndex)..<close])
      let after = rest[rest.index(after: close)...]
      if !after.isEmpty {
        guard after.first == ":" else { throw Malformed(description: "endpoint \(text): malformed port") }
        portText = after.dropFirst()
      }
    } else if let colon = rest.lastIndex(of: ":") {
      host = String(rest[..<colon])
      portText = rest[rest.index(after: colon)...]
    } else {
      host = String(rest)
    }
    guard !host.isEmpty, !host.contains("/") else {
      throw Malformed(description: "endpoint \(text): malformed host")
    }
    guard let portText else {
      port = 2379
      return
    }
    guard let number = UInt16(portText), number > 0 else {
      throw Malformed(description: "endpoint \(text): malformed port")
    }
    port = Int(number)
  }

  /// `host:port`, with brackets around an IPv6 address; also the HTTP/2 authority.
  public var description: String {
    host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
  }
}
