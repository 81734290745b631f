import Disk
import Foundation
import Model
import Primitives
import Store
import Synchronization
import Testing

/// A directory of its own for one test, in memory where the system has such a place; gone afterwards.
final class EngineDirectory: Sendable {
  let path: String

  init() throws {
    let base = FileManager.default.fileExists(atPath: "/dev/shm") ? "/dev/shm" : NSTemporaryDirectory()
    path = base + "/cairn-engine-" + UUID().uuidString
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  var file: String { path + "/db" }
}

/// Which of a test's files is the store, as `CURRENT` says it for a member.
final class EnginePointer: Sendable {
  private struct State {
    var path: String
    var files = 1
  }

  private let directory: EngineDirectory
  private let state: Mutex<State>

  init(_ directory: EngineDirectory) {
    self.directory = directory
    state = Mutex(State(path: directory.file))
  }

  /// The file that the next start opens.
  var path: String { state.withLock { $0.path } }

  /// A defragmentation into the next file. `before` and `after` run around the switch; `before` may refuse.
  func plan(
    before: @escaping @Sendable () throws(AdoptionError) -> Void = {},
    after: @escaping @Sendable () throws(AdoptionError) -> Void = {}
  ) -> DefragmentPlan {
    let next = state.withLock { state in
      state.files += 1
      return directory.file + "-\(state.files)"
    }
    return DefragmentPlan(disk: PosixDisk(), path: next) { () throws(AdoptionError) in
      try before()
      self.state.withLock { $0.path = next }
      try after()
    }
  }
}

extension StoreOptions {
  /// Small limits, so that every edge is near.
  static var edges: StoreOptions {
    var options = StoreOptions()
    options.mapBytes = 1 << 30
    options.inlineBytesMax = 48
    options.generationMemoryBytesMax = 256 << 10
    options.blockBytes = 16 << 10
    options.pooledBlocksMax = 2
    options.spaceStepBytes = 64 << 10
    options.compactionBatchRows = 8
    options.defragmentStepBytes = 700
    options.defragmentReserveBytes = 0
    options.scrub = nil
    return options
  }
}

extension StoreIdentity {
  static let test = StoreIdentity(clusterID: 0xc1a5, memberID: 0x3e3b)
}

/// What one log entry does to the engine.
struct EngineEntry: Sendable {
  enum Change: Sendable {
    case put(key: [UInt8], value: [UInt8], lease: Int64)
    case delete(key: [UInt8])
    case putRow(Table, key: [UInt8], value: [UInt8])
    case deleteRow(Table, key: [UInt8])
    case compact(Int64)
  }

  var changes: [Change]

  var changesKeys: Bool {
    changes.contains { change in
      switch change {
      case .put, .delete: true
      case .putRow, .deleteRow, .compact: false
      }
    }
  }

  /// Executes the entry as the store's own caller would.
  func apply(to applier: Applier, index: UInt64) throws {
    let main = applier.revision + 1
    var sub: Int64 = 0
    for change in changes {
      switch change {
      case .put(let key, let value, let lease):
        try applier.put(key: key, value: value, lease: lease, main: main, sub: sub)
        sub += 1
      case .delete(let key):
        try applier.delete(key: key, main: main, sub: sub)
        sub += 1
      case .putRow(let table, let key, let value): try applier.putRow(table: table, key: key, value: value)
      case .deleteRow(let table, let key): try applier.deleteRow(table: table, key: key)
      case .compact(let revision): applier.scheduleCompaction(revision: revision)
      }
    }
    try applier.finishEntry(index: index, term: 1)
  }
}

/// The naive form of the store: every version of every key ever, and plain dictionaries.
struct NaiveEngine {
  struct Version: Equatable {
    var revision: Revision
    /// Nil for a tombstone.
    var keyValue: KeyValue?
  }

  var history: [[UInt8]: [Version]] = [:]
  var tables: [Table: [[UInt8]: [UInt8]]] = [:]
  var revision: Int64 = 1
  var compactRevision: Int64 = -1
  var appliedIndex: UInt64 = 0

  mutating func apply(_ entry: EngineEntry) {
    appliedIndex += 1
    if entry.changesKeys { revision += 1 }
    var sub: Int64 = 0
    for change in entry.changes {
      switch change {
      case .put(let key, let value, let lease):
        let previous = history[key]?.last?.keyValue
        history[key, default: []].append(
          Version(
            revision: Revision(main: revision, sub: sub),
            keyValue: KeyValue(
              key: key, createRevision: previous?.createRevision ?? revision, modRevision: revision,
              version: (previous?.version ?? 0) + 1, value: value, lease: lease)))
        sub += 1
      case .delete(let key):
        history[key, default: []].append(Version(revision: Revision(main: revision, sub: sub), keyValue: nil))
        sub += 1
      case .putRow(let table, let key, let value): tables[table, default: [:]][key] = value
      case .deleteRow(let table, let key): tables[table]?[key] = nil
      case .compact(let revision): compactRevision = revision
      }
    }
  }

  func version(_ key: [UInt8], at: Int64) -> Version? { history[key]?.last { $0.revision.main <= at } }

  /// Live keys of a range at a revision.
  func range(from: [UInt8], to: KeyBound, at: Int64) -> [KeyValue] {
    history.keys.filter { key in
      guard !key.lexicographicallyPrecedes(from) else { return false }
      switch to {
      case .unbounded: return true
      case .before(let end): return key.lexicographicallyPrecedes(end)
      }
    }
    .sorted { $0.lexicographicallyPrecedes($1) }
    .compactMap { version($0, at: at)?.keyValue }
  }

  /// The rows left when compaction at `compactRevision` has finished, in revision order.
  func rowsKept() -> [(Revision, [UInt8])] {
    var kept: [(Revision, [UInt8])] = []
    for (key, versions) in history {
      let newest = versions.lastIndex { $0.revision.main <= compactRevision }
      for (index, version) in versions.enumerated() {
        let isKept =
          version.revision.main >= compactRevision || (index == newest && version.keyValue != nil)
        if isKept { kept.append((version.revision, key)) }
      }
    }
    return kept.sorted { $0.0 < $1.0 }
  }

  var isLive: (([UInt8]) -> Bool) { { key in history[key]?.last?.keyValue != nil } }
}

/// mvccpb.KeyValue bytes, written down plainly: the reference for what rows carry.
func engineKeyValue(_ keyValue: KeyValue) -> [UInt8] {
  var bytes: [UInt8] = []
  func varint(_ number: UInt64) {
    var rest = number
    while rest >= 0x80 {
      bytes.append(UInt8(rest & 0x7f) | 0x80)
      rest >>= 7
    }
    bytes.append(UInt8(rest))
  }
  func field(_ tag: UInt8, _ number: Int64) {
    if number != 0 {
      bytes.append(tag)
      varint(UInt64(bitPattern: number))
    }
  }
  func field(_ tag: UInt8, _ content: [UInt8]) {
    if !content.isEmpty {
      bytes.append(tag)
      varint(UInt64(content.count))
      bytes += content
    }
  }
  field(0x0a, keyValue.key)
  field(0x10, keyValue.createRevision)
  field(0x18, keyValue.modRevision)
  field(0x20, keyValue.version)
  field(0x2a, keyValue.value)
  field(0x30, keyValue.lease)
  return bytes
}

extension ReadView {
  func latest(_ key: [UInt8], at: Int64 = .max) throws -> Row? {
    try key.withUnsafeBytes { bytes in try latest(bytes, at: at) }
  }

  func keyValues(
    from: [UInt8] = [], to: KeyBound = .unbounded, at: Int64 = .max
  ) throws -> [[UInt8]] {
    var found: [[UInt8]] = []
    try scan(from: from, to: to, at: at) { row in
      found.append(Array(row.keyValue))
      return .next
    }
    return found
  }
}

/// Bytes of a text.
func engineBytes(_ text: String) -> [UInt8] { Array(text.utf8) }
