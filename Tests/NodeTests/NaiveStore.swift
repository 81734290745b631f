import Model
import Primitives
import Store

/// The replicated state as one would write it in an afternoon: a list of all rows, and what is live. The oracle of the
/// simulation; only what its workload uses.
struct NaiveStore {
  private struct Row {
    var revision: Revision
    var isTombstone: Bool
    var keyValue: KeyValue
  }

  private var rows: [Row] = []
  private var live: [[UInt8]: KeyValue] = [:]
  private(set) var revision: Int64 = 1
  private(set) var compactRevision: Int64 = -1
  private var sub: Int64 = 0
  private var leases: Set<Int64> = []

  /// Executes a committed command; nil for those that touch no keys.
  mutating func apply(_ operation: RaftCommand.Operation) -> ApplyResult? {
    let before = revision
    sub = 0
    var body = ProtoWriter()
    var unheard = ProtoWriter()
    switch operation {
    case .put(let request):
      if request.lease != 0, !leases.contains(request.lease) { return failure(.leaseNotFound) }
      put(request, main: before + 1, &body)
    case .deleteRange(let request): delete(request, main: before + 1, &body)
    case .leaseGrant(let grant): leases.insert(grant.id)
    case .leaseRevoke(let id):
      guard leases.remove(id) != nil else { return failure(.leaseNotFound) }
      for key in keys(of: id) { delete(DeleteRangeRequest(key: key), main: before + 1, &unheard) }
    case .transaction(let request): transaction(request, main: before + 1, &body)
    case .compaction(let request):
      if request.revision <= compactRevision { return failure(.compacted) }
      if request.revision > revision { return failure(.futureRevision) }
      compactRevision = request.revision
    default: return nil
    }
    if sub > 0 { revision = before + 1 }
    return ApplyResult(headerRevision: revision, outcome: .success(body.bytes))
  }

  private func failure(_ error: ClientError) -> ApplyResult {
    ApplyResult(headerRevision: revision, outcome: .failure(error))
  }

  private mutating func put(_ request: PutRequest, main: Int64, _ body: inout ProtoWriter) {
    let previous = live[request.key]
    if request.previousKeyValue, let previous { body.messageField(2, previous) }
    let keyValue = KeyValue(
      key: request.key, createRevision: previous?.createRevision ?? main, modRevision: main,
      version: (previous?.version ?? 0) + 1, value: request.value, lease: request.lease)
    live[request.key] = keyValue
    rows.append(Row(revision: Revision(main: main, sub: sub), isTombstone: false, keyValue: keyValue))
    sub += 1
  }

  private mutating func delete(_ request: DeleteRangeRequest, main: Int64, _ body: inout ProtoWriter) {
    let keys = self.keys(request.key, request.rangeEnd)
    body.appendDeleted(Int64(keys.count))
    for key in keys {
      if request.previousKeyValue, let previous = live[key] { body.messageField(3, previous) }
      live[key] = nil
      let tombstone = KeyValue(key: key)
      rows.append(Row(revision: Revision(main: main, sub: sub), isTombstone: true, keyValue: tombstone))
      sub += 1
    }
  }

  /// One comparison of a version, then puts, deletes and ranges.
  private mutating func transaction(_ request: TransactionRequest, main: Int64, _ body: inout ProtoWriter) {
    let succeeded = request.compare.allSatisfy { compare in
      guard case .version(let version) = compare.operand else { return false }
      return live[compare.key]?.version ?? 0 == version
    }
    body.appendSucceeded(succeeded)
    for operation in succeeded ? request.success : request.failure {
      var response = ProtoWriter()
      switch operation {
      case .put(let put):
        self.put(put, main: main, &response)
        body.appendOperationResponse(.put, headerRevision: main, body: response.bytes)
      case .deleteRange(let delete):
        self.delete(delete, main: main, &response)
        body.appendOperationResponse(
          .deleteRange, headerRevision: sub > 0 ? main : main - 1, body: response.bytes)
      case .range, .transaction, .none: break
      }
    }
  }

  private func keys(_ key: [UInt8], _ end: [UInt8]) -> [[UInt8]] {
    if end.isEmpty { return live[key] == nil ? [] : [key] }
    return live.keys.filter { !$0.lexicographicallyPrecedes(key) && $0.lexicographicallyPrecedes(end) }
      .sorted { $0.lexicographicallyPrecedes($1) }
  }

  private func keys(of lease: Int64) -> [[UInt8]] {
    live.values.filter { $0.lease == lease }.map(\.key).sorted { $0.lexicographicallyPrecedes($1) }
  }

  /// In byte order.
  var leasedKeys: [Int64: [[UInt8]]] {
    Dictionary(uniqueKeysWithValues: leases.map { ($0, keys(of: $0)) })
  }

  /// The body of a range over the latest revision.
  func range(_ request: RangeRequest) -> [UInt8] {
    var body = ProtoWriter()
    let keys = self.keys(request.key, request.rangeEnd)
    for key in keys {
      if let keyValue = live[key] { body.messageField(2, keyValue) }
    }
    body.appendRangeEnd(more: false, count: Int64(keys.count))
    return body.bytes
  }

  /// HashKV by its definition, over rows of which none was ever deleted.
  func hash(at: Int64) -> UInt32 {
    let liveAt = liveRows(at: at)
    // etcd skips nothing when nothing is live, but compaction has left only what was live at its revision.
    let kept = liveAt.isEmpty ? liveRows(at: compactRevision) : liveAt
    var hash = CRC32C.checksum(Array("key".utf8))
    for row in rows where row.revision.main <= at {
      if row.revision.main <= compactRevision, row.isTombstone || kept[row.keyValue.key] != row.revision {
        continue
      }
      var key: [UInt8] = []
      key.appendBigEndian(UInt64(row.revision.main))
      key.append(UInt8(ascii: "_"))
      key.appendBigEndian(UInt64(row.revision.sub))
      if row.isTombstone { key.append(UInt8(ascii: "t")) }
      hash = CRC32C.checksum(row.keyValue.encoded(), seed: CRC32C.checksum(key, seed: hash))
    }
    return hash
  }

  private func liveRows(at: Int64) -> [[UInt8]: Revision] {
    var found: [[UInt8]: Revision] = [:]
    for row in rows where row.revision.main <= at {
      found[row.keyValue.key] = row.isTombstone ? nil : row.revision
    }
    return found
  }
}
