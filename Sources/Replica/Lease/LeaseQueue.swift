/// Leases by the tick at which they are looked at next: a binary heap that knows where each one is, so that one can be
/// taken out. Ties go by slot, which makes the order a function of the history.
struct LeaseQueue {
  private struct Entry {
    var tick: UInt64
    var slot: Int
  }

  private var heap: [Entry] = []
  /// Where a slot's entry is; -1: nowhere.
  private var positions: [Int] = []

  var count: Int { heap.count }

  var nextTick: UInt64? { heap.first?.tick }

  mutating func insert(_ slot: Int, at tick: UInt64) {
    while positions.count <= slot { positions.append(-1) }
    precondition(positions[slot] < 0, "a lease is queued once")
    heap.append(Entry(tick: tick, slot: slot))
    positions[slot] = heap.count - 1
    rise(heap.count - 1)
  }

  /// Takes out the first lease, if its tick has come.
  mutating func pop(by tick: UInt64) -> Int? {
    guard let first = heap.first, first.tick <= tick else { return nil }
    remove(first.slot)
    return first.slot
  }

  /// Takes a lease out, if it is there.
  mutating func remove(_ slot: Int) {
    guard slot < positions.count, positions[slot] >= 0 else { return }
    let position = positions[slot]
    positions[slot] = -1
    let last = heap.removeLast()
    guard position < heap.count else { return }
    place(last, position)
    rise(position)
    sink(position)
  }

  mutating func removeAll() {
    for entry in heap { positions[entry.slot] = -1 }
    heap.removeAll()
  }

  private mutating func place(_ entry: Entry, _ position: Int) {
    heap[position] = entry
    positions[entry.slot] = position
  }

  private static func isBefore(_ a: Entry, _ b: Entry) -> Bool { (a.tick, a.slot) < (b.tick, b.slot) }

  private mutating func rise(_ start: Int) {
    var position = start
    let entry = heap[position]
    while position > 0 {
      let parent = (position - 1) / 2
      guard Self.isBefore(entry, heap[parent]) else { break }
      place(heap[parent], position)
      position = parent
    }
    place(entry, position)
  }

  private mutating func sink(_ start: Int) {
    var position = start
    let entry = heap[position]
    while true {
      var child = 2 * position + 1
      guard child < heap.count else { break }
      if child + 1 < heap.count, Self.isBefore(heap[child + 1], heap[child]) { child += 1 }
      guard Self.isBefore(heap[child], entry) else { break }
      place(heap[child], position)
      position = child
    }
    place(entry, position)
  }
}
