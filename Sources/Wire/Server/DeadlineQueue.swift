import NIOCore

/// The deadlines of a connection's calls, earliest first: a binary heap that forgets calls lazily.
///
/// Most calls end long before their deadline, so ended ones are only dropped when they come to the top, or
/// when they outnumber the open calls.
struct DeadlineQueue {
  struct Entry {
    var deadline: NIODeadline
    var streamID: Int32
  }

  private(set) var heap: [Entry] = []

  var earliest: NIODeadline? { heap.first?.deadline }

  /// Deadlines mostly come in ascending order (one timeout, growing time), so this is rarely more than an append.
  mutating func insert(_ entry: Entry) {
    heap.append(entry)
    var child = heap.count - 1
    while child > 0 {
      let parent = (child - 1) / 2
      guard heap[child].deadline < heap[parent].deadline else { return }
      heap.swapAt(child, parent)
      child = parent
    }
  }

  mutating func popEarliest() -> Entry? {
    guard let first = heap.first else { return nil }
    let last = heap.removeLast()
    if !heap.isEmpty {
      heap[0] = last
      siftDown(0)
    }
    return first
  }

  /// Drops entries that `isLive` denies, when there are many of them.
  mutating func compact(liveCount: Int, _ isLive: (Int32) -> Bool) {
    guard heap.count > 2 * liveCount + 64 else { return }
    heap.removeAll { !isLive($0.streamID) }
    var parent = heap.count / 2
    while parent > 0 {
      parent -= 1
      siftDown(parent)
    }
  }

  private mutating func siftDown(_ start: Int) {
    var parent = start
    while true {
      var least = 2 * parent + 1
      guard least < heap.count else { return }
      if least + 1 < heap.count, heap[least + 1].deadline < heap[least].deadline { least += 1 }
      guard heap[least].deadline < heap[parent].deadline else { return }
      heap.swapAt(least, parent)
      parent = least
    }
  }
}
