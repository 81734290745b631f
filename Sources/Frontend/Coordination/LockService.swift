import Model
import Primitives
import Wire

// v3lockpb.Lock, as etcd's server does it: etcd's own client package, run inside the member. Without fencing (the lock's
// create revision, checked by what it protects) a lock excludes nobody for certain: a lease may end at any time.

extension LoopFrontend {
  func lock(_ call: RPCCall, _ message: UnsafeRawBufferPointer) {
    var name: [UInt8] = []
    var lease: Int64 = 0
    do throws(ProtoError) {
      var reader = ProtoReader(message)
      while let tag = try reader.nextTag() {
        switch tag {
        case .length(1): name = try reader.readBytes()
        case .varint(2): lease = try reader.readInt64()
        default: try reader.skip(tag)
        }
      }
    } catch {
      return refuseMalformed(call, error)
    }
    let attempt = LockAttempt(self, call)
    call.userObject = attempt
    attempt.start(name: name, lease: lease)
  }

  func unlock(_ call: RPCCall, _ message: UnsafeRawBufferPointer) {
    var key: [UInt8] = []
    do throws(ProtoError) {
      var reader = ProtoReader(message)
      while let tag = try reader.nextTag() {
        if case .length(1) = tag { key = try reader.readBytes() } else { try reader.skip(tag) }
      }
    } catch {
      return refuseMalformed(call, error)
    }
    var request = TransactionRequest()
    request.success = [.deleteRange(DeleteRangeRequest(key: key))]
    transact(request) { [self] outcome in
      switch outcome {
      case .failure(let error): failLocally(call, error)
      case .success(let transaction): respondWithHeader(call, revision: transaction.revision)
      }
    }
  }

  /// etcd's server passes on what its client package gives it, which has etcd's text but no gRPC status.
  func failLocally(_ call: RPCCall, _ error: ClientError) {
    call.fail(ClientError(.unknown, error.message))
  }

  /// A response of a header alone.
  func respondWithHeader(_ call: RPCCall, revision: Int64) {
    call.respond(builder.begin(revision: revision, term: term).bytes)
  }
}

/// One Lock call. Confined to its event loop.
final class LockAttempt: CallWork, @unchecked Sendable {
  static let sessionExpired = ClientError(.unknown, "mutex: session is expired")

  private let front: LoopFrontend
  private let call: RPCCall
  private var isOver = false
  private var wait: QueueWait?
  /// In the queue and not yet first.
  private var waiting: (key: [UInt8], created: Int64)?

  init(_ front: LoopFrontend, _ call: RPCCall) {
    self.front = front
    self.call = call
  }

  func start(name: [UInt8], lease: Int64) {
    front.withSession(lease) { [self] outcome in
      guard !isOver else { return }
      switch outcome {
      case .failure(let error): fail(error)
      case .success(let lease): enter(SessionKey(name: name, lease: lease))
      }
    }
  }

  private func enter(_ key: SessionKey) {
    front.transact(key.enter(value: [], andOldest: true)) { [self] outcome in
      guard !isOver else { return }
      switch outcome {
      case .failure(let error): fail(error)
      case .success(let transaction): entered(key, transaction)
      }
    }
  }

  private func entered(_ key: SessionKey, _ transaction: LocalTransaction) {
    var created = transaction.revision
    if !transaction.succeeded {
      guard let own = transaction.ranges.first?.keyValues.first else { return fail(Self.sessionExpired) }
      created = own.createRevision
    }
    guard let oldest = transaction.ranges.last?.keyValues.first, oldest.createRevision != created else {
      return succeed(key.key, revision: transaction.revision)
    }
    waiting = (key.key, created)
    let wait = QueueWait(front, call, prefix: key.prefix, createdUpTo: created - 1)
    self.wait = wait
    wait.start { [self] outcome in
      self.wait = nil
      switch outcome {
      case .failure(let error): leave(error)
      case .success: confirm(key.key)
      }
    }
  }

  /// First in the queue, if the lease that the key hangs on has not ended meanwhile.
  private func confirm(_ key: [UInt8]) {
    front.read(RangeRequest(key: key), for: call) { [self] outcome in
      guard !isOver else { return }
      switch outcome {
      case .failure(let error): leave(error)
      case .success(let range) where range.keyValues.isEmpty: fail(Self.sessionExpired)
      case .success(let range): succeed(key, revision: range.revision)
      }
    }
  }

  private func succeed(_ key: [UInt8], revision: Int64) {
    isOver = true
    waiting = nil
    var writer = front.builder.begin(revision: revision, term: front.term, reserving: key.count + 8)
    writer.bytes(2, key)
    call.respond(writer.bytes)
  }

  private func fail(_ error: ClientError) {
    isOver = true
    waiting = nil
    front.failLocally(call, error)
  }

  /// Gives up the place in the queue, so that nobody waits for one who is gone.
  private func leave(_ error: ClientError) {
    releasePlace()
    fail(error)
  }

  private func releasePlace() {
    guard let (key, created) = waiting else { return }
    waiting = nil
    let deletion = RequestOperation.deleteRange(DeleteRangeRequest(key: key))
    // If it fails, the lease ends the place.
    front.transact(SessionKey.guarded(key, created: created, deletion)) { _ in }
  }

  func cancel() {
    guard !isOver else { return }
    isOver = true
    wait?.cancel()
    wait = nil
    releasePlace()
  }
}
