internal import LMDB

/// The committer's write transaction on the file in use, with the same changes made to a copy under way as far
/// as that has come. What fails in the copy ends the copy, never the commit.
struct CommitTransaction: ~Copyable {
  private var main: WriteTransaction
  private let copy: FileCopy?

  init(_ main: consuming WriteTransaction, copy: FileCopy?) {
    self.main = main
    self.copy = copy
  }

  var transactionID: UInt64 { main.transactionID }

  func get(_ database: Database, _ key: UnsafeRawBufferPointer) throws(LMDBError) -> UnsafeRawBufferPointer? {
    try main.get(database, key)
  }

  mutating func firstRow(_ database: Database, atOrAbove target: UnsafeRawBufferPointer)
    throws(LMDBError) -> (key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer)?
  {
    try main.firstRow(database, atOrAbove: target)
  }

  mutating func nextRow(_ database: Database)
    throws(LMDBError) -> (key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer)?
  {
    try main.nextRow(database)
  }

  mutating func put(
    _ database: Database, _ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer
  ) throws(LMDBError) {
    try main.put(database, key, value)
    copy?.put(database, key, value)
  }

  mutating func put(
    _ database: Database, _ key: UnsafeRawBufferPointer, count: Int, _ fill: (UnsafeMutableRawPointer) -> Void
  ) throws(LMDBError) {
    try main.put(database, key, count: count, fill)
    copy?.put(database, key, count: count, fill)
  }

  /// Writes a row above all others of the table.
  mutating func append(
    _ database: Database, _ key: UnsafeRawBufferPointer, count: Int, _ fill: (UnsafeMutableRawPointer) -> Void
  ) throws(LMDBError) {
    try main.append(database, key, count: count, fill)
    copy?.append(database, key, count: count, fill)
  }

  @discardableResult
  mutating func delete(_ database: Database, _ key: UnsafeRawBufferPointer) throws(LMDBError) -> Bool {
    copy?.delete(database, key)
    return try main.delete(database, key)
  }

  /// Deletes a row of `rev`, whose hash leaves the sum of what the copy holds. `key` may lie in the map.
  mutating func delete(revision key: UnsafeRawBufferPointer, _ hash: SetHash, in rev: Database)
    throws(LMDBError) -> Bool
  {
    copy?.delete(rev, revision: key, hash)
    return try main.delete(rev, key)
  }

  /// Rows of `meta` that every commit rewrites: a copy gets them when it is finished.
  mutating func putState(_ state: DiskState, in meta: Database) throws(LMDBError) {
    try main.putPlain(meta, .meta, key: DiskState.key, payload: state.payload)
  }

  consuming func commit() throws(LMDBError) { try main.commit() }
}
