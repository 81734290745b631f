internal import LMDB
internal import Model

/// Whether rows of different tables say the same, see `Scrub`.
struct ScrubChecks {
  private let rev: PageCursor
  private let key: PageCursor
  private let long: PageCursor

  init(_ reader: PageReader) throws(PageDamage) {
    rev = try PageCursor(reader, table: "\(Table.rev)")
    key = try PageCursor(reader, table: "\(Table.key)")
    long = try PageCursor(reader, table: "\(Table.long)")
  }

  /// A valid row of `rev`: its key's latest row is this one or a newer one.
  func revision(_ bytes: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) throws(PageDamage)
    -> String?
  {
    var isLatest = false
    return try revision(bytes, value, &isLatest)
  }

  /// The same; `isLatest` tells whether the key's latest row is this very one, and says the same.
  func revision(
    _ bytes: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer, _ isLatest: inout Bool
  ) throws(PageDamage) -> String? {
    guard let revision = RevisionKey.revision(bytes), let row = RevisionRow(key: bytes, value: value),
      let fields = KeyValueBytes(decoding: row.keyValue), !fields.key.isEmpty
    else { return "form of the KeyValue" }
    guard let latest = try latestRow(of: fields.key) else { return "its key is not in the table key" }
    if latest.version.mod > revision { return nil }
    guard latest.version.mod == revision else { return "the table key has an older version" }
    isLatest = true
    return mismatch(latest, row, fields)
  }

  /// A valid row of `key` or `long`: a link leads somewhere, and a latest version is in `rev`.
  func latest(
    _ table: Table, _ entry: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer
  ) throws(PageDamage) -> String? {
    let part =
      table == .key
      ? entry : UnsafeRawBufferPointer(rebasing: entry[min(RowFormat.nodeBytes, entry.count)...])
    if part.count == RowFormat.keyPartBytes {
      guard let link = LinkRow(table: table, key: entry, value: value) else { return "link" }
      return try isNodeEmpty(link.node) ? "a link to nowhere" : nil
    }
    guard let latest = KeyRow(table: table, key: entry, value: value) else { return "form" }
    var key = RevisionKey(latest.version.mod)
    let found = try key.withBytes { (bytes: UnsafeRawBufferPointer) throws(PageDamage) -> RevisionRow? in
      guard let value = try rev.find(bytes) else { return nil }
      return RevisionRow(key: bytes, value: value)
    }
    guard let row = found else { return "its row in rev is missing or damaged" }
    guard row.isIntact, let fields = KeyValueBytes(decoding: row.keyValue),
      table == .key ? compareKeys(fields.key, entry) == 0 : hasSuffix(fields.key, part)
    else { return "its row in rev is of another key" }
    return mismatch(latest, row, fields)
  }

  private func mismatch(_ latest: KeyRow, _ row: RevisionRow, _ fields: KeyValueBytes) -> String? {
    let isSame =
      latest.keyValueChecksum == row.keyValueChecksum && latest.isTombstone == row.isTombstone
      && latest.pointers.previous == row.pointers.previous && latest.pointers.jump == row.pointers.jump
      && latest.pointers.depth == row.pointers.depth && latest.version.create == fields.create
      && latest.version.version == fields.version && latest.version.lease == fields.lease
    return isSame ? nil : "the tables key and rev disagree"
  }

  private func hasSuffix(_ key: UnsafeRawBufferPointer, _ part: UnsafeRawBufferPointer) -> Bool {
    key.count >= RowFormat.keyPartBytes + part.count
      && compareKeys(UnsafeRawBufferPointer(rebasing: key[(key.count - part.count)...]), part) == 0
  }

  private func isNodeEmpty(_ node: UInt64) throws(PageDamage) -> Bool {
    var target = LongKey()
    target.set(node: node, part: UnsafeRawBufferPointer(start: nil, count: 0))
    var cursor = long
    let found = try target.withBytes { (bytes: UnsafeRawBufferPointer) throws(PageDamage) in
      try cursor.seek(bytes)
    }
    return !found || cursor.key.count < RowFormat.nodeBytes || cursor.key.word64(0) != node
  }

  /// A key's latest row; nil if it is missing or cannot be read.
  private func latestRow(of key: UnsafeRawBufferPointer) throws(PageDamage) -> KeyRow? {
    let part = RowFormat.keyPartBytes
    guard key.count >= part else {
      return try self.key.find(key).flatMap { KeyRow(table: .key, key: key, value: $0) }
    }
    let head = UnsafeRawBufferPointer(rebasing: key[..<part])
    guard var node = try self.key.find(head).flatMap({ LinkRow(table: .key, key: head, value: $0)?.node })
    else { return nil }
    var rest = UnsafeRawBufferPointer(rebasing: key[part...])
    var entry = LongKey()
    while rest.count >= part {
      entry.set(node: node, part: UnsafeRawBufferPointer(rebasing: rest[..<part]))
      let next = try entry.withBytes { (bytes: UnsafeRawBufferPointer) throws(PageDamage) in
        try long.find(bytes).flatMap { LinkRow(table: .long, key: bytes, value: $0)?.node }
      }
      guard let next else { return nil }
      node = next
      rest = UnsafeRawBufferPointer(rebasing: rest[part...])
    }
    entry.set(node: node, part: rest)
    return try entry.withBytes { (bytes: UnsafeRawBufferPointer) throws(PageDamage) in
      try long.find(bytes).flatMap { KeyRow(table: .long, key: bytes, value: $0) }
    }
  }
}
