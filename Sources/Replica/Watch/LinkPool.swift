/// Ends of a doubly linked list of records.
struct SlotList {
  var first = noSlot
  var last = noSlot

  var isEmpty: Bool { first == noSlot }
}

/// Links of lists through records that are named by slots. A record is in at most one list of a pool.
struct LinkPool {
  private struct Links {
    var previous = noSlot
    var next = noSlot
  }

  private var links: [Links] = []

  /// Makes room for the record in `slot`.
  mutating func add(slot: UInt32) {
    precondition(Int(slot) == links.count, "slots are dense")
    links.append(Links())
  }

  func next(_ slot: UInt32) -> UInt32 { links[Int(slot)].next }

  mutating func append(_ slot: UInt32, to list: inout SlotList) {
    links[Int(slot)] = Links(previous: list.last, next: noSlot)
    if list.last == noSlot { list.first = slot } else { links[Int(list.last)].next = slot }
    list.last = slot
  }

  mutating func prepend(_ slot: UInt32, to list: inout SlotList) {
    links[Int(slot)] = Links(previous: noSlot, next: list.first)
    if list.first == noSlot { list.last = slot } else { links[Int(list.first)].previous = slot }
    list.first = slot
  }

  mutating func remove(_ slot: UInt32, from list: inout SlotList) {
    let link = links[Int(slot)]
    if link.previous == noSlot {
      precondition(list.first == slot, "the record is in this list")
      list.first = link.next
    } else {
      links[Int(link.previous)].next = link.next
    }
    if link.next == noSlot {
      list.last = link.previous
    } else {
      links[Int(link.next)].previous = link.previous
    }
    links[Int(slot)] = Links()
  }
}
