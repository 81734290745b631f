internal import Frontend
internal import Glibc
internal import Model
internal import NIOCore
internal import Wire

/// The listeners for clients and for monitoring, by etcd's rules: gRPC and HTTP share the client URLs unless HTTP has URLs
/// of its own, and metrics URLs serve metrics and health alone.
struct ClientListeners {
  private let server: WireServer
  private let endpoints: HTTPEndpoints
  private let logger: Logger
  /// Socket files to be removed at the end.
  private var socketFiles: [String] = []

  init(_ server: WireServer, _ endpoints: HTTPEndpoints, _ logger: Logger) {
    self.server = server
    self.endpoints = endpoints
    self.logger = logger
  }

  mutating func open(_ configuration: ServerConfiguration) throws {
    let http = configuration.listenClientHTTPURLs
    for url in configuration.listenClientURLs {
      try listen(url, http.isEmpty ? .everything : .calls, http.isEmpty ? "grpc+http" : "grpc")
    }
    for url in http { try listen(url, .http, "http") }
    for url in configuration.listenMetricsURLs {
      let address = try bind(url, .pages(endpoints.offering(.monitoring)))
      logger.info("serving metrics", ["address": .text(address)])
    }
  }

  private mutating func listen(_ url: EndpointURL, _ service: ListenerService, _ traffic: String) throws {
    let address = try bind(url, service)
    logger.info(
      "serving client traffic insecurely; this is strongly discouraged!",
      ["traffic": .text(traffic), "address": .text(address)])
  }

  private mutating func bind(_ url: EndpointURL, _ service: ListenerService) throws -> String {
    let address = try ListenAddress(url)
    do {
      switch address {
      case .tcp(let host, let port):
        let bound = try server.listen(host: host, port: port, serving: service).wait()
        return bound.map { "\($0)" } ?? url.description
      case .unix(let path):
        try SocketFile.removeStale(path)
        _ = try server.listen(path: path, serving: service).wait()
        socketFiles.append(path)
        return path
      }
    } catch {
      throw ConfigurationError.invalid("listen \(address.description): \(Self.reason(error))")
    }
  }

  /// Why an address could not be bound.
  static func reason(_ error: any Error) -> String {
    switch error {
    case let error as IOError: "bind: " + String(cString: strerror(error.errnoCode)).lowercased()
    case let fault as SocketFile.Fault: "bind: \(fault.description)"
    case SocketAddressError.unixDomainSocketPathTooLong: "bind: the path is too long for a socket"
    default: "\(error)"
    }
  }

  func removeSocketFiles() {
    for path in socketFiles { unlink(path) }
  }
}
