internal import CLMDB
internal import CPrimitives

/// The write transaction. It must begin and end on one thread (committing elsewhere returns success and
/// hangs the next writer); that is checked. Dropped without `commit` it leaves no trace.
///
/// Bytes it returns are valid until the next change.
public struct WriteTransaction: ~Copyable {
  private let environment: Environment
  private var transaction: OpaquePointer?
  private let thread: UInt64
  // One cursor a table: LMDB puts the next of ascending keys without a search from the root. LMDB frees them
  // with the transaction.
  private var cursors: [OpaquePointer?]

  init(environment: Environment, transaction: OpaquePointer, tables: Int) {
    self.environment = environment
    self.transaction = transaction
    thread = cairn_thread_id()
    cursors = Array(repeating: nil, count: tables)
  }

  deinit {
    guard let transaction else { return }
    precondition(thread == cairn_thread_id(), "a write transaction ended on another thread")
    mdb_txn_abort(transaction)
  }

  /// The number that the environment's last transaction will have once this one is committed.
  public var transactionID: UInt64 { UInt64(mdb_txn_id(transaction)) }

  public func get(_ database: Database, _ key: UnsafeRawBufferPointer) throws(LMDBError)
    -> UnsafeRawBufferPointer?
  {
    var keyValue = Self.value(key)
    var found = MDB_val()
    let status = mdb_get(transaction, database.handle, &keyValue, &found)
    if status == MDB_NOTFOUND { return nil }
    try Environment.check(status, "mdb_get", environment.path)
    return UnsafeRawBufferPointer(start: found.mv_data, count: found.mv_size)
  }

  /// The first row at or above `target`.
  public mutating func firstRow(_ database: Database, atOrAbove target: UnsafeRawBufferPointer)
    throws(LMDBError) -> (key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer)?
  {
    var keyValue = Self.value(target)
    var found = MDB_val()
    let operation = target.isEmpty ? MDB_FIRST : MDB_SET_RANGE
    return try Self.row(
      mdb_cursor_get(try cursor(database), &keyValue, &found, operation), keyValue, found, environment.path)
  }

  /// The row behind the one last found, put or deleted through this transaction in the table.
  public mutating func nextRow(_ database: Database)
    throws(LMDBError) -> (key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer)?
  {
    var keyValue = MDB_val()
    var found = MDB_val()
    return try Self.row(
      mdb_cursor_get(try cursor(database), &keyValue, &found, MDB_NEXT), keyValue, found, environment.path)
  }

  /// Writes a row, replacing one of the same key.
  public mutating func put(
    _ database: Database, _ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer
  ) throws(LMDBError) {
    var keyValue = Self.value(key)
    var valueValue = Self.value(value)
    try Environment.check(
      mdb_cursor_put(try cursor(database), &keyValue, &valueValue, 0), "mdb_cursor_put", environment.path)
  }

  /// Writes a row above all others of the table; fails with MDB_KEYEXIST where it is not.
  public mutating func append(
    _ database: Database, _ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer
  ) throws(LMDBError) {
    var keyValue = Self.value(key)
    var valueValue = Self.value(value)
    try Environment.check(
      mdb_cursor_put(try cursor(database), &keyValue, &valueValue, UInt32(MDB_APPEND)),
      "mdb_cursor_put (append)", environment.path)
  }

  /// Writes a row above all others of the table whose value of `count` bytes is filled in place by `fill`.
  public mutating func append(
    _ database: Database, _ key: UnsafeRawBufferPointer, count: Int, _ fill: (UnsafeMutableRawPointer) -> Void
  ) throws(LMDBError) {
    try put(database, key, count: count, flags: UInt32(MDB_APPEND), fill)
  }

  /// Writes a row whose value of `count` bytes is filled in place by `fill`.
  public mutating func put(
    _ database: Database, _ key: UnsafeRawBufferPointer, count: Int, _ fill: (UnsafeMutableRawPointer) -> Void
  ) throws(LMDBError) {
    try put(database, key, count: count, flags: 0, fill)
  }

  private mutating func put(
    _ database: Database, _ key: UnsafeRawBufferPointer, count: Int, flags: UInt32,
    _ fill: (UnsafeMutableRawPointer) -> Void
  ) throws(LMDBError) {
    var keyValue = Self.value(key)
    var room = MDB_val(mv_size: count, mv_data: nil)
    try Environment.check(
      mdb_cursor_put(try cursor(database), &keyValue, &room, flags | UInt32(MDB_RESERVE)),
      "mdb_cursor_put (reserve)", environment.path)
    guard let target = room.mv_data else {
      throw LMDBError(operation: "mdb_cursor_put (reserve)", path: environment.path, code: MDB_PANIC)
    }
    fill(target)
  }

  /// Deletes a row; false if there was none.
  @discardableResult
  public mutating func delete(_ database: Database, _ key: UnsafeRawBufferPointer) throws(LMDBError) -> Bool {
    var keyValue = Self.value(key)
    var found = MDB_val()
    let cursor = try cursor(database)
    let status = mdb_cursor_get(cursor, &keyValue, &found, MDB_SET)
    if status == MDB_NOTFOUND { return false }
    try Environment.check(status, "mdb_cursor_get", environment.path)
    try Environment.check(mdb_cursor_del(cursor, 0), "mdb_cursor_del", environment.path)
    return true
  }

  /// Makes the changes durable: they are on disk when it returns. After an error the environment must not be
  /// written again.
  public consuming func commit() throws(LMDBError) {
    precondition(thread == cairn_thread_id(), "a write transaction ended on another thread")
    let ending = transaction
    transaction = nil
    try Environment.check(mdb_txn_commit(ending), "mdb_txn_commit", environment.path)
  }

  private mutating func cursor(_ database: Database) throws(LMDBError) -> OpaquePointer {
    if let cursor = cursors[database.slot] { return cursor }
    var opened: OpaquePointer?
    try Environment.check(
      mdb_cursor_open(transaction, database.handle, &opened), "mdb_cursor_open", environment.path)
    guard let opened else {
      throw LMDBError(operation: "mdb_cursor_open", path: environment.path, code: MDB_PANIC)
    }
    cursors[database.slot] = opened
    return opened
  }

  private static func value(_ bytes: UnsafeRawBufferPointer) -> MDB_val {
    MDB_val(mv_size: bytes.count, mv_data: UnsafeMutableRawPointer(mutating: bytes.baseAddress))
  }

  private static func row(_ status: Int32, _ key: MDB_val, _ value: MDB_val, _ path: String)
    throws(LMDBError) -> (key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer)?
  {
    if status == MDB_NOTFOUND { return nil }
    try Environment.check(status, "mdb_cursor_get", path)
    return (
      UnsafeRawBufferPointer(start: key.mv_data, count: key.mv_size),
      UnsafeRawBufferPointer(start: value.mv_data, count: value.mv_size)
    )
  }
}
