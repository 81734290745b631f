import Model
import Replica
public import Store
public import WriteAheadLog

/// Brings the store of a stopped member up to its log, as the member's next start would: for offline tools.
///
/// Applied is what is known to be committed: up to the commit index that the log recorded, and everything while the
/// configuration has this member as its only voter, because then what is durable is committed. Of several voters,
/// entries above the recorded commit index may have been acknowledged by others; this member cannot tell.
public enum LogReplay {
  public struct Report: Hashable, Sendable {
    public var entries = 0
    /// The store's applied index afterwards.
    public var appliedIndex: UInt64
    /// Entries of the log that are left, because nothing here says whether they were committed.
    public var unconfirmed: UInt64 = 0
  }

  /// Entries that one batch of the apply stage takes.
  private static let batchEntries = 1024
  private static let generationBytes = 8 << 20

  /// - Parameters:
  ///   - commit: true to make what was applied durable in the data file. The log must be durable before. False leaves
  ///     it in the store's memory, for views.
  ///   - progress: called with the entries done.
  public static func run(
    store: Store, log: RecoveredLog, commit: Bool, progress: (Int) -> Void
  ) throws(NodeError) -> Report {
    let found = store.recovery
    guard log.lastIndex >= found.appliedIndex else {
      throw .storeAheadOfLog(appliedIndex: found.appliedIndex, lastIndex: log.lastIndex)
    }
    var entries = log.entries.drop { $0.index <= found.appliedIndex }
    guard entries.first.map({ $0.index == found.appliedIndex + 1 }) ?? true else {
      throw .gapBetweenStoreAndLog(appliedIndex: found.appliedIndex, firstIndex: log.firstIndex)
    }
    var confState = try Node.decodeConfState(found.confState)
    let (commands, committer) = try orStop { () throws(StoreError) in
      (try CommandApplier(store.makeApplier(), quotaBytes: nil), try store.makeCommitter())
    }
    var apply = ApplyStage(commands, confState: confState, stopwatch: { 0 }, slowFrom: .max)
    var report = Report(appliedIndex: found.appliedIndex)
    while let first = entries.first {
      let isAlone = confState.isOnlyVoter(found.identity.memberID)
      guard first.index <= log.hardState.commit || isAlone else { break }
      let batch = batch(entries, isAlone ? .max : log.hardState.commit)
      entries = entries.dropFirst(batch.count)
      apply.add(ApplyBatch(entries: Array(batch), tickets: Array(repeating: nil, count: batch.count)))
      var answers: [Answer] = []
      if let (applied, changed) = try apply.run(generationBytesMax: .max, &answers) {
        report.appliedIndex = applied
        if let changed { confState = changed }
      }
      report.entries += batch.count
      progress(report.entries)
      if commit, apply.applier.fillingBytes >= generationBytes { try write(apply, committer) }
    }
    report.unconfirmed = UInt64(entries.count)
    if commit, report.entries > 0 { try write(apply, committer) }
    return report
  }

  /// Entries that need no look at the configuration between them.
  private static func batch(_ entries: ArraySlice<Entry>, _ committed: UInt64) -> ArraySlice<Entry> {
    var count = 0
    for entry in entries.prefix(batchEntries) where entry.index <= committed {
      count += 1
      if entry.kind != .normal { break }
    }
    return entries.prefix(count)
  }

  private static func write(_ apply: ApplyStage, _ committer: Committer) throws(NodeError) {
    try orStop { () throws(StoreError) in
      while try !apply.applier.freeze() { _ = try committer.commitNext() }
      _ = try committer.commitNext()
    }
  }
}

extension ConfState {
  fileprivate func isOnlyVoter(_ id: UInt64) -> Bool { voters == [id] && votersOutgoing.isEmpty }
}
