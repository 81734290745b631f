internal import Model

/// etcd's checks, in etcd's order and words.
extension ServerConfiguration {
  private static let electionMillisecondsMax: UInt64 = 50_000

  func validate() throws(ConfigurationError) {
    try checkSchemes()
    try Self.checkBindings(listenPeerURLs)
    try Self.checkBindings(listenClientURLs)
    try Self.checkBindings(listenClientHTTPURLs)
    try Self.checkBindings(listenMetricsURLs)
    try checkSeparation()
    try Self.checkHosts(advertisePeerURLs, flag: "initial-advertise-peer-urls")
    try Self.checkHosts(advertiseClientURLs ?? [], flag: "advertise-client-urls")
    let (heartbeat, election) = (heartbeatMilliseconds, electionMilliseconds)
    guard heartbeat > 0 else { throw .invalid("--heartbeat-interval must be >0 (set to 0ms)") }
    guard election > 0 else { throw .invalid("--election-timeout must be >0 (set to 0ms)") }
    let (minimum, overflow) = heartbeat.multipliedReportingOverflow(by: 5)
    guard !overflow, minimum <= election else {
      throw .invalid(
        "--election-timeout[\(election)ms] should be at least as 5 times as "
          + "--heartbeat-interval[\(heartbeat)ms]")
    }
    guard election <= Self.electionMillisecondsMax else {
      throw .invalid(
        "--election-timeout[\(election)ms] is too long, and should be set less than "
          + "\(Self.electionMillisecondsMax)ms")
    }
    guard corruptCheckTime >= .zero else {
      throw .invalid("--corrupt-check-time must be >=0 (set to \(corruptCheckTime))")
    }
    guard advertiseClientURLs != nil else { throw .advertiseClientURLsUnset }
  }

  /// Only plain TCP is served; every list is looked at, so that no secure URL is taken for a plain one.
  private func checkSchemes() throws(ConfigurationError) {
    let lists = [
      ("listen-peer-urls", listenPeerURLs), ("listen-client-urls", listenClientURLs),
      ("initial-advertise-peer-urls", advertisePeerURLs),
      ("advertise-client-urls", advertiseClientURLs ?? []),
      ("listen-client-http-urls", listenClientHTTPURLs), ("listen-metrics-urls", listenMetricsURLs),
    ]
    for (flag, urls) in lists {
      for url in urls {
        switch url.scheme {
        case .http: continue
        case .https: throw .notBuilt(flag: "--\(flag)=\(url)", feature: "TLS (https)")
        case .unixs: throw .notBuilt(flag: "--\(flag)=\(url)", feature: "TLS (unixs)")
        case .unix where flag.hasSuffix("peer-urls"):
          throw .notBuilt(flag: "--\(flag)=\(url)", feature: "peers on unix sockets")
        case .unix: continue
        }
      }
    }
  }

  /// A listener binds to an address, never to a name that could resolve to something else tomorrow.
  private static func checkBindings(_ urls: [EndpointURL]) throws(ConfigurationError) {
    for url in urls where url.scheme != .unix && url.host != "localhost" && !url.hostIsAddress {
      throw .invalid("expected IP in URL for binding (\(url))")
    }
  }

  /// One URL cannot be for gRPC alone and for HTTP alone.
  private func checkSeparation() throws(ConfigurationError) {
    for url in listenClientHTTPURLs where listenClientURLs.contains(url) {
      throw .invalid(
        "cannot bind both --listen-client-urls and --listen-client-http-urls on the same url \(url)")
    }
  }

  private static func checkHosts(_ urls: [EndpointURL], flag: String) throws(ConfigurationError) {
    for url in urls where url.host.isEmpty {
      let all = urls.map(\.description).joined(separator: ",")
      throw .invalid(
        "--\(flag) \(GoValueSyntax.quoted(all)) must be \"host:port\" (unexpected empty host (\(url)))")
    }
  }
}
