import Foundation
import LMDB
import Model
import Store
import Testing

/// A store with its applier and committer, for tests that drive one step after the other.
final class EngineFixture {
  private(set) var store: Store
  private(set) var applier: Applier
  private(set) var committer: Committer
  private let directory: EngineDirectory
  private var index: UInt64

  init(_ directory: EngineDirectory, options: StoreOptions = .edges) throws {
    self.directory = directory
    store = try Store.open(path: directory.file, options: options, identity: .test)
    applier = try store.makeApplier()
    committer = try store.makeCommitter()
    index = store.recovery.appliedIndex
  }

  /// Applies one entry and publishes it.
  func apply(_ changes: EngineEntry.Change...) throws { try apply(EngineEntry(changes: changes)) }

  func apply(_ entry: EngineEntry) throws {
    index += 1
    try entry.apply(to: applier, index: index)
    applier.publish()
  }

  /// An entry was applied past this object.
  func skipEntry() { index += 1 }

  func put(_ key: String, _ value: String) throws {
    try apply(.put(key: engineBytes(key), value: engineBytes(value), lease: 0))
  }

  func delete(_ key: String) throws { try apply(.delete(key: engineBytes(key))) }

  /// Freezes and commits everything, compaction included.
  func commitAll() throws {
    while try !applier.freeze() { _ = try committer.commitNext() }
    while try committer.commitNext() != nil {}
  }

  /// Every physical row of the last commit, by table.
  func committedRows() throws -> [(Table, [UInt8], [UInt8])] {
    var rows: [(Table, [UInt8], [UInt8])] = []
    try store.export(fileGrowthBytesMax: 0).forEachRow { table, key, value in
      rows.append((table, Array(key), Array(value)))
      return .next
    }
    return rows
  }

  func revisions() throws -> [Revision] {
    var found: [Revision] = []
    try store.view().rows(from: Revision(main: 0, sub: 0), through: .max) { revision, _ in
      found.append(revision)
      return .next
    }
    return found
  }
}

/// The file's tables without the store around them, for damage.
func rawEnvironment(_ directory: EngineDirectory) throws -> Environment {
  try Environment(
    path: directory.file,
    options: EnvironmentOptions(mapBytes: 1 << 30, tables: Table.allCases.map { "\($0)" }))
}

extension Environment {
  func table(_ table: Table) -> Database { database(Int(table.rawValue) - 1) }
}

func engineHex(_ bytes: [UInt8]) -> String {
  bytes.map { byte in (byte < 16 ? "0" : "") + String(byte, radix: 16) }.joined()
}
