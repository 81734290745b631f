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
  private let isBesideLog: Bool
  /// Rows of the transaction under way.
  private var rows = RowBuffer()
  private var lastTable: Table?
  private var lastKey: [UInt8] = []
  private var state: DiskState?
  private var setHash = SetHash()

  private struct RowBuffer {
    var bytes: [UInt8] = []
    var rows: [(table: Table, keyCount: Int, valueCount: Int)] = []

    mutating func removeAll() {
      bytes.removeAll(keepingCapacity: true)
      rows.removeAll(keepingCapacity: true)
    }
  }

  /// `path` must not hold a store yet. `isBesideLog`: each transaction is synced, so that no sync of another file on the
  /// disk has to wait for many of them.
  public init(
    path: String, options: StoreOptions, identity: StoreIdentity, transactionBytesMax: Int = 16 << 20,
    isBesideLog: Bool = false
  ) throws(StoreError) {
    do throws(LMDBError) {
      environment = try Environment(
        path: path,
        options: EnvironmentOptions(
          mapBytes: options.mapBytes, readersMax: options.readersMax, tables: Table.names,
          isBeingBuilt: true))
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
    self.isBesideLog = isBesideLog
  }

  /// Takes the next row. One out of order, or one whose checksum does not hold, is refused as corrupt.
  public func append(
    table: Table, key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer
  ) throws(StoreError) {
    var isInOrder = true
    if let lastTable {
      isInOrder =
        table == lastTable
        ? lastKey.withBytes { compareKeys($0, key) < 0 } : table.rawValue > lastTable.rawValue
    }
    guard isInOrder, RowCheck.isValid(table, key: key, value: value) else {
      throw StoreError.corrupt(
        file: path, table: table, key: Array(key), reason: isInOrder ? "checksum or form" : "order")
    }
    lastTable = table
    lastKey.removeAll(keepingCapacity: true)
    lastKey.append(contentsOf: key)
    if table == .meta {
      if key.elementsEqual(DiskIdentity.key) { return }
      if key.elementsEqual(DiskState.key) { return try take(state: value, key: key) }
    }
    if table == .rev { setHash += SetHash(verified: key, value) }
    rows.rows.append((table, key.count, value.count))
    rows.bytes.append(contentsOf: key)
    rows.bytes.append(contentsOf: value)
    if rows.bytes.count >= transactionBytesMax { try flush() }
  }

  /// Takes the next row of a plain table by its payload: one that the exporter does not have.
  public func append(_ table: Table, key: [UInt8], payload: [UInt8]) throws(StoreError) {
    precondition(table.isPlain, "rows of other tables follow from revisions")
    var value = [UInt8](repeating: 0, count: RowFormat.checksumBytes + payload.count)
    try key.withBytes { (key: UnsafeRawBufferPointer) throws(StoreError) in
      payload.withBytes { payload in
        value.withUnsafeMutableBytes { target in
          guard let target = target.baseAddress else { return }
          TableValue.encode(table, key: key, payload: payload, to: target)
        }
      }
      try value.withBytes { (value: UnsafeRawBufferPointer) throws(StoreError) in
        try append(table: table, key: key, value: value)
      }
    }
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
      if isBesideLog { try environment.sync() } else { try environment.startWriteback() }
    } catch {
      throw StoreError(error)
    }
    rows.removeAll()
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
  ///
  /// - Parameter beginning: where the log of a new cluster begins; nil keeps the exporter's boundary.
  /// - Returns: the current revision of the new store.
  @discardableResult
  public func finish(beginning: NewBeginning? = nil) throws(StoreError) -> Int64 {
    guard var state else { throw StoreError.incomplete(file: path) }
    guard state.setHash == setHash else {
      throw StoreError.corrupt(
        file: path, table: .rev, key: [], reason: "set-hash \(setHash), the exporter's is \(state.setHash)")
    }
    if let beginning {
      guard !state.revision.addingReportingOverflow(beginning.revisionBump).overflow else {
        throw StoreError.revisionOverflow(file: path, bump: beginning.revisionBump)
      }
      state.begin(beginning)
    }
    do throws(LMDBError) {
      var transaction = try environment.beginWrite()
      try write(&transaction)
      // Everything below the boundary is on disk before the boundary says so.
      try transaction.commit()
      try environment.makeDurable()
      transaction = try environment.beginWrite()
      let meta = tables[.meta]
      try transaction.putPlain(meta, .meta, key: DiskIdentity.key, payload: DiskIdentity.payload(identity))
      try transaction.putPlain(meta, .meta, key: DiskState.key, payload: state.payload)
      try transaction.commit()
    } catch {
      throw StoreError(error)
    }
    rows.removeAll()
    return state.revision
  }

  /// The finished file as a store has it: an environment must not be opened twice.
  func storeFile(options: StoreOptions) -> StoreFile { StoreFile(environment, options: options) }
}

/// Where a cluster begins that is restored from a snapshot: its log is a new one.
public struct NewBeginning: Hashable, Sendable {
  public var appliedIndex: UInt64
  public var term: UInt64
  /// How much the current revision grows. Unless 0, everything up to the new one is marked as compacted, so that who
  /// watched or read the old cluster at a revision that it gave out after the snapshot learns that it is gone.
  public var revisionBump: Int64

  public init(appliedIndex: UInt64, term: UInt64, revisionBump: Int64 = 0) {
    precondition(revisionBump >= 0, "revisions never decrease")
    self.appliedIndex = appliedIndex
    self.term = term
    self.revisionBump = revisionBump
  }
}

extension DiskState {
  fileprivate mutating func begin(_ beginning: NewBeginning) {
    appliedIndex = beginning.appliedIndex
    term = beginning.term
    guard beginning.revisionBump > 0 else { return }
    revision += beginning.revisionBump
    schedule(revision)
  }
}
