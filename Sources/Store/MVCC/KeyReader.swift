import Model
import Primitives

/// What evaluation reads keys from: a view, or the applier with its own unfinished changes.
protocol KeyReader {
  func latest(_ key: UnsafeRawBufferPointer, at: Int64) throws(StoreError) -> Row?
  func scan(
    from: [UInt8], to: KeyBound, at: Int64, content: RowContent,
    _ body: (Row) throws(StoreError) -> ScanStep
  ) throws(StoreError)
  func count(from: [UInt8], to: KeyBound, at: Int64) throws(StoreError) -> Int64
  func value(table: Table, key: [UInt8]) throws(StoreError) -> [UInt8]?
  func tableRows(
    _ table: Table, from: [UInt8], to: KeyBound,
    _ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) throws(StoreError) -> ScanStep
  ) throws(StoreError)
}

extension ReadView: KeyReader {}
extension Applier: KeyReader {}

extension KeyReader {
  /// The live row of `key` at a revision. An empty key, which only a command that skipped validation can name,
  /// is never there.
  @inline(__always)
  func live(_ key: [UInt8], at: Int64) throws(StoreError) -> Row? {
    if key.isEmpty { return nil }
    let row = try key.span.bytes.withUnsafeBytes { (bytes) throws(StoreError) -> Row? in
      try latest(bytes, at: at)
    }
    guard let row, !row.version.isTombstone else { return nil }
    return row
  }
}

/// The keys that a request names by its key and range end.
enum KeyInterval {
  case point([UInt8])
  case range(from: [UInt8], to: KeyBound)
  /// A range that ends at or before its beginning.
  case empty

  init(key: [UInt8], rangeEnd: [UInt8]) {
    if rangeEnd.isEmpty {
      self = .point(key)
    } else if rangeEnd == [0] {
      self = .range(from: key, to: .unbounded)
    } else if key.lexicographicallyPrecedes(rangeEnd) {
      self = .range(from: key, to: .before(rangeEnd))
    } else {
      self = .empty
    }
  }
}

/// The store as an evaluation sees it.
struct ReadPoint {
  /// The newest visible revision: what headers report and what reads default to.
  var revision: Int64
  /// The last compaction accepted, -1 before the first.
  var compactRevision: Int64

  /// The revision that a range asking for `requested` reads at.
  func revision(for requested: Int64) -> Result<Int64, ClientError> {
    if requested > revision { return .failure(.futureRevision) }
    let at = requested <= 0 ? revision : requested
    return at < compactRevision ? .failure(.compacted) : .success(at)
  }
}

extension Row {
  /// The stored KeyValue taken apart in place.
  func parsed() throws(StoreError) -> KeyValueView {
    do throws(ProtoError) {
      return try KeyValueView(decoding: keyValue)
    } catch {
      throw .corrupt(
        file: "", table: .rev, key: version.mod.rowKey(isTombstone: version.isTombstone),
        reason: "not a KeyValue: \(error)")
    }
  }
}
