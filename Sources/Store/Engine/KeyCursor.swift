internal import LMDB

/// Walks the latest rows of all keys in byte order: the table `key`, and below its links the table `long`,
/// level by level. Keys sort as whole byte strings, because a link sorts as the prefix that all keys below it
/// share and no other key has.
///
/// `key` is valid until the cursor moves.
struct KeyCursor: ~Copyable {
  private struct Level {
    var node: UInt64
    /// Length of the key's part above this level.
    var prefixBytes: Int
  }

  private let path: String
  private var short: ReadCursor
  private var long: ReadCursor
  private var levels: [Level] = []
  // The key of a long row, put together; its first part is the prefix of the current level.
  private var assembled: UnsafeMutableRawBufferPointer
  private(set) var isValid = false
  private(set) var key: UnsafeRawBufferPointer

  init(_ transaction: borrowing ReadTransaction, _ tables: TableHandles, path: String) throws(StoreError) {
    let keyCursor = try transaction.open(tables.key)
    let longCursor = try transaction.open(tables.long)
    self.path = path
    short = keyCursor
    long = longCursor
    assembled = UnsafeMutableRawBufferPointer(start: nil, count: 0)
    key = UnsafeRawBufferPointer(start: nil, count: 0)
  }

  deinit { assembled.deallocate() }

  /// The row the cursor stands on, checked and decoded.
  @inline(__always)
  func row() throws(StoreError) -> KeyRow {
    if levels.isEmpty {
      guard let row = KeyRow(table: .key, key: short.key, value: short.value) else {
        throw StoreError.corrupt(file: path, table: .key, key: Array(short.key), reason: "checksum or form")
      }
      return row
    }
    guard let row = KeyRow(table: .long, key: long.key, value: long.value) else {
      throw StoreError.corrupt(file: path, table: .long, key: Array(long.key), reason: "checksum or form")
    }
    return row
  }

  /// Moves to the first key at or above `target`.
  mutating func seek(_ target: UnsafeRawBufferPointer) throws(StoreError) {
    levels.removeAll(keepingCapacity: true)
    let part = RowFormat.keyPartBytes
    guard target.count >= part else {
      try settle(shortFound: try moveShort(to: target))
      return
    }
    var head = UnsafeRawBufferPointer(rebasing: target[..<part])
    guard try moveShort(to: head) else { return try settle(shortFound: false) }
    guard compareKeys(short.key, head) == 0 else { return try settle(shortFound: true) }
    // The links spell the target's parts as long as they are equal.
    try descend(part: head)
    var rest = UnsafeRawBufferPointer(rebasing: target[part...])
    while true {
      head = UnsafeRawBufferPointer(rebasing: rest.prefix(part))
      let found = try moveLong(toPart: head)
      guard rest.count >= part, found, isInNode, compareKeys(longPart, head) == 0 else {
        return try settle(longFound: found)
      }
      try descend(part: head)
      rest = UnsafeRawBufferPointer(rebasing: rest[part...])
    }
  }

  /// Moves to the next key.
  @inline(__always)
  mutating func next() throws(StoreError) {
    if levels.isEmpty {
      let found = try stepShort()
      if found, short.key.count != RowFormat.keyPartBytes {
        key = short.key
        return
      }
      try settle(shortFound: found)
    } else {
      try settle(longFound: try stepLong())
    }
  }

  // MARK: levels

  private var longPart: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: long.key[8...]) }

  private var isInNode: Bool {
    guard let level = levels.last else { return false }
    return long.key.count >= RowFormat.nodeBytes && long.key.word64(0) == level.node
  }

  /// From a position of the short cursor to a row: links lead down to their first key.
  private mutating func settle(shortFound: Bool) throws(StoreError) {
    var found = shortFound
    while found {
      guard short.key.count == RowFormat.keyPartBytes else {
        key = short.key
        isValid = true
        return
      }
      try descend(part: short.key)
      if try settleInNodes(longFound: try moveLong(toPart: UnsafeRawBufferPointer(start: nil, count: 0))) {
        return
      }
      found = try stepShort()
    }
    isValid = false
  }

  /// The same from a position of the long cursor; goes up where a node ends.
  private mutating func settle(longFound: Bool) throws(StoreError) {
    if try settleInNodes(longFound: longFound) { return }
    try settle(shortFound: try stepShort())
  }

  /// False when all levels have ended; the short cursor still stands on the first link.
  private mutating func settleInNodes(longFound: Bool) throws(StoreError) -> Bool {
    var found = longFound
    while let level = levels.last {
      if found, isInNode {
        let part = longPart
        if part.count == RowFormat.keyPartBytes {
          try descend(part: part)
          found = try moveLong(toPart: UnsafeRawBufferPointer(start: nil, count: 0))
          continue
        }
        assemble(part, at: level.prefixBytes)
        key = UnsafeRawBufferPointer(rebasing: assembled[..<(level.prefixBytes + part.count)])
        isValid = true
        return true
      }
      levels.removeLast()
      guard !levels.isEmpty else { return false }
      // Back to the link that led down, and one on.
      let end = level.prefixBytes
      let link = UnsafeRawBufferPointer(rebasing: assembled[(end - RowFormat.keyPartBytes)..<end])
      found = try moveLong(toPart: link)
      if found { found = try stepLong() }
    }
    return false
  }

  /// Enters the node of the link on which the current level's cursor stands.
  private mutating func descend(part: UnsafeRawBufferPointer) throws(StoreError) {
    let table: Table = levels.isEmpty ? .key : .long
    let linkKey = levels.isEmpty ? short.key : long.key
    let value = levels.isEmpty ? short.value : long.value
    guard let link = LinkRow(table: table, key: linkKey, value: value) else {
      throw StoreError.corrupt(file: path, table: table, key: Array(linkKey), reason: "link")
    }
    let prefixBytes = levels.last?.prefixBytes ?? 0
    assemble(part, at: prefixBytes)
    levels.append(Level(node: link.node, prefixBytes: prefixBytes + part.count))
  }

  private mutating func assemble(_ part: UnsafeRawBufferPointer, at offset: Int) {
    let needed = offset + part.count
    if assembled.count < needed {
      let larger = UnsafeMutableRawBufferPointer.allocate(byteCount: max(needed * 2, 2048), alignment: 8)
      larger.copyMemory(from: UnsafeRawBufferPointer(rebasing: assembled[..<min(offset, assembled.count)]))
      assembled.deallocate()
      assembled = larger
    }
    UnsafeMutableRawBufferPointer(rebasing: assembled[offset..<needed]).copyMemory(from: part)
  }

  // MARK: cursors

  private mutating func moveShort(to target: UnsafeRawBufferPointer) throws(StoreError) -> Bool {
    do throws(LMDBError) { return try short.seek(target) } catch { throw StoreError(error) }
  }

  @inline(__always)
  private mutating func stepShort() throws(StoreError) -> Bool {
    do throws(LMDBError) { return try short.next() } catch { throw StoreError(error) }
  }

  private mutating func stepLong() throws(StoreError) -> Bool {
    do throws(LMDBError) { return try long.next() } catch { throw StoreError(error) }
  }

  private mutating func moveLong(toPart part: UnsafeRawBufferPointer) throws(StoreError) -> Bool {
    guard let level = levels.last else { return false }
    var target = LongKey()
    target.set(node: level.node, part: part)
    do throws(LMDBError) {
      // The cursor copies nothing of the target once it stands.
      return try target.withBytes { (bytes: UnsafeRawBufferPointer) throws(LMDBError) in try long.seek(bytes)
      }
    } catch {
      throw StoreError(error)
    }
  }
}

/// A key of `long`, on the stack: node and part.
struct LongKey {
  private var bytes = InlineArray<488, UInt8>(repeating: 0)
  private var count = 0

  mutating func set(node: UInt64, part: UnsafeRawBufferPointer) {
    count = RowFormat.nodeBytes + part.count
    precondition(count <= 488, "a part of a key is at most 480 bytes")
    withUnsafeMutableBytes(of: &bytes) { bytes in
      bytes.storeBytes(of: node.bigEndian, as: UInt64.self)
      UnsafeMutableRawBufferPointer(rebasing: bytes[RowFormat.nodeBytes...]).copyMemory(from: part)
    }
  }

  mutating func withBytes<Result, Failure: Error>(
    _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    let length = count
    return try withUnsafeBytes(of: &bytes) { (all: UnsafeRawBufferPointer) throws(Failure) -> Result in
      try body(UnsafeRawBufferPointer(rebasing: all[..<length]))
    }
  }
}
