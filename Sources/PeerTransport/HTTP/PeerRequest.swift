import NIOHTTP1

/// A request of another member that is not about Raft, whole and within its limit: members, leases, hashes, versions.
public struct PeerRequest: Sendable {
  public var method: String
  /// Without the query.
  public var path: String
  /// In order of arrival; names as sent.
  public var headers: [(name: String, value: String)]
  public var body: [UInt8]

  /// The first value of a header, compared without regard to case.
  public func header(_ name: String) -> String? {
    headers.first { $0.name.lowercased() == name.lowercased() }?.value
  }
}

/// The answer to a `PeerRequest`. Content-Length is added.
public struct PeerResponse: Sendable {
  public var status: Int
  public var headers: [(name: String, value: String)]
  public var body: [UInt8]

  public init(status: Int = 200, headers: [(name: String, value: String)] = [], body: [UInt8] = []) {
    self.status = status
    self.headers = headers
    self.body = body
  }

  /// An error as Go's HTTP library writes one: plain text and a line feed.
  public init(status: Int, error: String, headers: [(name: String, value: String)] = []) {
    self.init(
      status: status,
      headers: headers + [
        ("Content-Type", "text/plain; charset=utf-8"), ("X-Content-Type-Options", "nosniff"),
      ],
      body: Array(error.utf8) + [UInt8(ascii: "\n")])
  }
}
