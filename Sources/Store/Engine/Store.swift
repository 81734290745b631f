/// The replicated state of one member.
public final class Store: Sendable {
  public let path: String
  /// What was found in the file when it was opened.
  public let recovery: StoreRecovery

  init(path: String, recovery: StoreRecovery) {
    self.path = path
    self.recovery = recovery
  }

  /// Opens or creates the data file at `path` (a file, its lock file is `path`-lock). An `identity` of nil
  /// accepts whatever the file holds and is an error for a new file.
  public static func open(
    path: String, options: StoreOptions = StoreOptions(), identity: StoreIdentity?
  ) throws(StoreError) -> Store { fatalError("engine under construction") }

  /// A consistent view of the last published state; any thread, about 100 ns.
  public func view() throws(StoreError) -> ReadView { fatalError("engine under construction") }
  /// The one applier of this store; a second call is a programming error.
  public func makeApplier() throws(StoreError) -> Applier { fatalError("engine under construction") }
  /// The one committer of this store; a second call is a programming error.
  public func makeCommitter() throws(StoreError) -> Committer { fatalError("engine under construction") }
  /// Sizes for Status and metrics.
  public func sizes() throws(StoreError) -> StoreSizes { fatalError("engine under construction") }
  /// True while the file could not be extended ahead: NOSPACE has to go through the log.
  public var isShortOfSpace: Bool { fatalError("engine under construction") }
  /// Recomputes the set-hash by reading every row of the last commit, and returns it beside the stored one.
  public func verifySetHash() throws(StoreError) -> (stored: SetHash, computed: SetHash) {
    fatalError("engine under construction")
  }
  /// Opens the last committed boundary for copying; one LMDB read transaction until it ends.
  public func export(fileGrowthBytesMax: Int64) throws(StoreError) -> Export {
    fatalError("engine under construction")
  }
}

/// A 128-bit sum modulo 2^128 of one keyed hash for each row of `rev`.
public struct SetHash: Hashable, Sendable {
  public var high: UInt64
  public var low: UInt64
}

/// Sizes of the data file in bytes.
public struct StoreSizes: Hashable, Sendable {
  /// Pages that hold or held data: etcd's dbSize.
  public var databaseBytes: Int64
  /// The same without free pages: etcd's dbSizeInUse.
  public var databaseInUseBytes: Int64
  /// The file's length, extended ahead of the data.
  public var fileBytes: Int64
  public var readersInUse: Int
}
