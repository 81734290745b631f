import Disk
import Foundation
import LMDB
import Model
import Primitives
import Store
import Synchronization
import Testing

/// Defragmentation beside everything else that happens to a store.
struct EngineDefragTests {
  private let directory: EngineDirectory
  private let pointer: EnginePointer

  init() throws {
    directory = try EngineDirectory()
    pointer = EnginePointer(directory)
  }

  /// Every table has rows, and compaction has left holes.
  private func fixture(keys: Int = 300, options: StoreOptions = .edges) throws -> EngineFixture {
    let fixture = try EngineFixture(directory, options: options)
    for key in 0..<keys {
      let value = String(repeating: "v", count: key % 97 + (key % 50 == 0 ? 9000 : 0))
      try fixture.put("key\(key)", value)
      try fixture.put("key\(key)", value + "+")
    }
    let long = [UInt8](repeating: 0x6c, count: 481)
    try fixture.apply(.put(key: long, value: [1], lease: 7), .put(key: long + long, value: [2], lease: 0))
    for table in [Table.lease, .leasekey, .auth, .user, .role, .member, .alarm, .meta] {
      try fixture.apply(.putRow(table, key: engineBytes("row"), value: engineBytes("\(table)")))
    }
    try fixture.commitAll()
    for key in 0..<(keys / 2) { try fixture.delete("key\(key)") }
    try fixture.apply(.compact(fixture.applier.revision))
    try fixture.commitAll()
    return fixture
  }

  private func files() throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: directory.path).sorted()
  }

  /// Drives the work to its end.
  private func finish(_ fixture: EngineFixture) throws -> DefragmentReport? {
    var done: DefragmentReport?
    while let report = try fixture.committer.workNext(now: .max) {
      switch report {
      case .progressed: continue
      case .defragmented(let report): done = report
      case .defragmentationFailed(let error), .removalFailed(let error): throw error
      case .scrubbed, .scrubFailed, .damaged: Issue.record("the scrub is off")
      }
    }
    return done
  }

  @Test func fileShrinksAndContentIsEqual() throws {
    let fixture = try fixture(keys: 1200)
    let rows = try fixture.committedRows()
    let sizes = try fixture.store.sizes()
    try fixture.committer.startDefragment(pointer.plan(), now: 0)
    let report = try #require(try finish(fixture))
    let after = try fixture.store.sizes()
    #expect(after.databaseBytes * 2 < sizes.databaseBytes)
    // Nothing is free in a file that was just written, but for the trees' upper pages.
    #expect(after.databaseBytes - after.databaseInUseBytes < 32 * 4096)
    #expect(report.bytesBefore == sizes.databaseBytes && report.bytesAfter == after.databaseBytes)
    #expect(report.rows == rows.count - 1)
    #expect(try equal(fixture.committedRows(), rows))
    let hashes = try fixture.store.verifySetHash()
    #expect(hashes.stored == hashes.computed)
    try fixture.put("later", "value")
    try fixture.commitAll()
    #expect(try fixture.store.view().latest(engineBytes("later")) != nil)
    // The old file goes when its last reader has gone.
    try fixture.applier.followFile()
    #expect(try finish(fixture) == nil)
    #expect(try files() == ["db-2", "db-2-lock"])
  }

  private func equal(_ a: [(Table, [UInt8], [UInt8])], _ b: [(Table, [UInt8], [UInt8])]) -> Bool {
    a.count == b.count && zip(a, b).allSatisfy { $0.0 == $1.0 && $0.1 == $1.1 && $0.2 == $1.2 }
  }

  /// etcd went on writing into a file that had been replaced.
  @Test func whatComesAfterTheSwitchIsInTheNewFile_20271() throws {
    do {
      let fixture = try fixture()
      let export = try fixture.store.export(fileGrowthBytesMax: .max)
      try fixture.committer.startDefragment(pointer.plan(), now: 0)
      while fixture.committer.isDefragmenting {
        try fixture.put("key7", "during")
        _ = try fixture.committer.workNext(now: .max)
      }
      // Applied before the switch, committed after it; and one more.
      try fixture.commitAll()
      try fixture.put("key8", "after")
      try fixture.commitAll()
      export.end()
    }
    let store = try Store.open(path: pointer.path, options: .edges, identity: .test)
    for (key, value) in [("key7", "during"), ("key8", "after")] {
      let row = try #require(try store.view().latest(engineBytes(key)))
      #expect(Array(row.keyValue).count > value.utf8.count && !row.version.isTombstone)
    }
    let hashes = try store.verifySetHash()
    #expect(hashes.stored == hashes.computed)
  }

  @Test func viewsTakenBeforeGoOnWithTheOldFile() throws {
    let fixture = try fixture()
    let before = try fixture.store.view().keyValues()
    var old: ReadView? = try fixture.store.view()
    let export = try fixture.store.export(fileGrowthBytesMax: .max)
    try fixture.committer.startDefragment(pointer.plan(), now: 0)
    #expect(try finish(fixture) != nil)
    try fixture.put("key200", "new")
    try fixture.commitAll()
    #expect(try old?.keyValues() == before)
    #expect(try files().contains("db"))
    var rows = 0
    try export.forEachRow { _, _, _ in
      rows += 1
      return .next
    }
    #expect(rows > 300)
    // A renewed view is one of the new file.
    try old?.renew()
    #expect(try old?.keyValues() == fixture.store.view().keyValues())
    export.end()
    old = nil
    try withExtendedLifetime(export) { _ = try finish(fixture) }
    #expect(try files().contains("db"))
  }

  @Test func anExportThatHasEndedLetsTheOldFileGo() throws {
    let fixture = try fixture()
    var export: Export? = try fixture.store.export(fileGrowthBytesMax: .max)
    #expect(export?.revision == fixture.applier.revision)
    try fixture.committer.startDefragment(pointer.plan(), now: 0)
    #expect(try finish(fixture) != nil)
    try fixture.applier.followFile()
    #expect(try finish(fixture) == nil)
    #expect(try files().contains("db"))
    export = nil
    #expect(try finish(fixture) == nil)
    #expect(try !files().contains("db"))
  }

  // MARK: crashes

  /// A copy of all files after each step, also between the steps of the switch itself, opens as what was
  /// committed by then; the writer goes on meanwhile.
  @Test(arguments: 0..<(isDebug ? 2 : 10) as Range<UInt64>)
  func crashAtAnyStepRecoversOldOrNew_14685(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    var options = StoreOptions.edges
    options.defragmentStepBytes = 1500
    let fixture = try fixture(keys: 60, options: options)
    let crashes = CrashCopies(directory, pointer)
    let plan = pointer.plan(
      before: { crashes.take("before the switch") }, after: { crashes.take("after the switch") })
    try fixture.committer.startDefragment(plan, now: 0)
    crashes.take("started")
    var isDone = false
    while !isDone {
      for _ in 0..<Int.random(in: 0...4, using: &random) {
        try fixture.put("key\(Int.random(in: 0..<90, using: &random))", "value \(random.next())")
        if random.chance(1, in: 12) { try fixture.apply(.compact(fixture.applier.revision)) }
      }
      if random.chance(1, in: 2), try fixture.applier.freeze() { _ = try fixture.committer.commitNext() }
      crashes.expected.withLock { $0 = Result { try Self.committed(fixture.store) } }
      crashes.take("between")
      let report = try fixture.committer.workNext(now: .max)
      if case .defragmented = report { isDone = true } else { #expect(report == .progressed) }
      crashes.take("slice")
    }
    try fixture.applier.followFile()
    while try fixture.committer.workNext(now: .max) != nil { crashes.take("removal") }
    #expect(crashes.problems.withLock { $0 } == [])
    #expect(crashes.taken.withLock { $0 } > 20)
  }

  /// Copies of a directory as a crash of the process would leave it, each opened at once.
  private final class CrashCopies: Sendable {
    let expected = Mutex<Result<[String], any Error>>(.success([]))
    let problems = Mutex<[String]>([])
    let taken = Mutex(0)
    private let directory: EngineDirectory
    private let pointer: EnginePointer

    init(_ directory: EngineDirectory, _ pointer: EnginePointer) {
      self.directory = directory
      self.pointer = pointer
    }

    func take(_ moment: String) {
      taken.withLock { $0 += 1 }
      guard case .success(let rows) = expected.withLock({ $0 }), !rows.isEmpty else { return }
      do {
        let copy = try EngineDirectory()
        let name = URL(fileURLWithPath: pointer.path).lastPathComponent
        try FileManager.default.copyItem(atPath: pointer.path, toPath: "\(copy.path)/\(name)")
        let store = try Store.open(path: "\(copy.path)/\(name)", options: .edges, identity: .test)
        let found = try EngineDefragTests.committed(store)
        if found != rows { problems.withLock { $0.append("\(moment): other rows") } }
      } catch {
        problems.withLock { $0.append("\(moment): \(error)") }
      }
    }
  }

  /// What is durable: the boundary and every row.
  private static func committed(_ store: Store) throws -> [String] {
    let export = try store.export(fileGrowthBytesMax: .max)
    var rows = ["\(export.appliedIndex) \(export.revision) \(export.setHash)"]
    try export.forEachRow { table, key, value in
      rows.append("\(table) \(engineHex(Array(key))) \(engineHex(Array(value)))")
      return .next
    }
    return rows
  }

  /// A file that was never finished is no store, and what lies in the way of the next attempt is removed.
  @Test func anUnfinishedFileIsRefusedAndRemoved() throws {
    let fixture = try fixture()
    let plan = pointer.plan()
    try fixture.committer.startDefragment(plan, now: 0)
    for _ in 0..<20 { _ = try fixture.committer.workNext(now: .max) }
    let copy = try EngineDirectory()
    try FileManager.default.copyItem(atPath: plan.path, toPath: copy.file)
    #expect(throws: StoreError.self) { try Store.open(path: copy.file, options: .edges, identity: nil) }
    fixture.committer.cancelWork()
    #expect(try files() == ["db", "db-lock"])
    try Data([1, 2, 3]).write(to: URL(fileURLWithPath: plan.path))
    try fixture.committer.startDefragment(plan, now: 0)
    #expect(try finish(fixture) != nil)
  }

  // MARK: failures

  private func expectFailureLeavesTheOldFile(
    _ fixture: EngineFixture, _ rows: [(Table, [UInt8], [UInt8])], _ isExpected: (StoreError) -> Bool
  ) throws {
    var failure: StoreError?
    while let report = try fixture.committer.workNext(now: .max) {
      if case .defragmentationFailed(let error) = report { failure = error }
      if case .defragmented = report { Issue.record("it should have failed") }
    }
    #expect(failure.map(isExpected) == true, "\(String(describing: failure))")
    #expect(try files() == ["db", "db-lock"])
    #expect(try equal(fixture.committedRows(), rows))
    try fixture.put("still", "alive")
    try fixture.commitAll()
    #expect(try fixture.store.view().latest(engineBytes("still")) != nil)
    let hashes = try fixture.store.verifySetHash()
    #expect(hashes.stored == hashes.computed)
  }

  @Test func refusedSwitchLeavesTheOldFile() throws {
    let fixture = try fixture()
    let rows = try fixture.committedRows()
    let error = DiskError(.write, "CURRENT.new", .noSpace)
    try fixture.committer.startDefragment(
      pointer.plan(before: { () throws(AdoptionError) in throw .refused(error) }), now: 0)
    try expectFailureLeavesTheOldFile(fixture, rows) {
      $0 == .file("CURRENT.new", operation: "write", errno: 28)
    }
    try fixture.committer.startDefragment(pointer.plan(), now: 0)
    #expect(try finish(fixture) != nil)
    #expect(try fixture.store.view().latest(engineBytes("still")) != nil)
  }

  @Test func aSwitchOfUnknownOutcomeStopsTheStore() throws {
    let fixture = try fixture()
    let plan = pointer.plan(after: { () throws(AdoptionError) in
      throw .unknown(DiskError(.syncDirectory, "member", .inputOutput))
    })
    try fixture.committer.startDefragment(plan, now: 0)
    #expect(throws: StoreError.self) { try self.finish(fixture) }
    #expect(throws: StoreError.self) { try fixture.store.view() }
    // Both are good.
    #expect(try files().filter { !$0.hasSuffix("lock") } == ["db", "db-2"])
  }

  /// Too little left on the disk: the copy ends before it takes what the store needs.
  @Test func theCopyLeavesTheReserveToTheStore_18810() throws {
    var options = StoreOptions.edges
    options.defragmentReserveBytes = .max
    let fixture = try fixture(options: options)
    let rows = try fixture.committedRows()
    try fixture.committer.startDefragment(pointer.plan(), now: 0)
    try expectFailureLeavesTheOldFile(fixture, rows) { error in
      if case .noSpace = error { true } else { false }
    }
  }

  /// No room in the new file itself, met by a slice or by a change that a commit makes.
  @Test(arguments: [20, 28, 36, 44, 52, 60] as [Int])
  func fullNewFileEndsTheCopy_18810(kibibytes: Int) throws {
    do { _ = try fixture(keys: 1200) }
    // LMDB maps at least what a file holds, so this limits the new file only.
    var options = StoreOptions.edges
    options.mapBytes = kibibytes << 10
    let fixture = try EngineFixture(directory, options: options)
    let rows = try fixture.committedRows()
    try fixture.committer.startDefragment(pointer.plan(), now: 0)
    try expectFailureLeavesTheOldFile(fixture, rows) { error in
      if case .noSpace = error { true } else { false }
    }
  }

  @Test func aDamagedRowEndsTheCopy() throws {
    do { _ = try fixture() }
    do {
      let environment = try rawEnvironment(directory)
      var transaction = try environment.beginWrite()
      try engineBytes("key299").withUnsafeBytes { key in
        let row = try transaction.get(environment.table(.key), key).map { Array($0) }
        var damaged = try #require(row)
        damaged[30] ^= 4
        try damaged.withUnsafeBytes { try transaction.put(environment.table(.key), key, $0) }
      }
      try transaction.commit()
    }
    let fixture = try EngineFixture(directory)
    try fixture.committer.startDefragment(pointer.plan(), now: 0)
    var failure: StoreError?
    while let report = try fixture.committer.workNext(now: .max) {
      if case .defragmentationFailed(let error) = report { failure = error }
    }
    guard case .corrupt(_, .key, engineBytes("key299"), _) = failure else {
      Issue.record("\(String(describing: failure))")
      return
    }
    #expect(try files() == ["db", "db-lock"])
  }

  /// The same, with changes of commits filling the new file between the slices.
  @Test(arguments: [100, 180, 220, 250] as [Int])
  func newFileFilledByCommitsEndsTheCopy_18810(kibibytes: Int) throws {
    do { _ = try fixture(keys: 1200) }
    var options = StoreOptions.edges
    options.mapBytes = kibibytes << 10
    let fixture = try EngineFixture(directory, options: options)
    try fixture.committer.startDefragment(pointer.plan(), now: 0)
    var failure: StoreError?
    var number = 0
    while failure == nil, number < 20_000, fixture.committer.isDefragmenting {
      for _ in 0..<10 {
        number += 1
        try fixture.put("key\(number * 7919 % 600)", String(repeating: "n", count: 300))
      }
      try fixture.apply(.compact(fixture.applier.revision))
      try fixture.commitAll()
      if case .defragmentationFailed(let error) = try fixture.committer.workNext(now: .max) {
        failure = error
      }
    }
    guard case .noSpace = failure else {
      Issue.record("\(String(describing: failure))")
      return
    }
    #expect(try files() == ["db", "db-lock"])
    let hashes = try fixture.store.verifySetHash()
    #expect(hashes.stored == hashes.computed)
  }

  /// Slices are paced by the rate.
  @Test func slicesAreDueByTheRate() throws {
    var options = StoreOptions.edges
    options.defragmentBytesPerSecond = 1_000_000
    let fixture = try fixture(options: options)
    try fixture.committer.startDefragment(pointer.plan(), now: 5_000)
    #expect(fixture.committer.nextWork == 5_000)
    #expect(try fixture.committer.workNext(now: 5_000) == .progressed)
    let due = fixture.committer.nextWork
    #expect(due >= 5_000 + 700_000)
    #expect(try fixture.committer.workNext(now: due - 1) == nil)
    #expect(try fixture.committer.workNext(now: due) == .progressed)
  }
}

private var isDebug: Bool {
  #if DEBUG
    true
  #else
    false
  #endif
}
