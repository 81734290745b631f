public import NIOCore
import NIOHTTP1

/// Calls to other members that are not about Raft: members, versions, promotions, leases, hashes.
///
/// One connection a call; each has a time limit and a limit on the answer.
public struct PeerClient: Sendable {
  let dialer: PeerDialer
  let identity: PeerIdentity
  let limits: PeerLimits

  /// One request and its whole answer, whatever its status.
  ///
  /// The future fails with a `PeerHTTPError` or the system's reason when there is no answer.
  /// - Parameters:
  ///   - path: with a leading slash.
  ///   - timeout: nanoseconds from the connection to the end of the answer.
  public func call(
    _ method: String, _ url: PeerURL, path: String, headers: [(name: String, value: String)] = [],
    body: [UInt8]? = nil, timeout: Int64
  ) -> EventLoopFuture<PeerResponse> {
    dialer.exchange(
      url, HTTPMethod(rawValue: method), path, headers: HTTPHeaders(headers.map { ($0.name, $0.value) }),
      body: body.map { ByteBuffer(bytes: $0) }, responseBytesMax: limits.responseBytes, timeout: timeout
    ).map { answer in
      PeerResponse(
        status: answer.status, headers: answer.headers.map { ($0.name, $0.value) }, body: answer.body)
    }
  }

  /// Tries the URLs in their order until one answers with a success; fails with the last reason.
  public func firstAnswer(
    _ method: String, _ urls: [PeerURL], path: String, headers: [(name: String, value: String)] = [],
    body: [UInt8]? = nil, timeout: Int64
  ) -> EventLoopFuture<PeerResponse> {
    guard let first = urls.first else {
      return dialer.eventLoop.makeFailedFuture(PeerHTTPError.badURL("none"))
    }
    let attempt = call(method, first, path: path, headers: headers, body: body, timeout: timeout)
      .flatMapThrowing { response in
        guard response.status == 200 else {
          throw PeerHTTPError.status(
            response.status, String(decoding: response.body.prefix(300), as: UTF8.self))
        }
        return response
      }
    if urls.count == 1 { return attempt }
    return attempt.flatMapError { _ in
      self.firstAnswer(
        method, Array(urls.dropFirst()), path: path, headers: headers, body: body, timeout: timeout)
    }
  }
}
