internal import CLMDB
internal import CPrimitives

/// A file that is built beside another one: how its bytes reach the disk.
extension Environment {
  /// Starts writing what was committed to the disk, after waiting for what the last call started. It makes
  /// nothing durable: it keeps the amount small that a sync has to write at once, so that other files on the
  /// disk, such as a log, sync as fast as ever meanwhile.
  public func startWriteback() throws(LMDBError) {
    let status = cairn_file_start_writeback(descriptor)
    guard status == 0 else { throw LMDBError(operation: "sync_file_range", path: path, code: status) }
  }

  /// Syncs everything committed so far.
  public func sync() throws(LMDBError) { try Self.check(mdb_env_sync(handle, 1), "mdb_env_sync", path) }

  /// Syncs everything committed so far, and from now on with each commit. Called by the writer's thread
  /// between transactions.
  public func makeDurable() throws(LMDBError) {
    try sync()
    // LMDB opened its synchronous descriptor for the meta pages with the file, for this very change.
    try Self.check(mdb_env_set_flags(handle, UInt32(MDB_NOSYNC), 0), "mdb_env_set_flags", path)
  }

  /// Bytes that the file system could still give to an unprivileged process.
  public func availableBytes() throws(LMDBError) -> Int64 {
    let available = cairn_file_available(descriptor)
    guard available >= 0 else {
      throw LMDBError(operation: "fstatvfs", path: path, code: Int32(truncatingIfNeeded: -available))
    }
    return available
  }
}
