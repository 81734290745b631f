internal import LMDB

extension Store {
  /// Opens or creates the data file at `path` (a file; its lock file is `path`-lock). An `identity` of nil
  /// accepts whatever the file holds and is an error for a new file. A file of another cluster or member,
  /// of an unknown format, or of an import that was cut short is refused by name.
  public static func open(
    path: String, options: StoreOptions = StoreOptions(), identity: StoreIdentity?
  ) throws(StoreError) -> Store {
    try checkPages(path)
    let environment: Environment
    do throws(LMDBError) {
      environment = try Environment(
        path: path,
        options: EnvironmentOptions(
          mapBytes: options.mapBytes, readersMax: options.readersMax, tables: Table.names,
          readsAhead: options.readsAhead))
    } catch {
      throw StoreError(error)
    }
    let isNew = try isEmpty(environment)
    if isNew {
      guard let identity else { throw StoreError.incomplete(file: path) }
      try create(environment, identity: identity)
    }
    let (recovery, state, transactionID) = try recover(environment, expected: identity, isNew: isNew)
    let pool = BlockPool(blockBytes: options.blockBytes, blocksMax: options.pooledBlocksMax)
    let filling = try Generation(
      number: state.generation + 1, boundary: state.boundary,
      arena: Arena(pool: pool, memoryBytesMax: options.generationMemoryBytesMax, spillPath: path))
    let file = StoreFile(environment, options: options)
    file.space.extend(for: [])
    return Store(
      path: path, options: options, pool: pool, recovery: recovery,
      published: Published(
        file: file, filling: filling, committing: nil, transactionID: transactionID,
        committedGeneration: state.generation, committed: state.digest))
  }

  /// Free lists of more pages than this are left to the scrub: opening must be instant.
  private static let freeListPagesMax = 256

  /// LMDB trusts its meta pages, roots and list of free pages, which have no checksums: looked at before it does.
  private static func checkPages(_ path: String) throws(StoreError) {
    let file: PageFile?
    do throws(LMDBError) { file = try PageFile.open(path) } catch { throw StoreError(error) }
    guard let file else { return }
    do throws(PageDamage) {
      try PageAudit.quick(
        try file.reader(), tables: Table.names, freeListPagesMax: freeListPagesMax)
    } catch {
      throw StoreError(error)
    }
  }

  /// A file that holds no row at all: just made, or a creation that never committed.
  private static func isEmpty(_ environment: Environment) throws(StoreError) -> Bool {
    do throws(LMDBError) {
      let transaction = try environment.beginRead()
      for table in Table.allCases where try transaction.count(environment.database(table)) > 0 {
        return false
      }
      return true
    } catch {
      throw StoreError(error)
    }
  }

  private static func create(_ environment: Environment, identity: StoreIdentity) throws(StoreError) {
    let meta = environment.database(.meta)
    do throws(LMDBError) {
      var transaction = try environment.beginWrite()
      try transaction.putPlain(meta, .meta, key: DiskIdentity.key, payload: DiskIdentity.payload(identity))
      try transaction.putPlain(meta, .meta, key: DiskState.key, payload: DiskState().payload)
      try transaction.commit()
    } catch {
      throw StoreError(error)
    }
  }

  static func recover(
    _ environment: Environment, expected: StoreIdentity?, isNew: Bool
  ) throws(StoreError) -> (StoreRecovery, DiskState, UInt64) {
    let transaction: ReadTransaction
    do throws(LMDBError) { transaction = try environment.beginRead() } catch { throw StoreError(error) }
    let tables = TableHandles(environment)
    let path = environment.path
    guard let identity = try DiskIdentity.read(transaction, tables, path: path),
      let state = try DiskState.read(transaction, tables, path: path)
    else { throw StoreError.incomplete(file: path) }
    if let expected, expected != identity {
      throw StoreError.foreign(file: path, found: identity, expected: expected)
    }
    let confState = try readPlain(transaction, tables, .meta, Array("confState".utf8), path: path)
    let recovery = StoreRecovery(
      isNew: isNew, identity: identity, appliedIndex: state.appliedIndex, term: state.term,
      revision: state.revision, scheduledCompactRevision: state.scheduled,
      finishedCompactRevision: state.finished, confState: confState.map { Array($0) },
      staleReadersCleared: environment.staleReadersCleared)
    return (recovery, state, transaction.transactionID)
  }
}

extension WriteTransaction {
  /// Writes a row of one of the plain tables.
  mutating func putPlain(
    _ database: Database, _ table: Table, key: [UInt8], payload: [UInt8]
  ) throws(LMDBError) {
    try key.withBytes { (key: UnsafeRawBufferPointer) throws(LMDBError) in
      try payload.withBytes { (payload: UnsafeRawBufferPointer) throws(LMDBError) in
        try put(database, key, count: RowFormat.checksumBytes + payload.count) { target in
          TableValue.encode(table, key: key, payload: payload, to: target)
        }
      }
    }
  }
}
