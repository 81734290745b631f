import Foundation
import LMDB
import Model
import Store
import Synchronization
import Testing

/// The scrub finds what lies damaged, lost or stale in the data file, and nothing where all is well.
struct EngineScrubTests {
  private let directory: EngineDirectory
  private static let long = [UInt8](repeating: 0x6c, count: 481)

  init() throws { directory = try EngineDirectory() }

  private func options(slice: Int = 500) -> StoreOptions {
    var scrub = ScrubOptions()
    scrub.sliceBytes = slice
    scrub.firstPauseNanoseconds = 0
    scrub.pauseNanoseconds = 0
    var options = StoreOptions.edges
    options.scrub = scrub
    return options
  }

  private func fill(_ fixture: EngineFixture) throws {
    for key in 0..<120 {
      try fixture.put("key\(key)", String(repeating: "v", count: key % 70 + (key == 60 ? 9000 : 0)))
      if key % 3 == 0 { try fixture.put("key\(key)", "again") }
      if key % 5 == 0 { try fixture.delete("key\(key)") }
    }
    try fixture.apply(
      .put(key: Self.long, value: [1], lease: 7), .put(key: Self.long + Self.long, value: [2], lease: 0))
    for table in [Table.lease, .leasekey, .auth, .user, .role, .member, .alarm, .meta] {
      try fixture.apply(.putRow(table, key: engineBytes("row"), value: engineBytes("\(table)")))
    }
    try fixture.apply(.compact(fixture.applier.revision / 2))
    try fixture.commitAll()
  }

  /// One whole pass: what it found.
  private func pass(_ fixture: EngineFixture) throws -> [StoreError] {
    let passes = fixture.store.scrubCounters.passes.load(ordering: .relaxed)
    var damages: [StoreError] = []
    while fixture.store.scrubCounters.passes.load(ordering: .relaxed) == passes {
      switch try fixture.committer.workNext(now: .max) {
      case .progressed: continue
      case .damaged(let found): damages += found
      case .scrubbed(let report):
        #expect(report.rows > 100)
        #expect(report.damages == damages.count)
      case .none, .scrubFailed, .defragmented, .defragmentationFailed, .removalFailed:
        Issue.record("the pass came to nothing")
        return damages
      }
    }
    return damages
  }

  /// Fills a store, damages it behind its back, and returns what a pass over it finds.
  private func damage(
    _ body: (inout WriteTransaction, Environment) throws -> Void
  ) throws -> [StoreError] {
    do {
      let fixture = try EngineFixture(directory, options: options())
      try fill(fixture)
      #expect(try pass(fixture) == [])
    }
    do {
      let environment = try rawEnvironment(directory)
      var transaction = try environment.beginWrite()
      try body(&transaction, environment)
      try transaction.commit()
    }
    return try pass(EngineFixture(directory, options: options()))
  }

  private func row(_ transaction: borrowing WriteTransaction, _ table: Database, _ key: [UInt8]) throws
    -> [UInt8]
  {
    let found = try key.withUnsafeBytes { try transaction.get(table, $0).map { Array($0) } }
    return try #require(found)
  }

  private func expect(_ damages: [StoreError], _ table: Table, _ text: String, key: [UInt8]? = nil) {
    let isFound = damages.contains { damage in
      guard case .corrupt(let file, table, let found, let reason) = damage else { return false }
      return file == directory.file && reason.contains(text) && (key == nil || key == found)
    }
    #expect(isFound, "\(damages)")
  }

  private func revisionKey(_ main: Int64, _ sub: Int64 = 0) -> [UInt8] {
    [main, sub].flatMap { number in withUnsafeBytes(of: number.bigEndian) { Array($0) } }
  }

  @Test func everythingInOrderWhileTheStoreChanges_16048() throws {
    let fixture = try EngineFixture(directory, options: options(slice: 200))
    try fill(fixture)
    for round in 0..<4000 {
      let report = try fixture.committer.workNext(now: .max)
      if case .damaged(let damages) = report { Issue.record("\(damages)") }
      guard round % 3 == 0 else { continue }
      if round % 2 == 0 { try fixture.put("key\(round % 130)", "round \(round)") }
      if round % 60 == 0 { try fixture.apply(.compact(fixture.applier.revision - 3)) }
      if try fixture.applier.freeze() { _ = try fixture.committer.commitNext() }
    }
    #expect(fixture.store.scrubCounters.passes.load(ordering: .relaxed) > 3)
    #expect(fixture.store.scrubCounters.bytes.load(ordering: .relaxed) > 100_000)
    #expect(fixture.store.scrubCounters.damages.load(ordering: .relaxed) == 0)
  }

  @Test func aFlippedBitInHistory() throws {
    let damages = try damage { transaction, environment in
      let rev = environment.table(.rev)
      let found = try transaction.firstRow(rev, atOrAbove: UnsafeRawBufferPointer(start: nil, count: 0))
      let first = try #require(found)
      let (key, value) = (Array(first.key), Array(first.value))
      var flipped = value
      flipped[flipped.count - 1] ^= 1
      try key.withUnsafeBytes { key in try flipped.withUnsafeBytes { try transaction.put(rev, key, $0) } }
    }
    expect(damages, .rev, "checksum or form")
  }

  @Test(arguments: [Table.lease, .leasekey, .auth, .user, .role, .member, .alarm, .meta])
  func aFlippedBitInASmallTable(table: Table) throws {
    let damages = try damage { transaction, environment in
      let database = environment.table(table)
      var value = try row(transaction, database, engineBytes("row"))
      value[5] ^= 0x20
      try engineBytes("row").withUnsafeBytes { key in
        try value.withUnsafeBytes { try transaction.put(database, key, $0) }
      }
    }
    expect(damages, table, "checksum or form", key: engineBytes("row"))
  }

  /// A page of `rev` that never reached the disk: rows of history are gone without a trace.
  @Test func aLostRowOfHistory() throws {
    let damages = try damage { transaction, environment in
      // The oldest version of a key that has a newer one.
      let rev = environment.table(.rev)
      let found = try transaction.firstRow(rev, atOrAbove: UnsafeRawBufferPointer(start: nil, count: 0))
      let key = Array(try #require(found).key)
      _ = try key.withUnsafeBytes { try transaction.delete(rev, $0) }
    }
    expect(damages, .rev, "set-hash")
  }

  @Test func aLostLatestRow() throws {
    let damages = try damage { transaction, environment in
      _ = try engineBytes("key31").withUnsafeBytes { try transaction.delete(environment.table(.key), $0) }
    }
    expect(damages, .rev, "its key is not in the table key")
  }

  @Test func aLostLink() throws {
    let damages = try damage { transaction, environment in
      _ = try Array(Self.long.prefix(480)).withUnsafeBytes {
        try transaction.delete(environment.table(.key), $0)
      }
    }
    expect(damages, .rev, "its key is not in the table key")
  }

  /// A page of `key` that came back from the past, whole and with good checksums (a lost write).
  @Test func aStaleLatestRow() throws {
    var stale: [UInt8] = []
    do {
      let fixture = try EngineFixture(directory, options: options())
      try fixture.put("key7", "old")
      try fixture.commitAll()
      stale = try #require(try fixture.committedRows().first { $0.0 == .key }).2
    }
    let damages = try damage { transaction, environment in
      try engineBytes("key7").withUnsafeBytes { key in
        try stale.withUnsafeBytes { try transaction.put(environment.table(.key), key, $0) }
      }
    }
    expect(damages, .rev, "older version")
  }

  /// The same for a key that compaction removed since: it would come back to life.
  @Test func aRowFromThePastOfAKeyThatIsGone() throws {
    var stale: [UInt8] = []
    do {
      let fixture = try EngineFixture(directory, options: options())
      try fixture.put("gone", "old")
      try fixture.commitAll()
      stale = try #require(try fixture.committedRows().first { $0.0 == .key }).2
      try fixture.delete("gone")
      try fixture.commitAll()
    }
    let damages = try damage { transaction, environment in
      try engineBytes("gone").withUnsafeBytes { key in
        try stale.withUnsafeBytes { try transaction.put(environment.table(.key), key, $0) }
      }
      _ = try revisionKey(2).withUnsafeBytes { try transaction.delete(environment.table(.rev), $0) }
    }
    expect(damages, .key, "missing", key: engineBytes("gone"))
  }

  @Test func slicesAreDueByTheRateAndPausesKept() throws {
    var options = options(slice: 1000)
    options.scrub?.bytesPerSecond = 1_000_000
    options.scrub?.firstPauseNanoseconds = 7_000
    options.scrub?.pauseNanoseconds = 50_000_000_000
    let fixture = try EngineFixture(directory, options: options)
    try fill(fixture)
    let committer = fixture.committer
    #expect(committer.nextWork == 0)
    #expect(try committer.workNext(now: 1_000) == .progressed)
    #expect(committer.nextWork == 8_000)
    #expect(try committer.workNext(now: 7_999) == nil)
    #expect(try committer.workNext(now: 8_000) == .progressed)
    #expect(committer.nextWork >= 8_000 + 1_000_000)
    var last: WorkReport?
    var now: UInt64 = 0
    while last == nil || last == .progressed {
      now = committer.nextWork
      last = try committer.workNext(now: now)
    }
    guard case .scrubbed(let report) = last else {
      Issue.record("\(String(describing: last))")
      return
    }
    #expect(report.nanoseconds == now - 8_000)
    #expect(committer.nextWork == now + 50_000_000_000)
    #expect(fixture.store.scrubCounters.lastFinish.load(ordering: .relaxed) == now)
  }
}
