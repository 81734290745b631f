import Disk
import Model
import Primitives
import WriteAheadLog

/// A log being used, beside the naive log: what was acknowledged, and what a crash may leave besides.
struct LogLife {
  var log: WriteAheadLog
  var naive: NaiveLog
  /// The content as of the last flush that returned.
  var acknowledged: NaiveLog
  /// Every content the log passed through since then.
  var since: [NaiveLog] = []
  var purgedBelow: UInt64 = 0
  var term: UInt64 = 1

  /// Opens (or creates) the log; the naive log starts from what is there.
  init(_ disk: SimulatedDisk, _ options: LogOptions) throws(LogError) {
    let (log, recovered) = try WriteAheadLog.open(
      disk: disk, directory: directory, identity: identity, options: options)
    self.log = log
    naive = NaiveLog(
      hardState: recovered.hardState, confState: recovered.confState, snapshot: recovered.snapshot,
      entries: recovered.entries, start: recovered.firstIndex)
    acknowledged = naive
    purgedBelow = recovered.firstIndex
    term = max(recovered.hardState.term, recovered.entries.last?.term ?? 1, 1)
  }

  private init(log: WriteAheadLog, naive: NaiveLog) {
    self.log = log
    self.naive = naive
    acknowledged = naive
  }

  /// Entries one by one, because a flush of several frames may survive up to any of them; the hard state last.
  mutating func append(_ entries: [Entry], _ hardState: HardState?) throws(LogError) {
    for entry in entries {
      naive.append([entry])
      since.append(naive)
    }
    if let hardState {
      naive.hardState = hardState
      since.append(naive)
    }
    try log.append(entries: entries, hardState: hardState)
  }

  mutating func append(_ confState: ConfState) throws(LogError) {
    naive.confState = confState
    since.append(naive)
    try log.append(confState: confState)
  }

  mutating func mark(_ metadata: SnapshotMetadata) throws(LogError) {
    naive.mark(metadata)
    since.append(naive)
    try log.markSnapshot(metadata)
  }

  mutating func reset(to metadata: SnapshotMetadata) throws(LogError) {
    naive.reset(to: metadata)
    since.append(naive)
    try log.reset(to: metadata)
  }

  mutating func flush() throws(LogError) {
    try log.flush()
    acknowledged = naive
    since = []
  }

  mutating func purge(below index: UInt64) throws(LogError) {
    purgedBelow = max(purgedBelow, index)
    try log.purge(below: index)
  }

  /// What is wrong with what came back after a crash, nil when it is what was acknowledged or something between that
  /// and what was being flushed.
  func difference(_ recovered: RecoveredLog) -> String? {
    guard let first = recovered.difference(from: acknowledged, purgedBelow: purgedBelow) else { return nil }
    for content in since where recovered.entriesMatch(content, purgedBelow) {
      // The parts of a state may come from different moments of the flush, but never be older than acknowledged.
      let states = [acknowledged] + since
      let expectedCommit = max(recovered.hardState.commit, recovered.snapshot?.index ?? 0)
      let known = states.contains {
        $0.hardState.term == recovered.hardState.term && $0.hardState.vote == recovered.hardState.vote
      }
      let lastTerm = recovered.entries.last?.term ?? 0
      if known, recovered.hardState.commit == expectedCommit,
        recovered.hardState.commit >= acknowledged.hardState.commit,
        recovered.hardState.commit <= max(recovered.lastIndex, acknowledged.hardState.commit),
        recovered.hardState.term >= min(lastTerm, naive.hardState.term),
        states.contains(where: { $0.snapshot == recovered.snapshot }),
        states.contains(where: { $0.confState == recovered.confState })
      {
        return nil
      }
    }
    return first
  }
}

extension RecoveredLog {
  fileprivate func entriesMatch(_ naive: NaiveLog, _ floor: UInt64) -> Bool {
    lastIndex + 1 == naive.next && firstIndexKept >= naive.start && firstIndexKept <= max(floor, naive.start)
      && naive.entries(from: firstIndex) == entries[...]
  }
}
