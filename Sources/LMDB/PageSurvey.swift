/// One committed state read whole, as `PageAudit` reads it, but beyond the first damage: what cannot be read is
/// reported, and everything that can still be reached is handed out. For a file that nobody writes.
///
/// Counts are compared only in trees without damage, which is why they differ otherwise.
public struct PageSurvey {
  /// A row, and where in the file it lies.
  public struct Row {
    public var key: UnsafeRawBufferPointer
    public var value: UnsafeRawBufferPointer
    /// Of its node, in bytes from the beginning of the file.
    public var offset: Int
  }

  private let reader: PageReader
  private let report: (PageDamage) -> Void
  /// A bit for each page that was met.
  private var met: [UInt64]
  private var damages = 0
  public private(set) var pages = 0

  public init(_ reader: PageReader, report: @escaping (PageDamage) -> Void) {
    self.reader = reader
    self.report = report
    met = [UInt64](repeating: 0, count: Int(reader.meta.lastPage) / 64 + 1)
  }

  /// The names of all tables that can be found.
  public mutating func tables() -> [String] {
    var names: [String] = []
    walk(reader.meta.main, "main", isInteger: false) { node, _ in
      names.append(String(decoding: node.key, as: UTF8.self))
    }
    return names
  }

  /// Every row of a table that can be reached, in order. Returns how many.
  public mutating func rows(of name: String, _ body: (Row) -> Void) -> Int {
    let table: PageTable
    do throws(PageDamage) {
      guard let found = try reader.table(name) else {
        damaged(reader.damage(reader.meta.main.root, name, "the table is not there"))
        return 0
      }
      table = found
    } catch {
      damaged(error)
      return 0
    }
    var count = 0
    let reader = self.reader
    var unreadable: [PageDamage] = []
    walk(table, name, isInteger: false) { node, page in
      count += 1
      do throws(PageDamage) {
        if node.isTable { throw reader.damage(page.number, name, "a table inside a table") }
        let offset = Int(page.number) * reader.pageBytes + node.start
        body(Row(key: node.key, value: try reader.value(node, page, name), offset: offset))
      } catch {
        unreadable.append(error)
      }
    }
    for damage in unreadable { damaged(damage) }
    return count
  }

  /// The list of free pages: its form, and that no page of it is in use. To be called when all tables were read.
  public mutating func freeList() {
    let reader = self.reader
    var lists: [(page: UInt64, bytes: UnsafeRawBufferPointer)] = []
    var wrong: [PageDamage] = []
    walk(reader.meta.freeList, "free list", isInteger: true) { node, page in
      do throws(PageDamage) {
        guard !node.isTable, node.key.count == 8, node.key.word64(0) >= 1,
          node.key.word64(0) <= reader.meta.transaction
        else { throw reader.damage(page.number, "free list", "a transaction that has not been") }
        lists.append((page.number, try reader.value(node, page, "free list")))
      } catch {
        wrong.append(error)
      }
    }
    for damage in wrong { damaged(damage) }
    for (page, list) in lists { freePages(list, page) }
  }

  private mutating func freePages(_ list: UnsafeRawBufferPointer, _ page: UInt64) {
    guard list.count >= 8, list.word64(0) <= UInt64(list.count / 8 - 1) else {
      return damaged(reader.damage(page, "free list", "the length of a list"))
    }
    var last = UInt64.max
    for index in 0..<Int(list.word64(0)) {
      let free = list.word64(8 * (index + 1))
      guard free >= 2, free <= reader.meta.lastPage, free < last else {
        return damaged(
          reader.damage(page, "free list", "page \(free) where a lower one of the file must be"))
      }
      last = free
      _ = meet(free, count: 1, "free list")
    }
  }

  // MARK: trees

  private struct Place {
    var table: PageTable
    var name: String
    var isInteger: Bool
  }

  private struct Counts {
    var branches: UInt64 = 0
    var leaves: UInt64 = 0
    var overflow: UInt64 = 0
    var entries: UInt64 = 0
  }

  private typealias Bounds = (from: UnsafeRawBufferPointer?, to: UnsafeRawBufferPointer?)

  private mutating func walk(
    _ table: PageTable, _ name: String, isInteger: Bool, _ body: (PageNode, Page) -> Void
  ) {
    if let reason = table.formError(pages: reader.pages) {
      return damaged(reader.damage(reader.meta.main.root, name, reason))
    }
    guard table.root != PageFormat.noRoot else { return }
    let before = damages
    var counts = Counts()
    let place = Place(table: table, name: name, isInteger: isInteger)
    walk(table.root, level: 1, place, bounds: (nil, nil), &counts, body)
    guard damages == before else { return }
    guard counts.branches == table.branchPages, counts.leaves == table.leafPages,
      counts.overflow == table.overflowPages, counts.entries == table.entries
    else {
      return damaged(
        reader.damage(
          table.root, name,
          "\(counts.branches), \(counts.leaves), \(counts.overflow) pages and \(counts.entries) rows; its record "
            + "has \(table.branchPages), \(table.leafPages), \(table.overflowPages) and \(table.entries)"))
    }
  }

  private mutating func walk(
    _ number: UInt64, level: Int, _ place: Place, bounds: Bounds, _ counts: inout Counts,
    _ body: (PageNode, Page) -> Void
  ) {
    let page: Page
    do throws(PageDamage) { page = try enter(number, level: level, place, bounds) } catch {
      return damaged(error)
    }
    if page.isLeaf { counts.leaves += 1 } else { counts.branches += 1 }
    for index in 0..<page.count {
      guard let node = page.node(index) else {
        damaged(reader.damage(number, place.name, "node \(index) lies outside"))
        continue
      }
      if page.isBranch {
        let next = index + 1 < page.count ? page.node(index + 1)?.key : bounds.to
        walk(
          node.child, level: level + 1, place, bounds: (index == 0 ? bounds.from : node.key, next), &counts,
          body)
        continue
      }
      counts.entries += 1
      if node.isLarge {
        let pages = (PageFormat.headerBytes - 1 + node.size) / reader.pageBytes + 1
        let first = node.inline.word64(0)
        if first < reader.pages, UInt64(pages) <= reader.pages - first {
          _ = meet(first, count: pages, place.name)
          self.pages += pages
          counts.overflow += UInt64(pages)
        }
      }
      body(node, page)
    }
  }

  /// A page that was not met before, whole in itself and of the right kind for its place.
  private mutating func enter(
    _ number: UInt64, level: Int, _ place: Place, _ bounds: Bounds
  ) throws(PageDamage) -> Page {
    let page = try reader.page(number, place.name)
    guard meet(number, count: 1, place.name) else {
      throw reader.damage(number, place.name, "it is reached a second time")
    }
    pages += 1
    if let reason = page.formError() { throw reader.damage(number, place.name, reason) }
    guard page.isLeaf == (level == Int(place.table.depth)) else {
      throw reader.damage(number, place.name, "a page of the wrong kind on level \(level)")
    }
    try reader.checkOrder(page, place.name, isInteger: place.isInteger)
    try reader.checkBounds(page, place.name, isInteger: place.isInteger, from: bounds.from, to: bounds.to)
    return page
  }

  /// False if one of the pages was met before.
  private mutating func meet(_ number: UInt64, count: Int, _ name: String) -> Bool {
    for page in number..<(number + UInt64(count)) {
      let word = Int(page >> 6)
      guard met[word] & (1 << (page & 63)) == 0 else {
        damaged(reader.damage(page, name, "it is in use twice, or in use and free"))
        return false
      }
      met[word] |= 1 << (page & 63)
    }
    return true
  }

  private mutating func damaged(_ damage: PageDamage) {
    damages += 1
    report(damage)
  }
}
