public import EtcdAPI
public import Model
internal import NIOCore
internal import Primitives
internal import SwiftProtobuf
internal import Synchronization
public import Wire

// Leases, and ranges as streams.
extension EtcdClient {
  // MARK: Leases

  /// - Parameter id: 0 lets the server choose.
  public func grantLease(timeToLiveSeconds: Int64, id: Int64 = 0) async throws
    -> Etcdserverpb_LeaseGrantResponse
  {
    try await call(
      .leaseGrant,
      Etcdserverpb_LeaseGrantRequest.with {
        $0.ttl = timeToLiveSeconds
        $0.id = id
      })
  }

  /// Ends a lease and deletes its keys.
  public func revokeLease(_ id: Int64) async throws -> Etcdserverpb_LeaseRevokeResponse {
    try await call(.leaseRevoke, Etcdserverpb_LeaseRevokeRequest.with { $0.id = id })
  }

  public func leaseTimeToLive(_ id: Int64, keys: Bool = false) async throws
    -> Etcdserverpb_LeaseTimeToLiveResponse
  {
    try await call(
      .leaseTimeToLive,
      Etcdserverpb_LeaseTimeToLiveRequest.with {
        $0.id = id
        $0.keys = keys
      })
  }

  public func leases() async throws -> Etcdserverpb_LeaseLeasesResponse {
    try await call(.leaseLeases, Etcdserverpb_LeaseLeasesRequest())
  }

  // MARK: Ranges

  /// A range as a stream of chunks, of a server that has RangeStream (etcd 3.7, Cairn). `onChunk` runs on the
  /// connection's event loop, in key order, and paces the server. Header, `more` and `count` are in the last chunk.
  public func rangeStream(
    _ request: RangeRequest, options: CallOptions? = nil,
    onChunk: @escaping @Sendable (Etcdserverpb_RangeResponse) -> Void
  ) async throws {
    let message = [UInt8](repeating: 0, count: RPCCall.messageHeadroom) + request.encoded()
    let malformed = Mutex(false)
    try await connection().serverStream(
      method(.rangeStream), message: message, options: options ?? callOptions,
      onMessage: { bytes in
        if let chunk = try? Etcdserverpb_RangeStreamResponse(serializedBytes: Array(bytes)) {
          onChunk(chunk.rangeResponse)
        } else {
          malformed.withLock { $0 = true }
        }
      }
    ).get()
    if malformed.withLock({ $0 }) {
      throw ClientError(.internal, "grpc: failed to unmarshal the received message")
    }
  }
}
