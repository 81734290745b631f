internal import LMDB
internal import Model

/// A new data file that is being filled with the rows of the one in use, in order, in bounded steps between
/// commits. Changes that commits make to rows already copied are made here as well; rows above the cursor are
/// copied later as they are then. Leaves are packed full, because rows arrive in order. Used by the
/// committer's thread alone.
///
/// Nothing in it is durable, and it has no `state` row, before `finish`: a crash leaves a file that nobody
/// takes for a store.
final class FileCopy {
  let environment: Environment
  private let tables: TableHandles
  /// The table that is being copied, as LMDB's wrapper counts them, and the last key copied of it.
  private var slot = 0
  private var lastKey: [UInt8]?
  private var transaction: WriteTransaction?
  /// The sum over the rows of `rev` here.
  private var setHash = SetHash()
  /// What went wrong in a change that a commit made here: the copy is of no use then.
  private var failure: StoreError?
  private(set) var rows = 0
  private(set) var bytes: Int64 = 0

  init(path: String, options: StoreOptions) throws(StoreError) {
    do throws(LMDBError) {
      environment = try Environment(
        path: path,
        options: EnvironmentOptions(
          mapBytes: options.mapBytes, readersMax: options.readersMax, tables: Table.names,
          isBeingBuilt: true))
    } catch {
      throw StoreError(error)
    }
    tables = TableHandles(environment)
  }

  /// True when every row was copied. Later changes still arrive.
  var isComplete: Bool { slot == Table.allCases.count }

  // MARK: rows in order

  /// Copies about `bytesMax` bytes of rows, verified, as of the source's last commit. Returns the bytes.
  func step(from source: StoreFile, bytesMax: Int) throws(StoreError) -> Int {
    if let failure { throw failure }
    let start = bytes
    let reading = try source.beginRead()
    var writing = try begin()
    while !isComplete, bytes - start < Int64(bytesMax) {
      try copy(from: reading, source, to: &writing, until: start + Int64(bytesMax))
    }
    do throws(LMDBError) {
      try writing.commit()
      try environment.startWriteback()
    } catch {
      throw StoreError(error)
    }
    return Int(bytes - start)
  }

  /// Copies rows of the current table, and moves to the next one behind its last row.
  private func copy(
    from reading: borrowing ReadTransaction, _ source: StoreFile, to writing: inout WriteTransaction,
    until limit: Int64
  ) throws(StoreError) {
    let table = Table.allCases[slot]
    var cursor = try reading.open(source.tables[table])
    var found = try seekNext(&cursor)
    while found {
      let (key, value) = (cursor.key, cursor.value)
      guard RowCheck.isValid(table, key: key, value: value) else {
        throw StoreError.corrupt(
          file: source.path, table: table, key: Array(key), reason: "checksum or form")
      }
      bytes += Int64(key.count + value.count)
      if table == .rev { setHash += SetHash(verified: key, value) }
      if table != .meta || !key.elementsEqual(DiskState.key) {
        rows += 1
        do throws(LMDBError) { try writing.append(tables[table], key, value) } catch {
          throw StoreError(error)
        }
      }
      if bytes >= limit {
        lastKey = Array(key)
        return
      }
      do throws(LMDBError) { found = try cursor.next() } catch { throw StoreError(error) }
    }
    slot += 1
    lastKey = nil
  }

  /// To the first row that is not copied yet; the last one that was may be gone by now.
  private func seekNext(_ cursor: inout ReadCursor) throws(StoreError) -> Bool {
    do throws(LMDBError) {
      guard let lastKey else { return try cursor.first() }
      return try lastKey.withBytes { (last: UnsafeRawBufferPointer) throws(LMDBError) -> Bool in
        guard try cursor.seek(last) else { return false }
        return compareKeys(cursor.key, last) == 0 ? try cursor.next() : true
      }
    } catch {
      throw StoreError(error)
    }
  }

  // MARK: changes by commits

  func put(_ database: Database, _ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) {
    change(database, key) { (writing: inout WriteTransaction) throws(LMDBError) in
      try writing.put(database, key, value)
    }
  }

  func put(
    _ database: Database, _ key: UnsafeRawBufferPointer, count: Int, _ fill: (UnsafeMutableRawPointer) -> Void
  ) {
    change(database, key) { (writing: inout WriteTransaction) throws(LMDBError) in
      try writing.put(database, key, count: count, fill)
    }
  }

  func append(
    _ database: Database, _ key: UnsafeRawBufferPointer, count: Int, _ fill: (UnsafeMutableRawPointer) -> Void
  ) {
    change(database, key) { (writing: inout WriteTransaction) throws(LMDBError) in
      try writing.append(database, key, count: count, fill)
    }
  }

  func delete(_ database: Database, _ key: UnsafeRawBufferPointer) {
    change(database, key) { (writing: inout WriteTransaction) throws(LMDBError) in
      try writing.delete(database, key)
    }
  }

  /// Deletes a row of `rev`.
  func delete(_ rev: Database, revision key: UnsafeRawBufferPointer, _ hash: SetHash) {
    if isCopied(rev, key) { setHash -= hash }
    delete(rev, key)
  }

  private func isCopied(_ database: Database, _ key: UnsafeRawBufferPointer) -> Bool {
    guard database.slot == slot else { return database.slot < slot }
    guard let lastKey else { return false }
    return lastKey.withBytes { compareKeys(key, $0) <= 0 }
  }

  /// Tables of two files have equal handles, because both were opened with the same names.
  private func change(
    _ database: Database, _ key: UnsafeRawBufferPointer,
    _ body: (inout WriteTransaction) throws(LMDBError) -> Void
  ) {
    guard failure == nil, isCopied(database, key) else { return }
    do throws(StoreError) {
      var writing = if let open = transaction.take() { open } else { try begin() }
      do throws(LMDBError) { try body(&writing) } catch { throw StoreError(error) }
      transaction = consume writing
    } catch {
      failure = error
    }
  }

  /// Ends the changes of a commit, which has added rows of this set-hash to `rev`.
  func commit(adding hash: SetHash) {
    if failure == nil, slot > Table.rev.slot { setHash += hash }
    guard let open = transaction.take() else { return }
    do throws(LMDBError) {
      try open.commit()
      try environment.startWriteback()
    } catch {
      failure = StoreError(error)
    }
  }

  private func begin() throws(StoreError) -> WriteTransaction {
    do throws(LMDBError) { return try environment.beginWrite() } catch { throw StoreError(error) }
  }

  // MARK: the end

  /// Syncs what is there, so that `finish` has little to sync.
  func sync() throws(StoreError) {
    if let failure { throw failure }
    do throws(LMDBError) { try environment.sync() } catch { throw StoreError(error) }
  }

  /// Makes the file a store with the source's content, durable as a whole, after holding both equal: as many
  /// rows in each table, and the set-hash. Returns its last transaction.
  func finish(from source: StoreFile, _ state: DiskState) throws(StoreError) -> UInt64 {
    if let failure { throw failure }
    precondition(isComplete && transaction == nil, "finished while rows are left to copy")
    guard setHash == state.setHash else {
      throw StoreError.corrupt(
        file: source.path, table: .rev, key: [],
        reason: "set-hash of all rows is \(setHash), of the changes \(state.setHash)")
    }
    var writing = try begin()
    let transactionID = writing.transactionID
    do throws(LMDBError) {
      let meta = tables[.meta]
      try writing.putPlain(meta, .meta, key: DiskState.key, payload: state.payload)
      try writing.commit()
      try environment.makeDurable()
    } catch {
      throw StoreError(error)
    }
    try compareCounts(source)
    return transactionID
  }

  private func compareCounts(_ source: StoreFile) throws(StoreError) {
    let ours = try beginRead()
    let theirs = try source.beginRead()
    for table in Table.allCases {
      let (copied, expected): (Int, Int)
      do throws(LMDBError) {
        (copied, expected) = (try ours.count(tables[table]), try theirs.count(source.tables[table]))
      } catch {
        throw StoreError(error)
      }
      guard copied == expected else {
        throw StoreError.corrupt(
          file: source.path, table: table, key: [], reason: "\(copied) rows read, \(expected) counted")
      }
    }
  }

  private func beginRead() throws(StoreError) -> ReadTransaction {
    do throws(LMDBError) { return try environment.beginRead() } catch { throw StoreError(error) }
  }
}
