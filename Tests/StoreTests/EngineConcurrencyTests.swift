import Foundation
import Model
import Store
import Synchronization
import Testing

/// Real threads: one applies, one commits, several read.
struct EngineConcurrencyTests {
  private static let pairs = 40

  /// Each entry writes two keys of a pair alike, and counts in `total`. Whatever instant a view shows, the
  /// pairs agree, each is there once, and the history up to it has no gap.
  private final class Run: Sendable {
    let store: Store
    let isDone = Atomic<Bool>(false)
    let reads = Atomic<Int>(0)
    let failures = Mutex<[String]>([])

    init(_ store: Store) { self.store = store }

    func fail(_ text: String) {
      failures.withLock { $0.append(text) }
      isDone.store(true, ordering: .relaxed)
    }

    func run(_ body: @escaping @Sendable (Run) throws -> Void) -> Thread {
      let thread = Thread {
        do { try body(self) } catch { self.fail("\(error)") }
      }
      thread.start()
      return thread
    }
  }

  @Test func readersAgreeWithEveryInstant() throws {
    let directory = try EngineDirectory()
    var options = StoreOptions.edges
    options.compactionBatchRows = 64
    let store = try Store.open(path: directory.file, options: options, identity: .test)
    let applier = try store.makeApplier()
    let committer = try store.makeCommitter()
    let run = Run(store)
    #if DEBUG
      let entries: UInt64 = 3000
    #else
      let entries: UInt64 = 30_000
    #endif
    let writing = run.run { run in
      for index in 1...entries {
        try Self.entry(index).apply(to: applier, index: index)
        if index % 3 == 0 { applier.publish() }
        // As often as commits allow, so that many views are taken while one ends.
        if index % 3 == 0 { _ = try applier.freeze() }
        if run.isDone.load(ordering: .relaxed) { return }
      }
      applier.publish()
      run.isDone.store(true, ordering: .relaxed)
    }
    let committing = run.run { run in
      while !run.isDone.load(ordering: .relaxed) {
        if try committer.commitNext() == nil { sched_yield() }
      }
    }
    let readers = [
      run.run { run in try Self.read(run) }, run.run { run in try Self.read(run) },
      run.run { run in try Self.readTheEnd(run) },
    ]
    for thread in [writing, committing] + readers { while !thread.isFinished { usleep(500) } }
    #expect(run.failures.withLock { $0 }.isEmpty)
    #expect(run.reads.load(ordering: .relaxed) > 20)
    #expect(try store.view().revision == Int64(entries) + 1)
  }

  private static func entry(_ index: UInt64) -> EngineEntry {
    let pair = Int(index) % pairs
    let value = engineBytes("\(index)")
    var entry = EngineEntry(changes: [
      .put(key: engineBytes("a\(pair)"), value: value, lease: 0),
      .put(key: engineBytes("b\(pair)"), value: value, lease: 0),
      .putRow(.alarm, key: engineBytes("last"), value: value),
    ])
    if index % 400 == 0 { entry.changes.append(.compact(Int64(index) - 100)) }
    return entry
  }

  private static func read(_ run: Run) throws {
    var lastRevision: Int64 = 0
    var lastIndex: UInt64 = 0
    let view = try run.store.view()
    while !run.isDone.load(ordering: .relaxed) {
      try view.renew()
      run.reads.add(1, ordering: .relaxed)
      guard view.revision >= lastRevision, view.appliedIndex >= lastIndex else {
        return run.fail("a view went back")
      }
      lastRevision = view.revision
      lastIndex = view.appliedIndex
      let last = try view.value(table: .alarm, key: engineBytes("last")) ?? engineBytes("0")
      guard String(decoding: last, as: UTF8.self) == "\(view.appliedIndex)" else {
        return run.fail("another table is not at the view's entry")
      }
      var values: [String: [UInt8]] = [:]
      try view.scan(from: [], to: .unbounded, at: .max) { row in
        values[String(decoding: row.key, as: UTF8.self)] = Array(row.keyValue.suffix(3))
        return .next
      }
      let expected = min(Int(view.appliedIndex), pairs)
      guard values.count == 2 * expected else { return run.fail("\(values.count) keys of \(2 * expected)") }
      for (name, value) in values where name.hasPrefix("a") {
        guard values["b" + name.dropFirst()] == value else { return run.fail("a torn entry") }
      }
      try readHistory(view, run)
    }
  }

  /// Little work between two views, so that many are taken in the instant between a commit in LMDB and the
  /// drop of its generation, when both hold the same rows: none may appear twice.
  private static func readTheEnd(_ run: Run) throws {
    let view = try run.store.view()
    while !run.isDone.load(ordering: .relaxed) {
      try view.renew()
      let from = max(view.revision - 8, 2)
      var rows: Int64 = 0
      try view.rows(from: Revision(main: from, sub: 0), through: .max) { _, _ in
        rows += 1
        return .next
      }
      let expected = 2 * (view.revision - from + 1)
      if rows != expected { run.fail("\(rows) rows of \(expected) from \(from) to \(view.revision)") }
    }
  }

  private static func readHistory(_ view: ReadView, _ run: Run) throws {
    let from = max(view.compactRevision + 1, view.revision - 200, 2)
    var next = Revision(main: from, sub: 0)
    try view.rows(from: next, through: .max) { revision, row in
      guard revision == next, row.version.mod == revision else {
        run.fail("history at \(revision), expected \(next)")
        return .stop
      }
      next =
        revision.sub == 0 ? Revision(main: revision.main, sub: 1) : Revision(main: revision.main + 1, sub: 0)
      return .next
    }
    if next.main != view.revision + 1 { run.fail("history ends at \(next), the view at \(view.revision)") }
    // At an older revision each pair was whole as well.
    let at = max(view.compactRevision, view.revision - 50, 1)
    let count = try view.count(from: [], to: .unbounded, at: at)
    if count != Int64(2 * min(Int(at) - 1, pairs)) { run.fail("\(count) keys at \(at)") }
  }
}
