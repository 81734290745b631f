internal import LMDB
internal import Synchronization

/// What views start from; replaced as a whole at each freeze and each commit.
final class Published: Sendable {
  /// The data file. The generations lie above its last commit and belong to no other file.
  let file: StoreFile
  /// The generation that the applier fills.
  let filling: Generation
  /// The frozen one on its way to LMDB.
  let committing: Generation?
  /// The file's last transaction that the store knows of, and the last generation in it.
  let transactionID: UInt64
  let committedGeneration: UInt64
  /// What the state of that transaction is; nil while a compaction is under way in it.
  let committed: StateDigest?

  init(
    file: StoreFile, filling: Generation, committing: Generation?, transactionID: UInt64,
    committedGeneration: UInt64, committed: StateDigest?
  ) {
    self.file = file
    self.filling = filling
    self.committing = committing
    self.transactionID = transactionID
    self.committedGeneration = committedGeneration
    self.committed = committed
  }
}

/// The replicated state of one member in one LMDB file: history by revision, latest rows by key, and the
/// small tables, with everything that belongs to an entry changed in one transaction.
///
/// Three parties share it. The **applier** executes entries in memory: it fills a generation, an ordered
/// redo batch, and publishes at entry boundaries. The **committer**, LMDB's only writer, moves a frozen
/// generation into one write transaction with full sync, and folds in the deletions of compaction.
/// **Views** read from any thread: at most two generations merged over an LMDB snapshot. What is durable is
/// always a prefix of the log; the log replays the rest, so dropping a store without a commit is what a
/// crash leaves.
///
/// The flow of one entry: `Applier.put`... `finishEntry`, `publish` (views see it), `freeze` at times (the
/// generation goes to the committer, a new one begins), `Committer.commitNext` (durable; the log may be
/// purged).
///
/// A write that fails leaves nothing to go on with: clients were answered already. It poisons the store,
/// every later call throws, and the process stops and replays.
public final class Store: Sendable {
  /// The file that was opened; after a defragmentation the data is in another one.
  public let path: String
  /// What was found in the file when it was opened.
  public let recovery: StoreRecovery
  let options: StoreOptions
  let pool: BlockPool
  let allocated = AllocatedSize()
  /// What the scrub has done so far.
  public let scrubCounters = ScrubCounters()
  private let state: Mutex<State>

  private struct State {
    var published: Published
    var poison: String?
    var hasApplier = false
    var hasCommitter = false
  }

  init(
    path: String, options: StoreOptions, pool: BlockPool, recovery: StoreRecovery, published: Published
  ) {
    self.path = path
    self.options = options
    self.pool = pool
    self.recovery = recovery
    allocated.databaseIs(published.file.usedBytes)
    state = Mutex(State(published: published))
  }

  /// A consistent view of the last published state; any thread, about 100 ns.
  public func view() throws(StoreError) -> ReadView {
    let published = try current()
    let view = ReadView(
      store: self, file: published.file, transaction: try published.file.beginRead())
    try view.select(from: published)
    return view
  }

  /// The one applier of this store; a second call is a programming error.
  public func makeApplier() throws(StoreError) -> Applier {
    let isFirst = state.withLock { state in
      defer { state.hasApplier = true }
      return !state.hasApplier
    }
    precondition(isFirst, "a store has one applier")
    return try Applier(store: self)
  }

  /// The one committer of this store; a second call is a programming error.
  public func makeCommitter() throws(StoreError) -> Committer {
    let isFirst = state.withLock { state in
      defer { state.hasCommitter = true }
      return !state.hasCommitter
    }
    precondition(isFirst, "a store has one committer")
    return try Committer(store: self)
  }

  /// Sizes for Status and metrics.
  public func sizes() throws(StoreError) -> StoreSizes {
    let environment = try current().file.environment
    do throws(LMDBError) {
      let statistics = try environment.statistics()
      return StoreSizes(
        databaseBytes: Int64(statistics.usedPages) * Int64(statistics.pageBytes),
        databaseInUseBytes: Int64(statistics.usedPages - statistics.freePages) * Int64(statistics.pageBytes),
        fileBytes: try environment.fileBytes(), readersInUse: statistics.readersInUse)
    } catch {
      throw StoreError(error)
    }
  }

  /// True while the file could not be extended ahead for what may still be committed: growth must be
  /// refused, and NOSPACE goes through the log. Deletions and compaction have room set aside. Looked at
  /// again with each entry that grows, and while it lasts at each `Applier.freeze`.
  public var isShortOfSpace: Bool { file.space.isShort }

  /// The data file in use.
  var file: StoreFile { state.withLock { state in state.published.file } }

  /// Clears reader slots that dead processes left behind; call it now and then. Returns how many.
  public func clearStaleReaders() throws(StoreError) -> Int {
    let environment = file.environment
    do throws(LMDBError) { return try environment.clearStaleReaders() } catch { throw StoreError(error) }
  }

  /// Recomputes the set-hash by reading every row of the last commit, and returns it beside the stored one.
  public func verifySetHash() throws(StoreError) -> (stored: SetHash, computed: SetHash) {
    let export = try export(fileGrowthBytesMax: .max)
    return (export.state.setHash, try export.computeSetHash())
  }

  /// Opens the last committed boundary for copying: one LMDB read transaction until it ends. The file
  /// cannot reuse pages meanwhile; an export gives up when it has grown by `fileGrowthBytesMax`. Freeze and
  /// commit first for a newer boundary.
  public func export(fileGrowthBytesMax: Int64) throws(StoreError) -> Export {
    let file = try current().file
    let transaction = try file.beginRead()
    let state = try file.state(in: transaction)
    return Export(file: file, transaction: transaction, state: state, fileGrowthBytesMax: fileGrowthBytesMax)
  }

  // MARK: published state

  /// What new views start from.
  @inline(__always)
  func current() throws(StoreError) -> Published {
    let (published, poison) = state.withLock { state in (state.published, state.poison) }
    if let poison { throw StoreError.poisoned(reason: poison) }
    return published
  }

  /// Makes `filling` the generation that is filled and hands the current one to the committer. False if the
  /// committer still has one.
  func freeze(next filling: Generation) -> Bool {
    state.withLock { state in
      let published = state.published
      guard published.committing == nil else { return false }
      state.published = Published(
        file: published.file, filling: filling, committing: published.filling,
        transactionID: published.transactionID, committedGeneration: published.committedGeneration,
        committed: published.committed)
      return true
    }
  }

  /// Drops the generation that a finished commit holds.
  func didCommit(transactionID: UInt64, _ diskState: DiskState) {
    let generation = diskState.generation
    // The old list is released outside the lock: it may free a generation's memory.
    let old = state.withLock { state in
      let published = state.published
      let isDone = (published.committing?.number ?? .max) <= generation
      state.published = Published(
        file: published.file, filling: published.filling, committing: isDone ? nil : published.committing,
        transactionID: transactionID, committedGeneration: generation, committed: diskState.digest)
      return published
    }
    if let committed = old.committing, committed.number <= generation {
      allocated.generationCommitted(committed.usedBytes)
    }
    allocated.databaseIs(old.file.usedBytes)
    withExtendedLifetime(old) {}
  }

  /// Puts a file with the same committed content in the place of the one in use.
  func replace(file: StoreFile, transactionID: UInt64) {
    let old = state.withLock { state in
      let published = state.published
      state.published = Published(
        file: file, filling: published.filling, committing: published.committing,
        transactionID: transactionID, committedGeneration: published.committedGeneration,
        committed: published.committed)
      return published
    }
    allocated.databaseIs(file.usedBytes)
    withExtendedLifetime(old) {}
  }

  /// Puts another state in the place of everything there is.
  func replaceAll(_ published: Published) {
    let old = state.withLock { state in
      let old = state.published
      state.published = published
      return old
    }
    allocated.restart(databaseBytes: published.file.usedBytes)
    withExtendedLifetime(old) {}
  }

  /// After a failed write: every later call throws.
  func poison(_ error: StoreError) {
    state.withLock { state in
      if state.poison == nil { state.poison = error.description }
    }
  }
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
