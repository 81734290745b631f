/// LMDB 0.9's pages, read by hand and with every step checked: LMDB itself trusts what it finds, and a damaged
/// page can send it anywhere. Nothing here traps on any bytes.
///
/// All integers are in the machine's byte order (little-endian here). Every page:
/// ```
///  0        8     10      12      14      16
///  | number | pad | flags | lower | upper | ...
/// ```
/// Branch and leaf pages have an offset of 16 bits for each node from 16 to `lower`, and the nodes, without gaps, from
/// `upper` to the end. The first page of a value too large for a leaf has the number of its pages, in 32
/// bits, in the place of `lower` and `upper`. A node:
/// ```
///  0    2    4       6           8
///  | lo | hi | flags | key bytes | key | data
/// ```
/// In a leaf `lo` and `hi` are the size of the data, in a branch with `flags` the number of the child. A
/// table's record, 48 bytes:
/// ```
///  0     4       6       8          16       24         32        40     48
///  | pad | flags | depth | branches | leaves | overflow | entries | root |
/// ```
/// Pages 0 and 1 are meta pages, written in turn; the one with the higher transaction counts:
/// ```
///  16      20        24        32         40          88     136         144           152
///  | magic | version | address | map size | free list | main | last page | transaction |
/// ```
enum PageFormat {
  static let headerBytes = 16
  static let nodeHeaderBytes = 8
  static let tableBytes = 48
  static let metaEndBytes = 152
  static let magic: UInt32 = 0xbeef_c0de
  static let version: UInt32 = 1
  static let noRoot = UInt64.max
  /// More levels than any file has.
  static let depthMax: UInt16 = 32

  enum Flags {
    static let branch: UInt16 = 1
    static let leaf: UInt16 = 2
    static let overflow: UInt16 = 4
    static let meta: UInt16 = 8
    /// Left over in memory images of pages that a transaction wrote.
    static let dirty: UInt16 = 0x10
  }

  enum NodeFlags {
    static let bigData: UInt16 = 1
    static let subTable: UInt16 = 2
  }
}

/// A page that cannot be right: which one, and why.
public struct PageDamage: Error, Hashable, Sendable, CustomStringConvertible {
  public var path: String
  public var page: UInt64
  /// The name of the table whose tree leads there.
  public var table: String?
  public var reason: String

  public init(path: String, page: UInt64, table: String?, reason: String) {
    self.path = path
    self.page = page
    self.table = table
    self.reason = reason
  }

  public var description: String {
    "damaged page \(page) of \(path)\(table.map { " (table \($0))" } ?? ""): \(reason)"
  }
}

/// The bytes of one page.
struct Page {
  let number: UInt64
  let bytes: UnsafeRawBufferPointer

  var flags: UInt16 { bytes.word16(10) & ~PageFormat.Flags.dirty }
  var isLeaf: Bool { flags == PageFormat.Flags.leaf }
  var isBranch: Bool { flags == PageFormat.Flags.branch }
  private var lower: Int { Int(bytes.word16(12)) }
  private var upper: Int { Int(bytes.word16(14)) }
  /// Nodes, as far as the page can hold so many.
  var count: Int { max(0, min(lower, bytes.count) - PageFormat.headerBytes) / 2 }
  /// Pages of a value, for the first of them.
  var overflowPages: UInt64 { UInt64(bytes.word32(12)) }

  /// The node at `index` below `count`; nil if it does not lie in the page.
  func node(_ index: Int) -> PageNode? {
    let slot = PageFormat.headerBytes + 2 * index
    guard index >= 0, slot + 2 <= bytes.count else { return nil }
    let start = Int(bytes.word16(slot))
    let keyStart = start + PageFormat.nodeHeaderBytes
    guard start >= upper, start >= lower, keyStart <= bytes.count else { return nil }
    let dataStart = keyStart + Int(bytes.word16(start + 6))
    guard dataStart <= bytes.count else { return nil }
    let size = Int(bytes.word16(start)) | Int(bytes.word16(start + 2)) << 16
    let flags = bytes.word16(start + 4)
    let room = bytes.count - dataStart
    let inline = isLeaf ? (flags & PageFormat.NodeFlags.bigData != 0 ? 8 : size) : 0
    guard inline <= room else { return nil }
    return PageNode(
      start: start, flags: flags, size: size,
      key: UnsafeRawBufferPointer(rebasing: bytes[keyStart..<dataStart]),
      inline: UnsafeRawBufferPointer(rebasing: bytes[dataStart..<(dataStart + inline)]))
  }

  /// The key of the node at `index` below `count`, with no look at its data; nil if it does not lie in the page. What a
  /// search asks for most.
  @inline(__always)
  func key(_ index: Int) -> UnsafeRawBufferPointer? {
    let slot = PageFormat.headerBytes + 2 * index
    guard index >= 0, slot + 2 <= bytes.count else { return nil }
    let start = Int(bytes.word16(slot))
    let keyStart = start + PageFormat.nodeHeaderBytes
    guard start >= slot, keyStart <= bytes.count else { return nil }
    let dataStart = keyStart + Int(bytes.word16(start + 6))
    guard dataStart <= bytes.count else { return nil }
    return UnsafeRawBufferPointer(rebasing: bytes[keyStart..<dataStart])
  }

  /// Why the page is no branch or leaf as LMDB writes them, apart from the order of its keys; nil if it is.
  func formError() -> String? {
    guard bytes.word64(0) == number else { return "it carries the number \(bytes.word64(0))" }
    guard isLeaf || isBranch else { return "flags \(bytes.word16(10))" }
    guard lower >= PageFormat.headerBytes, lower <= upper, upper <= bytes.count, lower & 1 == 0 else {
      return "bounds \(lower) and \(upper)"
    }
    guard count >= (isBranch ? 2 : 1) else { return "\(count) nodes" }
    // Nodes fill the space from `upper` on without gap or overlap: a bit for each two bytes.
    var used = [UInt64](repeating: 0, count: bytes.count / 128 + 1)
    var total = 0
    for index in 0..<count {
      guard let node = node(index) else { return "node \(index) lies outside" }
      guard node.start & 1 == 0 else { return "node \(index) lies at an odd place" }
      guard isBranch || node.flags & ~3 == 0 else { return "flags \(node.flags) of node \(index)" }
      let length = (PageFormat.nodeHeaderBytes + node.key.count + node.inline.count + 1) & ~1
      guard node.start + length <= bytes.count else { return "node \(index) lies outside" }
      for unit in (node.start / 2)..<((node.start + length) / 2) {
        guard used[unit >> 6] & (1 << (unit & 63)) == 0 else { return "node \(index) overlaps another" }
        used[unit >> 6] |= 1 << (unit & 63)
      }
      total += length
    }
    return total == bytes.count - upper ? nil : "nodes of \(total) bytes from \(upper) on"
  }
}

struct PageNode {
  var start: Int
  var flags: UInt16
  /// Bytes of the value; in a branch a part of the child's number.
  var size: Int
  var key: UnsafeRawBufferPointer
  /// What of the value lies in the page: all of it, or the number of the page where it does.
  var inline: UnsafeRawBufferPointer

  /// The child of a branch's node.
  var child: UInt64 { UInt64(size) | UInt64(flags) << 32 }
  var isLarge: Bool { flags & PageFormat.NodeFlags.bigData != 0 }
  var isTable: Bool { flags & PageFormat.NodeFlags.subTable != 0 }
}

/// A table's record.
struct PageTable: Equatable {
  var pad: UInt32
  var flags: UInt16
  var depth: UInt16
  var branchPages: UInt64
  var leafPages: UInt64
  var overflowPages: UInt64
  var entries: UInt64
  var root: UInt64

  /// `bytes` are at least 48.
  init(_ bytes: UnsafeRawBufferPointer) {
    pad = bytes.word32(0)
    flags = bytes.word16(4)
    depth = bytes.word16(6)
    branchPages = bytes.word64(8)
    leafPages = bytes.word64(16)
    overflowPages = bytes.word64(24)
    entries = bytes.word64(32)
    root = bytes.word64(40)
  }

  /// Why no tree can have such a record; nil if one can.
  func formError(pages: UInt64) -> String? {
    if root == PageFormat.noRoot {
      let isEmpty = depth == 0 && entries == 0 && branchPages == 0 && leafPages == 0 && overflowPages == 0
      return isEmpty ? nil : "an empty tree with counts"
    }
    guard root >= 2, root < pages else { return "root page \(root) of \(pages)" }
    guard depth >= 1, depth <= PageFormat.depthMax else { return "depth \(depth)" }
    guard entries >= 1, leafPages >= 1, leafPages <= pages, branchPages <= pages, overflowPages <= pages
    else {
      return "counts of the tree"
    }
    return nil
  }
}

/// A meta page.
struct PageMeta {
  var pageBytes: Int
  var freeList: PageTable
  var main: PageTable
  var lastPage: UInt64
  var transaction: UInt64

  /// Nil if `bytes`, the beginning of a page, are no meta page.
  init?(_ bytes: UnsafeRawBufferPointer, number: UInt64) {
    guard bytes.count >= PageFormat.metaEndBytes, bytes.word64(0) == number,
      bytes.word16(10) & ~PageFormat.Flags.dirty == PageFormat.Flags.meta,
      bytes.word32(16) == PageFormat.magic,
      bytes.word32(20) == PageFormat.version
    else { return nil }
    freeList = PageTable(UnsafeRawBufferPointer(rebasing: bytes[40..<88]))
    main = PageTable(UnsafeRawBufferPointer(rebasing: bytes[88..<136]))
    lastPage = bytes.word64(136)
    transaction = bytes.word64(144)
    let size = Int(freeList.pad)
    guard size >= 512, size <= 65536, size & (size - 1) == 0 else { return nil }
    pageBytes = size
  }
}

extension UnsafeRawBufferPointer {
  @inline(__always) func word16(_ offset: Int) -> UInt16 {
    UInt16(littleEndian: loadUnaligned(fromByteOffset: offset, as: UInt16.self))
  }
  @inline(__always) func word32(_ offset: Int) -> UInt32 {
    UInt32(littleEndian: loadUnaligned(fromByteOffset: offset, as: UInt32.self))
  }
  @inline(__always) func word64(_ offset: Int) -> UInt64 {
    UInt64(littleEndian: loadUnaligned(fromByteOffset: offset, as: UInt64.self))
  }
}
