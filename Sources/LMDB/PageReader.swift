internal import CPrimitives

/// One committed state of a file, read page by page with every step checked. Over a map that others write it is
/// valid while a read transaction of that state lasts, on the writer's thread or while nobody writes.
public struct PageReader {
  public let path: String
  let bytes: UnsafeRawBufferPointer
  public let pageBytes: Int
  let meta: PageMeta
  /// Pages of the file that may be referred to.
  let pages: UInt64

  /// Over a file's bytes from its beginning: `bytes` may be longer than what is in use, never shorter.
  ///
  /// LMDB writes its two meta pages in turn, so that their transactions are neighbours and each page has its
  /// parity. Anything else is damage, and which of the two is right cannot be told.
  public init(path: String, bytes: UnsafeRawBufferPointer) throws(PageDamage) {
    func damage(_ page: UInt64, _ reason: String) -> PageDamage {
      PageDamage(path: path, page: page, table: nil, reason: reason)
    }
    guard let first = PageMeta(bytes, number: 0) else { throw damage(0, "no meta page of this version") }
    guard bytes.count >= first.pageBytes * 2,
      let second = PageMeta(UnsafeRawBufferPointer(rebasing: bytes[first.pageBytes...]), number: 1),
      second.pageBytes == first.pageBytes
    else { throw damage(1, "no meta page of this version") }
    let isUnused = first.transaction == 0 && second.transaction == 0
    guard
      isUnused
        || first.transaction & 1 == 0 && second.transaction & 1 == 1
          && (first.transaction &+ 1 == second.transaction || second.transaction &+ 1 == first.transaction)
    else {
      throw damage(0, "meta pages of transactions \(first.transaction) and \(second.transaction)")
    }
    let isFirst = first.transaction >= second.transaction
    let newest = isFirst ? first : second
    let number: UInt64 = isFirst ? 0 : 1
    let pagesThere = UInt64(bytes.count / newest.pageBytes)
    // Pages at the end were perhaps never written: taken and given back by one transaction. Not many.
    guard newest.lastPage >= 1, newest.lastPage < pagesThere + 1 << 24 else {
      throw damage(number, "the last page is \(newest.lastPage)")
    }
    self.path = path
    self.bytes = bytes
    pageBytes = newest.pageBytes
    meta = newest
    pages = min(newest.lastPage + 1, pagesThere)
    // LMDB keeps the flags of the environment that created the file beside those of the list.
    guard newest.freeList.flags & 0xff == 0x08, newest.main.flags == 0, newest.main.pad == 0 else {
      throw damage(number, "flags of the trees")
    }
    for (name, table) in [("free list", newest.freeList), ("main", newest.main)] {
      if let reason = table.formError(pages: pages) { throw damage(number, "\(name): \(reason)") }
      try checkRoot(table, name)
    }
  }

  /// The transaction that committed the state.
  public var transactionID: UInt64 { meta.transaction }
  /// Pages that hold or held data.
  public var usedPages: Int { Int(pages) }

  func damage(_ page: UInt64, _ table: String?, _ reason: String) -> PageDamage {
    PageDamage(path: path, page: page, table: table, reason: reason)
  }

  func page(_ number: UInt64, _ table: String) throws(PageDamage) -> Page {
    guard number >= 2, number < pages else {
      throw damage(number, table, "a page beyond the \(pages) of the file")
    }
    let start = Int(number) * pageBytes
    return Page(
      number: number, bytes: UnsafeRawBufferPointer(rebasing: bytes[start..<(start + pageBytes)]))
  }

  /// The root is a page of the right kind for the tree's depth.
  func checkRoot(_ table: PageTable, _ name: String) throws(PageDamage) {
    guard table.root != PageFormat.noRoot else { return }
    let root = try page(table.root, name)
    if let reason = root.formError() { throw damage(table.root, name, reason) }
    guard root.isLeaf == (table.depth == 1) else {
      throw damage(table.root, name, "a root of the wrong kind for \(table.depth) levels")
    }
  }

  /// The value of a leaf's node, in the page or in pages of its own.
  func value(_ node: PageNode, _ page: Page, _ table: String) throws(PageDamage) -> UnsafeRawBufferPointer {
    guard node.isLarge else { return node.inline }
    let number = node.inline.word64(0)
    let first = try self.page(number, table)
    let needed = UInt64((PageFormat.headerBytes - 1 + node.size) / pageBytes + 1)
    guard first.bytes.word64(0) == number, first.flags == PageFormat.Flags.overflow,
      first.overflowPages == needed, needed <= pages - number
    else {
      throw damage(
        number, table, "it does not hold the value of \(node.size) bytes that page \(page.number) names")
    }
    let start = Int(number) * pageBytes + PageFormat.headerBytes
    return UnsafeRawBufferPointer(rebasing: bytes[start..<(start + node.size)])
  }

  /// A table by its name; nil if there is none.
  func table(_ name: String) throws(PageDamage) -> PageTable? {
    let found = try Array(name.utf8).span.bytes.withUnsafeBytes {
      (key: UnsafeRawBufferPointer) throws(PageDamage) in
      try find(key, in: meta.main, "main", isTable: true)
    }
    guard let found else { return nil }
    guard found.count == PageFormat.tableBytes else {
      throw damage(meta.main.root, name, "a table's record of \(found.count) bytes")
    }
    let table = PageTable(found)
    guard table.flags == 0, table.pad == 0 else { throw damage(meta.main.root, name, "flags of the table") }
    if let reason = table.formError(pages: pages) { throw damage(meta.main.root, name, reason) }
    return table
  }

  /// The value of a key in a tree; nil if it is not there.
  func find(
    _ key: UnsafeRawBufferPointer, in table: PageTable, _ name: String, isTable: Bool = false
  ) throws(PageDamage) -> UnsafeRawBufferPointer? {
    guard table.root != PageFormat.noRoot else { return nil }
    var number = table.root
    for level in 1...table.depth {
      let page = try self.page(number, name)
      guard page.bytes.word64(0) == number, level == table.depth ? page.isLeaf : page.isBranch else {
        throw damage(number, name, "not the page that level \(level) of \(table.depth) leads to")
      }
      let position = try search(page, key, name)
      guard level == table.depth else {
        guard let node = page.node(position.index - (position.isEqual ? 0 : 1)) else {
          throw damage(number, name, "no child for a key")
        }
        number = node.child
        continue
      }
      guard position.isEqual, let node = page.node(position.index) else { return nil }
      guard node.isTable == isTable else { throw damage(number, name, "flags \(node.flags) of a node") }
      return try value(node, page, name)
    }
    return nil
  }

  /// The first node of a page at or above `key`; in a branch the first node stands for everything below.
  func search(
    _ page: Page, _ key: UnsafeRawBufferPointer, _ name: String
  ) throws(PageDamage) -> (index: Int, isEqual: Bool) {
    var low = page.isBranch ? 1 : 0
    var high = page.count
    while low < high {
      let middle = (low + high) / 2
      guard let found = page.key(middle) else {
        throw damage(page.number, name, "node \(middle) lies outside")
      }
      let order = comparePageKeys(found, key)
      if order == 0 { return (middle, true) }
      if order < 0 { low = middle + 1 } else { high = middle }
    }
    return (low, false)
  }
}

/// LMDB's order of keys: bytes, then length.
func comparePageKeys(_ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer) -> Int {
  if let left = a.baseAddress, let right = b.baseAddress {
    let order = cairn_compare(left, right, min(a.count, b.count))
    if order != 0 { return Int(order) }
  }
  return a.count - b.count
}
