internal import LMDB
internal import Model

/// A consistent view: retained generations over an LMDB snapshot. One thread at a time. While it lives,
/// LMDB reuses no page that it could see, so it should last a millisecond or so; longer reads `renew`
/// between slices and look at `compactRevision` again each time.
public final class ReadView: @unchecked Sendable {
  let store: Store
  /// The file that the snapshot is of.
  private(set) var file: StoreFile
  private(set) var transaction: ReadTransaction
  /// Generations above the snapshot, the newer one first.
  var newer: Generation?
  var older: Generation?
  /// What is visible: rows above its revision and changes above its sequence are not.
  var boundary = Boundary()
  var newerCount = 0
  var olderCount = 0
  private var isEnded = false
  private var isResting = false
  /// Lookups in `rev` so far: what following pointers and values that are not stored beside their key cost.
  public internal(set) var revisionLookups = 0

  /// The current revision of the view's state.
  public var revision: Int64 { boundary.revision }
  /// The last log entry whose effects the view shows.
  public var appliedIndex: UInt64 { boundary.appliedIndex }
  public var term: UInt64 { boundary.term }
  /// The last compaction accepted in the view's state, -1 before the first. Reads below it are the caller's
  /// to refuse: their rows may be gone.
  public var compactRevision: Int64 { boundary.compactRevision }

  init(store: Store, file: StoreFile, transaction: consuming ReadTransaction) {
    self.store = store
    self.file = file
    self.transaction = transaction
  }

  /// Moves the view to the newest published state. Everything read so far becomes invalid.
  public func renew() throws(StoreError) {
    precondition(!isEnded, "a view that has ended")
    // The generations first, then the snapshot: whatever a commit takes out of the list afterwards is in the
    // retained ones, whatever it took out before is in the snapshot.
    let published = try store.current()
    try takeSnapshot(of: published.file)
    try select(from: published)
  }

  private func takeSnapshot(of file: StoreFile) throws(StoreError) {
    if file === self.file {
      do throws(LMDBError) { try transaction.renew() } catch { throw StoreError(error) }
    } else {
      transaction = try file.beginRead()
      self.file = file
    }
  }

  /// Lets go of snapshot and generations. The view must not be used any more.
  public func end() {
    isEnded = true
    transaction.reset()
    newer = nil
    older = nil
  }

  /// Picks what lies above the snapshot. `published` was retained before the snapshot was taken.
  func select(from published: Published) throws(StoreError) {
    newer = nil
    older = nil
    newerCount = 0
    olderCount = 0
    var committed = published.committedGeneration
    if transaction.transactionID != published.transactionID {
      // A commit fell between the two. Its own state tells which generation came with it.
      let state = try file.state(in: transaction)
      committed = state.generation
      if published.filling.number <= committed {
        boundary = state.boundary
        return
      }
    }
    let oldest = published.committing ?? published.filling
    precondition(oldest.number <= committed + 1, "a generation between the snapshot and the retained ones")
    boundary = published.filling.publishedBoundary
    newer = published.filling
    newerCount = boundary.recordCount
    if let committing = published.committing, committing.number > committed {
      older = committing
      olderCount = committing.recordCount
    }
  }

  /// The applier's form of `renew`: its own unfinished changes are visible.
  func selectForWriting(from published: Published, compactRevision: Int64) throws(StoreError) {
    if isResting || published.file !== file || transaction.transactionID != published.transactionID {
      try takeSnapshot(of: published.file)
      isResting = false
    }
    try select(from: published)
    boundary.revision = .max
    boundary.sequence = .max
    boundary.compactRevision = compactRevision
  }

  /// Lets go of the snapshot until the next `selectForWriting`.
  func rest() {
    transaction.reset()
    isResting = true
  }

  /// Rests in a file that has taken the place of the one before, so that the old one can close.
  func rest(in file: StoreFile) throws(StoreError) {
    if file !== self.file { try takeSnapshot(of: file) }
    rest()
  }

  /// The newest version of `key` with main <= `at`, tombstones included; nil if there is none, or none that
  /// compaction left.
  @inline(__always)
  public func latest(_ key: UnsafeRawBufferPointer, at: Int64) throws(StoreError) -> Row? {
    let limit = min(at, boundary.revision)
    if let record = overlayRecord(key, limit: limit) { return record.row }
    guard let latest = try diskKeyRow(key) else { return nil }
    return try row(latest, key: key, limit: limit, content: .keyValue)
  }

  @inline(__always)
  func overlayRecord(_ key: UnsafeRawBufferPointer, limit: Int64) -> VersionRecord? {
    if let node = newer?.keys.node(key), let record = VersionRecord.visible(node.record, limit: limit) {
      return record
    }
    if let node = older?.keys.node(key), let record = VersionRecord.visible(node.record, limit: limit) {
      return record
    }
    return nil
  }

  /// The visible version of a key whose latest row in LMDB is `latest`.
  @inline(__always)
  func row(
    _ latest: KeyRow, key: UnsafeRawBufferPointer, limit: Int64, content: RowContent
  ) throws(StoreError) -> Row? {
    if latest.version.mod.main <= limit {
      if content == .metadata {
        return Row(
          version: latest.version, key: key, keyValue: UnsafeRawBufferPointer(start: nil, count: 0))
      }
      if latest.isInlined {
        guard latest.isIntact else { throw corruptLatest(key) }
        return Row(version: latest.version, key: key, keyValue: latest.keyValue)
      }
      guard let row = try diskRevisionRow(latest.version.mod) else { throw missing(latest.version.mod) }
      guard row.isIntact, row.keyValueChecksum == latest.keyValueChecksum else {
        throw corrupt(latest.version.mod, "KeyValue checksum")
      }
      return Row(version: latest.version, key: key, keyValue: row.keyValue)
    }
    guard let (revision, row) = try diskVisible(below: latest, limit: limit) else { return nil }
    var decoded = try decode(row, at: revision)
    decoded.key = key
    return decoded
  }

  private func corruptLatest(_ key: UnsafeRawBufferPointer) -> StoreError {
    .corrupt(
      file: file.path, table: key.count < RowFormat.keyPartBytes ? .key : .long, key: Array(key),
      reason: "KeyValue checksum")
  }
}
