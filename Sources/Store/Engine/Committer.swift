/// LMDB's only writer; exactly one, and each call of `commitNext` runs from begin to end on the calling thread.
public final class Committer: @unchecked Sendable {
  init() {}

  /// True if `commitNext` would do something: a frozen generation, or compaction left to do.
  public var hasWork: Bool { fatalError("engine under construction") }
  /// Moves the frozen generation, if any, into one write transaction, folds in a batch of compaction, commits
  /// with full sync and drops the generation. Nil when there was nothing to do.
  public func commitNext() throws(StoreError) -> CommitReport? { fatalError("engine under construction") }
}

/// What one commit did.
public struct CommitReport: Hashable, Sendable {
  /// The last entry that is durable now: the log may be purged up to it.
  public var appliedIndex: UInt64
  public var revision: Int64
  /// Rows of `rev` written.
  public var rows: Int
  /// Bytes of the generation that was moved, 0 if the commit carried compaction only.
  public var generationBytes: Int
  /// Rows of `rev` deleted by compaction.
  public var rowsDeleted: Int
  /// The compaction that this commit finished.
  public var compactionFinished: Int64?
}
