import EtcdAPI
import Model
import NIOCore
import Primitives
import SwiftProtobuf
import Wire

/// One lease and the stream that renews it, one renewal at a time. Confined to its connection's event loop.
final class LeaseRenewer: ClientCallObserver, @unchecked Sendable {
  private static let timeToLiveSeconds: Int64 = 100

  let lease: Int64
  private let method: ClientMethod
  private var call: ClientCall?
  private var completion: ((ClientError) -> Void)?
  private var keepsStream = true

  private init(lease: Int64, method: ClientMethod) {
    self.lease = lease
    self.method = method
  }

  /// Grants a lease for one.
  static func granted(
    on connection: ClientConnection, methods: [ClientMethod]
  ) -> EventLoopFuture<LeaseRenewer> {
    var writer = ProtoWriter(appendingTo: [UInt8](repeating: 0, count: RPCCall.messageHeadroom))
    writer.int64(1, timeToLiveSeconds)
    let method = methods[EtcdMethod.leaseKeepAlive.rawValue]
    return connection.unary(methods[EtcdMethod.leaseGrant.rawValue], message: writer.bytes)
      .flatMapThrowing { response in
        let lease = try Etcdserverpb_LeaseGrantResponse(serializedBytes: response).id
        return LeaseRenewer(lease: lease, method: method)
      }
  }

  /// - Parameter completion: called once, with `.ok` for success.
  func renew(
    on connection: ClientConnection, keepsStream: Bool, completion: @escaping (ClientError) -> Void
  ) {
    self.completion = completion
    self.keepsStream = keepsStream
    guard let call = call ?? connection.startStream(method, observer: self) else {
      return complete(ClientError(.unavailable, "connection closed"))
    }
    self.call = call
    var writer = ProtoWriter(appendingTo: [UInt8](repeating: 0, count: RPCCall.messageHeadroom))
    writer.int64(1, lease)
    call.send(writer.bytes)
  }

  func received(_ call: ClientCall, message: UnsafeRawBufferPointer) {
    guard call === self.call else { return }
    if !keepsStream {
      self.call = nil
      call.cancel()
    }
    complete(Self.outcome(message))
  }

  func ended(_ call: ClientCall, with status: ClientError) {
    guard call === self.call else { return }
    self.call = nil
    complete(status.code == .ok ? ClientError(.unavailable, "stream ended") : status)
  }

  private func complete(_ status: ClientError) {
    let completion = self.completion
    self.completion = nil
    completion?(status)
  }

  private static func outcome(_ message: UnsafeRawBufferPointer) -> ClientError {
    var seconds: Int64 = 0
    var reader = ProtoReader(message)
    do throws(ProtoError) {
      while let tag = try reader.nextTag() {
        if case .varint(3) = tag { seconds = try reader.readInt64() } else { try reader.skip(tag) }
      }
    } catch {
      return ClientError(.internal, "malformed response: \(error)")
    }
    return seconds > 0 ? ClientError(.ok, "") : .leaseNotFound
  }
}
