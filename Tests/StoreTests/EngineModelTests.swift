import Foundation
import Model
import Primitives
import Store
import Testing

/// Random lives of a store against the naive form: puts, deletes, several changes of a key in one entry,
/// other tables, compactions, freezes, commits in single steps, defragmentations and scrubs in single slices, crashes with
/// replay, and views that stay open meanwhile.
struct EngineModelTests {
  #if DEBUG
    static let seeds: Range<UInt64> = 0..<6
    static let steps = 400
  #else
    static let seeds: Range<UInt64> = 0..<60
    static let steps = 1500
  #endif

  @Test(arguments: seeds)
  func randomLife(seed: UInt64) throws {
    var life = try EngineLife(seed: seed)
    for _ in 0..<Self.steps { try life.step() }
    try life.finish()
  }
}

/// One store and its naive twin.
private struct EngineLife {
  private struct Held {
    var view: ReadView
    var naive: NaiveEngine
  }

  private let directory: EngineDirectory
  private let pointer: EnginePointer
  private var random: SeededRandom
  private let options: StoreOptions
  private var store: Store
  private var applier: Applier
  private var committer: Committer
  private var log: [EngineEntry] = []
  private var naive = NaiveEngine()
  /// The naive state as of the last publish.
  private var published = NaiveEngine()
  private var held: [Held] = []
  private var keys: [[UInt8]]
  private var reopenings = 0
  private var defragmentations = 0

  init(seed: UInt64) throws {
    directory = try EngineDirectory()
    pointer = EnginePointer(directory)
    random = SeededRandom(seed: seed)
    var options = StoreOptions.edges
    options.compactionBatchRows = Int.random(in: 1...40, using: &random)
    options.defragmentStepBytes = Int.random(in: 1...2000, using: &random)
    var scrub = ScrubOptions()
    scrub.sliceBytes = Int.random(in: 1...20_000, using: &random)
    scrub.firstPauseNanoseconds = 0
    scrub.pauseNanoseconds = 0
    options.scrub = scrub
    options.inlineBytesMax = [0, 48, 512].randomElement(using: &random) ?? 0
    self.options = options
    keys = (0..<Int.random(in: 3...60, using: &random)).map { engineBytes("k\($0)") }
    // A few that LMDB cannot hold in one key, some of them neighbours.
    let long = [UInt8](repeating: 0x6b, count: 480)
    keys += [long, long + [0], long + [1], long + long, long + long + [7], Array(long.dropLast())]
    store = try Store.open(path: pointer.path, options: options, identity: .test)
    applier = try store.makeApplier()
    committer = try store.makeCommitter()
  }

  mutating func step() throws {
    switch Int.random(in: 0..<100, using: &random) {
    case 0..<55: try applyEntry()
    case 55..<65: publish()
    case 65..<72: _ = try freeze()
    case 72..<76: try commit()
    case 76..<80: try work()
    case 80..<81: try reopen()
    case 81..<84: try compact()
    case 84..<88: try hold()
    case 88..<92: try checkHeld()
    default: try check(store.view(), published)
    }
  }

  mutating func finish() throws {
    try checkHeld()
    held = []
    while try !freeze() { try commit() }
    while try committer.commitNext() != nil {}
    if !committer.isDefragmenting { try committer.startDefragment(pointer.plan(), now: 0) }
    while committer.isDefragmenting { try work() }
    try checkRows(store.view(), naive)
    #expect(try store.recovery.revision <= store.view().revision)
    try reopen()
    #expect(store.recovery.appliedIndex == naive.appliedIndex)
    #expect(store.recovery.revision == naive.revision)
    #expect(store.recovery.finishedCompactRevision == naive.compactRevision)
    try check(store.view(), naive)
    #expect(reopenings > 0 && defragmentations > 0)
  }

  // MARK: steps

  private mutating func randomKey() -> [UInt8] { keys.randomElement(using: &random) ?? [1] }

  private mutating func applyEntry() throws {
    var entry = EngineEntry(changes: [])
    var isLive: [[UInt8]: Bool] = [:]
    for _ in 0..<Int.random(in: 1...4, using: &random) {
      let key = randomKey()
      let live = isLive[key] ?? naive.isLive(key)
      if live, random.chance(1, in: 3) {
        entry.changes.append(.delete(key: key))
        isLive[key] = false
      } else {
        let value = [UInt8](
          repeating: UInt8.random(in: 0...255, using: &random),
          count: random.chance(1, in: 20)
            ? Int.random(in: 0...20_000, using: &random) : Int.random(in: 0...80, using: &random))
        let lease = random.chance(1, in: 5) ? Int64.random(in: -3...9, using: &random) : 0
        entry.changes.append(.put(key: key, value: value, lease: lease))
        isLive[key] = true
      }
    }
    if random.chance(1, in: 4) {
      let table: Table = [.lease, .member, .alarm].randomElement(using: &random) ?? .auth
      let key = engineBytes("row\(Int.random(in: 0..<12, using: &random))")
      entry.changes.append(
        random.chance(1, in: 3)
          ? .deleteRow(table, key: key) : .putRow(table, key: key, value: engineBytes("at \(log.count)")))
    }
    try append(entry)
  }

  private mutating func append(_ entry: EngineEntry) throws {
    log.append(entry)
    naive.apply(entry)
    try entry.apply(to: applier, index: UInt64(log.count))
  }

  private mutating func publish() {
    applier.publish()
    published = naive
  }

  private mutating func freeze() throws -> Bool {
    published = naive
    return try applier.freeze()
  }

  private mutating func commit() throws {
    guard try committer.commitNext() != nil else { return }
    let hashes = try store.verifySetHash()
    #expect(hashes.stored == hashes.computed)
  }

  private mutating func work() throws {
    if !committer.isDefragmenting, random.chance(1, in: 4) {
      try committer.startDefragment(pointer.plan(), now: 0)
    }
    guard let report = try committer.workNext(now: .max) else { return }
    switch report {
    case .progressed: break
    case .defragmented: defragmentations += 1
    case .scrubbed(let report): #expect(report.damages == 0)
    case .damaged, .scrubFailed, .defragmentationFailed, .removalFailed: Issue.record("\(report)")
    }
    // Not always, so that an idle applier goes on with the old file for a while.
    if random.chance(1, in: 2) { try applier.followFile() }
    let hashes = try store.verifySetHash()
    #expect(hashes.stored == hashes.computed)
  }

  private mutating func compact() throws {
    let low = max(naive.compactRevision + 1, 1)
    guard low <= naive.revision else { return }
    let revision = Int64.random(in: low...naive.revision, using: &random)
    try append(EngineEntry(changes: [.compact(revision)]))
  }

  /// A crash: everything that was not committed is gone, and the log replays it.
  private mutating func reopen() throws {
    reopenings += 1
    held = []
    let durable = try store.export(fileGrowthBytesMax: 0).appliedIndex
    try Self.close(&store, &applier, &committer, pointer.path, options)
    #expect(store.recovery.appliedIndex == durable)
    for index in Int(durable)..<log.count {
      try log[index].apply(to: applier, index: UInt64(index + 1))
    }
    publish()
    try check(store.view(), published)
  }

  private static func close(
    _ store: inout Store, _ applier: inout Applier, _ committer: inout Committer,
    _ path: String, _ options: StoreOptions
  ) throws {
    // The old ones must be gone before the file can be opened again; a spare store takes their places.
    let spare = try EngineDirectory()
    store = try Store.open(path: spare.file, options: options, identity: .test)
    applier = try store.makeApplier()
    committer = try store.makeCommitter()
    store = try Store.open(path: path, options: options, identity: .test)
    applier = try store.makeApplier()
    committer = try store.makeCommitter()
  }

  private mutating func hold() throws {
    guard held.count < 6 else { return held.removeAll() }
    held.append(Held(view: try store.view(), naive: published))
  }

  // MARK: checks

  private mutating func checkHeld() throws {
    for held in held { try check(held.view, held.naive) }
    if let last = held.last, random.chance(1, in: 2) {
      try last.view.renew()
      held[held.count - 1].naive = published
      try check(last.view, published)
    }
  }

  private mutating func check(_ view: ReadView, _ naive: NaiveEngine) throws {
    #expect(view.revision == naive.revision)
    #expect(view.appliedIndex == naive.appliedIndex)
    #expect(view.compactRevision == naive.compactRevision)
    let low = max(naive.compactRevision, 0)
    let at = Int64.random(in: low...(naive.revision + 1), using: &random)
    for _ in 0..<5 {
      let key = randomKey()
      try checkLatest(view, naive, key, at: at)
      try checkLatest(view, naive, key, at: .max)
    }
    let from = random.chance(1, in: 3) ? [] : randomKey()
    let to: KeyBound = random.chance(1, in: 3) ? .unbounded : .before(randomKey())
    let expected = naive.range(from: from, to: to, at: at)
    let found = try view.keyValues(from: from, to: to, at: at)
    #expect(found == expected.map { engineKeyValue($0) })
    #expect(try view.count(from: from, to: to, at: at) == Int64(expected.count))
    try checkMetadata(view, expected, from: from, to: to, at: at)
    for table in [Table.lease, .member, .alarm] {
      var rows: [[UInt8]: [UInt8]] = [:]
      try view.tableRows(table, from: [], to: .unbounded) { key, value in
        rows[Array(key)] = Array(value)
        return .next
      }
      #expect(rows == naive.tables[table] ?? [:])
      let key = engineBytes("row\(Int.random(in: 0..<12, using: &random))")
      #expect(try view.value(table: table, key: key) == naive.tables[table]?[key])
    }
  }

  private func checkLatest(_ view: ReadView, _ naive: NaiveEngine, _ key: [UInt8], at: Int64) throws {
    let row = try view.latest(key, at: at)
    guard let expected = naive.version(key, at: at) else {
      #expect(row == nil)
      return
    }
    guard let keyValue = expected.keyValue else {
      // A tombstone below the compaction may be gone.
      if let row {
        #expect(row.version.isTombstone && row.version.mod == expected.revision)
        #expect(Array(row.keyValue) == engineKeyValue(KeyValue(key: key)))
      } else {
        #expect(expected.revision.main < naive.compactRevision)
      }
      return
    }
    let found = try #require(row)
    #expect(Array(found.keyValue) == engineKeyValue(keyValue))
    #expect(Array(found.key) == key)
    #expect(found.version.mod == expected.revision && !found.version.isTombstone)
    #expect(found.version.create == keyValue.createRevision && found.version.version == keyValue.version)
    #expect(found.version.lease == keyValue.lease)
  }

  private func checkMetadata(
    _ view: ReadView, _ expected: [KeyValue], from: [UInt8], to: KeyBound, at: Int64
  ) throws {
    var index = 0
    try view.scan(from: from, to: to, at: at, content: .metadata) { row in
      guard index < expected.count else {
        Issue.record("a row too many")
        return .stop
      }
      let keyValue = expected[index]
      #expect(Array(row.key) == keyValue.key && row.version.mod.main == keyValue.modRevision)
      #expect(row.version.create == keyValue.createRevision && row.version.version == keyValue.version)
      index += 1
      return .next
    }
    #expect(index == expected.count)
  }

  /// Compaction has finished: exactly the rows of the rule are left.
  private func checkRows(_ view: ReadView, _ naive: NaiveEngine) throws {
    var rows: [(Revision, [UInt8])] = []
    try view.rows(from: Revision(main: 0, sub: 0), through: .max) { revision, row in
      rows.append((revision, Array(row.key)))
      return .next
    }
    let expected = naive.rowsKept()
    #expect(rows.map(\.0) == expected.map(\.0))
    #expect(rows.map(\.1) == expected.map(\.1))
  }
}
