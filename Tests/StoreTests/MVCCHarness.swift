import Foundation
import Model
import Primitives
import Store
import Testing

/// A store in a directory of its own, driven as a member drives it: commands are entries of a log, and a reopened
/// store gets again what its last commit did not hold.
final class MVCCHarness {
  private let directory: URL
  private let options: StoreOptions
  private let quotaBytes: Int64?
  private var open: Open?
  /// Entry `index` is at `index - 1`.
  private(set) var log: [RaftCommand.Operation] = []

  private struct Open {
    let store: Store
    var commands: CommandApplier
    let committer: Committer
  }

  init(options: StoreOptions = .tiny, quotaBytes: Int64? = nil) throws {
    self.options = options
    self.quotaBytes = quotaBytes
    directory = FileManager.default.temporaryDirectory.appendingPathComponent("cairn-mvcc-\(UUID())")
    try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    try openStore()
  }

  deinit {
    open = nil
    try? FileManager.default.removeItem(at: directory)
  }

  private func current() throws -> Open { try #require(open) }

  private func openStore() throws {
    let store = try Store.open(
      path: directory.appendingPathComponent("data").path, options: options,
      identity: StoreIdentity(clusterID: 7, memberID: 8))
    let commands = try CommandApplier(store.makeApplier(), quotaBytes: quotaBytes)
    open = Open(store: store, commands: commands, committer: try store.makeCommitter())
    recovery = store.recovery
  }

  private(set) var recovery: StoreRecovery?

  var applier: Applier { get throws { try current().commands.applier } }

  func apply(_ operation: RaftCommand.Operation) throws -> ApplyResult {
    log.append(operation)
    return try replay(log.count)
  }

  private func replay(_ index: Int) throws -> ApplyResult {
    let command = RaftCommand(id: UInt64(index), operation: log[index - 1])
    let result = try open?.commands.apply(index: UInt64(index), term: 1, command: command)
    return try #require(result)
  }

  var alarms: AlarmSet { get throws { try current().commands.alarms } }
  var store: Store { get throws { try current().store } }

  func publish() throws { try current().commands.applier.publish() }
  /// False when the generation before is still to be committed.
  @discardableResult
  func freeze() throws -> Bool { try current().commands.applier.freeze() }
  @discardableResult
  func commit() throws -> CommitReport? { try current().committer.commitNext() }
  func commitEverything() throws {
    while try !freeze() { try commit() }
    while try commit() != nil {}
  }
  func view() throws -> ReadView { try current().store.view() }

  /// Drops everything that was not committed, opens again and replays it. Views must have ended.
  func reopen() throws -> [ApplyResult] {
    open = nil
    try openStore()
    let applied = try Int(#require(recovery).appliedIndex)
    let results = try (applied..<log.count).map { try replay($0 + 1) }
    try publish()
    return results
  }
}

extension StoreOptions {
  /// Small enough that a short test meets every limit.
  static var tiny: StoreOptions {
    var options = StoreOptions()
    options.inlineBytesMax = 200
    options.generationMemoryBytesMax = 1 << 20
    options.blockBytes = 64 << 10
    options.pooledBlocksMax = 4
    options.compactionBatchRows = 16
    return options
  }
}

extension MVCCHarness {
  /// The bodies of the read paths, as `ApplyResult` for easy comparison.
  static func range(_ request: RangeRequest, in view: ReadView) throws -> ApplyResult {
    var body = ProtoWriter()
    switch try RangeEvaluator.range(request, in: view, body: &body) {
    case .success(let revision): return ApplyResult(headerRevision: revision, outcome: .success(body.bytes))
    case .failure(let error):
      #expect(body.count == 0)
      return ApplyResult(headerRevision: view.revision, outcome: .failure(error))
    }
  }

  static func readOnly(_ request: TransactionRequest, in view: ReadView) throws -> ApplyResult {
    var body = ProtoWriter()
    var ranges: UInt64 = 0
    switch try TransactionEvaluator.readOnly(request, in: view, body: &body, ranges: &ranges) {
    case .success(let revision): return ApplyResult(headerRevision: revision, outcome: .success(body.bytes))
    case .failure(let error):
      #expect(body.count == 0)
      return ApplyResult(headerRevision: view.revision, outcome: .failure(error))
    }
  }

  static func hash(_ revision: Int64, in view: ReadView, rows: Int = .max) throws -> Result<
    UInt32, ClientError
  > {
    switch try KeyValueHash.start(revision, in: view) {
    case .failure(let error): return .failure(error)
    case .success(let hash):
      #expect(hash.hashRevision == (revision == 0 ? view.revision : revision))
      #expect(hash.compactRevision == view.compactRevision)
      return .success(try finish(hash, rows: rows))
    }
  }

  static func finish(_ start: KeyValueHash, rows: Int) throws -> UInt32 {
    var hash = start
    while true {
      if case .done(let value) = try hash.advance(rows: rows) { return value }
    }
  }
}
