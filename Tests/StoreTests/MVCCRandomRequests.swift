import Model
import Primitives

/// Random requests over few keys, so that they meet. Everything follows from the seed.
struct RandomRequests {
  var random: SeededRandom
  /// Of 100 requests, how many break a rule on purpose.
  var badPercent = 3

  init(seed: UInt64) { random = SeededRandom(seed: seed) }

  mutating func pick<T>(_ items: [T]) -> T { items[Int.random(in: 0..<items.count, using: &random)] }
  mutating func below(_ bound: Int) -> Int { Int.random(in: 0..<bound, using: &random) }

  mutating func key() -> [UInt8] {
    switch below(40) {
    case 0: return [0]
    case 1: return [0xff]
    case 2: return [0xff, 0xff, UInt8(below(3))]
    case 3: return Array("b".utf8) + [0]
    // Longer than LMDB's keys; they share their first 480 bytes and more.
    case 4, 5: return Array(repeating: 0x6c, count: 470 + below(30)) + [UInt8(below(3))]
    case 6: return Array(repeating: 0x6c, count: 960 + below(3)) + [UInt8(below(3))]
    default: return (0..<(1 + below(2))).map { _ in UInt8(ascii: "a") } + [UInt8(97 + below(12))]
    }
  }

  mutating func rangeEnd(_ key: [UInt8]) -> [UInt8] {
    switch below(8) {
    case 0, 1: return []
    case 2: return [0]
    case 3:
      // The prefix of the key.
      var end = key
      while let last = end.popLast() {
        if last < 0xff { return end + [last + 1] }
      }
      return [0]
    default: return self.key()
    }
  }

  mutating func value() -> [UInt8] {
    switch below(12) {
    case 0: []
    case 1: Array(repeating: UInt8(below(4)), count: 500 + below(40))
    case 2: Array(repeating: UInt8(below(4)), count: 5000)
    default: Array(repeating: 0x76, count: below(3)) + [UInt8(below(4))]
    }
  }

  mutating func revision(_ store: NaiveStore) -> Int64 {
    switch below(8) {
    case 0, 1, 2: 0
    case 3: store.compactRevision
    case 4: store.revision + Int64(below(3))
    case 5: Int64(-below(4))
    default: Int64.random(in: 0...(store.revision + 1), using: &random)
    }
  }

  mutating func range(_ store: NaiveStore) -> RangeRequest {
    let from = random.chance(1, in: 8) ? [0] : key()
    var request = RangeRequest(key: from, rangeEnd: random.chance(1, in: 4) ? [] : rangeEnd(from))
    if random.chance(1, in: 3) { request.limit = pick([1, 2, 3, 5, 100, -1, .max]) }
    request.revision = revision(store)
    if random.chance(1, in: 3) {
      request.sortOrder = Int32(below(3))
      request.sortTarget = Int32(below(5))
    }
    request.serializable = random.chance(1, in: 2)
    request.keysOnly = random.chance(1, in: 5)
    request.countOnly = random.chance(1, in: 8)
    func bound() -> Int64 { Int64.random(in: -1...(store.revision + 1), using: &random) }
    if random.chance(1, in: 8) { request.minModRevision = bound() }
    if random.chance(1, in: 8) { request.maxModRevision = bound() }
    if random.chance(1, in: 8) { request.minCreateRevision = bound() }
    if random.chance(1, in: 8) { request.maxCreateRevision = bound() }
    if below(100) < badPercent { request.key = [] }
    if below(100) < badPercent { request.sortOrder = pick([-1, 3]) }
    if below(100) < badPercent { request.sortTarget = pick([-1, 5]) }
    return request
  }

  /// Few, of both signs and at both ends of their order.
  static let leaseIDs: [Int64] = [1, 2, 3, -7, .max, .min, -1]

  /// A lease that is mostly there.
  mutating func lease(_ store: NaiveStore) -> Int64 {
    let granted = store.leases.keys.sorted()
    return granted.isEmpty || random.chance(1, in: 12) ? pick(Self.leaseIDs + [0]) : pick(granted)
  }

  mutating func leaseCommand(_ store: NaiveStore) -> RaftCommand.Operation {
    switch below(8) {
    case 0: .leaseCheckpoint([LeaseCheckpoint(id: lease(store), remainingTTL: Int64(below(9)))])
    case 1, 2: .leaseRevoke(id: lease(store))
    default:
      .leaseGrant(
        LeaseGrant(
          id: pick(Self.leaseIDs + [0]), ttl: pick([60, 1, 0, -1, 9_000_000_000, 9_000_000_001, .max])))
    }
  }

  mutating func put(_ store: NaiveStore) -> PutRequest {
    var request = PutRequest(key: key(), value: value())
    request.previousKeyValue = random.chance(1, in: 3)
    if random.chance(1, in: 8) {
      request.ignoreValue = true
      request.value = []
    }
    request.ignoreLease = random.chance(1, in: 10)
    if !request.ignoreLease, random.chance(1, in: 3) { request.lease = lease(store) }
    if below(100) < badPercent { request.lease = Int64(1 + below(5)) }
    if below(100) < badPercent { request.key = [] }
    if below(100) < badPercent { request.ignoreValue = true }
    return request
  }

  mutating func delete() -> DeleteRangeRequest {
    let key = key()
    var request = DeleteRangeRequest(key: key, rangeEnd: random.chance(2, in: 3) ? [] : rangeEnd(key))
    if request.rangeEnd == [0] && !random.chance(1, in: 8) { request.rangeEnd = key + [1] }
    request.previousKeyValue = random.chance(1, in: 2)
    if below(100) < badPercent { request.key = [] }
    return request
  }

  mutating func compare(_ store: NaiveStore) -> Compare {
    var compare = Compare()
    compare.result = Int32(below(4))
    compare.target = Int32(below(5))
    compare.key = key()
    if random.chance(1, in: 4) { compare.rangeEnd = rangeEnd(compare.key) }
    let number = Int64.random(in: 0...(store.revision + 1), using: &random)
    switch below(8) {
    case 0: compare.operand = .none
    case 1: compare.operand = .version(number)
    default:
      compare.operand =
        switch compare.target {
        case 0: .version(Int64(below(4)))
        case 1: .createRevision(number)
        case 2: .modRevision(number)
        case 3: .value(value())
        default: .lease(random.chance(1, in: 2) ? 0 : lease(store))
        }
    }
    if below(100) < badPercent { compare.key = [] }
    if below(100) < badPercent { compare.target = 9 }
    if below(100) < badPercent { compare.result = 9 }
    return compare
  }

  mutating func operation(_ store: NaiveStore, depth: Int) -> RequestOperation {
    switch below(depth == 0 ? 8 : 10) {
    case 0, 1, 2: .range(range(store))
    case 3, 4, 5, 6: .put(put(store))
    case 7: .deleteRange(delete())
    default: .transaction(transaction(store, depth: depth - 1))
    }
  }

  mutating func transaction(_ store: NaiveStore, depth: Int = 3) -> TransactionRequest {
    var request = TransactionRequest()
    for _ in 0..<below(3) { request.compare.append(compare(store)) }
    for _ in 0..<below(4) { request.success.append(operation(store, depth: depth)) }
    for _ in 0..<below(3) { request.failure.append(operation(store, depth: depth)) }
    if below(100) < badPercent { request.success.append(.none) }
    return request
  }

  mutating func readOnlyTransaction(_ store: NaiveStore) -> TransactionRequest {
    var request = TransactionRequest()
    for _ in 0..<below(3) { request.compare.append(compare(store)) }
    for _ in 0..<below(3) { request.success.append(.range(range(store))) }
    for _ in 0..<below(3) { request.failure.append(.range(range(store))) }
    return request
  }

  mutating func command(_ store: NaiveStore) -> RaftCommand.Operation {
    switch below(23) {
    case 20...: leaseCommand(store)
    case 0: .compaction(CompactionRequest(revision: revision(store), physical: random.chance(1, in: 2)))
    case 1: .range(range(store))
    case 2, 3: .deleteRange(delete())
    case 4..<12: .put(put(store))
    case 12..<19: .transaction(transaction(store))
    default: .unsupported(field: 1100)
    }
  }
}
