internal import Primitives

/// Proposals that wait for their outcome: found by request id, expired in the order of their arrival.
struct WaitingRequests {
  struct Expired {
    var ticket: Ticket
    /// When the request came.
    var startTick: UInt64
  }

  private var tickets = LookupTable()
  /// All get the same time limit, so arrival order is deadline order. May hold ids that were answered already;
  /// those are dropped when they reach the front.
  private var arrivals: [(id: UInt64, tick: UInt64)] = []
  private var front = 0

  var count: Int { tickets.count }
  var isEmpty: Bool { tickets.isEmpty }

  func contains(_ id: UInt64) -> Bool { tickets.value(of: id) != nil }

  mutating func insert(_ ticket: Ticket, id: UInt64, tick: UInt64) {
    tickets.insert(ticket.number, for: id)
    dropAnswered()
    arrivals.append((id, tick))
  }

  /// The request's ticket; it does not wait any more.
  mutating func take(_ id: UInt64) -> Ticket? {
    guard let number = tickets.remove(id) else { return nil }
    return Ticket(number)
  }

  /// The oldest request, if it came at or before `tick`; it does not wait any more.
  mutating func takeOldest(arrivedBy tick: UInt64) -> Expired? {
    dropAnswered()
    guard front < arrivals.count, arrivals[front].tick <= tick else { return nil }
    let oldest = arrivals[front]
    front += 1
    guard let ticket = take(oldest.id) else { preconditionFailure("answered ids were dropped") }
    return Expired(ticket: ticket, startTick: oldest.tick)
  }

  private mutating func dropAnswered() {
    while front < arrivals.count, !contains(arrivals[front].id) { front += 1 }
    if front == arrivals.count {
      arrivals.removeAll(keepingCapacity: true)
      front = 0
    } else if front > 1024 && front > arrivals.count / 2 {
      arrivals.removeSubrange(0..<front)
      front = 0
    }
  }
}
