internal import Model

/// Where a listener binds, as etcd reads its URLs.
enum ListenAddress: Hashable {
  case tcp(host: String, port: Int)
  /// A socket file: of `unix://host:port` the file `host:port` in the working directory.
  case unix(path: String)

  init(_ url: EndpointURL) throws(ConfigurationError) {
    switch url.scheme {
    case .unix, .unixs:
      guard !url.host.isEmpty else { throw .invalid("no path in \(url)") }
      self = .unix(path: url.host)
    case .http, .https:
      guard let port = url.port.flatMap({ Int($0) }), port <= 65_535 else {
        throw .invalid("listen tcp \(url.host):\(url.port ?? ""): invalid port")
      }
      // As the loopback address, not whatever the name may resolve to.
      self = .tcp(host: url.host == "localhost" ? "127.0.0.1" : url.host, port: port)
    }
  }

  /// As Go's net package names it: "tcp 127.0.0.1:2379".
  var description: String {
    switch self {
    case .tcp(let host, let port): "tcp \(host.contains(":") ? "[\(host)]" : host):\(port)"
    case .unix(let path): "unix \(path)"
    }
  }
}
