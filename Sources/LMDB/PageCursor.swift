/// A position in a table's tree, read with every step checked; each page on the way is checked whole when it
/// is entered.
public struct PageCursor {
  private struct Level {
    var page: Page
    var index: Int
  }

  private let reader: PageReader
  private let table: PageTable
  private let name: String
  private var levels: [Level] = []
  private(set) public var key = UnsafeRawBufferPointer(start: nil, count: 0)
  private(set) public var value = UnsafeRawBufferPointer(start: nil, count: 0)
  /// Pages entered so far.
  private(set) public var pagesRead = 0

  /// A cursor before the first row of the table of this name, which must exist.
  public init(_ reader: PageReader, table name: String) throws(PageDamage) {
    guard let table = try reader.table(name) else {
      throw reader.damage(reader.meta.main.root, name, "the table is not there")
    }
    self.reader = reader
    self.table = table
    self.name = name
    try reader.checkRoot(table, name)
  }

  /// Rows that the table's record counts.
  public var entries: Int { Int(clamping: table.entries) }

  /// The value of a key; the cursor does not move.
  public func find(_ key: UnsafeRawBufferPointer) throws(PageDamage) -> UnsafeRawBufferPointer? {
    try reader.find(key, in: table, name)
  }

  /// Moves to the first row at or above `target`; false if there is none.
  public mutating func seek(_ target: UnsafeRawBufferPointer) throws(PageDamage) -> Bool {
    levels.removeAll(keepingCapacity: true)
    guard table.root != PageFormat.noRoot else { return false }
    var number = table.root
    while true {
      let page = try enter(number)
      let position = try reader.search(page, target, name)
      if page.isLeaf {
        levels.append(Level(page: page, index: position.index))
        return try position.index < page.count ? read() : nextLeaf()
      }
      let index = position.index - (position.isEqual ? 0 : 1)
      levels.append(Level(page: page, index: index))
      number = try child(page, index)
    }
  }

  /// Moves to the next row; false behind the last.
  public mutating func next() throws(PageDamage) -> Bool {
    guard let last = levels.indices.last else { return false }
    levels[last].index += 1
    return try levels[last].index < levels[last].page.count ? read() : nextLeaf()
  }

  /// From behind the last node of a leaf to the first of the next one.
  private mutating func nextLeaf() throws(PageDamage) -> Bool {
    levels.removeLast()
    while let last = levels.indices.last {
      levels[last].index += 1
      guard levels[last].index < levels[last].page.count else {
        levels.removeLast()
        continue
      }
      var number = try child(levels[last].page, levels[last].index)
      while true {
        let page = try enter(number)
        levels.append(Level(page: page, index: 0))
        if page.isLeaf { return try read() }
        number = try child(page, 0)
      }
    }
    return false
  }

  private func child(_ page: Page, _ index: Int) throws(PageDamage) -> UInt64 {
    guard let node = page.node(index) else { throw reader.damage(page.number, name, "no node \(index)") }
    return node.child
  }

  /// A page of the right kind for its level, whole in itself, with its keys in order.
  private mutating func enter(_ number: UInt64) throws(PageDamage) -> Page {
    let page = try reader.page(number, name)
    pagesRead += 1
    if let reason = page.formError() { throw reader.damage(number, name, reason) }
    guard page.isLeaf == (levels.count + 1 == Int(table.depth)) else {
      throw reader.damage(number, name, "a page of the wrong kind on level \(levels.count + 1)")
    }
    try reader.checkOrder(page, name, isInteger: false)
    return page
  }

  private mutating func read() throws(PageDamage) -> Bool {
    guard let level = levels.last, let node = level.page.node(level.index), !node.isTable else {
      throw reader.damage(levels.last?.page.number ?? 0, name, "no row where one must be")
    }
    key = node.key
    value = try reader.value(node, level.page, name)
    return true
  }
}
