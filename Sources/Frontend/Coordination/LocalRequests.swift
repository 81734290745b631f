import Model
import Primitives
import Replica
import Store
import Wire

/// What came of a request that a service of the member made itself.
///
/// `Sendable` closures: they are only called on the event loop that made the request, but may lie in wait elsewhere.
typealias LocalCompletion<Response> = @Sendable (Result<Response, ClientError>) -> Void

/// An applied command: the revision of its header, and the fields behind it.
struct LocalOutcome: Sendable {
  var revision: Int64
  var body: [UInt8]
}

/// A RangeResponse, as far as services of the member look at it.
struct LocalRange: Sendable {
  var revision: Int64 = 0
  var keyValues: [KeyValue] = []

  fileprivate mutating func merge(_ bytes: UnsafeRawBufferPointer) throws(ProtoError) {
    var reader = ProtoReader(bytes)
    while let tag = try reader.nextTag() {
      switch tag {
      case .length(1): revision = try ResponseHeader(decoding: reader.readBuffer()).revision
      case .length(2): keyValues.append(try KeyValue(decoding: reader.readBuffer()))
      default: try reader.skip(tag)
      }
    }
  }
}

/// A TxnResponse, as far as services of the member look at it.
struct LocalTransaction: Sendable {
  var revision: Int64
  var succeeded = false
  /// What each operation read; nothing for those that do not read.
  var ranges: [LocalRange] = []

  /// - Parameter body: the fields behind the header.
  fileprivate init(revision: Int64, body: [UInt8]) throws(ProtoError) {
    self.revision = revision
    let result: Result<(Bool, [LocalRange]), ProtoError> = body.withUnsafeBytes { bytes in
      do throws(ProtoError) {
        return .success(try Self.read(bytes))
      } catch {
        return .failure(error)
      }
    }
    (succeeded, ranges) = try result.get()
  }

  private static func read(_ bytes: UnsafeRawBufferPointer) throws(ProtoError) -> (Bool, [LocalRange]) {
    var (succeeded, ranges) = (false, [LocalRange]())
    var reader = ProtoReader(bytes)
    while let tag = try reader.nextTag() {
      switch tag {
      case .varint(2): succeeded = try reader.readBool()
      case .length(3):
        var range = LocalRange()
        var operation = ProtoReader(try reader.readBuffer())
        while let tag = try operation.nextTag() {
          if case .length(1) = tag {
            try range.merge(operation.readBuffer())
          } else {
            try operation.skip(tag)
          }
        }
        ranges.append(range)
      default: try reader.skip(tag)
      }
    }
    return (succeeded, ranges)
  }
}

// Requests of services inside the member: the same path as a client's, without the wire.
extension LoopFrontend {
  /// Time to live of the lease that a lock or a candidacy without one gets, as in etcd's concurrency package. Nobody
  /// keeps it alive.
  static let sessionSeconds: Int64 = 60

  /// Proposes a transaction; the completion is called on this loop when it has been applied or has failed.
  func transact(_ request: TransactionRequest, _ completion: @escaping LocalCompletion<LocalTransaction>) {
    guard context.store.hasRoom(for: request.quotaCost, quotaBytes: context.quotaBytes) else {
      return refuseForSpace { completion(.failure(.noSpace)) }
    }
    if let error = request.validate(context.limits) { return completion(.failure(error)) }
    var writer = ProtoWriter(reserving: request.encodedSize + 32)
    writer.messageField(6, request)
    propose(
      nil,
      .local { outcome in
        completion(outcome.flatMap { Self.decodedTransaction(revision: $0.revision, body: $0.body) })
      }, operation: writer.bytes)
  }

  /// Reads linearizably, on the pool, as part of answering `call`.
  func read(
    _ request: RangeRequest, for call: RPCCall, _ completion: @escaping LocalCompletion<LocalRange>
  ) {
    if let error = request.validate(context.limits) { return completion(.failure(error)) }
    let evaluate: LongReads.Evaluation = { (view, builder, term) throws(StoreError) in
      var writer = builder.begin(revision: view.revision, term: term)
      return try RangeEvaluator.range(request, in: view, body: &writer).map { _ in writer.bytes }
    }
    confirmRead(
      nil,
      .probe { [self] error in
        if let error { return completion(.failure(error)) }
        readLong(for: call, evaluate) { outcome in
          completion(outcome.flatMap(Self.decodedRange))
        }
      })
  }

  /// The lease of a session: the one that was asked for, or a new one.
  func withSession(_ lease: Int64, _ completion: @escaping LocalCompletion<Int64>) {
    guard lease == 0 else { return completion(.success(lease)) }
    submit(
      .leaseGrant(
        pending.add(
          nil,
          .local { outcome in
            completion(outcome.flatMap { Self.grantedLease($0.body) })
          }), LeaseGrant(ttl: Self.sessionSeconds)))
  }

  private static func decodedTransaction(revision: Int64, body: [UInt8]) -> Result<
    LocalTransaction, ClientError
  > {
    do throws(ProtoError) {
      return .success(try LocalTransaction(revision: revision, body: body))
    } catch {
      return .failure(malformed(error))
    }
  }

  private static func decodedRange(_ message: [UInt8]) -> Result<LocalRange, ClientError> {
    message.withUnsafeBytes { bytes in
      var range = LocalRange()
      do throws(ProtoError) {
        try range.merge(UnsafeRawBufferPointer(rebasing: bytes[RPCCall.messageHeadroom...]))
        return .success(range)
      } catch {
        return .failure(malformed(error))
      }
    }
  }

  private static func grantedLease(_ body: [UInt8]) -> Result<Int64, ClientError> {
    body.withUnsafeBytes { bytes in
      var id: Int64 = 0
      var reader = ProtoReader(bytes)
      do throws(ProtoError) {
        while let tag = try reader.nextTag() {
          if case .varint(2) = tag { id = try reader.readInt64() } else { try reader.skip(tag) }
        }
        return .success(id)
      } catch {
        return .failure(malformed(error))
      }
    }
  }

  /// What the member itself encoded does not come back malformed.
  private static func malformed(_ error: ProtoError) -> ClientError {
    ClientError(.internal, "etcdserver: a response that cannot be read: \(error)")
  }
}
