import EtcdAPI
import Model
import Primitives
import Wire

/// What requests look like; makes the message of each, five bytes of headroom included.
///
/// Keys are those of etcd's own benchmark tool: a buffer of the key size that begins with the varint of a number
/// below the key space's size.
struct Workload: Sendable {
  enum Operation: Sendable {
    /// One put per request.
    case put
    /// One range per request; without `key` each request reads one key of the key space.
    case range(key: [UInt8]?, end: [UInt8])
    /// A transaction of some puts.
    case transactionPut(operations: Int)
    /// Transactions of one range or one put; `readShare` of 1,000 are ranges.
    case transactionMixed(key: [UInt8], end: [UInt8], readShare: Int)
    /// Puts to these keys in turn. The value begins with the nanosecond the put was due, for who watches.
    case watchedPut(keys: [[UInt8]])
    /// Transactions that read before they write, tried again until nothing read has changed meanwhile.
    case softwareTransaction(SoftwareTransaction.Options)
    /// Renewals of leases, one for each request in flight.
    case leaseKeepAlive(isStreamPerRequest: Bool)
  }

  var operation: Operation
  var keySize = 8
  var valueSize = 8
  var keySpaceSize = 1
  var sequentialKeys = false
  var serializable = false
  var limit: Int64 = 0
  var countOnly = false
  var keysOnly = false
  var streamsRanges = false
  var seed: UInt64 = 1

  /// Made once by `prepared`.
  private var fixedMessage: [UInt8]?

  init(_ operation: Operation) {
    self.operation = operation
  }

  /// One request, ready to send.
  struct Request {
    var method: EtcdMethod
    var isWrite: Bool
    var message: [UInt8]
  }

  /// The workload with everything computed that is the same for each request.
  func prepared() -> Workload {
    var copy = self
    if case .range(let key?, let end) = operation { copy.fixedMessage = framed(rangeRequest(key, end)) }
    return copy
  }

  /// The `index`th request of the run, of those that are one call.
  func request(_ index: Int, due: UInt64, _ random: inout SeededRandom) -> Request {
    switch operation {
    case .softwareTransaction, .leaseKeepAlive: preconditionFailure("these make their calls themselves")
    case .watchedPut(let keys):
      var value = value(&random)
      precondition(value.count >= 8, "no room for a time")
      for index in 0..<8 { value[index] = UInt8(truncatingIfNeeded: due >> (8 * UInt64(index))) }
      return Request(
        method: .put, isWrite: true, message: framed(PutRequest(key: keys[index % keys.count], value: value)))
    case .put:
      return Request(
        method: .put, isWrite: true,
        message: framed(PutRequest(key: key(index, &random), value: value(&random))))
    case .range(_, let end):
      let message = fixedMessage ?? framed(rangeRequest(key(index, &random), end))
      return Request(method: streamsRanges ? .rangeStream : .range, isWrite: false, message: message)
    case .transactionPut(let operations):
      var transaction = TransactionRequest()
      for operation in 0..<operations {
        let key = key(index &* operations &+ operation, &random)
        transaction.success.append(.put(PutRequest(key: key, value: value(&random))))
      }
      return Request(method: .txn, isWrite: true, message: framed(transaction))
    case .transactionMixed(let key, let end, let readShare):
      var transaction = TransactionRequest()
      let isRead = random.chance(readShare, in: 1000)
      transaction.success = [
        isRead
          ? .range(rangeRequest(key, end))
          : .put(PutRequest(key: self.key(index, &random), value: value(&random)))
      ]
      return Request(method: .txn, isWrite: !isRead, message: framed(transaction))
    }
  }

  /// Bytes of its own for each put: a server that compresses must not gain from values that repeat.
  func value(_ random: inout SeededRandom) -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: valueSize) { buffer, count in
      while count + 8 <= valueSize {
        UnsafeMutableRawBufferPointer(buffer).storeBytes(
          of: random.next(), toByteOffset: count, as: UInt64.self)
        count += 8
      }
      var rest = random.next()
      while count < valueSize {
        buffer[count] = UInt8(truncatingIfNeeded: rest)
        rest >>= 8
        count += 1
      }
    }
  }

  private func key(_ index: Int, _ random: inout SeededRandom) -> [UInt8] {
    let number = sequentialKeys ? index % keySpaceSize : Int.random(in: 0..<keySpaceSize, using: &random)
    return Self.key(number, size: keySize)
  }

  /// `size` bytes that begin with the number, as Go's binary.PutVarint writes it (zigzag).
  static func key(_ number: Int, size: Int) -> [UInt8] {
    var key = [UInt8](repeating: 0, count: size)
    var rest = UInt64(number) << 1
    var position = 0
    while position < size {
      key[position] = rest >= 128 ? UInt8(rest & 127) | 128 : UInt8(rest)
      if rest < 128 { break }
      rest >>= 7
      position += 1
    }
    return key
  }

  private func rangeRequest(_ key: [UInt8], _ end: [UInt8]) -> RangeRequest {
    var request = RangeRequest(key: key, rangeEnd: end)
    request.serializable = serializable
    request.limit = limit
    request.countOnly = countOnly
    request.keysOnly = keysOnly
    return request
  }

}

/// A message with the wire's headroom.
func framed(_ message: some WireMessage) -> [UInt8] {
  var bytes = [UInt8]()
  bytes.reserveCapacity(RPCCall.messageHeadroom + message.encodedSize)
  for _ in 0..<RPCCall.messageHeadroom { bytes.append(0) }
  var writer = ProtoWriter(appendingTo: bytes)
  message.encode(into: &writer)
  return writer.bytes
}
