import Model
import Primitives

/// A range whose answer is not simply the scan's: filtered by revision, sorted, or both. Everything is collected
/// before anything is encoded.
struct RangeSelection {
  private struct Candidate {
    var version: RowVersion
    /// Position in key order: breaks ties, so that answers are the same everywhere.
    var position: Int
    /// Only for keys_only; otherwise it is in `keyValue`.
    var key: [UInt8]
    var keyValue: UnsafeRawBufferPointer
    /// Only for sorting by value.
    var value: UnsafeRawBufferPointer
  }

  private let request: RangeRequest
  private var candidates: [Candidate] = []

  static func answer(
    _ request: RangeRequest, from: [UInt8], to: KeyBound, at: Int64, in reader: some KeyReader,
    body: inout ProtoWriter
  ) throws(StoreError) {
    var selection = RangeSelection(request)
    let count = try selection.collect(from: from, to: to, at: at, in: reader)
    selection.sort()
    let more = request.limit > 0 && Int64(selection.candidates.count) > request.limit
    selection.encode(more ? Int(request.limit) : selection.candidates.count, body: &body)
    body.appendRangeEnd(more: more, count: count)
  }

  private init(_ request: RangeRequest) { self.request = request }

  /// Returns the number of keys in the range, whatever the limit and the filters leave of them.
  private mutating func collect(
    from: [UInt8], to: KeyBound, at: Int64, in reader: some KeyReader
  ) throws(StoreError) -> Int64 {
    // Without an explicit order the limit cuts first, and one key beyond it takes part in the sort.
    let cutsFirst = request.limit > 0 && request.isDefaultOrder && !request.hasRevisionFilters
    let scanned = cutsFirst ? request.limit.saturatingSuccessor : .max
    let needsRows = !request.keysOnly || request.sortsByValue
    var seen: Int64 = 0
    var next: [UInt8]?
    try reader.scan(from: from, to: to, at: at, content: needsRows ? .keyValue : .metadata) {
      (row) throws(StoreError) -> ScanStep in
      if seen == scanned {
        next = [UInt8](row.key)
        return .stop
      }
      if request.accepts(row.version) {
        candidates.append(
          Candidate(
            version: row.version, position: Int(seen), key: request.keysOnly ? [UInt8](row.key) : [],
            keyValue: row.keyValue,
            value: request.sortsByValue
              ? try row.parsed().value : UnsafeRawBufferPointer(start: nil, count: 0)))
      }
      seen += 1
      return .next
    }
    guard let next else { return seen }
    return seen + (try reader.count(from: next, to: to, at: at))
  }

  private mutating func sort() {
    let descending = request.sortOrder == RangeRequest.SortOrder.descend.rawValue
    func byNumber(_ number: (RowVersion) -> Int64) {
      candidates.sort { a, b in
        let (x, y) = (number(a.version), number(b.version))
        return x == y ? a.position < b.position : (x < y) != descending
      }
    }
    switch RangeRequest.SortTarget(rawValue: request.sortTarget) {
    case .key, nil: if descending { candidates.reverse() }
    case .version: byNumber { $0.version }
    case .create: byNumber { $0.create }
    case .mod: byNumber { $0.mod.main }
    case .value:
      candidates.sort { a, b in
        if a.value.elementsEqual(b.value) { return a.position < b.position }
        return a.value.lexicographicallyPrecedes(b.value) != descending
      }
    }
  }

  private func encode(_ count: Int, body: inout ProtoWriter) {
    for candidate in candidates.prefix(count) {
      if request.keysOnly {
        body.appendKeyOnly(candidate.key.span, candidate.version, withLease: request.sortsByValue)
      } else {
        body.appendRangeKeyValue(candidate.keyValue)
      }
    }
  }
}

extension Int64 {
  var saturatingSuccessor: Int64 { self == .max ? .max : self + 1 }
}
