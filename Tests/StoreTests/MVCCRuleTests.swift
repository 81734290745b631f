import Model
import Primitives
import Store
import Testing

/// The rules of the store that show in MVCC, each where the naive reading of it goes wrong.
@Suite("MVCC rules")
struct MVCCRuleTests {
  /// A key put and deleted at one main revision, and deleted and put again at one: each takes two rows.
  private static let commands: [RaftCommand.Operation] = [
    put("a", "1"),
    put("k", "1"),
    transaction([nested([put("k", "2")]), nested([delete("k", "l")])]),
    put("k", "3"),
    transaction([delete("\0", "\0"), put("k", "4")]),
    put("k", "5"),
    delete("k"),
    transaction([nested([put("k", "6")]), nested([delete("k")])]),
    put("a", "2"),
    put("k", "7"),
  ].map(operation)

  @Test("Two rows of a key at one main revision, wherever commits and compactions fall")
  func twoRowsAtOneRevision() throws {
    for split in 0...Self.commands.count {
      for compaction in [nil] + (2...11).map({ Int64($0) }) {
        let harness = try MVCCHarness()
        var model = NaiveStore()
        for (index, command) in Self.commands.enumerated() {
          if index == split { try harness.commitEverything() }
          let expected = model.apply(command)
          let found = try harness.apply(command)
          #expect(found.outcome == expected.outcome && found.headerRevision == expected.revision)
        }
        if let compaction {
          let command = RaftCommand.Operation.compaction(CompactionRequest(revision: compaction))
          #expect(try harness.apply(command).outcome == model.apply(command).outcome)
        }
        for isCommitted in [false, true] {
          if isCommitted { try harness.commitEverything() }
          try harness.publish()
          try expectEqual(harness, model, "split \(split), compaction \(compaction ?? 0), \(isCommitted)")
        }
      }
    }
  }

  @Test("Hashes do not depend on where rows lie, nor on how far a compaction has come")
  func hashesAreStable() throws {
    var options = StoreOptions.tiny
    options.compactionBatchRows = 1
    let harness = try MVCCHarness(options: options)
    var model = NaiveStore()
    var requests = RandomRequests(seed: 77)
    requests.badPercent = 0
    for index in 0..<120 {
      var operation = requests.command(model)
      if case .compaction = operation { operation = .put(requests.put(model)) }
      _ = model.apply(operation)
      _ = try harness.apply(operation)
      // Rows end up in the file, in the frozen generation and in the filling one.
      if index == 50 { try harness.commitEverything() }
      if index == 90 { try harness.freeze() }
    }
    let before = try hashes(harness, model)
    try harness.commitEverything()
    #expect(try hashes(harness, model) == before)

    for revision in [model.revision / 2, model.revision - 3, model.revision] {
      let compaction = RaftCommand.Operation.compaction(CompactionRequest(revision: revision))
      _ = model.apply(compaction)
      _ = try harness.apply(compaction)
      let scheduled = try hashes(harness, model)
      #expect(scheduled != before)
      #expect(try harness.freeze())
      var steps = 0
      while try harness.commit() != nil {
        #expect(try hashes(harness, model) == scheduled, "compaction at \(revision), step \(steps)")
        steps += 1
      }
      #expect(steps >= 2, "compaction in one step: nothing was tested")
    }
  }

  /// HashKV at every readable revision, equal to the naive store's, and Hash.
  private func hashes(_ harness: MVCCHarness, _ model: NaiveStore) throws -> [UInt32] {
    try harness.publish()
    let view = try harness.view()
    defer { view.end() }
    var hashes = [try MVCCHarness.finish(.startOfWhole(in: view), rows: 7)]
    for revision in max(1, model.compactRevision)...model.revision {
      let hash = try MVCCHarness.hash(revision, in: view)
      #expect(hash == model.hashKeyValue(revision))
      hashes.append(try hash.get())
    }
    return hashes
  }

  @Test("Counts of cut ranges at old revisions, over keys deleted, created anew and changed since")
  func counts() throws {
    let harness = try MVCCHarness()
    var model = NaiveStore()
    func run(_ operation: RequestOperation) throws {
      let command = Self.operation(operation)
      _ = model.apply(command)
      _ = try harness.apply(command)
    }
    for key in ["a", "b", "c", "d", "e"] { try run(Self.put(key, "1")) }
    try run(Self.put("a", "2"))
    try run(Self.delete("b"))
    try run(Self.delete("c"))
    try run(Self.put("c", "2"))
    try run(Self.put("c", "3"))
    try run(Self.delete("d"))
    try run(Self.put("d", "2"))
    try run(Self.delete("d"))
    try run(Self.put("f", "1"))
    for isCommitted in [false, true] {
      if isCommitted { try harness.commitEverything() }
      try harness.publish()
      let view = try harness.view()
      defer { view.end() }
      for revision in 1...model.revision {
        for limit in 0...6 {
          var request = RangeRequest(key: [0x61], rangeEnd: [0])
          request.revision = revision
          request.limit = Int64(limit)
          let whole = try MVCCHarness.range(request, in: view)
          #expect(whole.outcome == model.read(request).outcome, "revision \(revision), limit \(limit)")
          request.countOnly = true
          let count = try MVCCHarness.range(request, in: view)
          #expect(count.outcome == model.read(request).outcome, "revision \(revision), limit \(limit)")
        }
      }
    }
  }

  @Test("A stream's chunks put together are the answer at its revision, whatever is written meanwhile")
  func streams() throws {
    let harness = try MVCCHarness()
    var model = NaiveStore()
    var requests = RandomRequests(seed: 5)
    requests.badPercent = 0
    var chunks = 0
    for round in 0..<150 {
      for _ in 0..<4 {
        var operation = requests.command(model)
        if case .compaction = operation { operation = .put(requests.put(model)) }
        _ = model.apply(operation)
        _ = try harness.apply(operation)
      }
      try harness.publish()
      var request = RangeRequest(key: [0x61], rangeEnd: [0])
      request.limit = requests.pick([0, 0, 3, 10, 15, 21])
      request.keysOnly = round % 5 == 0
      request.revision = requests.pick([0, 0, model.revision / 2])
      let expected = model.read(request)
      var stream = RangeStream(request, targetBytes: requests.pick([1, 200, 100_000]))
      var body = ProtoWriter()
      var step = RangeStream.Step.chunk
      while step == .chunk {
        let view = try harness.view()
        step = try stream.next(in: view, body: &body)
        view.end()
        chunks += 1
        let operation = RaftCommand.Operation.put(requests.put(model))
        _ = model.apply(operation)
        _ = try harness.apply(operation)
        try harness.publish()
        if requests.below(4) == 0 { try harness.commitEverything() }
      }
      #expect(step == .last(headerRevision: expected.revision))
      #expect(.success(body.bytes) == expected.outcome, "round \(round)")
    }
    #expect(chunks > 300, "too few chunks to tell")
  }

  @Test("Apply is total: commands made of damaged bytes do the same as on the naive store", arguments: 0..<4)
  func hostileCommands(seed: UInt64) throws {
    let harness = try MVCCHarness()
    var model = NaiveStore()
    var requests = RandomRequests(seed: 1000 + seed)
    requests.badPercent = 20
    var applied = 0
    for _ in 0..<600 {
      var bytes = RaftCommand(operation: requests.command(model)).encoded()
      for _ in 0..<requests.below(4) where !bytes.isEmpty {
        let at = requests.below(bytes.count)
        switch requests.below(4) {
        case 0: bytes[at] ^= 1 << UInt8(requests.below(8))
        case 1: bytes[at] = UInt8(requests.below(256))
        case 2: bytes.remove(at: at)
        default:
          bytes.insert(contentsOf: [0xff, 0xff, 0xff, 0xff, 0xff, 0x7f].prefix(requests.below(7)), at: at)
        }
      }
      guard let command = try? RaftCommand(decoding: bytes) else { continue }
      let expected = model.apply(command.operation)
      let found = try harness.apply(command.operation)
      applied += 1
      if case .clusterMemberAttributesSet = command.operation { continue }
      if case .clusterVersionSet = command.operation { continue }
      #expect(found.outcome == expected.outcome, "\(command)")
    }
    #expect(applied > 200)
    try harness.publish()
    try expectEqual(harness, model, "seed \(seed)")
  }

  private func expectEqual(_ harness: MVCCHarness, _ model: NaiveStore, _ comment: String) throws {
    let view = try harness.view()
    defer { view.end() }
    for revision in max(1, model.compactRevision)...model.revision {
      var everything = RangeRequest(key: [0], rangeEnd: [0])
      everything.revision = revision
      let found = try MVCCHarness.range(everything, in: view)
      #expect(found.outcome == model.read(everything).outcome, "\(comment), revision \(revision)")
      let hash = try MVCCHarness.hash(revision, in: view)
      #expect(hash == model.hashKeyValue(revision), "\(comment), revision \(revision)")
    }
  }

  // MARK: Requests

  private static func put(_ key: String, _ value: String) -> RequestOperation {
    .put(PutRequest(key: Array(key.utf8), value: Array(value.utf8)))
  }
  private static func delete(_ key: String, _ end: String = "") -> RequestOperation {
    .deleteRange(DeleteRangeRequest(key: Array(key.utf8), rangeEnd: Array(end.utf8)))
  }
  private static func nested(_ operations: [RequestOperation]) -> RequestOperation { transaction(operations) }
  private static func transaction(_ operations: [RequestOperation]) -> RequestOperation {
    var request = TransactionRequest()
    request.success = operations
    return .transaction(request)
  }
  private static func operation(_ operation: RequestOperation) -> RaftCommand.Operation {
    switch operation {
    case .put(let request): .put(request)
    case .deleteRange(let request): .deleteRange(request)
    case .transaction(let request): .transaction(request)
    case .range(let request): .range(request)
    case .none: .none
    }
  }
}
