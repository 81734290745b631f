/// How history is compacted without being asked (`--auto-compaction-mode`, `--auto-compaction-retention`).
public enum AutoCompactionPolicy: Hashable, Sendable {
  /// Keep the last `milliseconds` of history.
  case periodic(milliseconds: UInt64)
  /// Keep this many revisions.
  case revision(Int64)
}

/// etcd's schedule of automatic compaction: pure, driven by whoever knows the time and the store's revisions.
///
/// **Periodic.** The revision is sampled ten times a period (of at most an hour). The first compaction comes after one
/// full period, later ones every period (of at most an hour), each to the revision that was current about one period
/// before. **Revision.** Every five minutes, to the current revision less the retention.
///
/// Only a leader compacts, but every member samples, so that a new leader knows the history. A revision that was
/// compacted already is not asked for again. Whether a compaction succeeded shows in the store's compaction revision;
/// one that has not got there by the next sample has failed, and that sample tries again.
public struct AutoCompaction: Sendable {
  public enum Event: Hashable, Sendable {
    /// To be proposed now.
    case start(revision: Int64)
    case completed(revision: Int64, milliseconds: UInt64)
    case failed(revision: Int64, retryMilliseconds: UInt64)
  }

  public let policy: AutoCompactionPolicy
  private let sampleMilliseconds: UInt64
  /// Samples that span a period; the first is the revision a period ago.
  private let samplesMax: Int
  private var samples: [Int64] = []
  private var nextSample: UInt64
  private var lastSuccess: UInt64
  /// How long after the last success the next compaction is due.
  private var pauseMilliseconds: UInt64
  private var lastRevision: Int64 = 0
  private var pending: (revision: Int64, since: UInt64)?

  private static let hourMilliseconds: UInt64 = 3_600_000
  private static let revisionMilliseconds: UInt64 = 300_000
  private static let samplesPerInterval: UInt64 = 10

  /// `now` in milliseconds of any clock that only moves forward; `revision` is the store's.
  public init(policy: AutoCompactionPolicy, now: UInt64, revision: Int64) {
    self.policy = policy
    lastSuccess = now
    switch policy {
    case .periodic(let period):
      precondition(period > 0)
      sampleMilliseconds = max(1, min(period, Self.hourMilliseconds) / Self.samplesPerInterval)
      samplesMax = Int(clamping: period / sampleMilliseconds) + 1
      pauseMilliseconds = period
      samples = [revision]
    case .revision(let retention):
      precondition(retention > 0)
      sampleMilliseconds = Self.revisionMilliseconds
      samplesMax = 0
      pauseMilliseconds = 0
    }
    nextSample = now + sampleMilliseconds
  }

  /// Takes the state at `now` in. At most one event of each kind; after a pause the missed samples are left out.
  public mutating func advance(
    now: UInt64, revision: Int64, compactRevision: Int64, leads: Bool
  ) -> [Event] {
    var events: [Event] = []
    if let (target, since) = pending, compactRevision >= target {
      events.append(.completed(revision: target, milliseconds: now - since))
      pending = nil
      lastRevision = target
      // Counted from its start: it began on a sample, and the next is due on one.
      lastSuccess = since
    }
    guard now >= nextSample else { return events }
    nextSample = now + sampleMilliseconds
    if let (target, _) = pending {
      events.append(.failed(revision: target, retryMilliseconds: sampleMilliseconds))
      pending = nil
    }
    if let target = target(now: now, revision: revision), leads {
      pending = (target, now)
      if case .periodic(let period) = policy { pauseMilliseconds = min(period, Self.hourMilliseconds) }
      events.append(.start(revision: target))
    }
    if case .periodic = policy {
      samples.append(revision)
      if samples.count > samplesMax { samples.removeFirst() }
    }
    return events
  }

  /// What a leader would compact to at this sample.
  private func target(now: UInt64, revision: Int64) -> Int64? {
    switch policy {
    case .periodic:
      guard let oldest = samples.first, now - lastSuccess >= pauseMilliseconds, oldest != lastRevision else {
        return nil
      }
      return oldest
    case .revision(let retention):
      let (target, overflow) = revision.subtractingReportingOverflow(retention)
      return overflow || target <= 0 || target == lastRevision ? nil : target
    }
  }
}
