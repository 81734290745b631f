public import Model
internal import Primitives

/// Ranges of keys, found by a key in them: a treap ordered by where ranges begin, each node knowing the node of its
/// subtree whose range ends last (an interval tree; Cormen et al., chapter 14). Insertion and removal take
/// logarithmic time, a question O(log n) for each range it finds. Priorities come from a seeded generator, so a
/// client cannot make the tree deep, and the same calls give the same tree.
public struct RangeIndex: Sendable {
  private struct Node {
    var key: [UInt8]
    /// nil: without end.
    var end: [UInt8]?
    var value: UInt32
    var priority: UInt32
    var left = noSlot
    var right = noSlot
    /// The node of this subtree whose range ends last.
    var latest = noSlot
  }

  private var nodes: [Node] = []
  private var free: [UInt32] = []
  private var root = noSlot
  private var random: SeededRandom

  public init(seed: UInt64) { random = SeededRandom(seed: seed) }

  public var count: Int { nodes.count - free.count }

  /// Adds a range that is not empty, known by `value`; returns its name for `remove`. Equal ranges may be added.
  public mutating func insert(_ range: KeySet.Interval, value: UInt32) -> UInt32 {
    let node = Node(
      key: range.key, end: range.end, value: value, priority: UInt32(truncatingIfNeeded: random.next()))
    let slot: UInt32
    if let reused = free.popLast() {
      slot = reused
      nodes[Int(slot)] = node
    } else {
      slot = UInt32(nodes.count)
      nodes.append(node)
    }
    nodes[Int(slot)].latest = slot
    root = insert(slot, below: root)
    return slot
  }

  public mutating func remove(_ slot: UInt32) {
    root = remove(slot, below: root)
    // Lets go of the key and the end.
    nodes[Int(slot)] = Node(key: [], end: nil, value: 0, priority: 0)
    free.append(slot)
  }

  /// Appends the values of all ranges that contain `key`, in the order of the ranges' first keys.
  public func collect(containing key: UnsafeRawBufferPointer, into values: inout [UInt32]) {
    if root != noSlot { unsafe collect(key, below: root, &values) }
  }

  private func collect(_ key: UnsafeRawBufferPointer, below slot: UInt32, _ values: inout [UInt32]) {
    // Field by field: a copy of the node would retain and release its bytes.
    if unsafe !ends(nodes[Int(slot)].latest, after: key) { return }
    let (left, right) = (nodes[Int(slot)].left, nodes[Int(slot)].right)
    if left != noSlot { unsafe collect(key, below: left, &values) }
    guard unsafe compareKeys(nodes[Int(slot)].key, key) <= 0 else { return }
    if unsafe ends(slot, after: key) { values.append(nodes[Int(slot)].value) }
    if right != noSlot { unsafe collect(key, below: right, &values) }
  }

  private func ends(_ slot: UInt32, after key: UnsafeRawBufferPointer) -> Bool {
    guard let end = nodes[Int(slot)].end else { return true }
    return unsafe compareKeys(end, key) > 0
  }
}

// MARK: - The tree

extension RangeIndex {
  private mutating func insert(_ slot: UInt32, below top: UInt32) -> UInt32 {
    guard top != noSlot else { return slot }
    if precedes(slot, top) {
      let left = insert(slot, below: nodes[Int(top)].left)
      nodes[Int(top)].left = left
      if nodes[Int(left)].priority > nodes[Int(top)].priority { return rotateRight(top) }
    } else {
      let right = insert(slot, below: nodes[Int(top)].right)
      nodes[Int(top)].right = right
      if nodes[Int(right)].priority > nodes[Int(top)].priority { return rotateLeft(top) }
    }
    update(top)
    return top
  }

  private mutating func remove(_ slot: UInt32, below top: UInt32) -> UInt32 {
    precondition(top != noSlot, "the range is in the tree")
    if top == slot { return merge(nodes[Int(top)].left, nodes[Int(top)].right) }
    if precedes(slot, top) {
      nodes[Int(top)].left = remove(slot, below: nodes[Int(top)].left)
    } else {
      nodes[Int(top)].right = remove(slot, below: nodes[Int(top)].right)
    }
    update(top)
    return top
  }

  /// One tree of two, where all of `left` precedes all of `right`.
  private mutating func merge(_ left: UInt32, _ right: UInt32) -> UInt32 {
    if left == noSlot { return right }
    if right == noSlot { return left }
    if nodes[Int(left)].priority > nodes[Int(right)].priority {
      nodes[Int(left)].right = merge(nodes[Int(left)].right, right)
      update(left)
      return left
    }
    nodes[Int(right)].left = merge(left, nodes[Int(right)].left)
    update(right)
    return right
  }

  private mutating func rotateRight(_ top: UInt32) -> UInt32 {
    let left = nodes[Int(top)].left
    nodes[Int(top)].left = nodes[Int(left)].right
    nodes[Int(left)].right = top
    update(top)
    update(left)
    return left
  }

  private mutating func rotateLeft(_ top: UInt32) -> UInt32 {
    let right = nodes[Int(top)].right
    nodes[Int(top)].right = nodes[Int(right)].left
    nodes[Int(right)].left = top
    update(top)
    update(right)
    return right
  }

  private mutating func update(_ slot: UInt32) {
    var latest = slot
    let (left, right) = (nodes[Int(slot)].left, nodes[Int(slot)].right)
    if left != noSlot, endsBefore(latest, nodes[Int(left)].latest) { latest = nodes[Int(left)].latest }
    if right != noSlot, endsBefore(latest, nodes[Int(right)].latest) { latest = nodes[Int(right)].latest }
    nodes[Int(slot)].latest = latest
  }

  private func endsBefore(_ a: UInt32, _ b: UInt32) -> Bool {
    guard let first = nodes[Int(a)].end else { return false }
    guard let second = nodes[Int(b)].end else { return true }
    return first.lexicographicallyPrecedes(second)
  }

  /// By first key; among equal ones by slot, so that each node has one place.
  private func precedes(_ a: UInt32, _ b: UInt32) -> Bool {
    let order = unsafe nodes[Int(b)].key.withUnsafeBytes { unsafe compareKeys(nodes[Int(a)].key, $0) }
    return order != 0 ? order < 0 : a < b
  }
}
