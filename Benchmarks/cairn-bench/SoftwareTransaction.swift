import EtcdAPI
import Model
import NIOCore
import Primitives
import SwiftProtobuf
import Wire

/// One transaction as etcd's Go client makes it (clientv3/concurrency/stm.go): reads each of its keys with a call,
/// writes some of them in a last one that compares what was read, and starts again when something had changed.
/// Confined to its connection's event loop.
final class SoftwareTransaction: ClientCallObserver, @unchecked Sendable {
  /// What a commit insists on.
  enum Isolation: String, CaseIterable, Sendable {
    case readCommitted = "c"
    case repeatableReads = "r"
    case serializable = "s"
    case serializableSnapshot = "ss"
  }

  struct Options: Sendable {
    var isolation = Isolation.repeatableReads
    /// Keys to choose from.
    var keyCount = 1
    var keysPerTransaction = 1
    /// Of a transaction's keys, in percent.
    var writePercent = 50
    /// Whether the server's Lock service is held meanwhile.
    var locksByService = false
  }

  private enum Step {
    case locking
    case reading(position: Int)
    case committing
    case unlocking(ClientError)
  }

  private let options: Options
  private let keys: [[UInt8]]
  private let writeCount: Int
  private let value: [UInt8]
  private let methods: [ClientMethod]
  private let lease: Int64
  private var connection: ClientConnection?
  private var completion: ((ClientError) -> Void)?
  private var step = Step.locking
  /// Mod revisions of the keys read, in order; 0 for a key that is not there.
  private var revisions: [Int64] = []
  /// The revision that the first read saw.
  private var firstRevision: Int64 = 0
  private var lockKey: [UInt8] = []
  private var response: [UInt8] = []

  init(
    _ options: Options, value: [UInt8], methods: [ClientMethod], lease: Int64, random: inout SeededRandom
  ) {
    self.options = options
    self.value = value
    self.methods = methods
    self.lease = lease
    var numbers: [Int] = []
    while numbers.count < options.keysPerTransaction {
      let number = Int.random(in: 0..<options.keyCount, using: &random)
      if !numbers.contains(number) { numbers.append(number) }
    }
    keys = numbers.map { Workload.key($0, size: 16) }
    writeCount = keys.count * options.writePercent / 100
  }

  /// - Parameter completion: called once, with `.ok` for success.
  func start(on connection: ClientConnection, completion: @escaping (ClientError) -> Void) {
    self.connection = connection
    self.completion = completion
    guard options.locksByService else { return readNext() }
    var writer = ProtoWriter(appendingTo: [UInt8](repeating: 0, count: RPCCall.messageHeadroom))
    writer.string(1, "stm-lock")
    writer.int64(2, lease)
    call(.lock, writer.bytes)
  }

  func received(_ call: ClientCall, message: UnsafeRawBufferPointer) {
    response = Array(message)
  }

  func ended(_ call: ClientCall, with status: ClientError) {
    if case .unlocking(let outcome) = step { return complete(outcome.code == .ok ? status : outcome) }
    guard status.code == .ok else { return finish(status) }
    do {
      switch step {
      case .locking:
        lockKey = Array(try V3lockpb_LockResponse(serializedBytes: response).key)
        readNext()
      case .reading:
        take(try Etcdserverpb_TxnResponse(serializedBytes: response))
        readNext()
      case .committing: committed(try Etcdserverpb_TxnResponse(serializedBytes: response))
      case .unlocking: break
      }
    } catch {
      finish(ClientError(.internal, "malformed response: \(error)"))
    }
  }

  private func readNext() {
    let position = revisions.count
    guard position < keys.count else { return commit() }
    step = .reading(position: position)
    var request = RangeRequest(key: keys[position])
    if firstRevision > 0, options.isolation == .serializable || options.isolation == .serializableSnapshot {
      // All reads see the state that the first saw.
      request.revision = firstRevision
      request.serializable = true
    }
    var transaction = TransactionRequest()
    transaction.success = [.range(request)]
    call(.txn, framed(transaction))
  }

  private func take(_ response: Etcdserverpb_TxnResponse) {
    if firstRevision == 0 { firstRevision = response.header.revision }
    revisions.append(response.responses.first?.responseRange.kvs.first?.modRevision ?? 0)
  }

  private func commit() {
    step = .committing
    var transaction = TransactionRequest()
    if options.isolation != .readCommitted {
      transaction.compare = zip(keys, revisions).map { Self.compare($0, .equal, $1) }
    }
    if options.isolation == .serializableSnapshot {
      transaction.compare += keys[..<writeCount].map { Self.compare($0, .less, firstRevision + 1) }
    }
    transaction.success = keys[..<writeCount].map { .put(PutRequest(key: $0, value: value)) }
    if options.isolation == .serializable || options.isolation == .serializableSnapshot {
      // What it should have read comes back with the refusal.
      transaction.failure = keys.map { .range(RangeRequest(key: $0)) }
    }
    call(.txn, framed(transaction))
  }

  private func committed(_ response: Etcdserverpb_TxnResponse) {
    if response.succeeded { return finish(ClientError(.ok, "")) }
    firstRevision = 0
    revisions = []
    guard response.responses.count == keys.count else { return readNext() }
    firstRevision = response.header.revision
    revisions = response.responses.map { $0.responseRange.kvs.first?.modRevision ?? 0 }
    commit()
  }

  private func finish(_ status: ClientError) {
    guard !lockKey.isEmpty else { return complete(status) }
    step = .unlocking(status)
    var writer = ProtoWriter(appendingTo: [UInt8](repeating: 0, count: RPCCall.messageHeadroom))
    writer.bytes(1, lockKey)
    call(.unlock, writer.bytes)
  }

  private func complete(_ status: ClientError) {
    let completion = self.completion
    self.completion = nil
    completion?(status)
  }

  private func call(_ method: EtcdMethod, _ message: [UInt8]) {
    if connection?.start(methods[method.rawValue], message: message, observer: self) == nil {
      complete(ClientError(.unavailable, "connection closed"))
    }
  }

  private static func compare(_ key: [UInt8], _ result: Compare.Result, _ revision: Int64) -> Compare {
    var compare = Compare()
    compare.key = key
    compare.target = Compare.Target.mod.rawValue
    compare.result = result.rawValue
    compare.operand = .modRevision(revision)
    return compare
  }
}
