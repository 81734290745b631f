internal import LMDB
internal import Model

/// Lookups in one LMDB snapshot. Every row's checksum is verified before anything of it is believed.
extension ReadView {
  /// The latest row that LMDB has of a key.
  @inline(__always)
  func diskKeyRow(_ key: UnsafeRawBufferPointer) throws(StoreError) -> KeyRow? {
    guard key.count < RowFormat.keyPartBytes else { return try diskLongKeyRow(key) }
    let value: UnsafeRawBufferPointer?
    do throws(LMDBError) { value = try transaction.get(file.tables.key, key) } catch {
      throw StoreError(error)
    }
    guard let value else { return nil }
    guard let row = KeyRow(table: .key, key: key, value: value) else {
      throw StoreError.corrupt(file: file.path, table: .key, key: Array(key), reason: "checksum or form")
    }
    return row
  }

  private func diskLongKeyRow(_ key: UnsafeRawBufferPointer) throws(StoreError) -> KeyRow? {
    let part = RowFormat.keyPartBytes
    var head = UnsafeRawBufferPointer(rebasing: key[..<part])
    guard var node = try link(.key, head) else { return nil }
    var rest = UnsafeRawBufferPointer(rebasing: key[part...])
    var entry = LongKey()
    while rest.count >= part {
      head = UnsafeRawBufferPointer(rebasing: rest[..<part])
      entry.set(node: node, part: head)
      guard
        let next = try entry.withBytes({ (bytes: UnsafeRawBufferPointer) throws(StoreError) in
          try link(.long, bytes)
        })
      else { return nil }
      node = next
      rest = UnsafeRawBufferPointer(rebasing: rest[part...])
    }
    entry.set(node: node, part: rest)
    return try entry.withBytes { (bytes: UnsafeRawBufferPointer) throws(StoreError) -> KeyRow? in
      let value: UnsafeRawBufferPointer?
      do throws(LMDBError) { value = try transaction.get(file.tables.long, bytes) } catch {
        throw StoreError(error)
      }
      guard let value else { return nil }
      guard let row = KeyRow(table: .long, key: bytes, value: value) else {
        throw StoreError.corrupt(
          file: file.path, table: .long, key: Array(bytes), reason: "checksum or form")
      }
      return row
    }
  }

  private func link(_ table: Table, _ key: UnsafeRawBufferPointer) throws(StoreError) -> UInt64? {
    let value: UnsafeRawBufferPointer?
    do throws(LMDBError) { value = try transaction.get(file.tables[table], key) } catch {
      throw StoreError(error)
    }
    guard let value else { return nil }
    guard let link = LinkRow(table: table, key: key, value: value) else {
      throw StoreError.corrupt(file: file.path, table: table, key: Array(key), reason: "link")
    }
    return link.node
  }

  /// A row of `rev`; nil if it is not there.
  @inline(__always)
  func diskRevisionRow(_ revision: Revision) throws(StoreError) -> RevisionRow? {
    revisionLookups += 1
    var key = RevisionKey(revision)
    return try key.withBytes { (bytes: UnsafeRawBufferPointer) throws(StoreError) -> RevisionRow? in
      let value: UnsafeRawBufferPointer?
      do throws(LMDBError) { value = try transaction.get(file.tables.rev, bytes) } catch {
        throw StoreError(error)
      }
      guard let value else { return nil }
      guard let row = RevisionRow(key: bytes, value: value) else {
        throw StoreError.corrupt(file: file.path, table: .rev, key: Array(bytes), reason: "checksum or form")
      }
      return row
    }
  }

  /// The newest row of a key with main <= `limit`, found from its latest row, whose own main is above.
  func diskVisible(
    below latest: KeyRow, limit: Int64
  ) throws(StoreError) -> (revision: Revision, row: RevisionRow)? {
    var pointers = latest.pointers
    while true {
      let target = pointers.jump.main > limit ? pointers.jump : pointers.previous
      guard target.main > 0 else { return nil }
      guard let row = try diskRevisionRow(target) else {
        // Compaction deletes what it superseded, and nothing above its revision.
        if target.main <= boundary.compactRevision { return nil }
        throw missing(target)
      }
      if target.main <= limit { return (target, row) }
      pointers = row.pointers
    }
  }

  func missing(_ revision: Revision) -> StoreError {
    corrupt(revision, "a row that other rows point to is missing")
  }

  func corrupt(_ revision: Revision, _ reason: String) -> StoreError {
    var key = RevisionKey(revision)
    return .corrupt(
      file: file.path, table: .rev, key: key.withBytes { bytes in Array(bytes) }, reason: reason)
  }

  /// A `rev` row as seen by callers.
  func decode(_ row: RevisionRow, at revision: Revision) throws(StoreError) -> Row {
    guard row.isIntact, let fields = KeyValueBytes(decoding: row.keyValue) else {
      throw corrupt(revision, "KeyValue checksum or form")
    }
    return Row(
      version: RowVersion(
        mod: revision, create: fields.create, version: fields.version, lease: fields.lease,
        isTombstone: row.isTombstone), key: fields.key, keyValue: row.keyValue)
  }
}
