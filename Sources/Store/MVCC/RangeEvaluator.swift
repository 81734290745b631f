public import Model
public import Primitives

/// Answers ranges. Bodies are encoded RangeResponses without their header, appended to the caller's writer; the
/// key-values in them are the stored bytes, copied once.
public enum RangeEvaluator {
  /// Appends the response body and returns the header's revision: the view's, not the one read at. After a
  /// failure nothing has been appended.
  public static func range(
    _ request: RangeRequest, in view: ReadView, body: inout ProtoWriter
  ) throws(StoreError) -> Result<Int64, ClientError> {
    let point = ReadPoint(revision: view.revision, compactRevision: view.compactRevision)
    return try evaluate(request, in: view, at: point, body: &body)
  }

  static func evaluate(
    _ request: RangeRequest, in reader: some KeyReader, at point: ReadPoint, body: inout ProtoWriter
  ) throws(StoreError) -> Result<Int64, ClientError> {
    let at: Int64
    switch point.revision(for: request.revision) {
    case .success(let revision): at = revision
    case .failure(let error): return .failure(error)
    }
    switch KeyInterval(key: request.key, rangeEnd: request.rangeEnd) {
    case .empty: break
    case .point(let key):
      guard let row = try reader.live(key, at: at) else { break }
      if !request.countOnly && request.accepts(row.version) {
        if request.keysOnly {
          body.appendKeyOnly(key.span, row.version, withLease: request.sortsByValue)
        } else {
          body.appendRangeKeyValue(row.keyValue)
        }
      }
      body.appendRangeEnd(more: false, count: 1)
    case .range(let from, let to):
      if request.countOnly {
        body.appendRangeEnd(more: false, count: try reader.count(from: from, to: to, at: at))
      } else if request.comesInKeyOrder {
        let limit = request.limit > 0 ? request.limit : .max
        let listed = try list(
          from: from, to: to, at: at, limit: limit, keysOnly: request.keysOnly, in: reader, body: &body)
        let rest = try listed.next.map { (key) throws(StoreError) in
          try reader.count(from: key, to: to, at: at)
        }
        body.appendRangeEnd(more: rest != nil, count: listed.count + (rest ?? 0))
      } else {
        try RangeSelection.answer(request, from: from, to: to, at: at, in: reader, body: &body)
      }
    }
    return .success(point.revision)
  }

  /// Appends up to `limit` key-values in key order.
  static func list(
    from: [UInt8], to: KeyBound, at: Int64, limit: Int64, keysOnly: Bool, in reader: some KeyReader,
    body: inout ProtoWriter
  ) throws(StoreError) -> (count: Int64, next: [UInt8]?) {
    var count: Int64 = 0
    var next: [UInt8]?
    try reader.scan(from: from, to: to, at: at, content: keysOnly ? .metadata : .keyValue) {
      (row) throws(StoreError) -> ScanStep in
      if count == limit {
        next = [UInt8](row.key)
        return .stop
      }
      if keysOnly {
        body.appendKeyOnly(row.key, row.version, withLease: false)
      } else {
        body.appendRangeKeyValue(row.keyValue)
      }
      count += 1
      return .next
    }
    return (count, next)
  }
}

extension RangeRequest {
  /// The scan's order is the answer's, and every row of it belongs to the answer.
  fileprivate var comesInKeyOrder: Bool {
    sortTarget == SortTarget.key.rawValue && sortOrder != SortOrder.descend.rawValue && !hasRevisionFilters
  }

  /// etcd answers keys_only from its index, which knows no leases, unless the order needs the values.
  var sortsByValue: Bool { sortTarget == SortTarget.value.rawValue }

  /// The revision filters, each inclusive of its bound. A key that they drop is still counted.
  func accepts(_ version: RowVersion) -> Bool {
    if maxModRevision != 0 && version.mod.main > maxModRevision { return false }
    if minModRevision != 0 && version.mod.main < minModRevision { return false }
    if maxCreateRevision != 0 && version.create > maxCreateRevision { return false }
    if minCreateRevision != 0 && version.create < minCreateRevision { return false }
    return true
  }
}

extension ProtoWriter {
  mutating func appendKeyOnly(_ key: Span<UInt8>, _ version: RowVersion, withLease: Bool) {
    key.bytes.withUnsafeBytes { appendKeyOnly($0, version, withLease: withLease) }
  }

  /// A key-value without its value.
  mutating func appendKeyOnly(_ key: UnsafeRawBufferPointer, _ version: RowVersion, withLease: Bool) {
    var shortened = KeyValueView()
    shortened.key = key
    shortened.createRevision = version.create
    shortened.modRevision = version.mod.main
    shortened.version = version.version
    if withLease { shortened.lease = version.lease }
    appendRangeKeyValue(shortened)
  }
}
