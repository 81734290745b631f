import Foundation
import LMDB
import Testing

/// A file name of its own for one test.
final class LMDBFile: Sendable {
  let path: String

  init() {
    let base = FileManager.default.fileExists(atPath: "/dev/shm") ? "/dev/shm" : NSTemporaryDirectory()
    path = base + "/cairn-lmdb-" + UUID().uuidString
  }

  deinit {
    try? FileManager.default.removeItem(atPath: path)
    try? FileManager.default.removeItem(atPath: path + "-lock")
  }

  func open(mapBytes: Int = 1 << 30, readersMax: Int = 16) throws -> Environment {
    try Environment(
      path: path,
      options: EnvironmentOptions(mapBytes: mapBytes, readersMax: readersMax, tables: ["first", "second"]))
  }
}

extension WriteTransaction {
  mutating func put(_ table: Database, _ key: String, _ value: String) throws(LMDBError) {
    var failure: LMDBError?
    let keyBytes = Array(key.utf8)
    let valueBytes = Array(value.utf8)
    keyBytes.withUnsafeBytes { key in
      valueBytes.withUnsafeBytes { value in
        do throws(LMDBError) { try put(table, key, value) } catch { failure = error }
      }
    }
    if let failure { throw failure }
  }
}

extension ReadTransaction {
  borrowing func text(_ table: Database, _ key: String) throws -> String? {
    let bytes = Array(key.utf8)
    return try bytes.withUnsafeBytes { key in try get(table, key).map { String(decoding: $0, as: UTF8.self) }
    }
  }
}

struct EnvironmentTests {
  private func write(_ environment: Environment, _ key: String, _ value: String) throws {
    var transaction = try environment.beginWrite()
    try transaction.put(environment.database(0), key, value)
    try transaction.commit()
  }

  @Test func committedRowsSurviveReopening() throws {
    let file = LMDBFile()
    do {
      let environment = try file.open()
      try write(environment, "a", "1")
    }
    let environment = try file.open()
    let transaction = try environment.beginRead()
    #expect(try transaction.text(environment.database(0), "a") == "1")
    #expect(try transaction.text(environment.database(1), "a") == nil)
  }

  @Test func droppedWriteLeavesNoTrace() throws {
    let environment = try LMDBFile().open()
    do {
      var transaction = try environment.beginWrite()
      try transaction.put(environment.database(0), "a", "1")
    }
    let transaction = try environment.beginRead()
    #expect(try transaction.text(environment.database(0), "a") == nil)
  }

  @Test func readersSeeTheirSnapshotUntilRenewed() throws {
    let environment = try LMDBFile().open()
    try write(environment, "a", "1")
    var transaction = try environment.beginRead()
    let first = transaction.transactionID
    try write(environment, "a", "2")
    #expect(try transaction.text(environment.database(0), "a") == "1")
    #expect(transaction.transactionID == first)
    try transaction.renew()
    #expect(try transaction.text(environment.database(0), "a") == "2")
    #expect(transaction.transactionID > first)
  }

  @Test func readersAreReused() throws {
    let environment = try LMDBFile().open(readersMax: 4)
    for _ in 0..<100 { _ = try environment.beginRead() }
    #expect(try environment.statistics().readersInUse <= 4)
    // More at once than the table has slots is an error by name, not a wait.
    var held: [ReaderBox] = []
    #expect(throws: LMDBError.self) {
      for _ in 0..<5 { held.append(ReaderBox(try environment.beginRead())) }
    }
    #expect(held.count == 4)
  }

  private final class ReaderBox {
    let transaction: ReadTransaction
    init(_ transaction: consuming ReadTransaction) { self.transaction = transaction }
  }

  @Test func cursorsWalkInByteOrder() throws {
    let environment = try LMDBFile().open()
    let keys = ["b", "a", "ab", "c", "aa"]
    var transaction = try environment.beginWrite()
    for key in keys { try transaction.put(environment.database(0), key, key + key) }
    try transaction.commit()
    let read = try environment.beginRead()
    var cursor = try read.cursor(environment.database(0))
    var found: [String] = []
    var more = try cursor.first()
    while more {
      found.append(String(decoding: cursor.key, as: UTF8.self))
      #expect(String(decoding: cursor.value, as: UTF8.self) == (found.last ?? "") + (found.last ?? ""))
      more = try cursor.next()
    }
    #expect(found == keys.sorted())
    let target = Array("ac".utf8)
    #expect(try target.withUnsafeBytes { try cursor.seek($0) })
    #expect(String(decoding: cursor.key, as: UTF8.self) == "b")
    #expect(try cursor.previous())
    #expect(String(decoding: cursor.key, as: UTF8.self) == "ab")
    #expect(try cursor.last())
    #expect(try !cursor.next())
  }

  @Test func oneEnvironmentPerFile() throws {
    let file = LMDBFile()
    let environment = try file.open()
    // Another name of the same file is the same file.
    let other = file.path + "-link"
    try FileManager.default.createSymbolicLink(atPath: other, withDestinationPath: file.path)
    defer { try? FileManager.default.removeItem(atPath: other) }
    for path in [file.path, other] {
      let error = #expect(throws: LMDBError.self) {
        _ = try Environment(path: path, options: EnvironmentOptions(mapBytes: 1 << 20, tables: ["first"]))
      }
      #expect(error?.isAlreadyOpen == true)
      #expect(error?.description.contains(path) == true)
    }
    withExtendedLifetime(environment) {}
  }

  @Test func appendRefusesDisorder() throws {
    let environment = try LMDBFile().open()
    var transaction = try environment.beginWrite()
    let low = Array("a".utf8)
    let high = Array("b".utf8)
    try high.withUnsafeBytes { try transaction.append(environment.database(0), $0, $0) }
    #expect(throws: LMDBError.self) {
      try low.withUnsafeBytes { try transaction.append(environment.database(0), $0, $0) }
    }
  }

  @Test func fullMapIsNamed() throws {
    let file = LMDBFile()
    let environment = try file.open(mapBytes: 256 << 10)
    let value = String(repeating: "v", count: 3000)
    let error = #expect(throws: LMDBError.self) {
      for round in 0..<1000 {
        var transaction = try environment.beginWrite()
        try transaction.put(environment.database(0), "\(round)", value)
        try transaction.commit()
      }
    }
    #expect(error?.isSpace == true)
    #expect(error?.path == file.path)
    #expect(error?.description.contains("MAP_FULL") == true)
    // What was committed is still there, and readable.
    let read = try environment.beginRead()
    #expect(try read.text(environment.database(0), "0") == value)
  }

  @Test func freePagesAreCounted() throws {
    let environment = try LMDBFile().open()
    for round in 0..<200 { try write(environment, "key \(round)", String(repeating: "x", count: 2000)) }
    var transaction = try environment.beginWrite()
    for round in 0..<200 {
      let key = Array("key \(round)".utf8)
      let deleted = try key.withUnsafeBytes { try transaction.delete(environment.database(0), $0) }
      #expect(deleted)
    }
    try transaction.commit()
    let statistics = try environment.statistics()
    #expect(statistics.freePages > 100 && statistics.freePages < statistics.usedPages)
  }

  @Test func allocationExtendsTheFileAndKeepsIt() throws {
    let file = LMDBFile()
    do {
      let environment = try file.open()
      try write(environment, "a", "1")
      if try environment.allocate(0..<4 << 20) {
        #expect(try environment.fileBytes() == 4 << 20)
      }
      #expect(environment.usedPages * environment.pageBytes < 1 << 20)
    }
    let environment = try file.open()
    let transaction = try environment.beginRead()
    #expect(try transaction.text(environment.database(0), "a") == "1")
  }
}

/// Rules whose breach would corrupt or hang end the process instead.
struct TransactionRuleTests {
  @Test func writeEndsOnItsThread() async {
    await #expect(processExitsWith: .failure) {
      final class Box: @unchecked Sendable {
        var transaction: WriteTransaction?
      }
      let environment = try LMDBFile().open()
      let box = Box()
      box.transaction = try environment.beginWrite()
      let thread = Thread { box.transaction = nil }
      thread.start()
      while !thread.isFinished { usleep(1000) }
    }
  }

  @Test func cursorsDoNotOutliveTheirTransaction() async {
    await #expect(processExitsWith: .failure) {
      let environment = try LMDBFile().open()
      var transaction = try environment.beginRead()
      let cursor = try transaction.cursor(environment.database(0))
      transaction.reset()
      _ = cursor.key
    }
  }

  @Test func readersOfDeadProcessesAreCleared() async throws {
    func options() -> EnvironmentOptions { EnvironmentOptions(mapBytes: 1 << 20, tables: ["first"]) }
    let path = NSTemporaryDirectory() + "/cairn-lmdb-stale-\(getpid())"
    defer {
      try? FileManager.default.removeItem(atPath: path)
      try? FileManager.default.removeItem(atPath: path + "-lock")
    }
    // The last one to open a file resets its reader table, so somebody has to stay.
    let environment = try Environment(path: path, options: options())
    await #expect(processExitsWith: .signal(SIGKILL)) {
      let path = NSTemporaryDirectory() + "/cairn-lmdb-stale-\(getppid())"
      let environment = try Environment(
        path: path, options: EnvironmentOptions(mapBytes: 1 << 20, tables: ["first"]))
      let transaction = try environment.beginRead()
      kill(getpid(), SIGKILL)
      _ = transaction.transactionID
    }
    #expect(try environment.clearStaleReaders() == 1)
    #expect(try environment.clearStaleReaders() == 0)
  }
}
