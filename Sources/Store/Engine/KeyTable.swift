internal import LMDB
internal import Model

/// The committer's hand on the latest rows: `key`, and `long` for keys of 480 bytes and more.
struct KeyTable {
  let tables: TableHandles
  let path: String
  /// The number that the next node gets.
  private(set) var nextNode: UInt64

  init(tables: TableHandles, path: String, nextNode: UInt64) {
    self.tables = tables
    self.path = path
    self.nextNode = nextNode
  }

  /// Where a key's row is: a table and a key in it.
  private struct Place {
    var table: Table
    var bytes: [UInt8]
  }

  /// Writes the latest row of a key, with links down to it where it is long.
  mutating func put(
    _ key: UnsafeRawBufferPointer, _ record: VersionRecord, inlined: UnsafeRawBufferPointer,
    _ transaction: inout CommitTransaction
  ) throws(StoreError) {
    guard key.count < RowFormat.keyPartBytes else {
      let place = try linkDown(key, &transaction)
      return try place.bytes.withBytes { (entry: UnsafeRawBufferPointer) throws(StoreError) in
        try put(place.table, entry, record, inlined, &transaction)
      }
    }
    try put(.key, key, record, inlined, &transaction)
  }

  @inline(__always)
  private func put(
    _ table: Table, _ entry: UnsafeRawBufferPointer, _ record: VersionRecord,
    _ inlined: UnsafeRawBufferPointer, _ transaction: inout CommitTransaction
  ) throws(StoreError) {
    do throws(LMDBError) {
      let database = table == .key ? tables.key : tables.long
      try transaction.put(database, entry, count: RowFormat.keyHeaderBytes + inlined.count) { target in
        KeyRow.encode(
          table: table, key: entry, version: record.version, pointers: record.pointers, inlined: inlined,
          keyValueChecksum: record.header.pointee.keyValueChecksum, to: target)
      }
    } catch {
      throw StoreError(error)
    }
  }

  /// Deletes the latest row of a key if it is the one of `revision`, and the nodes that are empty then.
  func delete(
    _ key: UnsafeRawBufferPointer, ifAt revision: Revision, _ transaction: inout CommitTransaction
  ) throws(StoreError) {
    let places = try places(key, &transaction)
    guard let leaf = places.last, try isRow(leaf, at: revision, &transaction) else { return }
    for (level, place) in places.enumerated().reversed() {
      try place.bytes.withBytes { (entry: UnsafeRawBufferPointer) throws(StoreError) in
        do throws(LMDBError) { try transaction.delete(tables[place.table], entry) } catch {
          throw StoreError(error)
        }
      }
      guard level > 0, try isNodeEmpty(place.bytes, &transaction) else { return }
    }
  }

  // MARK: long keys

  /// The links of a key and the place of its row, outermost first; empty if a link is missing.
  private func places(
    _ key: UnsafeRawBufferPointer, _ transaction: inout CommitTransaction
  ) throws(StoreError) -> [Place] {
    guard key.count >= RowFormat.keyPartBytes else { return [Place(table: .key, bytes: Array(key))] }
    let part = RowFormat.keyPartBytes
    var places = [Place(table: .key, bytes: Array(key[..<part]))]
    var rest = UnsafeRawBufferPointer(rebasing: key[part...])
    while true {
      guard let last = places.last, let node = try link(last, &transaction) else { return [] }
      let isLeaf = rest.count < part
      let head = UnsafeRawBufferPointer(rebasing: rest.prefix(isLeaf ? rest.count : part))
      places.append(Place(table: .long, bytes: Self.entry(node, head)))
      if isLeaf { return places }
      rest = UnsafeRawBufferPointer(rebasing: rest[part...])
    }
  }

  /// The place of a long key's row; missing links are made.
  private mutating func linkDown(
    _ key: UnsafeRawBufferPointer, _ transaction: inout CommitTransaction
  ) throws(StoreError) -> Place {
    let part = RowFormat.keyPartBytes
    var place = Place(table: .key, bytes: Array(key[..<part]))
    var rest = UnsafeRawBufferPointer(rebasing: key[part...])
    while true {
      let node: UInt64
      if let existing = try link(place, &transaction) {
        node = existing
      } else {
        node = nextNode
        nextNode += 1
        try place.bytes.withBytes { (entry: UnsafeRawBufferPointer) throws(StoreError) in
          let row = LinkRow.encode(table: place.table, key: entry, node: node)
          try row.withBytes { (row: UnsafeRawBufferPointer) throws(StoreError) in
            do throws(LMDBError) { try transaction.put(tables[place.table], entry, row) } catch {
              throw StoreError(error)
            }
          }
        }
      }
      let isLeaf = rest.count < part
      let head = UnsafeRawBufferPointer(rebasing: rest.prefix(isLeaf ? rest.count : part))
      place = Place(table: .long, bytes: Self.entry(node, head))
      if isLeaf { return place }
      rest = UnsafeRawBufferPointer(rebasing: rest[part...])
    }
  }

  private static func entry(_ node: UInt64, _ part: UnsafeRawBufferPointer) -> [UInt8] {
    withUnsafeBytes(of: node.bigEndian) { Array($0) } + Array(part)
  }

  private func link(_ place: Place, _ transaction: inout CommitTransaction) throws(StoreError) -> UInt64? {
    try place.bytes.withBytes { (entry: UnsafeRawBufferPointer) throws(StoreError) -> UInt64? in
      let value: UnsafeRawBufferPointer?
      do throws(LMDBError) { value = try transaction.get(tables[place.table], entry) } catch {
        throw StoreError(error)
      }
      guard let value else { return nil }
      guard let link = LinkRow(table: place.table, key: entry, value: value) else {
        throw StoreError.corrupt(file: path, table: place.table, key: place.bytes, reason: "link")
      }
      return link.node
    }
  }

  private func isRow(
    _ place: Place, at revision: Revision, _ transaction: inout CommitTransaction
  ) throws(StoreError) -> Bool {
    try place.bytes.withBytes { (entry: UnsafeRawBufferPointer) throws(StoreError) -> Bool in
      let value: UnsafeRawBufferPointer?
      do throws(LMDBError) { value = try transaction.get(tables[place.table], entry) } catch {
        throw StoreError(error)
      }
      guard let value else { return false }
      guard let row = KeyRow(table: place.table, key: entry, value: value) else {
        throw StoreError.corrupt(file: path, table: place.table, key: place.bytes, reason: "checksum or form")
      }
      return row.version.mod == revision
    }
  }

  /// True if no row is left in the node of `entry`.
  private func isNodeEmpty(_ entry: [UInt8], _ transaction: inout CommitTransaction) throws(StoreError)
    -> Bool
  {
    let node = Array(entry[..<RowFormat.nodeBytes])
    return try node.withBytes { (prefix: UnsafeRawBufferPointer) throws(StoreError) -> Bool in
      do throws(LMDBError) {
        guard let (key, _) = try transaction.firstRow(tables.long, atOrAbove: prefix) else { return true }
        return key.count < RowFormat.nodeBytes || key.word64(0) != prefix.word64(0)
      } catch {
        throw StoreError(error)
      }
    }
  }
}
