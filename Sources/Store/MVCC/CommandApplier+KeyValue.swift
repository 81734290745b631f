import Model
import Primitives

extension CommandApplier {
  mutating func range(_ request: RangeRequest) throws(StoreError) -> ApplyResult {
    tally.ranges += 1
    var body = ProtoWriter()
    switch try RangeEvaluator.evaluate(request, in: applier, at: point, body: &body) {
    case .success: return success(body)
    case .failure(let error): return failure(error)
    }
  }

  mutating func put(_ request: PutRequest) throws(StoreError) -> ApplyResult {
    if let error = try request.stateError(in: applier, at: begin, inTransaction: false) {
      return failure(error)
    }
    var body = ProtoWriter()
    try put(request, body: &body)
    return success(body)
  }

  /// A put that has passed its checks. They were made before the transaction: if an earlier operation of it has
  /// deleted a key whose value or lease was to be kept, the key comes back without it.
  mutating func put(_ request: PutRequest, body: inout ProtoWriter) throws(StoreError) {
    var value = request.value
    var lease = request.lease
    if request.ignoreValue || request.ignoreLease || request.previousKeyValue,
      let previous = try applier.live(request.key, at: current)
    {
      if request.ignoreValue { value = [UInt8](try previous.parsed().value) }
      if request.ignoreLease { lease = previous.version.lease }
      if request.previousKeyValue { body.appendPutPrevious(previous.keyValue) }
    }
    let version = try applier.put(key: request.key, value: value, lease: lease, main: main, sub: changes)
    changes += 1
    tally.puts += 1
    tally.putBytes += UInt64(request.key.count + value.count)
    if version.version == 1 { tally.keysCreated += 1 }
  }

  /// Appends the body; the header's revision is `current` afterwards.
  mutating func deleteRange(_ request: DeleteRangeRequest, body: inout ProtoWriter) throws(StoreError) {
    var previous = ProtoWriter()
    var deleted: Int64 = 0
    tally.deletes += 1
    switch KeyInterval(key: request.key, rangeEnd: request.rangeEnd) {
    case .empty: break
    case .point(let key):
      guard let row = try applier.live(key, at: current) else { break }
      if request.previousKeyValue { previous.appendDeletePrevious(row.keyValue) }
      try delete(key)
      deleted = 1
    case .range(let from, let to):
      // In batches, because a scan cannot go on over a change, and the range may hold any number of keys.
      var next: [UInt8]? = from
      while let start = next {
        let batch = try collect(
          from: start, to: to, withPrevious: request.previousKeyValue, previous: &previous)
        next = batch.next
        for key in batch.keys { try delete(key) }
        deleted += Int64(batch.keys.count)
      }
    }
    body.appendDeleted(deleted)
    body.raw(previous.bytes)
  }

  private static var deleteBatchKeys: Int { 1024 }

  private func collect(
    from: [UInt8], to: KeyBound, withPrevious: Bool, previous: inout ProtoWriter
  ) throws(StoreError) -> (keys: [[UInt8]], next: [UInt8]?) {
    var keys: [[UInt8]] = []
    var next: [UInt8]?
    try applier.scan(from: from, to: to, at: current, content: withPrevious ? .keyValue : .metadata) {
      (row) throws(StoreError) -> ScanStep in
      let key = [UInt8](row.key)
      if keys.count == Self.deleteBatchKeys {
        next = key
        return .stop
      }
      keys.append(key)
      if withPrevious { previous.appendDeletePrevious(row.keyValue) }
      return .next
    }
    return (keys, next)
  }

  mutating func delete(_ key: [UInt8]) throws(StoreError) {
    try applier.delete(key: key, main: main, sub: changes)
    changes += 1
    tally.keysDeleted += 1
  }

  /// Schedules a compaction. What it makes unreadable is so from now on; the rows go later.
  func compact(_ request: CompactionRequest) -> ApplyResult {
    if request.revision <= applier.compactRevision { return failure(.compacted) }
    if request.revision > begin { return failure(.futureRevision) }
    applier.scheduleCompaction(revision: request.revision)
    return success()
  }
}
