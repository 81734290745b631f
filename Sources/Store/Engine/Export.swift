internal import LMDB
internal import Model

/// The last committed boundary, held by one LMDB read transaction, row by row; one thread at a time. While
/// it is held no page is reused and the file grows with every commit, so it writes to a local file at disk
/// speed, one at a time, and gives up beyond its limit of growth.
public final class Export: @unchecked Sendable {
  private let file: StoreFile
  private var transaction: ReadTransaction
  let state: DiskState
  private let usedPagesMax: Int
  private let startPages: Int

  public var appliedIndex: UInt64 { state.appliedIndex }
  public var term: UInt64 { state.term }
  public var revision: Int64 { state.revision }
  /// The last compaction accepted, -1 before the first.
  public var compactRevision: Int64 { state.scheduled }
  public var setHash: SetHash { state.setHash }

  init(
    file: StoreFile, transaction: consuming ReadTransaction, state: DiskState, fileGrowthBytesMax: Int64
  ) {
    self.file = file
    self.transaction = transaction
    self.state = state
    startPages = file.environment.usedPages
    let growth = fileGrowthBytesMax / Int64(file.environment.pageBytes)
    usedPagesMax = Int(min(Int64(startPages).addingReportingOverflow(growth).partialValue, .max))
  }

  /// Rows of all tables.
  public func rowCount() throws(StoreError) -> Int {
    var count = 0
    for table in Table.allCases {
      do throws(LMDBError) { count += try transaction.count(file.tables[table]) } catch {
        throw StoreError(error)
      }
    }
    return count
  }

  /// The `confState` row of `meta`, if there is one.
  public func confState() throws(StoreError) -> [UInt8]? {
    try readPlain(transaction, file.tables, .meta, Array("confState".utf8), path: file.path).map {
      Array($0)
    }
  }

  /// Every row of every table, tables in the order of their raw values and keys ascending; checksums
  /// verified. Keys and values are LMDB's, checksum included.
  public func forEachRow(
    _ body: (Table, UnsafeRawBufferPointer, UnsafeRawBufferPointer) throws(StoreError) -> ScanStep
  ) throws(StoreError) {
    for table in Table.allCases {
      var cursor = try transaction.open(file.tables[table])
      var found: Bool
      do throws(LMDBError) { found = try cursor.first() } catch { throw StoreError(error) }
      var visited = 0
      while found {
        guard RowCheck.isValid(table, key: cursor.key, value: cursor.value) else {
          throw StoreError.corrupt(
            file: file.path, table: table, key: Array(cursor.key), reason: "checksum or form")
        }
        if try body(table, cursor.key, cursor.value) == .stop { return }
        visited += 1
        if visited & 255 == 0 { try checkGrowth() }
        do throws(LMDBError) { found = try cursor.next() } catch { throw StoreError(error) }
      }
      try checkGrowth()
    }
  }

  private func checkGrowth() throws(StoreError) {
    let used = file.environment.usedPages
    guard used > usedPagesMax else { return }
    throw StoreError.exportAborted(
      file: file.path, grownBytes: Int64(used - startPages) * Int64(file.environment.pageBytes))
  }

  /// Lets go of the transaction. The export must not be used any more.
  public func end() { transaction.reset() }

  /// The sum over all rows of `rev`.
  func computeSetHash() throws(StoreError) -> SetHash {
    var sum = SetHash()
    try forEachRow { table, key, value throws(StoreError) in
      guard table == .rev else { return .stop }
      guard let revision = RevisionKey.revision(key), let row = RevisionRow(key: key, value: value) else {
        throw StoreError.corrupt(file: file.path, table: .rev, key: Array(key), reason: "form")
      }
      sum += SetHash(
        main: revision.main, sub: UInt32(truncatingIfNeeded: revision.sub), keyValue: row.keyValue)
      return .next
    }
    return sum
  }
}

/// Whether a row of any table is what its checksum and form say.
enum RowCheck {
  static func isValid(_ table: Table, key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer) -> Bool {
    switch table {
    case .rev: RevisionKey.revision(key) != nil && RevisionRow(key: key, value: value)?.isIntact == true
    case .key:
      key.count == RowFormat.keyPartBytes
        ? LinkRow(table: table, key: key, value: value) != nil
        : isIntact(KeyRow(table: table, key: key, value: value))
    case .long:
      key.count == RowFormat.nodeBytes + RowFormat.keyPartBytes
        ? LinkRow(table: table, key: key, value: value) != nil
        : isIntact(KeyRow(table: table, key: key, value: value))
    case .lease, .leasekey, .auth, .user, .role, .member, .alarm, .meta:
      TableValue.payload(table, key: key, value: value) != nil
    }
  }

  private static func isIntact(_ row: KeyRow?) -> Bool {
    guard let row else { return false }
    return !row.isInlined || row.isIntact
  }
}
