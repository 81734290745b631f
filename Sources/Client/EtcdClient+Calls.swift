public import EtcdAPI
public import Model
internal import NIOCore
public import SwiftProtobuf
public import Wire

// Typed calls: hot requests through the hand codec, the rest and all responses through the generated one.
extension EtcdClient {
  /// A unary call with a message of the hand codec.
  public func call<Response: SwiftProtobuf.Message>(
    _ method: EtcdMethod, _ request: some WireMessage, returning: Response.Type = Response.self,
    options: CallOptions? = nil
  ) async throws -> Response {
    try Response(serializedBytes: await unary(method, request.encoded(), options: options))
  }

  /// A unary call with a generated message.
  public func call<Response: SwiftProtobuf.Message>(
    _ method: EtcdMethod, _ request: some SwiftProtobuf.Message, returning: Response.Type = Response.self,
    options: CallOptions? = nil
  ) async throws -> Response {
    try Response(serializedBytes: await unary(method, request.serializedBytes(), options: options))
  }

  public func put(_ request: PutRequest) async throws -> Etcdserverpb_PutResponse {
    try await call(.put, request)
  }

  public func put(_ key: [UInt8], _ value: [UInt8]) async throws -> Etcdserverpb_PutResponse {
    try await put(PutRequest(key: key, value: value))
  }

  public func range(_ request: RangeRequest) async throws -> Etcdserverpb_RangeResponse {
    try await call(.range, request)
  }

  /// Key-values of one key (`end` empty), or of all keys from `key` to before `end`.
  public func range(_ key: [UInt8], end: [UInt8] = []) async throws -> Etcdserverpb_RangeResponse {
    try await range(RangeRequest(key: key, rangeEnd: end))
  }

  public func deleteRange(_ request: DeleteRangeRequest) async throws -> Etcdserverpb_DeleteRangeResponse {
    try await call(.deleteRange, request)
  }

  public func transaction(_ request: TransactionRequest) async throws -> Etcdserverpb_TxnResponse {
    try await call(.txn, request)
  }

  public func compact(revision: Int64, physical: Bool = false) async throws -> Etcdserverpb_CompactionResponse
  {
    try await call(.compact, CompactionRequest(revision: revision, physical: physical))
  }

  public func status() async throws -> Etcdserverpb_StatusResponse {
    try await call(.status, Etcdserverpb_StatusRequest())
  }

  /// The hash of the key space at a revision; 0 is the latest.
  public func hashKV(revision: Int64 = 0) async throws -> Etcdserverpb_HashKVResponse {
    try await call(.hashKV, Etcdserverpb_HashKVRequest.with { $0.revision = revision })
  }

  public func memberList(linearizable: Bool = true) async throws -> Etcdserverpb_MemberListResponse {
    try await call(.memberList, Etcdserverpb_MemberListRequest.with { $0.linearizable = linearizable })
  }

  /// A server-streaming call; `onMessage` runs on the connection's event loop, in order, and paces the server.
  public func serverStream(
    _ method: EtcdMethod, _ request: some SwiftProtobuf.Message, options: CallOptions? = nil,
    onMessage: @escaping @Sendable (UnsafeRawBufferPointer) -> Void
  ) async throws {
    let message: [UInt8] =
      try [UInt8](repeating: 0, count: RPCCall.messageHeadroom) + request.serializedBytes()
    try await connection().serverStream(
      self.method(method), message: message, options: options ?? callOptions, onMessage: onMessage
    ).get()
  }
}

/// The end of the range of all keys with a prefix: its last byte counted up, as etcd's clients do.
public func prefixEnd(_ prefix: [UInt8]) -> [UInt8] {
  var end = prefix
  while let last = end.popLast() {
    if last < 0xff { return end + [last + 1] }
  }
  // All bytes are 0xff, or there are none: every key from here on.
  return [0]
}
