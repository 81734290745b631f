internal import LMDB
internal import Model

/// Builds a new data file from exported rows: for a restore, or for a snapshot from another member. The
/// caller gives a temporary name, and after `finish` renames the file into its place and syncs the
/// directory.
///
/// Rows arrive in the order of `Export.forEachRow`, and are written with MDB_APPEND in transactions of
/// bounded size. Before `finish` has returned the file has no `state` row, and opening it is refused.
public final class StoreImporter: @unchecked Sendable {
  private let path: String
  private let environment: Environment
  private let tables: TableHandles
  private let identity: StoreIdentity
  private let transactionBytesMax: Int
  /// Rows of the transaction under way.
  private var rows = RowBuffer()
  private var last: (table: Table, key: [UInt8])?
  private var state: DiskState?
  private var setHash = SetHash()

  private struct RowBuffer {
    var bytes: [UInt8] = []
    var rows: [(table: Table, keyCount: Int, valueCount: Int)] = []
  }

  /// `path` must not hold a store yet.
  public init(
    path: String, options: StoreOptions, identity: StoreIdentity, transactionBytesMax: Int = 16 << 20
  ) throws(StoreError) {
    do throws(LMDBError) {
      environment = try Environment(
        path: path,
        options: EnvironmentOptions(
          mapBytes: options.mapBytes, readersMax: options.readersMax, tables: Table.names))
      tables = TableHandles(environment)
      let transaction = try environment.beginRead()
      for table in Table.allCases where try transaction.count(tables[table]) > 0 {
        throw LMDBError(operation: "import into a file with rows", path: path, code: 17)  // EEXIST
      }
    } catch {
      throw StoreError(error)
    }
    self.path = path
    self.identity = identity
    self.transactionBytesMax = transactionBytesMax
  }

  /// Takes the next row. One out of order, or one whose checksum does not hold, is refused as corrupt.
  public func append(
    table: Table, key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer
  ) throws(StoreError) {
    var isInOrder = true
    if let last {
      isInOrder =
        table == last.table
        ? last.key.withBytes { compareKeys($0, key) < 0 } : table.rawValue > last.table.rawValue
    }
    guard isInOrder, RowCheck.isValid(table, key: key, value: value) else {
      throw StoreError.corrupt(
        file: path, table: table, key: Array(key), reason: isInOrder ? "checksum or form" : "order")
    }
    last = (table, Array(key))
    if table == .meta {
      if key.elementsEqual(DiskIdentity.key) { return }
      if key.elementsEqual(DiskState.key) { return try take(state: value, key: key) }
    }
    if table == .rev, let revision = RevisionKey.revision(key), let row = RevisionRow(key: key, value: value)
    {
      setHash += SetHash(
        main: revision.main, sub: UInt32(truncatingIfNeeded: revision.sub), keyValue: row.keyValue)
    }
    rows.rows.append((table, key.count, value.count))
    rows.bytes.append(contentsOf: key)
    rows.bytes.append(contentsOf: value)
    if rows.bytes.count >= transactionBytesMax { try flush() }
  }

  private func take(state value: UnsafeRawBufferPointer, key: UnsafeRawBufferPointer) throws(StoreError) {
    guard let payload = TableValue.payload(.meta, key: key, value: value),
      let state = DiskState(payload: payload)
    else { throw StoreError.corrupt(file: path, table: .meta, key: DiskState.key, reason: "state row") }
    self.state = state
  }

  private func flush() throws(StoreError) {
    do throws(LMDBError) {
      var transaction = try environment.beginWrite()
      try write(&transaction)
      try transaction.commit()
    } catch {
      throw StoreError(error)
    }
    rows = RowBuffer()
  }

  private func write(_ transaction: inout WriteTransaction) throws(LMDBError) {
    try rows.bytes.withBytes { (bytes: UnsafeRawBufferPointer) throws(LMDBError) in
      var offset = 0
      for row in rows.rows {
        let middle = offset + row.keyCount
        let end = middle + row.valueCount
        try transaction.append(
          tables[row.table], UnsafeRawBufferPointer(rebasing: bytes[offset..<middle]),
          UnsafeRawBufferPointer(rebasing: bytes[middle..<end]))
        offset = end
      }
    }
  }

  /// Writes identity and boundary and syncs; the file is a store then. The rows must be complete: their
  /// set-hash must be the exporter's. Nothing else may be called afterwards.
  public func finish() throws(StoreError) {
    guard let state else { throw StoreError.incomplete(file: path) }
    guard state.setHash == setHash else {
      throw StoreError.corrupt(
        file: path, table: .rev, key: [], reason: "set-hash \(setHash), the exporter's is \(state.setHash)")
    }
    do throws(LMDBError) {
      var transaction = try environment.beginWrite()
      try write(&transaction)
      let meta = tables[.meta]
      try transaction.putPlain(meta, .meta, key: DiskIdentity.key, payload: DiskIdentity.payload(identity))
      try transaction.putPlain(meta, .meta, key: DiskState.key, payload: state.payload)
      try transaction.commit()
    } catch {
      throw StoreError(error)
    }
    rows = RowBuffer()
  }
}
