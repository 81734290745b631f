/// A map from non-zero 64-bit keys to 64-bit values without an order of its own: nothing can iterate it, so no
/// decision can hang on where keys happen to lie. Open addressing with linear probing; deletion closes the gap.
public struct LookupTable: Sendable {
  /// Key 0 marks a free slot.
  private var slots: [(key: UInt64, value: UInt64)]
  private var shift: UInt64
  public private(set) var count = 0

  public init() {
    slots = Array(repeating: (0, 0), count: 16)
    shift = 60
  }

  public var isEmpty: Bool { count == 0 }

  public func value(of key: UInt64) -> UInt64? {
    let position = find(key)
    return slots[position].key == key ? slots[position].value : nil
  }

  /// Sets the value of `key`, which must not be 0.
  public mutating func insert(_ value: UInt64, for key: UInt64) {
    precondition(key != 0, "0 marks free slots")
    if (count + 1) * 4 > slots.count * 3 { grow() }
    let position = find(key)
    if slots[position].key == 0 { count += 1 }
    slots[position] = (key, value)
  }

  /// Removes `key` and returns what it had.
  @discardableResult
  public mutating func remove(_ key: UInt64) -> UInt64? {
    var gap = find(key)
    guard key != 0, slots[gap].key == key else { return nil }
    let value = slots[gap].value
    count -= 1
    // Keys behind the gap that were displaced over it move back, or they could not be found any more.
    var next = (gap + 1) & (slots.count - 1)
    while slots[next].key != 0 {
      let displacement = (next - home(slots[next].key)) & (slots.count - 1)
      if displacement >= (next - gap) & (slots.count - 1) {
        slots[gap] = slots[next]
        gap = next
      }
      next = (next + 1) & (slots.count - 1)
    }
    slots[gap] = (0, 0)
    return value
  }

  private func home(_ key: UInt64) -> Int {
    // Fibonacci hashing: sequential ids spread over the whole table.
    Int(truncatingIfNeeded: (key &* 0x9e37_79b9_7f4a_7c15) >> shift)
  }

  /// Where `key` is, or the free slot where it would go.
  private func find(_ key: UInt64) -> Int {
    var position = home(key)
    while slots[position].key != key && slots[position].key != 0 {
      position = (position + 1) & (slots.count - 1)
    }
    return position
  }

  private mutating func grow() {
    let old = slots
    slots = Array(repeating: (0, 0), count: old.count * 2)
    shift -= 1
    for slot in old where slot.key != 0 { slots[find(slot.key)] = slot }
  }
}
