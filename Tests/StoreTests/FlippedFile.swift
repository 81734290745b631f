import Foundation
import Glibc
import LMDB
import Model
import Primitives
import Store
import Synchronization

/// A small store file with pages of every kind, and what a member makes of it with one bit flipped.
struct FlippedFile {
  private let directory: String
  private let file: [UInt8]
  private let expected: [String]
  private static let seed: UInt64 = 0x5eed
  private static let pageBytes = 4096

  private enum Outcome: Int32 {
    case exact = 10
    case named, wrong
  }

  private static var options: StoreOptions {
    var options = StoreOptions.edges
    var scrub = ScrubOptions()
    scrub.firstPauseNanoseconds = 0
    scrub.sliceBytes = 64 << 10
    options.scrub = scrub
    // The first commit of a start must find its room in the file as it is.
    options.spaceStepBytes = 4096
    return options
  }

  init(_ directory: String) throws {
    self.directory = directory
    let path = directory + "/db"
    let store = try Store.open(path: path, options: Self.options, identity: .test)
    let (applier, committer) = (try store.makeApplier(), try store.makeCommitter())
    try Self.fill(applier, committer)
    expected = try Self.content(store)
    let used = Int(try store.sizes().databaseBytes)
    file = Array(try Data(contentsOf: URL(fileURLWithPath: path)).prefix(used))
  }

  /// Two levels of `key` and `rev`, values in pages of their own, long keys, every small table, and free pages.
  private static func fill(_ applier: Applier, _ committer: Committer) throws {
    var index: UInt64 = 0
    func apply(_ changes: EngineEntry.Change...) throws {
      index += 1
      try EngineEntry(changes: changes).apply(to: applier, index: index)
    }
    func commit() throws {
      while try !applier.freeze() { _ = try committer.commitNext() }
      while try committer.commitNext() != nil {}
    }
    for number in 0..<220 {
      let count = number % 60 + (number % 70 == 7 ? 9000 : 0)
      let value = [UInt8](repeating: UInt8(number), count: count)
      try apply(.put(key: engineBytes("key\(number * 37 % 220)"), value: value, lease: 0))
      if number % 40 == 39 { try commit() }
    }
    for number in 0..<60 { try apply(.delete(key: engineBytes("key\(number)"))) }
    try apply(.compact(applier.revision - 20))
    try commit()
    let long = [UInt8](repeating: 0x6c, count: 481)
    try apply(.put(key: long, value: [1], lease: 7), .put(key: long + long, value: [2], lease: 0))
    for table in [Table.lease, .leasekey, .auth, .user, .role, .member, .alarm, .meta] {
      try apply(.putRow(table, key: engineBytes("row"), value: engineBytes("\(table)")))
    }
    try commit()
  }

  /// Everything that a client or a restart could learn from the store.
  private static func content(_ store: Store) throws -> [String] {
    let view = try store.view()
    var lines = ["\(view.appliedIndex) \(view.term) \(view.revision) \(view.compactRevision)"]
    for at in [view.revision, view.revision - 10, view.revision - 19] {
      lines.append("at \(at), \(try view.count(from: [], to: .unbounded, at: at)) keys")
      try view.scan(from: [], to: .unbounded, at: at) { row in
        lines.append("\(engineHex(Array(row.key))) \(row.version) \(engineHex(Array(row.keyValue)))")
        return .next
      }
    }
    try view.rows(from: Revision(main: 0, sub: 0), through: .max) { revision, row in
      lines.append("\(revision) \(row.version) \(engineHex(Array(row.keyValue)))")
      return .next
    }
    for table in Table.allCases where table.isPlain && table != .meta {
      try view.tableRows(table, from: [], to: .unbounded) { key, value in
        lines.append("\(table) \(engineHex(Array(key))) \(engineHex(Array(value)))")
        return .next
      }
    }
    lines.append("\(try view.value(table: .meta, key: engineBytes("row")) ?? [])")
    return lines
  }

  // MARK: flips

  /// Judges every flip and writes a line for each: outcome, page, kind, bit.
  func judgeAll(perPage: Int) throws {
    var random = SeededRandom(seed: Self.seed)
    var lines = ""
    for page in 0..<(file.count / Self.pageBytes) {
      for _ in 0..<perPage {
        let bit = Int.random(in: 0..<(Self.pageBytes * 8), using: &random)
        lines += "\(try judgeAlone(page, bit)) \(page) \(kind(page)) \(bit)\n"
      }
    }
    try Data(lines.utf8).write(to: URL(fileURLWithPath: directory + "/outcomes"))
  }

  private func kind(_ page: Int) -> String {
    switch file[page * Self.pageBytes + 10] & 0xf {
    case 1: "branch"
    case 2: "leaf"
    case 4: "overflow"
    case 8: "meta"
    default: "other"
    }
  }

  private func judgeAlone(_ page: Int, _ bit: Int) throws -> String {
    guard let symbol = dlsym(nil, "fork") else { throw POSIXError(.ENOSYS) }
    let fork = unsafeBitCast(symbol, to: (@convention(c) () -> Int32).self)
    let child = fork()
    if child == 0 { _exit(judge(page, bit).rawValue) }
    var status: Int32 = 0
    guard child > 0, waitpid(child, &status, 0) == child else { throw POSIXError(.ECHILD) }
    guard status & 0x7f == 0 else { return "ended" }
    switch Outcome(rawValue: (status >> 8) & 0xff) {
    case .exact: return "exact"
    case .named: return "named"
    case .wrong, nil: return "wrong"
    }
  }

  private func judge(_ page: Int, _ bit: Int) -> Outcome {
    let path = directory + "/flipped"
    var flipped = file
    flipped[page * Self.pageBytes + bit / 8] ^= 1 << UInt8(bit % 8)
    do {
      for name in [path, path + "-lock"] where access(name, F_OK) == 0 { unlink(name) }
      try Data(flipped).write(to: URL(fileURLWithPath: path))
      let store = try Store.open(path: path, options: Self.options, identity: .test)
      let (applier, committer) = (try store.makeApplier(), try store.makeCommitter())
      while store.scrubCounters.passes.load(ordering: .relaxed) == 0 {
        if case .damaged = try committer.workNext(now: .max) { return .named }
      }
      guard try Self.content(store) == expected else { return .wrong }
      return try write(store, applier, committer) ? .exact : .wrong
    } catch {
      return .named
    }
  }

  /// The file takes commits as well, and keeps what it had.
  private func write(_ store: Store, _ applier: Applier, _ committer: Committer) throws -> Bool {
    let index = store.recovery.appliedIndex
    for number in 0..<8 {
      let key = engineBytes("later\(number)")
      let value = [UInt8](repeating: 7, count: number * 900)
      try EngineEntry(changes: [.put(key: key, value: value, lease: 0)])
        .apply(to: applier, index: index + UInt64(number) + 1)
      while try !applier.freeze() { _ = try committer.commitNext() }
      while try committer.commitNext() != nil {}
    }
    let hashes = try store.verifySetHash()
    let rows = try store.view().keyValues(at: store.recovery.revision)
    let known = Set(expected)
    guard hashes.stored == hashes.computed, rows.count > 150 else { return false }
    return try Self.history(store, through: store.recovery.revision).allSatisfy { known.contains($0) }
  }

  private static func history(_ store: Store, through revision: Int64) throws -> [String] {
    var lines: [String] = []
    try store.view().rows(from: Revision(main: 0, sub: 0), through: revision) { revision, row in
      lines.append("\(revision) \(row.version) \(engineHex(Array(row.keyValue)))")
      return .next
    }
    return lines
  }
}
