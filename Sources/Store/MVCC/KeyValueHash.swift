public import Model
import Primitives

/// HashKV: CRC-32C over the revisions that a read at `hashRevision` or later can need, in etcd's bytes, so that
/// members of either kind agree. Physical compaction does not change it: rows that a scheduled compaction is to
/// delete are skipped whether they are still there or not.
///
/// A cursor, so that the caller bounds the time it takes in one go; it keeps its view until it is done.
public struct KeyValueHash {
  public enum Step: Hashable, Sendable {
    /// Rows are left; call `advance` again.
    case more
    case done(hash: UInt32)
  }

  /// The revision hashed.
  public let hashRevision: Int64
  /// The last compaction in the view, -1 before the first.
  public let compactRevision: Int64
  /// The header's revision.
  public let headerRevision: Int64

  /// Where the next step goes on.
  public var nextRevision: Int64 { next.main }

  private let view: ReadView
  private let rule: Rule
  private var hash: UInt32
  private var next = Revision(main: 0, sub: 0)

  private enum Rule {
    /// Rows up to the compaction count if their key's live row at this revision is that row.
    case liveAt(Int64)
    /// Everything that compaction leaves, tombstones at its revision included.
    case retained
  }

  /// `revision` 0 means the view's.
  public static func start(
    _ revision: Int64, in view: ReadView
  ) throws(StoreError) -> Result<KeyValueHash, ClientError> {
    if revision > 0 && revision < view.compactRevision { return .failure(.compacted) }
    if revision > 0 && revision > view.revision { return .failure(.futureRevision) }
    let at = revision == 0 ? view.revision : revision
    // etcd skips by the set of rows live at the requested revision, and skips nothing when that set is empty:
    // then what compaction has left counts, which is what was live at its revision.
    let rule = Rule.liveAt(try view.hasLiveKey(at: at) ? at : view.compactRevision)
    return .success(KeyValueHash(view, rule, at: at, seed: "key"))
  }

  /// Maintenance.Hash: over everything that compaction leaves at the view's revision. etcd's covers its whole
  /// database file and differs between members; this one does not.
  public static func startOfWhole(in view: ReadView) -> KeyValueHash {
    KeyValueHash(view, .retained, at: view.revision, seed: "cairn")
  }

  private init(_ view: ReadView, _ rule: Rule, at: Int64, seed: String) {
    self.view = view
    self.rule = rule
    hashRevision = at
    compactRevision = view.compactRevision
    headerRevision = view.revision
    hash = CRC32C.checksum(Array(seed.utf8))
  }

  /// Visits up to `rows` more rows.
  public mutating func advance(rows: Int) throws(StoreError) -> Step {
    precondition(rows > 0, "a step visits rows")
    if hashRevision < 0 { return .done(hash: hash) }
    var left = rows
    var resume: Revision?
    var rowKey: [UInt8] = []
    rowKey.reserveCapacity(Revision.rowKeyBytesMax)
    try view.rows(from: next, through: hashRevision) { (revision, row) throws(StoreError) -> ScanStep in
      if left == 0 {
        resume = revision
        return .stop
      }
      left -= 1
      if try includes(revision, row) {
        rowKey.removeAll(keepingCapacity: true)
        revision.appendRowKey(isTombstone: row.version.isTombstone, to: &rowKey)
        hash = CRC32C.checksum(rowKey, seed: hash)
        hash = CRC32C.checksum(row.keyValue, seed: hash)
      }
      return .next
    }
    guard let resume else { return .done(hash: hash) }
    next = resume
    return .more
  }

  private func includes(_ revision: Revision, _ row: Row) throws(StoreError) -> Bool {
    if revision.main > compactRevision { return true }
    let at: Int64
    switch rule {
    case .liveAt(let revision):
      // Older etcd deletes a tombstone at its compaction's revision and newer ones keep it: it does not count.
      if row.version.isTombstone { return false }
      at = revision
    case .retained:
      if row.version.isTombstone && revision.main < compactRevision { return false }
      at = compactRevision
    }
    return try view.latest(row.key, at: at)?.version.mod == revision
  }
}

extension ReadView {
  fileprivate func hasLiveKey(at revision: Int64) throws(StoreError) -> Bool {
    var found = false
    try scan(from: [0], to: .unbounded, at: revision, content: .metadata) { _ in
      found = true
      return .stop
    }
    return found
  }
}

extension Revision {
  static let rowKeyBytesMax = 18

  /// The key of etcd's row: main and sub, big-endian, with `_` between them and `t` behind a tombstone's.
  func appendRowKey(isTombstone: Bool, to bytes: inout [UInt8]) {
    bytes.appendBigEndian(UInt64(bitPattern: main))
    bytes.append(UInt8(ascii: "_"))
    bytes.appendBigEndian(UInt64(bitPattern: sub))
    if isTombstone { bytes.append(UInt8(ascii: "t")) }
  }

  func rowKey(isTombstone: Bool) -> [UInt8] {
    var bytes: [UInt8] = []
    appendRowKey(isTombstone: isTombstone, to: &bytes)
    return bytes
  }
}
