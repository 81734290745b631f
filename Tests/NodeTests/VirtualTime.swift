/// A queue of events by virtual time; events of one moment come in the order in which they were scheduled.
struct VirtualTime<Event> {
  /// Nanoseconds since the simulation began.
  private(set) var now: UInt64 = 0
  private var queue: [(time: UInt64, number: UInt64, event: Event)] = []
  private var scheduled: UInt64 = 0

  mutating func schedule(_ event: Event, after delay: UInt64) {
    scheduled += 1
    queue.append((now + delay, scheduled, event))
  }

  mutating func next() -> Event? {
    guard
      let first = queue.indices.min(by: {
        (queue[$0].time, queue[$0].number) < (queue[$1].time, queue[$1].number)
      })
    else { return nil }
    queue.swapAt(first, queue.count - 1)
    let next = queue.removeLast()
    now = next.time
    return next.event
  }

  mutating func removeAll(where isObsolete: (Event) -> Bool) {
    queue.removeAll { isObsolete($0.event) }
  }
}

let microsecond: UInt64 = 1_000
let millisecond: UInt64 = 1_000_000
let second: UInt64 = 1_000_000_000
