internal import Model

/// What watchers watch: one key, or a range. All watchers of the same are found at once and get the same bytes.
struct WatchTarget {
  enum Shape: UInt8 { case key, range, openEnded }

  var shape: Shape
  var key: [UInt8]
  /// Of a range; else empty.
  var end: [UInt8]
  /// Watchers at the front of the feed, in the order they came there.
  var live = SlotList()
  /// Watchers that read history.
  var lagging = SlotList()
  /// In the index of ranges.
  var node = noSlot
  /// `WatchTargets.stamp` while this target is in `touched`, and its place there.
  var stamp: UInt64 = 0
  var touch: Int32 = 0

  var interval: KeySet.Interval {
    switch shape {
    case .key: KeySet.Interval(key: key, end: key + [0])
    case .range: KeySet.Interval(key: key, end: end)
    case .openEnded: KeySet.Interval(key: key, end: nil)
    }
  }
}

/// The targets of a loop's watchers, found by name and by a key they contain, and which items of a batch are theirs.
struct WatchTargets {
  /// A target that a batch concerns, and the first and last of its matches.
  struct Touched {
    var target: UInt32
    var first: Int32 = -1
    var last: Int32 = -1
  }
  /// An item of the batch, and the target's next match.
  struct Match {
    var item: Int32
    var next: Int32
  }

  private(set) var records: [WatchTarget] = []
  private var free: [UInt32] = []
  private var table = SlotTable()
  private var ranges: RangeIndex
  private let hash: KeyHash

  /// The outcome of the last `match`: valid until the next.
  private(set) var touched: [Touched] = []
  private(set) var matches: [Match] = []
  private var stamp: UInt64 = 0
  /// Reused between calls.
  private var found: [UInt32] = []

  init(seed: UInt64) {
    hash = KeyHash(seed: seed)
    ranges = RangeIndex(seed: seed)
  }

  var count: Int { records.count - free.count }

  subscript(slot: UInt32) -> WatchTarget {
    _read { yield records[Int(slot)] }
    _modify { yield &records[Int(slot)] }
  }

  /// The target, made if it is new.
  mutating func obtain(_ shape: WatchTarget.Shape, key: [UInt8], end: [UInt8]) -> UInt32 {
    let hash = hash(shape, key: key, end: end)
    var probe = table.probe(hash)
    while let slot = table.next(&probe) {
      if records[Int(slot)].shape == shape, records[Int(slot)].key == key, records[Int(slot)].end == end {
        return slot
      }
    }
    let target = WatchTarget(shape: shape, key: key, end: end)
    let slot: UInt32
    if let reused = free.popLast() {
      slot = reused
      records[Int(slot)] = target
    } else {
      slot = UInt32(records.count)
      records.append(target)
    }
    if shape != .key { records[Int(slot)].node = ranges.insert(target.interval, value: slot) }
    table.insert(slot, hash: hash)
    return slot
  }

  /// Forgets the target if nobody watches it any more.
  mutating func releaseIfUnused(_ slot: UInt32) {
    let target = records[Int(slot)]
    guard target.live.isEmpty, target.lagging.isEmpty else { return }
    table.remove(slot, hash: hash(target.shape, key: target.key, end: target.end))
    if target.node != noSlot { ranges.remove(target.node) }
    records[Int(slot)] = WatchTarget(shape: .key, key: [], end: [])
    free.append(slot)
  }

  private func hash(_ shape: WatchTarget.Shape, key: [UInt8], end: [UInt8]) -> UInt64 {
    shape == .key ? hash(key) : hash(hash(key), hash(end) ^ UInt64(shape.rawValue))
  }
}

// MARK: - Matching a batch

extension WatchTargets {
  /// Begins a match with targets that are named one by one.
  mutating func beginMatch() {
    stamp += 1
    touched.removeAll(keepingCapacity: true)
    matches.removeAll(keepingCapacity: true)
  }

  mutating func touch(_ slot: UInt32) {
    guard records[Int(slot)].stamp != stamp else { return }
    records[Int(slot)].stamp = stamp
    records[Int(slot)].touch = Int32(touched.count)
    touched.append(Touched(target: slot))
  }

  /// Finds the targets with live watchers that concern the items from `start` on. Returns where it stopped: at the end,
  /// or between two revisions once there are `matchesMax` matches (many ranges may lie over each other).
  mutating func matchLive(_ batch: EventBatch, from start: Int, matchesMax: Int) -> Int {
    match(batch, from: start, matchesMax) { targets, slot in
      if targets.records[Int(slot)].live.isEmpty { return false }
      targets.touch(slot)
      return true
    }
  }

  /// The same for the targets touched already.
  mutating func matchTouched(_ batch: EventBatch, from start: Int, matchesMax: Int) -> Int {
    match(batch, from: start, matchesMax) { targets, slot in
      targets.records[Int(slot)].stamp == targets.stamp
    }
  }

  /// Gives the only touched target, a key, all of the batch.
  mutating func matchAll(_ batch: EventBatch) {
    precondition(touched.count == 1, "a walk of one key's chain")
    for item in batch.items.indices { append(item, to: touched[0].target) }
  }

  private mutating func match(
    _ batch: EventBatch, from start: Int, _ matchesMax: Int,
    _ isConcerned: (inout WatchTargets, UInt32) -> Bool
  ) -> Int {
    unsafe batch.bytes.withUnsafeBytes { bytes in
      var item = start
      while item < batch.items.count {
        if matches.count >= matchesMax, item > start,
          batch.items[item].mainRevision != batch.items[item - 1].mainRevision
        {
          return item
        }
        let key = unsafe UnsafeRawBufferPointer(rebasing: bytes[batch.items[item].key])
        if let slot = unsafe find(key: key), isConcerned(&self, slot) { append(item, to: slot) }
        if ranges.count > 0 {
          found.removeAll(keepingCapacity: true)
          unsafe ranges.collect(containing: key, into: &found)
          for position in found.indices {
            let slot = found[position]
            if isConcerned(&self, slot) { append(item, to: slot) }
          }
        }
        item += 1
      }
      return item
    }
  }

  private mutating func append(_ item: Int, to slot: UInt32) {
    let touch = Int(records[Int(slot)].touch)
    let match = Int32(matches.count)
    matches.append(Match(item: Int32(item), next: -1))
    if touched[touch].first < 0 {
      touched[touch].first = match
    } else {
      matches[Int(touched[touch].last)].next = match
    }
    touched[touch].last = match
  }

  private func find(key: UnsafeRawBufferPointer) -> UInt32? {
    var probe = unsafe table.probe(hash(key))
    while let slot = table.next(&probe) {
      if records[Int(slot)].shape == .key, unsafe compareKeys(records[Int(slot)].key, key) == 0 {
        return slot
      }
    }
    return nil
  }
}
