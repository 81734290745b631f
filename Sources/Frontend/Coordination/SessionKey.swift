import Model

/// The key of one session under the name of a lock or an election, and the requests that etcd's concurrency package makes
/// for it. The keys of a name, ordered by create revision, are the queue: the oldest holds the lock.
struct SessionKey: Sendable {
  /// The name and a slash.
  var prefix: [UInt8]
  var lease: Int64
  var key: [UInt8]

  init(name: [UInt8], lease: Int64) {
    prefix = name + [UInt8(ascii: "/")]
    self.lease = lease
    key = prefix + Array(String(lease, radix: 16).utf8)
  }

  /// Takes a place in the queue unless it has one; then reads it. `andOldest` also reads who is first.
  func enter(value: [UInt8], andOldest: Bool) -> TransactionRequest {
    var put = PutRequest(key: key, value: value)
    put.lease = lease
    var request = TransactionRequest()
    request.compare = [Self.created(key, at: 0)]
    request.success = [.put(put)]
    request.failure = [.range(RangeRequest(key: key))]
    if andOldest {
      request.success.append(.range(Self.oldest(prefix)))
      request.failure.append(.range(Self.oldest(prefix)))
    }
    return request
  }

  /// The first of the queue.
  static func oldest(_ prefix: [UInt8]) -> RangeRequest {
    var request = RangeRequest(key: prefix, rangeEnd: end(of: prefix))
    request.sortTarget = RangeRequest.SortTarget.create.rawValue
    request.sortOrder = RangeRequest.SortOrder.ascend.rawValue
    request.limit = 1
    return request
  }

  /// The last of those that were created no later than a revision.
  static func youngest(_ prefix: [UInt8], createdUpTo revision: Int64) -> RangeRequest {
    var request = oldest(prefix)
    request.sortOrder = RangeRequest.SortOrder.descend.rawValue
    request.maxCreateRevision = revision
    return request
  }

  /// Does something to a key only as long as it is the one that was created then.
  static func guarded(_ key: [UInt8], created revision: Int64, _ operation: RequestOperation)
    -> TransactionRequest
  {
    var request = TransactionRequest()
    request.compare = [created(key, at: revision)]
    request.success = [operation]
    return request
  }

  /// The end of the range of a prefix, which ends with a slash here.
  static func end(of prefix: [UInt8]) -> [UInt8] {
    guard let last = prefix.last else { preconditionFailure("a prefix has a slash") }
    return prefix.dropLast() + [last + 1]
  }

  private static func created(_ key: [UInt8], at revision: Int64) -> Compare {
    var compare = Compare()
    compare.key = key
    compare.target = Compare.Target.create.rawValue
    compare.result = Compare.Result.equal.rawValue
    compare.operand = .createRevision(revision)
    return compare
  }
}
