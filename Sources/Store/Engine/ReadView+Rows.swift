internal import LMDB
public import Model

/// History in revision order, and the other tables.
extension ReadView {
  /// Every physical row from `from` to the last one of main revision `through` (at most the view's), in
  /// revision order: LMDB's, then the generations'. Rows that compaction superseded appear until it deletes
  /// them.
  public func rows(
    from: Revision, through: Int64, _ body: (Revision, Row) throws(StoreError) -> ScanStep
  ) throws(StoreError) {
    let limit = min(through, boundary.revision)
    guard try diskRows(from: from, limit: limit, body) == .next else { return }
    if let older {
      guard try records(older, older.recordCount, from: from, limit: limit, body) == .next else { return }
    }
    if let newer { _ = try records(newer, newerCount, from: from, limit: limit, body) }
  }

  private func diskRows(
    from: Revision, limit: Int64, _ body: (Revision, Row) throws(StoreError) -> ScanStep
  ) throws(StoreError) -> ScanStep {
    var cursor = try transaction.open(file.tables.rev)
    var found: Bool
    var start = RevisionKey(from)
    do throws(LMDBError) {
      found = try start.withBytes { (bytes: UnsafeRawBufferPointer) throws(LMDBError) in
        try cursor.seek(bytes)
      }
    } catch {
      throw StoreError(error)
    }
    while found {
      guard let revision = RevisionKey.revision(cursor.key),
        let row = RevisionRow(key: cursor.key, value: cursor.value)
      else {
        throw StoreError.corrupt(
          file: file.path, table: .rev, key: Array(cursor.key), reason: "checksum or form")
      }
      if revision.main > limit { break }
      if try body(revision, try decode(row, at: revision)) == .stop { return .stop }
      do throws(LMDBError) { found = try cursor.next() } catch { throw StoreError(error) }
    }
    return .next
  }

  private func records(
    _ generation: Generation, _ count: Int, from: Revision, limit: Int64,
    _ body: (Revision, Row) throws(StoreError) -> ScanStep
  ) throws(StoreError) -> ScanStep {
    var index = generation.revisions.lowerBound(from, count: count)
    while index < count {
      let record = generation.revisions[index]
      if record.main > limit { break }
      if try body(record.revision, record.row) == .stop { return .stop }
      index += 1
    }
    return .next
  }

  /// The value of a row in one of the plain tables.
  public func value(table: Table, key: [UInt8]) throws(StoreError) -> [UInt8]? {
    precondition(table.isPlain, "\(table) is not read row by row")
    let found: ChangeRecord? = key.withBytes { (key: UnsafeRawBufferPointer) in
      Generation.withTaggedKey(table, key) { (tagged: UnsafeRawBufferPointer) in
        change(newer, tagged) ?? change(older, tagged)
      }
    }
    if let change = found { return change.isDeletion ? nil : Array(change.payload) }
    return try readPlain(transaction, file.tables, table, key, path: file.path).map { Array($0) }
  }

  private func change(_ generation: Generation?, _ tagged: UnsafeRawBufferPointer) -> ChangeRecord? {
    generation?.changes.node(tagged).flatMap { node in
      ChangeRecord.visible(node.record, sequence: boundary.sequence)
    }
  }

  /// The rows of one of the plain tables, ascending: key and value.
  public func tableRows(
    _ table: Table, from: [UInt8], to: KeyBound,
    _ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) throws(StoreError) -> ScanStep
  ) throws(StoreError) {
    precondition(table.isPlain, "\(table) is not read row by row")
    var newerNode: SkipNode?
    var olderNode: SkipNode?
    from.withBytes { from in
      Generation.withTaggedKey(table, from) { tagged in
        newerNode = newer?.changes.firstNode(atOrAbove: tagged)
        olderNode = older?.changes.firstNode(atOrAbove: tagged)
      }
    }
    var cursor = try transaction.open(file.tables[table])
    var hasDisk: Bool
    do throws(LMDBError) {
      hasDisk = try from.withBytes { (bytes: UnsafeRawBufferPointer) throws(LMDBError) in
        try cursor.seek(bytes)
      }
    } catch {
      throw StoreError(error)
    }
    while true {
      let newerKey = Self.key(newerNode, in: table)
      let olderKey = Self.key(olderNode, in: table)
      let diskKey = hasDisk ? cursor.key : nil
      guard let key = Self.smallest(newerKey, olderKey, diskKey) else { return }
      if case .before(let end) = to, end.withBytes({ compareKeys(key, $0) }) >= 0 { return }
      var change: ChangeRecord?
      if let newerKey, compareKeys(newerKey, key) == 0 {
        change = ChangeRecord.visible(newerNode?.record, sequence: boundary.sequence)
        newerNode = newerNode?.next(0)
      }
      if let olderKey, compareKeys(olderKey, key) == 0 {
        if change == nil { change = ChangeRecord.visible(olderNode?.record, sequence: boundary.sequence) }
        olderNode = olderNode?.next(0)
      }
      let isOnDisk = diskKey.map { compareKeys($0, key) == 0 } ?? false
      if let change {
        if !change.isDeletion, try body(key, change.payload) == .stop { return }
      } else if isOnDisk {
        guard let payload = TableValue.payload(table, key: cursor.key, value: cursor.value) else {
          throw StoreError.corrupt(file: file.path, table: table, key: Array(cursor.key), reason: "checksum")
        }
        if try body(key, payload) == .stop { return }
      }
      if isOnDisk { do throws(LMDBError) { hasDisk = try cursor.next() } catch { throw StoreError(error) } }
    }
  }

  private static func key(_ node: SkipNode?, in table: Table) -> UnsafeRawBufferPointer? {
    guard let tagged = node?.key, tagged.first == table.rawValue else { return nil }
    return UnsafeRawBufferPointer(rebasing: tagged[1...])
  }

  private static func smallest(
    _ a: UnsafeRawBufferPointer?, _ b: UnsafeRawBufferPointer?, _ c: UnsafeRawBufferPointer?
  ) -> UnsafeRawBufferPointer? {
    var smallest = a
    if let b { smallest = smallest.map { compareKeys(b, $0) < 0 ? b : $0 } ?? b }
    if let c { smallest = smallest.map { compareKeys(c, $0) < 0 ? c : $0 } ?? c }
    return smallest
  }
}
