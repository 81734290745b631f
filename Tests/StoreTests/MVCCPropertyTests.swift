import Foundation
import Model
import Primitives
import Store
import Testing

/// Random commands on the store and on the naive one, with freezes, commits, compaction steps and reopened stores
/// between them: every body, revision and error has to be the same. CAIRN_PROPERTY_SEEDS sets how many seeds run.
@Suite("MVCC against the naive store")
struct MVCCPropertyTests {
  private static let seeds =
    ProcessInfo.processInfo.environment["CAIRN_PROPERTY_SEEDS"].flatMap { UInt64($0) } ?? 12

  @Test("Random commands", arguments: 0..<seeds)
  func randomCommands(seed: UInt64) throws {
    var run = try PropertyRun(seed: seed)
    for step in 0..<700 { try run.step(step) }
    try run.finish()
  }
}

private struct PropertyRun {
  let seed: UInt64
  var requests: RandomRequests
  let harness: MVCCHarness
  var model = NaiveStore()
  /// What views opened now have to show.
  var published = NaiveStore()
  var answers: [NaiveStore.Answer] = []
  /// Views kept open while the store goes on.
  var held: [(view: ReadView, model: NaiveStore)] = []

  init(seed: UInt64) throws {
    self.seed = seed
    requests = RandomRequests(seed: seed)
    harness = try MVCCHarness()
  }

  mutating func step(_ step: Int) throws {
    let operation = requests.command(model)
    if isRefused(operation, step) && requests.random.chance(7, in: 8) { return }
    let expected = model.apply(operation)
    answers.append(expected)
    try expect(harness.apply(operation), expected, "\(operation)", step)

    if requests.random.chance(1, in: 2) {
      try harness.publish()
      published = model
    }
    if requests.random.chance(1, in: 3) { try readSomething(step) }
    switch requests.below(40) {
    case 0..<4:
      // Publishes, also when it is refused.
      try harness.freeze()
      published = model
    case 4..<10: try harness.commit()
    case 10: try reopen(step)
    case 11..<14: held.append((try harness.view(), published))
    case 14..<17: if !held.isEmpty { held.remove(at: requests.below(held.count)).view.end() }
    default: break
    }
  }

  mutating func finish() throws {
    try readSomething(-1)
    try reopen(-1)
    try harness.commitEverything()
    published = model
    let view = try harness.view()
    try compareLeases(view, model, -1)
    for revision in max(0, model.compactRevision)...model.revision {
      #expect(try MVCCHarness.hash(revision, in: view) == model.hashKeyValue(revision))
    }
    for revision in stride(from: max(2, model.compactRevision), through: model.revision, by: 7) {
      var everything = RangeRequest(key: [0], rangeEnd: [0])
      everything.revision = revision
      try expect(
        MVCCHarness.range(everything, in: view), model.read(everything), "all at \(revision)", -1)
    }
  }

  /// What the API would have refused is mostly left out. The rest is applied: apply is total.
  private func isRefused(_ operation: RaftCommand.Operation, _ step: Int) -> Bool {
    let limits = RequestLimits()
    switch operation {
    case .range(let request): return request.validate(limits) != nil
    case .put(let request): return request.validate(limits) != nil
    case .deleteRange(let request): return request.validate(limits) != nil
    case .transaction(let request):
      let error = request.validate(limits)
      #expect(error == NaiveValidation.error(request, operationsMax: 128), "seed \(seed), step \(step)")
      return error != nil
    default: return false
    }
  }

  private mutating func readSomething(_ step: Int) throws {
    let view = try harness.view()
    defer { view.end() }
    #expect(view.revision == published.revision && view.compactRevision == published.compactRevision)
    for _ in 0..<3 { try read(view, published, step) }
    try compareLeases(view, published, step)
    if !held.isEmpty {
      let old = held[requests.below(held.count)]
      try read(old.view, old.model, step)
      try compareLeases(old.view, old.model, step)
    }
    if requests.random.chance(1, in: 4) {
      let revision = requests.revision(published)
      let found = try MVCCHarness.hash(revision, in: view, rows: 1 + requests.below(50))
      #expect(found == published.hashKeyValue(revision), "seed \(seed), step \(step), hash at \(revision)")
    }
  }

  private mutating func read(_ view: ReadView, _ model: NaiveStore, _ step: Int) throws {
    let range = requests.range(model)
    try expect(MVCCHarness.range(range, in: view), model.read(range), "\(range)", step)
    let transaction = requests.readOnlyTransaction(model)
    try expect(
      MVCCHarness.readOnly(transaction, in: view), model.read(transaction), "\(transaction)", step)
  }

  private func compareLeases(_ view: ReadView, _ model: NaiveStore, _ step: Int) throws {
    let found = try view.leases()
    #expect(found.map(\.id).sorted() == model.leases.keys.sorted(), "seed \(seed), step \(step)")
    #expect(found.allSatisfy { model.leases[$0.id] == $0.ttlSeconds }, "seed \(seed), step \(step)")
    for id in RandomRequests.leaseIDs {
      #expect(
        try view.keys(ofLease: id) == model.keys(ofLease: id), "seed \(seed), step \(step), lease \(id)")
      #expect(try view.hasLease(id) == (model.leases[id] != nil))
    }
  }

  private mutating func reopen(_ step: Int) throws {
    for old in held { old.view.end() }
    held = []
    let replayed = try harness.reopen()
    published = model
    for (result, answer) in zip(replayed, answers.suffix(replayed.count)) {
      try expect(result, answer, "replayed", step)
    }
    #expect(try harness.applier.revision == model.revision)
  }

  private func expect(
    _ found: ApplyResult, _ expected: NaiveStore.Answer, _ request: @autoclosure () -> String, _ step: Int
  ) throws {
    if case .success = found.outcome, found.headerRevision != expected.revision {
      Issue.record("seed \(seed), step \(step): revision \(found.headerRevision), not \(expected.revision)")
    }
    if found.outcome == expected.outcome { return }
    Issue.record(
      """
      seed \(seed), step \(step): \(request())
      found \(describe(found.outcome))
      expected \(describe(expected.outcome))
      """)
    throw Mismatch()
  }

  private struct Mismatch: Error {}

  private func describe(_ outcome: Result<[UInt8], ClientError>) -> String {
    switch outcome {
    case .failure(let error): "\(error)"
    case .success(let body): "\(body.count) bytes \(body.prefix(400).map { String($0, radix: 16) })"
    }
  }
}
