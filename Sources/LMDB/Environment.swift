internal import CLMDB
internal import CPrimitives
internal import Synchronization

/// How an environment is opened. The flags are fixed: NOTLS (a reader belongs to whoever holds it),
/// NORDAHEAD (unless `readsAhead`) and NOSUBDIR, with LMDB's default full sync. The unsafe ones (NOSYNC, NOMETASYNC, WRITEMAP,
/// NOMEMINIT) cannot be asked for, except NOSYNC while a file is being built.
public struct EnvironmentOptions: Hashable, Sendable {
  /// Address space reserved for the map; the file cannot outgrow it. It is never resized: that would move
  /// the map under live readers.
  public var mapBytes: Int
  /// Slots of the reader table.
  public var readersMax: Int
  /// Names of the tables, created where missing.
  public var tables: [String]
  /// True for a file that is being built and that nobody relies on yet: commits are not synced until
  /// `Environment.makeDurable`. A crash before leaves a file that must be thrown away.
  public var isBeingBuilt: Bool
  /// True for whoever reads all of the file: pages that are not in memory come with their neighbours, not one by one.
  public var readsAhead: Bool

  public init(
    mapBytes: Int = 1 << 40, readersMax: Int = 1024, tables: [String], isBeingBuilt: Bool = false,
    readsAhead: Bool = false
  ) {
    self.mapBytes = mapBytes
    self.readersMax = readersMax
    self.tables = tables
    self.isBeingBuilt = isBeingBuilt
    self.readsAhead = readsAhead
  }
}

/// A table of an environment: its place in `EnvironmentOptions.tables`.
public struct Database: Hashable, Sendable {
  @usableFromInline let handle: UInt32
  /// Its place in the options' names.
  public let slot: Int
}

/// Sizes of an environment.
public struct EnvironmentStatistics: Hashable, Sendable {
  public var pageBytes: Int
  /// Pages of the file that hold or once held data.
  public var usedPages: Int
  /// Those of them that are free for reuse.
  public var freePages: Int
  public var readersInUse: Int
  public var lastTransactionID: UInt64
}

/// One LMDB file. At most one environment per file exists in a process: LMDB's locks are the process's own,
/// so a second one would corrupt the file, and opening it is refused.
///
/// Any thread may begin read transactions; write transactions are for one thread at a time. The environment
/// closes when the last reference goes; transactions hold one.
public final class Environment: Sendable {
  public let path: String
  /// Reader slots of dead processes that were cleared at open.
  public let staleReadersCleared: Int
  // LMDB's environment may be used by all threads; the pointer itself never changes.
  nonisolated(unsafe) let handle: OpaquePointer
  let databases: [Database]
  let descriptor: Int32
  private let identity: FileIdentity
  private let idleReaders = Mutex<[Reader]>([])
  let pageMap = Mutex<PageMap?>(nil)

  private struct FileIdentity: Hashable {
    var device: UInt64 = 0
    var inode: UInt64 = 0
  }
  private static let openFiles = Mutex<Set<FileIdentity>>([])

  /// Opens or creates the file at `path`; the lock file is `path`-lock.
  public init(path: String, options: EnvironmentOptions) throws(LMDBError) {
    let descriptor = cairn_file_open(path, 1)
    guard descriptor >= 0 else { throw LMDBError(operation: "open", path: path, code: -descriptor) }
    var identity = FileIdentity()
    let status = cairn_file_identity(descriptor, &identity.device, &identity.inode)
    guard status == 0 else {
      cairn_file_close(descriptor)
      throw LMDBError(operation: "fstat", path: path, code: status)
    }
    let claimed = identity
    guard Self.openFiles.withLock({ files in files.insert(claimed).inserted }) else {
      cairn_file_close(descriptor)
      throw LMDBError(operation: "open", path: path, code: LMDBError.alreadyOpenCode)
    }
    do throws(LMDBError) {
      handle = try Self.openHandle(path: path, options: options)
    } catch {
      _ = Self.openFiles.withLock { files in files.remove(claimed) }
      cairn_file_close(descriptor)
      throw error
    }
    self.path = path
    self.descriptor = descriptor
    self.identity = identity
    var dead: Int32 = 0
    do throws(LMDBError) {
      try Self.check(mdb_reader_check(handle, &dead), "mdb_reader_check", path)
      databases = try Self.openTables(options.tables, in: handle, path: path)
    } catch {
      mdb_env_close(handle)
      _ = Self.openFiles.withLock { files in files.remove(claimed) }
      cairn_file_close(descriptor)
      throw error
    }
    staleReadersCleared = Int(dead)
    if options.readsAhead { cairn_file_will_need(descriptor) }
  }

  deinit {
    idleReaders.withLock { readers in
      for reader in readers { reader.abort() }
      readers = []
    }
    mdb_env_close(handle)
    let closing = identity
    _ = Self.openFiles.withLock { files in files.remove(closing) }
    cairn_file_close(descriptor)
  }

  /// The table at `index` of the options' names.
  public func database(_ index: Int) -> Database { databases[index] }

  /// A transaction on the last committed state. It must not outlive its use by much: LMDB reuses no page that
  /// it could still see.
  public func beginRead() throws(LMDBError) -> ReadTransaction {
    if let reader = idleReaders.withLock({ readers in readers.popLast() }) {
      let status = mdb_txn_renew(reader.transaction)
      guard status == 0 else {
        reader.abort()
        throw LMDBError(operation: "mdb_txn_renew", path: path, code: status)
      }
      return ReadTransaction(environment: self, reader: reader)
    }
    var transaction: OpaquePointer?
    try Self.check(
      mdb_txn_begin(handle, nil, UInt32(MDB_RDONLY), &transaction), "mdb_txn_begin", path)
    guard let transaction else { throw LMDBError(operation: "mdb_txn_begin", path: path, code: 0) }
    return ReadTransaction(
      environment: self, reader: Reader(transaction: transaction, tables: databases.count))
  }

  /// The one write transaction; waits for another to end. It lives and ends on the calling thread.
  public func beginWrite() throws(LMDBError) -> WriteTransaction {
    var transaction: OpaquePointer?
    try Self.check(mdb_txn_begin(handle, nil, 0, &transaction), "mdb_txn_begin", path)
    guard let transaction else { throw LMDBError(operation: "mdb_txn_begin", path: path, code: 0) }
    return WriteTransaction(environment: self, transaction: transaction, tables: databases.count)
  }

  func giveBack(_ reader: Reader) {
    mdb_txn_reset(reader.transaction)
    idleReaders.withLock { readers in readers.append(reader) }
  }

  /// The file's length in bytes, what was extended ahead included.
  public func fileBytes() throws(LMDBError) -> Int64 {
    let length = cairn_file_length(descriptor)
    guard length >= 0 else { throw LMDBError(operation: "fstat", path: path, code: Int32(-length)) }
    return length
  }

  /// Allocates disk space for a part of the file, extending it if need be; what it holds stays. False where
  /// the file system cannot allocate ahead.
  public func allocate(_ bytes: Range<Int64>) throws(LMDBError) -> Bool {
    let status = cairn_file_allocate(descriptor, bytes.lowerBound, bytes.upperBound - bytes.lowerBound)
    if status == LMDBError.notSupportedCode { return false }
    guard status == 0 else { throw LMDBError(operation: "fallocate", path: path, code: status) }
    return true
  }

  /// The number of pages in use, cheaply: no walk over the free list.
  public var usedPages: Int {
    var info = MDB_envinfo()
    mdb_env_info(handle, &info)
    return info.me_last_pgno + 1
  }

  public var pageBytes: Int {
    var status = MDB_stat()
    mdb_env_stat(handle, &status)
    return Int(status.ms_psize)
  }

  /// Clears reader slots of processes that died; returns how many.
  public func clearStaleReaders() throws(LMDBError) -> Int {
    var dead: Int32 = 0
    try Self.check(mdb_reader_check(handle, &dead), "mdb_reader_check", path)
    return Int(dead)
  }

  /// Sizes, free pages included; walks the free list.
  public func statistics() throws(LMDBError) -> EnvironmentStatistics {
    var info = MDB_envinfo()
    mdb_env_info(handle, &info)
    var free = 0
    // Table 0 is LMDB's own list of free pages: each value begins with the number of pages it names.
    let transaction = try beginRead()
    var cursor = try transaction.cursor(Database(handle: 0, slot: databases.count))
    var found = try cursor.first()
    while found {
      free += cursor.value.loadUnaligned(as: Int.self)
      found = try cursor.next()
    }
    return EnvironmentStatistics(
      pageBytes: pageBytes, usedPages: info.me_last_pgno + 1, freePages: free,
      readersInUse: Int(info.me_numreaders), lastTransactionID: UInt64(info.me_last_txnid))
  }

  private static func openHandle(path: String, options: EnvironmentOptions) throws(LMDBError) -> OpaquePointer
  {
    var created: OpaquePointer?
    try check(mdb_env_create(&created), "mdb_env_create", path)
    guard let handle = created else { throw LMDBError(operation: "mdb_env_create", path: path, code: 0) }
    do throws(LMDBError) {
      try check(mdb_env_set_mapsize(handle, options.mapBytes), "mdb_env_set_mapsize", path)
      try check(mdb_env_set_maxreaders(handle, UInt32(options.readersMax)), "mdb_env_set_maxreaders", path)
      try check(mdb_env_set_maxdbs(handle, UInt32(options.tables.count)), "mdb_env_set_maxdbs", path)
      var flags = UInt32(MDB_NOTLS) | UInt32(MDB_NOSUBDIR)
      if !options.readsAhead { flags |= UInt32(MDB_NORDAHEAD) }
      if options.isBeingBuilt { flags |= UInt32(MDB_NOSYNC) }
      try check(mdb_env_open(handle, path, flags, 0o600), "mdb_env_open", path)
    } catch {
      mdb_env_close(handle)
      throw error
    }
    return handle
  }

  /// Table handles come from a read transaction where all tables exist, so that opening an old file writes
  /// nothing.
  private static func openTables(
    _ names: [String], in handle: OpaquePointer, path: String
  ) throws(LMDBError) -> [Database] {
    if let databases = try openTables(names, in: handle, path: path, creating: false) { return databases }
    guard let databases = try openTables(names, in: handle, path: path, creating: true) else {
      throw LMDBError(operation: "mdb_dbi_open", path: path, code: MDB_NOTFOUND)
    }
    return databases
  }

  private static func openTables(
    _ names: [String], in handle: OpaquePointer, path: String, creating: Bool
  ) throws(LMDBError) -> [Database]? {
    var transaction: OpaquePointer?
    try check(
      mdb_txn_begin(handle, nil, creating ? 0 : UInt32(MDB_RDONLY), &transaction), "mdb_txn_begin", path)
    var databases: [Database] = []
    for (slot, name) in names.enumerated() {
      var table: MDB_dbi = 0
      let status = mdb_dbi_open(transaction, name, creating ? UInt32(MDB_CREATE) : 0, &table)
      if status != 0 {
        mdb_txn_abort(transaction)
        if status == MDB_NOTFOUND { return nil }
        throw LMDBError(operation: "mdb_dbi_open", path: path, code: status)
      }
      databases.append(Database(handle: table, slot: slot))
    }
    // Committing keeps the handles; a read transaction commits without writing.
    try check(mdb_txn_commit(transaction), "mdb_txn_commit", path)
    return databases
  }

  static func check(_ status: Int32, _ operation: String, _ path: String) throws(LMDBError) {
    guard status == 0 else { throw LMDBError(operation: operation, path: path, code: status) }
  }
}
