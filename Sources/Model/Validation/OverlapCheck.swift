/// The duplicate-key rule of transactions: one key may not be put twice, nor put and deleted, by one list of
/// operations and what is nested in it.
///
/// etcd's walk through a list leaves these combinations standing, and clients may rely on them:
/// - the two branches of one nested transaction exclude each other, so they never conflict;
/// - of two nested transactions side by side, the first may put a key that the second deletes (not the reverse);
/// - deletes never conflict with deletes;
/// - a delete from a key to the end of the key space (range end `\0`) conflicts with nothing: etcd takes its end
///   literally here, which makes the interval empty.
///
/// One pass in etcd's order, with the puts and deletes that the current operation must not touch held "active".
/// While one branch of a nested transaction is visited, the other's operations must be inactive, so the branch
/// with fewer operations goes first and is taken out for the time of the other. An operation is taken out only
/// when it is on the smaller side, at most log n times, so the whole check is O(n log² n) at any nesting.
struct OverlapCheck {
  /// One list of operations, with nested lists by index.
  private struct List {
    var puts: Range<Int> = 0..<0
    var deletes: Range<Int> = 0..<0
    var children: [(first: Int, second: Int)] = []
    /// Puts and deletes in this list and all below.
    var weight = 0
  }
  private enum Active {
    case put(rank: Int)
    case delete(ranks: Range<Int>)
  }

  private var lists: [List] = []
  /// Ranks of the put keys among all distinct put keys in order, by put.
  private var putRanks: [Int] = []
  /// Deleted intervals as ranges of those ranks, by delete.
  private var deleteRanks: [Range<Int>] = []
  private var activePuts: [Int] = []
  private var activeDeletes = CoverCounts(count: 0)
  private var log: [Active] = []

  static func conflicts(_ operations: [RequestOperation]) -> Bool {
    if operations.count <= 1 {
      guard case .transaction = operations.first else { return false }
    }
    var check = OverlapCheck(operations)
    return check.visit(0)
  }

  private init(_ operations: [RequestOperation]) {
    var puts: [[UInt8]] = []
    var deletes: [DeleteRangeRequest] = []
    _ = collect(operations, &puts, &deletes, depthLeft: RequestLimits.transactionDepthMax + 1)

    let order = puts.indices.sorted { puts[$0].lexicographicallyPrecedes(puts[$1]) }
    var keys: [[UInt8]] = []
    putRanks = Array(repeating: 0, count: puts.count)
    for put in order {
      if keys.last != puts[put] { keys.append(puts[put]) }
      putRanks[put] = keys.count - 1
    }
    deleteRanks = deletes.map { delete in
      let lower = keys.firstIndexNotBefore(delete.key)
      if delete.rangeEnd.isEmpty {
        return lower..<(lower < keys.count && keys[lower] == delete.key ? lower + 1 : lower)
      }
      return lower..<max(lower, keys.firstIndexNotBefore(delete.rangeEnd))
    }
    activePuts = Array(repeating: 0, count: keys.count)
    activeDeletes = CoverCounts(count: keys.count)
  }

  /// Appends `operations` as a list and returns its index. Puts and deletes of one list get consecutive numbers.
  private mutating func collect(
    _ operations: [RequestOperation], _ puts: inout [[UInt8]], _ deletes: inout [DeleteRangeRequest],
    depthLeft: Int
  ) -> Int {
    precondition(depthLeft > 0, "levels are checked first")
    let index = lists.count
    lists.append(List())
    let firstPut = puts.count
    let firstDelete = deletes.count
    for operation in operations {
      switch operation {
      case .put(let request): puts.append(request.key)
      case .deleteRange(let request): deletes.append(request)
      case .none, .range, .transaction: break
      }
    }
    lists[index].puts = firstPut..<puts.count
    lists[index].deletes = firstDelete..<deletes.count
    var weight = puts.count - firstPut + deletes.count - firstDelete
    for operation in operations {
      guard case .transaction(let request) = operation else { continue }
      let first = collect(request.success, &puts, &deletes, depthLeft: depthLeft - 1)
      let second = collect(request.failure, &puts, &deletes, depthLeft: depthLeft - 1)
      weight += lists[first].weight + lists[second].weight
      lists[index].children.append((first, second))
    }
    lists[index].weight = weight
    return index
  }

  /// True at the first conflict. Otherwise everything in the list is active, and at the end of the log.
  private mutating func visit(_ index: Int) -> Bool {
    for delete in lists[index].deletes { activate(.delete(ranks: deleteRanks[delete])) }
    for child in lists[index].children {
      let secondIsSmaller = lists[child.second].weight < lists[child.first].weight
      let smaller = secondIsSmaller ? child.second : child.first
      let larger = secondIsSmaller ? child.first : child.second
      let start = log.count
      if visit(smaller) { return true }
      let takenOut = Array(log[start...])
      for item in takenOut { count(item, by: -1) }
      log.removeSubrange(start...)
      if visit(larger) { return true }
      for item in takenOut { activate(item) }
    }
    for put in lists[index].puts {
      let rank = putRanks[put]
      if activePuts[rank] > 0 || activeDeletes.covers(rank) { return true }
      activate(.put(rank: rank))
    }
    return false
  }

  private mutating func activate(_ item: Active) {
    count(item, by: 1)
    log.append(item)
  }

  private mutating func count(_ item: Active, by change: Int) {
    switch item {
    case .put(let rank): activePuts[rank] += change
    case .delete(let ranks): activeDeletes.add(change, to: ranks)
    }
  }
}

/// How many ranges cover each of a number of points: a Fenwick tree over differences, O(log n) each way.
private struct CoverCounts {
  private var tree: [Int]

  init(count: Int) { tree = Array(repeating: 0, count: count + 1) }

  mutating func add(_ change: Int, to points: Range<Int>) {
    if points.isEmpty { return }
    add(change, from: points.lowerBound)
    add(-change, from: points.upperBound)
  }

  func covers(_ point: Int) -> Bool {
    var sum = 0
    var node = point + 1
    while node > 0 {
      sum += tree[node]
      node &= node - 1
    }
    return sum > 0
  }

  private mutating func add(_ change: Int, from point: Int) {
    var node = point + 1
    while node < tree.count {
      tree[node] += change
      node += node & -node
    }
  }
}

extension [[UInt8]] {
  /// In an ascending array: the index of the first element that is not before `key`.
  fileprivate func firstIndexNotBefore(_ key: [UInt8]) -> Int {
    var lower = 0
    var upper = count
    while lower < upper {
      let middle = (lower + upper) / 2
      if self[middle].lexicographicallyPrecedes(key) {
        lower = middle + 1
      } else {
        upper = middle
      }
    }
    return lower
  }
}
