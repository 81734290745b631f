internal import CPrimitives

/// A node of a skip list in raw memory:
/// ```
///  0        8            12       16                     16 + 8 * height
///  | record | key length | height | next, one per level  | key bytes ...
/// ```
/// `record` is the head of the key's chain of versions, newest first.
struct SkipNode {
  let address: UnsafeMutableRawPointer

  static let headerBytes = 16

  @inline(__always) var record: UnsafeMutableRawPointer? { cairn_load_pointer(address) }
  /// Publishes a new head: a reader that sees it sees all bytes written before.
  @inline(__always) func setRecord(_ record: UnsafeMutableRawPointer) { cairn_store_pointer(address, record) }

  @inline(__always) var height: Int { Int(address.load(fromByteOffset: 12, as: UInt32.self)) }

  @inline(__always) var key: UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(
      start: address + Self.headerBytes + 8 * height,
      count: Int(address.load(fromByteOffset: 8, as: UInt32.self)))
  }

  @inline(__always) func next(_ level: Int) -> SkipNode? {
    cairn_load_pointer(address + Self.headerBytes + 8 * level).map(SkipNode.init)
  }

  @inline(__always) func setNext(_ level: Int, _ node: SkipNode?) {
    cairn_store_pointer(address + Self.headerBytes + 8 * level, node?.address)
  }
}

/// Byte order of keys.
@inline(__always)
func compareKeys(_ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer) -> Int {
  let shared = min(a.count, b.count)
  if shared > 0, let left = a.baseAddress, let right = b.baseAddress {
    let order = cairn_compare(left, right, shared)
    if order != 0 { return Int(order) }
  }
  return a.count - b.count
}

/// An ordered map from keys to chains of records, with one writer and readers that take no lock: a node is
/// complete before a release store links it, level 0 first, and nodes are never unlinked. This is the
/// readers' part; it never changes.
struct SkipList {
  static let levelsMax = 16
  let head: SkipNode

  init(in arena: inout Arena) throws(StoreError) {
    let bytes = SkipNode.headerBytes + 8 * Self.levelsMax
    let address = try arena.allocate(bytes)
    address.initializeMemory(as: UInt8.self, repeating: 0, count: bytes)
    address.storeBytes(of: UInt32(Self.levelsMax), toByteOffset: 12, as: UInt32.self)
    head = SkipNode(address: address)
  }

  var first: SkipNode? { head.next(0) }

  /// The first node at or above `key`.
  func firstNode(atOrAbove key: UnsafeRawBufferPointer) -> SkipNode? {
    var node = head
    var level = Self.levelsMax - 1
    var bound: SkipNode?
    while level >= 0 {
      if let next = node.next(level), next.address != bound?.address {
        if compareKeys(next.key, key) < 0 {
          node = next
          continue
        }
        bound = next
      }
      level -= 1
    }
    // Not `node.next(0)`: a node linked since the comparison may lie below the key.
    return bound
  }

  /// The node of `key`.
  func node(_ key: UnsafeRawBufferPointer) -> SkipNode? {
    guard let node = firstNode(atOrAbove: key), compareKeys(node.key, key) == 0 else { return nil }
    return node
  }
}

/// The writer's side of a skip list. Heights come from a generator of its own, so that equal histories build
/// equal lists.
struct SkipListWriter {
  let list: SkipList
  /// Towers higher than this have not been built yet.
  private var level = 1
  private var random: UInt64 = 0x9e37_79b9_7f4a_7c15
  /// The last search: for each level the last node before the key.
  private var before: [SkipNode]
  private(set) var count = 0

  init(_ list: SkipList) {
    self.list = list
    before = Array(repeating: list.head, count: SkipList.levelsMax)
  }

  /// The node of `key`, if there is one; otherwise `insert` of the same key may follow.
  mutating func find(_ key: UnsafeRawBufferPointer) -> SkipNode? {
    var node = list.head
    var bound: SkipNode?
    var current = level - 1
    while current >= 0 {
      if let next = node.next(current), next.address != bound?.address {
        if compareKeys(next.key, key) < 0 {
          node = next
          continue
        }
        bound = next
      }
      before[current] = node
      current -= 1
    }
    guard let bound, compareKeys(bound.key, key) == 0 else { return nil }
    return bound
  }

  /// Inserts a key that the last `find` did not find. Readers skip the node until it has a record.
  mutating func insert(_ key: UnsafeRawBufferPointer, in arena: inout Arena) throws(StoreError) -> SkipNode {
    let height = nextHeight()
    while level < height {
      before[level] = list.head
      level += 1
    }
    let address = try arena.allocate(SkipNode.headerBytes + 8 * height + key.count)
    address.storeBytes(of: 0, as: UInt.self)
    address.storeBytes(of: UInt32(key.count), toByteOffset: 8, as: UInt32.self)
    address.storeBytes(of: UInt32(height), toByteOffset: 12, as: UInt32.self)
    if let source = key.baseAddress {
      (address + SkipNode.headerBytes + 8 * height).copyMemory(from: source, byteCount: key.count)
    }
    let created = SkipNode(address: address)
    for level in 0..<height { created.setNext(level, before[level].next(level)) }
    for level in 0..<height { before[level].setNext(level, created) }
    count += 1
    return created
  }

  /// Each level with probability 1/4 of the one below.
  private mutating func nextHeight() -> Int {
    random ^= random << 13
    random ^= random >> 7
    random ^= random << 17
    var bits = random >> 16
    var height = 1
    while height < SkipList.levelsMax, bits & 3 == 0 {
      height += 1
      bits >>= 2
    }
    return height
  }
}
