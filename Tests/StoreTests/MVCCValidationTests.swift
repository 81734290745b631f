import Model
import Primitives
import Testing

@Suite("Request validation")
struct MVCCValidationTests {
  private let limits = RequestLimits()

  private func put(_ key: String) -> RequestOperation { .put(PutRequest(key: Array(key.utf8), value: [1])) }
  private func delete(_ key: String, _ end: String = "") -> RequestOperation {
    .deleteRange(DeleteRangeRequest(key: Array(key.utf8), rangeEnd: Array(end.utf8)))
  }
  private func nested(_ then: [RequestOperation], _ otherwise: [RequestOperation] = []) -> RequestOperation {
    .transaction(transaction(then, otherwise))
  }
  private func transaction(
    _ then: [RequestOperation], _ otherwise: [RequestOperation] = []
  ) -> TransactionRequest {
    var request = TransactionRequest()
    request.success = then
    request.failure = otherwise
    return request
  }

  @Test("The first check that fails decides, in etcd's order")
  func order() {
    var range = RangeRequest()
    range.sortOrder = 3
    #expect(range.validate(limits) == .keyNotProvided)
    range.key = [1]
    #expect(range.validate(limits) == .invalidSortOption)
    range.sortOrder = 2
    range.sortTarget = -1
    #expect(range.validate(limits) == .invalidSortOption)
    range.sortTarget = 4
    #expect(range.validate(limits) == nil)

    var put = PutRequest()
    put.ignoreValue = true
    put.ignoreLease = true
    put.value = [1]
    put.lease = 1
    #expect(put.validate(limits) == .keyNotProvided)
    put.key = [1]
    #expect(put.validate(limits) == .valueProvided)
    put.value = []
    #expect(put.validate(limits) == .leaseProvided)
    put.lease = 0
    #expect(put.validate(limits) == nil)

    #expect(DeleteRangeRequest(key: []).validate(limits) == .keyNotProvided)
    #expect(CompactionRequest(revision: -7).validate(limits) == nil)
  }

  @Test("RangeStream refuses orders before filters, and takes NONE with any target")
  func stream() {
    var range = RangeRequest(key: [1])
    range.sortTarget = 3
    #expect(range.validateForStream(limits) == nil)
    range.sortOrder = 1
    range.minModRevision = 1
    #expect(range.validateForStream(limits) == .rangeStreamSort)
    range.sortTarget = 0
    #expect(range.validateForStream(limits) == .rangeStreamFilters)
    range.minModRevision = 0
    #expect(range.validateForStream(limits) == nil)
  }

  @Test("Operations are counted by level, nested ones against what is left")
  func budget() {
    let keys = (0..<128).map { put("k\($0)") }
    #expect(transaction(keys).validate(limits) == nil)
    #expect(transaction(keys, keys).validate(limits) == nil)
    #expect(transaction(keys + [put("x")]).validate(limits) == .tooManyOperations)
    #expect(transaction([nested(Array(keys.prefix(127)))]).validate(limits) == nil)
    #expect(transaction([nested(keys)]).validate(limits) == .tooManyOperations)
    #expect(transaction([nested(Array(keys.prefix(127))), put("x")]).validate(limits) == .tooManyOperations)
    var compares = transaction([nested([put("x")])])
    compares.compare = Array(repeating: Compare(), count: 128)
    for index in compares.compare.indices { compares.compare[index].key = [1] }
    #expect(compares.validate(limits) == .tooManyOperations)
    compares.compare.removeLast()
    #expect(compares.validate(limits) == nil)
    compares.compare[126].key = []
    #expect(compares.validate(limits) == .keyNotProvided)
    #expect(transaction([.none]).validate(limits) == .keyNotFound)
    #expect(transaction([put("a"), .none, put("")]).validate(limits) == .keyNotFound)
  }

  @Test("The duplicate-key rule and its gaps")
  func duplicates() {
    func isDuplicate(_ operations: RequestOperation...) -> Bool {
      let asSuccess = transaction(operations).validate(limits)
      #expect(asSuccess == nil || asSuccess == .duplicateKey)
      // The branch that is not taken counts as well.
      #expect(transaction([], operations).validate(limits) == asSuccess)
      // So does a level further down.
      #expect(transaction([nested([], operations)]).validate(limits) == asSuccess)
      return asSuccess != nil
    }
    #expect(isDuplicate(put("k"), put("k")))
    #expect(!isDuplicate(put("k"), put("kk")))
    #expect(isDuplicate(put("k"), delete("k")))
    #expect(isDuplicate(delete("k"), put("k")))
    #expect(isDuplicate(delete("a", "z"), put("k")))
    #expect(!isDuplicate(delete("a", "k"), put("k")))
    #expect(!isDuplicate(delete("z", "a"), put("k")))
    #expect(!isDuplicate(delete("a", "z"), delete("b", "z"), delete("c")))
    // etcd takes the end of "everything from here" literally.
    #expect(!isDuplicate(delete("a", "\0"), put("k")))

    #expect(isDuplicate(put("k"), nested([put("k")])))
    #expect(isDuplicate(nested([], [put("k")]), put("k")))
    #expect(isDuplicate(nested([put("k")]), nested([put("k")])))
    #expect(isDuplicate(nested([put("k")]), nested([], [put("k")])))
    #expect(!isDuplicate(nested([put("k")], [put("k")])))
    #expect(!isDuplicate(nested([put("k")], [delete("k")])))
    #expect(!isDuplicate(nested([delete("k")], [put("k")])))
    #expect(isDuplicate(delete("a", "z"), nested([put("k")])))
    #expect(isDuplicate(nested([put("k")]), delete("a", "z")))
    #expect(isDuplicate(nested([delete("k")]), put("k")))
    #expect(isDuplicate(put("k"), nested([], [delete("k")])))
    // Of two nested transactions, the first may put what the second deletes.
    #expect(!isDuplicate(nested([put("k")]), nested([delete("k")])))
    #expect(isDuplicate(nested([delete("k")]), nested([put("k")])))
    #expect(isDuplicate(nested([nested([], [delete("k")])]), nested([nested([put("k")])])))
  }

  @Test("Random transactions: the same verdict as etcd's walk over sets", arguments: 0..<8)
  func againstNaive(seed: UInt64) {
    var requests = RandomRequests(seed: seed)
    let store = NaiveStore()
    var verdicts: [ClientError?: Int] = [:]
    for round in 0..<2500 {
      requests.badPercent = round % 2
      let request = requests.transaction(store, depth: 1 + round % 4)
      for operationsMax in [128, 5] {
        let expected = NaiveValidation.error(request, operationsMax: operationsMax)
        let found = request.validate(RequestLimits(maxTransactionOperations: operationsMax))
        #expect(found == expected, "seed \(seed), round \(round)")
        verdicts[found, default: 0] += 1
      }
    }
    #expect(verdicts[.duplicateKey, default: 0] > 100 && verdicts[nil as ClientError?, default: 0] > 100)
    #expect(verdicts[.tooManyOperations, default: 0] > 100)
  }

  @Test("Ten thousand operations, flat or nested in the worst ways, take no time worth mentioning")
  func cost() {
    let limits = RequestLimits(maxTransactionOperations: 100_000)
    let keys = (0..<10_000).map { put("k\($0)") }
    let deletes = (0..<10_000).map { delete("d\($0)", "d\($0)x") }
    let clock = ContinuousClock()
    let time = clock.measure {
      #expect(transaction(keys + deletes).validate(limits) == nil)
      // A chain where every level carries the operations of all levels below.
      var chain = keys + deletes
      for level in 0..<200 { chain = [put("c\(level)"), nested(chain, [put("e\(level)")])] }
      #expect(transaction(chain).validate(limits) == nil)
      // Siblings side by side, each against all before.
      let siblings = zip(keys, deletes).map { nested([$0], [$1]) }
      #expect(transaction(siblings).validate(limits) == nil)
      #expect(transaction(siblings + [put("k9999")]).validate(limits) == .duplicateKey)
    }
    #expect(time < .seconds(20), "quadratic: \(time)")
  }

  @Test("Nesting beyond what evaluation follows is refused")
  func depth() {
    let limits = RequestLimits(maxTransactionOperations: 100_000)
    var chain: [RequestOperation] = []
    for _ in 0..<RequestLimits.transactionDepthMax - 1 { chain = [nested(chain)] }
    #expect(transaction(chain).validate(limits) == nil)
    #expect(transaction([nested(chain)]).validate(limits) == .tooManyOperations)
  }

  @Test("What may be read without the log, and locally")
  func readOnly() {
    var range = RangeRequest(key: [1])
    range.serializable = true
    #expect(transaction([]).isReadOnly && transaction([]).isSerializable)
    #expect(transaction([.range(range)], [.range(range)]).isReadOnly)
    #expect(transaction([.range(range)], [.range(range)]).isSerializable)
    #expect(!transaction([.range(range)], [.range(RangeRequest(key: [1]))]).isSerializable)
    #expect(!transaction([nested([])]).isReadOnly)
    #expect(!transaction([], [put("k")]).isReadOnly)
    #expect(!transaction([.none]).isReadOnly)
  }
}
