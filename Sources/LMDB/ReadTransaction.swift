public import CLMDB

/// An LMDB read transaction with its cursors, kept and renewed: beginning one anew takes a lock and a slot.
/// Owned by one transaction at a time, and idle in the environment's pool between them.
@usableFromInline
final class Reader: @unchecked Sendable {
  // Sendable because ownership passes under the pool's lock and only the owner touches it.
  @usableFromInline let transaction: OpaquePointer
  /// Cursors that are not in use, by table; the last place is for LMDB's own free list.
  private var idleCursors: [[OpaquePointer]]
  private(set) var cursorsInUse = 0

  init(transaction: OpaquePointer, tables: Int) {
    self.transaction = transaction
    idleCursors = Array(repeating: [], count: tables + 1)
  }

  func takeCursor(_ database: Database, path: String) throws(LMDBError) -> OpaquePointer {
    if let cursor = idleCursors[database.slot].popLast() {
      let status = mdb_cursor_renew(transaction, cursor)
      guard status == 0 else { throw LMDBError(operation: "mdb_cursor_renew", path: path, code: status) }
      cursorsInUse += 1
      return cursor
    }
    var cursor: OpaquePointer?
    let status = mdb_cursor_open(transaction, database.handle, &cursor)
    guard status == 0, let cursor else {
      throw LMDBError(operation: "mdb_cursor_open", path: path, code: status)
    }
    cursorsInUse += 1
    return cursor
  }

  func giveBack(_ cursor: OpaquePointer, slot: Int) {
    cursorsInUse -= 1
    idleCursors[slot].append(cursor)
  }

  /// Ends the transaction for good, its cursors first.
  func abort() {
    precondition(cursorsInUse == 0, "a cursor outlived its transaction")
    for cursors in idleCursors {
      for cursor in cursors { mdb_cursor_close(cursor) }
    }
    idleCursors = []
    mdb_txn_abort(transaction)
  }
}

/// A consistent view of the environment; one thread at a time, any thread. Bytes it returns lie in the map
/// and are valid until it is reset, renewed or gone.
public struct ReadTransaction: ~Copyable {
  @usableFromInline let environment: Environment
  @usableFromInline let reader: Reader
  /// False between `reset` and `renew`.
  private var isLive = true

  init(environment: Environment, reader: Reader) {
    self.environment = environment
    self.reader = reader
  }

  deinit {
    precondition(reader.cursorsInUse == 0, "a cursor outlived its transaction")
    environment.giveBack(reader)
  }

  /// The committed write transaction that this one sees.
  @inlinable public var transactionID: UInt64 { UInt64(mdb_txn_id(reader.transaction)) }

  /// Lets go of the view but keeps the reader's slot.
  public mutating func reset() {
    guard isLive else { return }
    precondition(reader.cursorsInUse == 0, "a cursor outlived its transaction")
    mdb_txn_reset(reader.transaction)
    isLive = false
  }

  /// Moves to the last committed state.
  public mutating func renew() throws(LMDBError) {
    reset()
    try Environment.check(mdb_txn_renew(reader.transaction), "mdb_txn_renew", environment.path)
    isLive = true
  }

  /// The value of a key.
  @inlinable
  public borrowing func get(
    _ database: Database, _ key: UnsafeRawBufferPointer
  ) throws(LMDBError) -> UnsafeRawBufferPointer? {
    var keyValue = MDB_val(mv_size: key.count, mv_data: UnsafeMutableRawPointer(mutating: key.baseAddress))
    var found = MDB_val()
    let status = mdb_get(reader.transaction, database.handle, &keyValue, &found)
    if status == 0 { return UnsafeRawBufferPointer(start: found.mv_data, count: found.mv_size) }
    if status == MDB_NOTFOUND { return nil }
    throw LMDBError(operation: "mdb_get", path: environment.path, code: status)
  }

  /// The number of rows of a table.
  public borrowing func count(_ database: Database) throws(LMDBError) -> Int {
    var statistics = MDB_stat()
    try Environment.check(
      mdb_stat(reader.transaction, database.handle, &statistics), "mdb_stat", environment.path)
    return statistics.ms_entries
  }

  /// A cursor before the first row. It must be gone before the transaction ends, resets or renews.
  public borrowing func cursor(_ database: Database) throws(LMDBError) -> ReadCursor {
    ReadCursor(
      reader: reader, handle: try reader.takeCursor(database, path: environment.path), slot: database.slot,
      environment: environment)
  }
}

/// A position in a table. `key` and `value` are those of the row it stands on.
public struct ReadCursor: ~Copyable {
  @usableFromInline let reader: Reader
  @usableFromInline let handle: OpaquePointer
  @usableFromInline let slot: Int
  @usableFromInline let environment: Environment
  @usableFromInline var currentKey = MDB_val()
  @usableFromInline var currentValue = MDB_val()

  init(reader: Reader, handle: OpaquePointer, slot: Int, environment: Environment) {
    self.reader = reader
    self.handle = handle
    self.slot = slot
    self.environment = environment
  }

  deinit { reader.giveBack(handle, slot: slot) }

  @inlinable public var key: UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(start: currentKey.mv_data, count: currentKey.mv_size)
  }

  @inlinable public var value: UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(start: currentValue.mv_data, count: currentValue.mv_size)
  }

  @inlinable public mutating func first() throws(LMDBError) -> Bool { try move(MDB_FIRST) }
  @inlinable public mutating func last() throws(LMDBError) -> Bool { try move(MDB_LAST) }
  @inlinable public mutating func next() throws(LMDBError) -> Bool { try move(MDB_NEXT) }
  @inlinable public mutating func previous() throws(LMDBError) -> Bool { try move(MDB_PREV) }

  /// Moves to the first row at or above `target`.
  @inlinable
  public mutating func seek(_ target: UnsafeRawBufferPointer) throws(LMDBError) -> Bool {
    // LMDB has no empty key, and every row lies above it.
    if target.isEmpty { return try move(MDB_FIRST) }
    currentKey = MDB_val(
      mv_size: target.count, mv_data: UnsafeMutableRawPointer(mutating: target.baseAddress))
    return try move(MDB_SET_RANGE)
  }

  @usableFromInline
  mutating func move(_ operation: MDB_cursor_op) throws(LMDBError) -> Bool {
    let status = mdb_cursor_get(handle, &currentKey, &currentValue, operation)
    if status == 0 { return true }
    if status == MDB_NOTFOUND { return false }
    throw LMDBError(operation: "mdb_cursor_get", path: environment.path, code: status)
  }
}
