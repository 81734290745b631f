/// The whole of one committed state: every tree walked, every page looked at.
///
/// Checked are the form of each page, the order of keys in and between pages, that each page belongs to one place
/// only, that no page in use is on the list of free ones, and that pages and rows are as many as the trees'
/// records say. Rows are not looked into.
public struct PageAudit {
  /// What was found in order.
  public struct Summary: Hashable, Sendable {
    public var pages = 0
    public var rows = 0
    public var freePages = 0
    /// Pages that are neither in use nor free: lost space, no damage.
    public var unaccountedPages = 0
  }

  private let reader: PageReader
  /// A bit for each page that was met, in use or free.
  private var met: [UInt64]
  private var summary = Summary()

  /// Audits the state that `reader` reads. Memory: a bit for each page.
  public static func run(_ reader: PageReader) throws(PageDamage) -> Summary {
    var audit = PageAudit(reader)
    try audit.walkFreeList()
    try audit.walkTables()
    audit.summary.unaccountedPages =
      Int(reader.meta.lastPage) - 1 - audit.summary.pages - audit.summary.freePages
    return audit.summary
  }

  /// What can be checked at once at any size: meta pages (by making the reader), the record and the root of each
  /// table, and the list of free pages if it has no more than `freeListPagesMax` pages itself.
  public static func quick(
    _ reader: PageReader, tables: [String], freeListPagesMax: Int
  ) throws(PageDamage) {
    for name in tables {
      guard let table = try reader.table(name) else { continue }
      try reader.checkRoot(table, name)
    }
    let list = reader.meta.freeList
    let total = list.branchPages &+ list.leafPages &+ list.overflowPages
    guard total <= UInt64(freeListPagesMax) else { return }
    var audit = PageAudit(reader)
    try audit.walkFreeList()
  }

  private init(_ reader: PageReader) {
    self.reader = reader
    met = [UInt64](repeating: 0, count: Int(reader.meta.lastPage) / 64 + 1)
  }

  // MARK: trees

  private struct Counts {
    var branches: UInt64 = 0
    var leaves: UInt64 = 0
    var overflow: UInt64 = 0
    var entries: UInt64 = 0
  }

  private mutating func walkTables() throws(PageDamage) {
    var tables: [(name: String, table: PageTable)] = []
    let reader = self.reader
    try walk(reader.meta.main, "main", isInteger: false) { (node, page) throws(PageDamage) in
      guard node.isTable, !node.isLarge, node.inline.count == PageFormat.tableBytes else {
        throw reader.damage(page.number, "main", "a node that is no table's record")
      }
      let name = String(decoding: node.key, as: UTF8.self)
      let table = PageTable(node.inline)
      guard table.flags == 0, table.pad == 0 else {
        throw reader.damage(page.number, name, "flags of the table")
      }
      if let reason = table.formError(pages: reader.pages) {
        throw reader.damage(page.number, name, reason)
      }
      tables.append((name, table))
    }
    for (name, table) in tables {
      try walk(table, name, isInteger: false) { (node, page) throws(PageDamage) in
        if node.isTable { throw reader.damage(page.number, name, "a table inside a table") }
      }
    }
    summary.rows -= tables.count
  }

  private mutating func walk(
    _ table: PageTable, _ name: String, isInteger: Bool,
    _ body: (PageNode, Page) throws(PageDamage) -> Void
  ) throws(PageDamage) {
    var counts = Counts()
    if table.root != PageFormat.noRoot {
      let place = Place(table: table, name: name, isInteger: isInteger)
      try walk(table.root, level: 1, place, bounds: (nil, nil), &counts, body)
    }
    guard counts.branches == table.branchPages, counts.leaves == table.leafPages,
      counts.overflow == table.overflowPages, counts.entries == table.entries
    else {
      throw reader.damage(
        table.root == PageFormat.noRoot ? 0 : table.root, name,
        "\(counts.branches), \(counts.leaves), \(counts.overflow) pages and \(counts.entries) rows; its record "
          + "has \(table.branchPages), \(table.leafPages), \(table.overflowPages) and \(table.entries)")
    }
    summary.rows += Int(counts.entries)
  }

  private struct Place {
    var table: PageTable
    var name: String
    var isInteger: Bool
  }

  private typealias Bounds = (from: UnsafeRawBufferPointer?, to: UnsafeRawBufferPointer?)

  private mutating func walk(
    _ number: UInt64, level: Int, _ place: Place, bounds: Bounds, _ counts: inout Counts,
    _ body: (PageNode, Page) throws(PageDamage) -> Void
  ) throws(PageDamage) {
    let page = try reader.page(number, place.name)
    try meet(number, count: 1, place.name)
    summary.pages += 1
    if let reason = page.formError() { throw reader.damage(number, place.name, reason) }
    guard page.isLeaf == (level == Int(place.table.depth)) else {
      throw reader.damage(number, place.name, "a page of the wrong kind on level \(level)")
    }
    try reader.checkOrder(page, place.name, isInteger: place.isInteger)
    try reader.checkBounds(page, place.name, isInteger: place.isInteger, from: bounds.from, to: bounds.to)
    if page.isLeaf { counts.leaves += 1 } else { counts.branches += 1 }
    for index in 0..<page.count {
      guard let node = page.node(index) else {
        throw reader.damage(number, place.name, "node \(index) lies outside")
      }
      if page.isBranch {
        let next = index + 1 < page.count ? page.node(index + 1)?.key : bounds.to
        try walk(
          node.child, level: level + 1, place, bounds: (index == 0 ? bounds.from : node.key, next), &counts,
          body)
        continue
      }
      counts.entries += 1
      if node.isLarge {
        _ = try reader.value(node, page, place.name)
        let first = node.inline.word64(0)
        let pages = (PageFormat.headerBytes - 1 + node.size) / reader.pageBytes + 1
        try meet(first, count: pages, place.name)
        summary.pages += pages
        counts.overflow += UInt64(pages)
      }
      try body(node, page)
    }
  }

  private mutating func meet(_ number: UInt64, count: Int, _ name: String) throws(PageDamage) {
    for page in number..<(number + UInt64(count)) {
      let word = Int(page >> 6)
      guard met[word] & (1 << (page & 63)) == 0 else {
        throw reader.damage(page, name, "it is in use twice, or in use and free")
      }
      met[word] |= 1 << (page & 63)
    }
  }

  // MARK: the list of free pages

  /// Each row is a transaction that freed pages: their number, then the pages, descending.
  private mutating func walkFreeList() throws(PageDamage) {
    var lists: [(page: UInt64, bytes: UnsafeRawBufferPointer)] = []
    let reader = self.reader
    try walk(reader.meta.freeList, "free list", isInteger: true) { (node, page) throws(PageDamage) in
      guard !node.isTable, node.key.count == 8, node.key.word64(0) >= 1,
        node.key.word64(0) <= reader.meta.transaction
      else { throw reader.damage(page.number, "free list", "a transaction that has not been") }
      lists.append((page.number, try reader.value(node, page, "free list")))
    }
    summary.rows = 0
    for (page, list) in lists {
      guard list.count >= 8, list.word64(0) <= UInt64(list.count / 8 - 1) else {
        throw reader.damage(page, "free list", "the length of a list")
      }
      var last = UInt64.max
      for index in 0..<Int(list.word64(0)) {
        let free = list.word64(8 * (index + 1))
        guard free >= 2, free <= reader.meta.lastPage, free < last else {
          throw reader.damage(page, "free list", "page \(free) where a lower one of the file must be")
        }
        last = free
        try meet(free, count: 1, "free list")
        summary.freePages += 1
      }
    }
  }
}

extension PageReader {
  /// The keys of a page rise. The first one of a branch is not looked at by anyone.
  func checkOrder(_ page: Page, _ name: String, isInteger: Bool) throws(PageDamage) {
    var last: UnsafeRawBufferPointer?
    for index in (page.isBranch ? 1 : 0)..<page.count {
      guard let key = page.node(index)?.key, key.count <= 511, !key.isEmpty, !isInteger || key.count == 8
      else {
        throw damage(page.number, name, "the key of node \(index)")
      }
      if let last, (isInteger ? compareIntegerKeys(last, key) : comparePageKeys(last, key)) >= 0 {
        throw damage(page.number, name, "keys out of order at node \(index)")
      }
      last = key
    }
  }
}

extension PageReader {
  /// All keys of a page lie between the keys that lead to it.
  func checkBounds(
    _ page: Page, _ name: String, isInteger: Bool, from: UnsafeRawBufferPointer?, to: UnsafeRawBufferPointer?
  ) throws(PageDamage) {
    // The first key of a branch is not looked at by anyone.
    guard let first = page.node(page.isBranch ? 1 : 0)?.key, let last = page.node(page.count - 1)?.key else {
      throw damage(page.number, name, "no nodes")
    }
    let order = isInteger ? compareIntegerKeys : comparePageKeys
    if let from, order(first, from) < 0 {
      throw damage(page.number, name, "keys below those that lead to it")
    }
    if let to, order(last, to) >= 0 {
      throw damage(page.number, name, "keys above those that lead to it")
    }
  }
}

/// Keys of the free list: numbers of 64 bits.
private func compareIntegerKeys(_ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer) -> Int {
  guard a.count >= 8, b.count >= 8 else { return a.count - b.count }
  let (left, right) = (a.word64(0), b.word64(0))
  return left < right ? -1 : left > right ? 1 : 0
}
