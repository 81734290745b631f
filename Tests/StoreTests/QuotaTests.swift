import Model
import Primitives
import Store
import Testing

@Suite("Quota")
struct QuotaTests {
  /// The rules read off naively: a list of puts on each path, and the dearest path counts.
  private static func naiveCost(_ operation: RaftCommand.Operation) -> Int {
    func puts(_ operations: [RequestOperation]) -> Int {
      var sum = 0
      for operation in operations {
        if case .put(let put) = operation { sum += 256 + put.key.count + put.value.count }
        if case .transaction(let nested) = operation {
          let (success, failure) = (puts(nested.success), puts(nested.failure))
          sum += success > failure ? success : failure
        }
      }
      return sum
    }
    switch operation {
    case .put(let put): return puts([.put(put)])
    case .transaction(let request): return puts([.transaction(request)])
    case .leaseGrant: return 64
    default: return 0
    }
  }

  @Test("Cost of random commands", arguments: 0..<20 as Range<UInt64>)
  func cost(seed: UInt64) {
    var requests = RandomRequests(seed: seed)
    let model = NaiveStore()
    var dear = 0
    for _ in 0..<500 {
      let operation = requests.command(model)
      #expect(operation.quotaCost == Int64(Self.naiveCost(operation)))
      if operation.quotaCost > 0 { dear += 1 }
    }
    #expect(dear > 50)
    #expect(RaftCommand.Operation.leaseGrant(LeaseGrant(id: 1, ttl: 1)).quotaCost == 64)
  }

  @Test("A nested put costs what it costs outside (CVE-2026-33343's kind)")
  func nestedCost() {
    var inner = TransactionRequest()
    inner.failure = [.put(PutRequest(key: [1, 2], value: [3]))]
    var middle = TransactionRequest()
    middle.success = [.transaction(inner), .transaction(inner)]
    var outer = TransactionRequest()
    outer.failure = [.transaction(middle), .put(PutRequest(key: [1], value: []))]
    #expect(outer.quotaCost == 2 * 259 + 257)
  }

  @Test("Over the quota a command is executed and its client told all the same")
  func appliedAndRefused() throws {
    let harness = try MVCCHarness(quotaBytes: 1)
    let put = try harness.apply(.put(PutRequest(key: [1], value: [2])))
    #expect(put.outcome == .failure(.noSpace))
    #expect(try harness.applier.revision == 2, "executed: other members may have had room")
    let delete = try harness.apply(.deleteRange(DeleteRangeRequest(key: [1])))
    _ = try delete.outcome.get()
    #expect(delete.headerRevision == 3)
    // A command that fails by itself says why.
    var keeping = PutRequest(key: [9], value: [])
    keeping.ignoreValue = true
    #expect(try harness.apply(.put(keeping)).outcome == .failure(.keyNotFound))
    _ = try harness.apply(.compaction(CompactionRequest(revision: 3))).outcome.get()
  }

  @Test("What is applied is the same with and without a quota")
  func quotaDecidesNothingReplicated() throws {
    let (limited, free) = (try MVCCHarness(quotaBytes: 1), try MVCCHarness())
    var requests = RandomRequests(seed: 3)
    var model = NaiveStore()
    for _ in 0..<300 {
      let operation = requests.command(model)
      _ = model.apply(operation)
      _ = try limited.apply(operation)
      _ = try free.apply(operation)
    }
    try limited.commitEverything()
    try free.commitEverything()
    #expect(try limited.store.verifySetHash().stored == free.store.verifySetHash().stored)
    #expect(try limited.applier.revision == free.applier.revision)
  }

  @Test("The size grows with what is applied, before and after its commit")
  func allocatedSize() throws {
    let harness = try MVCCHarness()
    let store = try harness.store
    let empty = store.allocatedBytes
    let sizes = try store.sizes()
    #expect(empty - sizes.databaseBytes < 4096, "a new store holds no more than its pages")
    var last = empty
    for index in 0..<400 as Range<Int> {
      _ = try harness.apply(
        .put(PutRequest(key: Array("key \(index)".utf8), value: [UInt8](repeating: 7, count: 1000))))
      try harness.publish()
      #expect(store.allocatedBytes >= last + 1000)
      last = store.allocatedBytes
      if index % 90 == 50 {
        try harness.commitEverything()
        // Now it is LMDB's pages and next to nothing beside them.
        let pages = try store.sizes().databaseBytes
        #expect(store.allocatedBytes >= pages && store.allocatedBytes < pages + 4096)
        last = store.allocatedBytes
      }
    }
    #expect(!store.hasRoom(for: 256, quotaBytes: last + 256))
    #expect(store.hasRoom(for: 255, quotaBytes: last + 256))
    #expect(store.hasRoom(for: 1 << 40, quotaBytes: nil))
    #expect(store.hasRoom(for: 0, quotaBytes: 1))
    // Deleting and compacting frees pages, which stay allocated.
    _ = try harness.apply(.deleteRange(DeleteRangeRequest(key: [1], rangeEnd: [0])))
    _ = try harness.apply(.compaction(CompactionRequest(revision: harness.applier.revision)))
    try harness.commitEverything()
    let freed = try store.sizes()
    #expect(freed.databaseInUseBytes < freed.databaseBytes / 2)
    #expect(store.allocatedBytes >= freed.databaseBytes)
  }
}
