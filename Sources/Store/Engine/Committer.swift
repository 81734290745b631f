internal import LMDB
internal import Model

/// What one commit did.
public struct CommitReport: Hashable, Sendable {
  /// The last entry that is durable now: the log may be purged up to it.
  public var appliedIndex: UInt64
  public var revision: Int64
  /// Rows of `rev` written.
  public var rows = 0
  /// Memory of the generation that was moved, 0 if the commit carried compaction only.
  public var generationBytes = 0
  /// Rows of `rev` that compaction visited and deleted.
  public var rowsVisited = 0
  public var rowsDeleted = 0
  /// The compaction that this commit finished.
  public var compactionFinished: Int64?

  public init(appliedIndex: UInt64, revision: Int64) {
    self.appliedIndex = appliedIndex
    self.revision = revision
  }
}

/// LMDB's only writer; exactly one, one thread at a time, and each `commitNext` runs from begin to end on the
/// calling thread.
public final class Committer: @unchecked Sendable {
  let store: Store
  /// The file in use; only the committer changes it.
  var file: StoreFile
  /// What it holds.
  var state: DiskState
  /// Work beside the commits, see `Committer+Work.swift`.
  var work: CommitterWork

  init(store: Store) throws(StoreError) {
    self.store = store
    file = try store.current().file
    state = try file.state(in: try file.beginRead())
    work = CommitterWork()
    work.scrub = store.options.scrub.map { Scrub($0, store.scrubCounters) }
  }

  /// True if `commitNext` would do something: a frozen generation, or compaction left to do.
  public var hasWork: Bool {
    get throws(StoreError) { try store.current().committing != nil || isCompacting }
  }

  /// True while a compaction that LMDB knows of has rows left to visit.
  public var isCompacting: Bool { state.scheduled > state.finished }

  /// Moves the frozen generation, if any, into one write transaction, folds in a batch of compaction,
  /// commits with full sync and drops the generation. Nil when there was nothing to do. After an error the
  /// store is poisoned: the kernel may have dropped pages that were to be written, so nothing is tried
  /// again.
  public func commitNext() throws(StoreError) -> CommitReport? {
    let generation = try store.current().committing
    guard generation != nil || isCompacting else { return nil }
    do throws(StoreError) {
      return try commit(generation)
    } catch {
      store.poison(error)
      throw error
    }
  }

  private func commit(_ generation: Generation?) throws(StoreError) -> CommitReport {
    var next = state
    let copy = work.defragmentation?.copy
    var transaction: CommitTransaction
    do throws(LMDBError) {
      transaction = CommitTransaction(try file.environment.beginWrite(), copy: copy)
    } catch {
      throw StoreError(error)
    }
    if let generation {
      try write(generation, &transaction, &next)
      next.advance(to: generation)
    }
    var report = CommitReport(appliedIndex: next.appliedIndex, revision: next.revision)
    report.rows = generation?.recordCount ?? 0
    report.generationBytes = generation?.usedBytes ?? 0
    if next.scheduled > next.finished {
      try compact(&transaction, &next, rows: batchRows(generation), &report)
    }
    let transactionID = transaction.transactionID
    do throws(LMDBError) {
      try transaction.putState(next, in: file.tables[.meta])
      try transaction.commit()
    } catch {
      throw StoreError(error)
    }
    state = next
    copy?.commit(adding: generation?.setHash ?? SetHash())
    store.didCommit(transactionID: transactionID, next)
    return report
  }

  /// Compaction visits at least twice the rows that the same commit adds, so it ends under any load. With
  /// nothing else to commit it takes larger steps.
  private func batchRows(_ generation: Generation?) -> Int {
    guard let generation else { return store.options.compactionBatchRows * 4 }
    return max(store.options.compactionBatchRows, 2 * generation.recordCount)
  }

  // MARK: one generation

  private func write(
    _ generation: Generation, _ transaction: inout CommitTransaction, _ state: inout DiskState
  ) throws(StoreError) {
    do throws(LMDBError) { try writeRevisions(generation, &transaction) } catch { throw StoreError(error) }
    try writeKeys(generation, &transaction, &state)
    do throws(LMDBError) { try writeChanges(generation, &transaction) } catch { throw StoreError(error) }
  }

  private func writeRevisions(
    _ generation: Generation, _ transaction: inout CommitTransaction
  ) throws(LMDBError) {
    for index in 0..<generation.recordCount {
      let record = generation.revisions[index]
      var key = RevisionKey(record.revision)
      let keyValue = record.keyValue
      try key.withBytes { (key: UnsafeRawBufferPointer) throws(LMDBError) in
        try transaction.append(file.tables.rev, key, count: RowFormat.revisionHeaderBytes + keyValue.count) {
          target in
          RevisionRow.encode(
            key: key, flags: record.isTombstone ? RowFormat.tombstone : 0, pointers: record.pointers,
            keyValue: keyValue, keyValueChecksum: record.header.pointee.keyValueChecksum, to: target)
        }
      }
    }
  }

  private func writeKeys(
    _ generation: Generation, _ transaction: inout CommitTransaction, _ state: inout DiskState
  ) throws(StoreError) {
    var keys = KeyTable(tables: file.tables, path: file.path, nextNode: state.nextNode)
    var node = generation.keys.first
    while let current = node {
      if let record = current.record.map(VersionRecord.init) {
        let keyValue = record.keyValue
        let inlined =
          keyValue.count <= store.options.inlineBytesMax
          ? keyValue : UnsafeRawBufferPointer(rebasing: keyValue[0..<0])
        try keys.put(
          current.key, record, inlined: inlined, &transaction)
      }
      node = current.next(0)
    }
    state.nextNode = keys.nextNode
  }

  private func writeChanges(
    _ generation: Generation, _ transaction: inout CommitTransaction
  ) throws(LMDBError) {
    var node = generation.changes.first
    while let current = node {
      let tagged = current.key
      if let record = current.record.map(ChangeRecord.init), let table = Table(rawValue: tagged[0]) {
        let key = UnsafeRawBufferPointer(rebasing: tagged[1...])
        if record.isDeletion {
          try transaction.delete(file.tables[table], key)
        } else {
          let payload = record.payload
          try transaction.put(file.tables[table], key, count: RowFormat.checksumBytes + payload.count) {
            target in TableValue.encode(table, key: key, payload: payload, to: target)
          }
        }
      }
      node = current.next(0)
    }
  }
}

extension DiskState {
  /// The state after a generation's rows.
  fileprivate mutating func advance(to generation: Generation) {
    let boundary = generation.boundary
    self.generation = generation.number
    appliedIndex = boundary.appliedIndex
    term = boundary.term
    revision = boundary.revision
    setHash += generation.setHash
    if boundary.compactRevision > scheduled { schedule(boundary.compactRevision) }
  }
}
