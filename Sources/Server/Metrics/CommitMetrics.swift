internal import Metrics
internal import Store

/// What the committer's thread does: commits, compaction and defragmentation. Written by that thread.
final class CommitMetrics: Sendable {
  let commits = Histogram(.seconds(from: 0.001, count: 14))
  let compactedKeys = Counter()
  /// Commits that carried a batch of compaction.
  let compactionPauses = Histogram(.milliseconds(from: 1, count: 13))
  let compactions = Histogram(.milliseconds(from: 100, count: 14))
  /// Unix time in seconds of the last one that ended.
  let lastCompaction = Counter()
  let defragmentations = Histogram(.seconds(from: 0.1, count: 13))
  let defragmenting = Gauge()

  /// A commit that began at `began`, monotonic, and took so long. Returns when the compaction that goes on began.
  func committed(
    _ report: CommitReport, began: UInt64, nanoseconds: UInt64, compactingSince since: UInt64?
  ) -> UInt64? {
    commits.observe(nanoseconds)
    compactedKeys.add(UInt64(report.rowsDeleted))
    let isCompacting = report.rowsVisited > 0 || report.compactionFinished != nil
    if isCompacting { compactionPauses.observe(nanoseconds) }
    let start = isCompacting ? since ?? began : since
    guard report.compactionFinished != nil, let start else { return start }
    compactions.observe(began + nanoseconds - start)
    lastCompaction.set(UInt64(clamping: LogTimestamp.now().milliseconds / 1_000))
    return nil
  }
}
