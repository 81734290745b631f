/// The times of one round of the apply stage. The clock is read once for a group of entries, not for each: the slow one
/// stands out all the same, because a group of quick ones takes microseconds.
struct ApplyTimes {
  private static let groupEntries = 16

  private let watch: ApplyWatch
  private var groupBegan: UInt64
  private var entries = 0
  private var lastIndex: UInt64 = 0
  private(set) var notices: [NodeNotice] = []

  init(_ watch: ApplyWatch) {
    self.watch = watch
    groupBegan = watch.clock()
  }

  mutating func applied(_ index: UInt64) {
    entries += 1
    lastIndex = index
    if entries == Self.groupEntries { endGroup() }
  }

  mutating func finished() {
    if entries > 0 { endGroup() }
  }

  private mutating func endGroup() {
    let now = watch.clock()
    let took = now - min(groupBegan, now)
    if took > watch.expectedNanoseconds {
      notices.append(.slowApply(nanoseconds: took, entries: entries, lastIndex: lastIndex))
    }
    groupBegan = now
    entries = 0
  }
}
