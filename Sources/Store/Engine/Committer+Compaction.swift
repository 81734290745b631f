internal import LMDB
internal import Model

/// Physical compaction at revision R, in batches that share the commits' transactions: rows of `rev` from
/// the last compaction to R are visited in order, and
/// - the row that a visited one points back to is superseded at R: deleted;
/// - a visited tombstone below R says nothing any more: deleted, and its `key` row with it if that still is
///   this tombstone;
/// - rows at exactly R stay, superseded or tombstone: a watch may begin at R. The next compaction begins at R
///   again and takes them.
///
/// Where a batch stopped is part of the same commit, so a crash resumes there; the mark `finished` comes
/// with the last batch. Nothing is kept in memory between batches.
extension Committer {
  func compact(
    _ transaction: inout CommitTransaction, _ state: inout DiskState, rows: Int, _ report: inout CommitReport
  ) throws(StoreError) {
    let target = state.scheduled
    var batch = CompactionBatch()
    let end = try visit(from: state.progress, target: target, rows: rows, &transaction, &batch)
    report.rowsVisited = batch.visited
    try deleteRows(batch, &transaction, &state, &report)
    try deleteKeys(batch, &transaction, &state)
    if let end {
      state.progress = end
    } else {
      state.progress = Revision(main: target, sub: 0)
      state.finished = target
      report.compactionFinished = target
    }
  }

  /// Collects what a batch deletes. The rows are read first and deleted afterwards: a change makes
  /// everything read before invalid. Returns where the next batch begins, nil if the target was reached.
  private func visit(
    from start: Revision, target: Int64, rows: Int, _ transaction: inout CommitTransaction,
    _ batch: inout CompactionBatch
  ) throws(StoreError) -> Revision? {
    let table = file.tables.rev
    var key = RevisionKey(start)
    do throws(LMDBError) {
      var found = try key.withBytes { (bytes: UnsafeRawBufferPointer) throws(LMDBError) in
        try transaction.firstRow(table, atOrAbove: bytes)
      }
      while let (bytes, value) = found {
        guard let revision = RevisionKey.revision(bytes), let row = RevisionRow(key: bytes, value: value),
          row.isIntact, let fields = KeyValueBytes(decoding: row.keyValue)
        else {
          batch.corrupt = Array(bytes)
          break
        }
        if revision.main > target { return nil }
        if batch.visited >= rows { return revision }
        batch.visit(revision, row, key: fields.key, target: target)
        found = try transaction.nextRow(table)
      }
    } catch {
      throw StoreError(error)
    }
    if let corrupt = batch.corrupt {
      throw StoreError.corrupt(file: file.path, table: .rev, key: corrupt, reason: "checksum or form")
    }
    return nil
  }

  /// In revision order, and each out of the set-hash. A row that is not there was deleted by an earlier
  /// compaction.
  private func deleteRows(
    _ batch: CompactionBatch, _ transaction: inout CommitTransaction, _ state: inout DiskState,
    _ report: inout CommitReport
  ) throws(StoreError) {
    let table = file.tables.rev
    for revision in batch.deletions.sorted() {
      var key = RevisionKey(revision)
      try key.withBytes { (bytes: UnsafeRawBufferPointer) throws(StoreError) in
        do throws(LMDBError) {
          guard let value = try transaction.get(table, bytes) else { return }
          guard let row = RevisionRow(key: bytes, value: value), row.isIntact else {
            throw LMDBError.corruptRow
          }
          let hash = SetHash(
            main: revision.main, sub: UInt32(truncatingIfNeeded: revision.sub), keyValue: row.keyValue)
          state.setHash -= hash
          work.scrub?.removed(bytes, hash)
          if try transaction.delete(revision: bytes, hash, in: table) { report.rowsDeleted += 1 }
        } catch {
          if error == .corruptRow {
            throw StoreError.corrupt(
              file: file.path, table: .rev, key: Array(bytes), reason: "checksum or form")
          }
          throw StoreError(error)
        }
      }
    }
  }

  private func deleteKeys(
    _ batch: CompactionBatch, _ transaction: inout CommitTransaction, _ state: inout DiskState
  ) throws(StoreError) {
    let keys = KeyTable(tables: file.tables, path: file.path, nextNode: state.nextNode)
    for tombstone in batch.tombstones.sorted(by: { $0.key.lexicographicallyPrecedes($1.key) }) {
      try tombstone.key.withBytes { (key: UnsafeRawBufferPointer) throws(StoreError) in
        try keys.delete(key, ifAt: tombstone.revision, &transaction)
      }
    }
  }
}

/// What one batch of compaction found.
private struct CompactionBatch {
  var visited = 0
  var deletions: [Revision] = []
  var tombstones: [(key: [UInt8], revision: Revision)] = []
  var corrupt: [UInt8]?

  mutating func visit(_ revision: Revision, _ row: RevisionRow, key: UnsafeRawBufferPointer, target: Int64) {
    visited += 1
    let previous = row.pointers.previous
    if previous.main > 0, previous.main < target { deletions.append(previous) }
    if row.isTombstone, revision.main < target {
      deletions.append(revision)
      tombstones.append((Array(key), revision))
    }
  }
}

extension LMDBError {
  /// Carries a checksum failure out of a block that throws database errors.
  fileprivate static let corruptRow = LMDBError(operation: "checksum", path: "", code: 0)
}
