/// A queue of events by virtual time; events of one moment come in the order in which they were scheduled.
struct VirtualTime<Event> {
  /// Nanoseconds since the simulation began.
  private(set) var now: UInt64 = 0
  /// A heap: the earliest first.
  private var queue: [(time: UInt64, number: UInt64, event: Event)] = []
  private var scheduled: UInt64 = 0

  mutating func schedule(_ event: Event, after delay: UInt64) {
    scheduled += 1
    queue.append((now + delay, scheduled, event))
    rise(queue.count - 1)
  }

  mutating func next() -> Event? {
    guard let first = queue.first else { return nil }
    queue.swapAt(0, queue.count - 1)
    queue.removeLast()
    sink(0)
    now = first.time
    return first.event
  }

  mutating func removeAll(where isObsolete: (Event) -> Bool) {
    queue.removeAll { isObsolete($0.event) }
    queue.sort { ($0.time, $0.number) < ($1.time, $1.number) }
  }

  private func isEarlier(_ a: Int, _ b: Int) -> Bool {
    (queue[a].time, queue[a].number) < (queue[b].time, queue[b].number)
  }

  private mutating func rise(_ position: Int) {
    var child = position
    while child > 0, isEarlier(child, (child - 1) / 2) {
      queue.swapAt(child, (child - 1) / 2)
      child = (child - 1) / 2
    }
  }

  private mutating func sink(_ position: Int) {
    var parent = position
    while true {
      var least = parent
      for child in [2 * parent + 1, 2 * parent + 2] where child < queue.count && isEarlier(child, least) {
        least = child
      }
      if least == parent { return }
      queue.swapAt(parent, least)
      parent = least
    }
  }
}

let microsecond: UInt64 = 1_000
let millisecond: UInt64 = 1_000_000
let second: UInt64 = 1_000_000_000
