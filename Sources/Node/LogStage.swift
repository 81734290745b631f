import Model
import Raft
import WriteAheadLog

/// The log stage: gathers the appends of a batch and makes them durable with one write and one sync.
struct LogStage {
  let log: WriteAheadLog
  /// The newest append gathered since the last flush.
  private var gathered: UInt64?

  /// Entries below are not given to other members any more, though they may still be in the files.
  private(set) var keptIndex: UInt64

  /// - Parameter appliedIndex: the store's durable one, behind which `catchUpEntries` are kept.
  init(_ log: WriteAheadLog, appliedIndex: UInt64, catchUpEntries: UInt64) {
    self.log = log
    keptIndex = max(log.firstReadableIndex, appliedIndex - min(appliedIndex, catchUpEntries))
  }

  /// Gives up entries below the index, which the store has and no member needs.
  mutating func purge(below index: UInt64) throws(LogError) {
    try log.purge(below: index)
    keptIndex = max(keptIndex, index, log.firstReadableIndex)
  }

  func read(_ read: LogRead) throws(LogError) -> LogSlice? {
    guard read.previous >= keptIndex else { return nil }
    return try log.read(after: read.previous, through: read.last, bytesMax: read.bytesMax)
      .map { LogSlice(previousTerm: $0.previousTerm, entries: $0.entries) }
  }

  mutating func append(_ append: LogAppend) throws(LogError) {
    // The log begins anew behind a received snapshot, in one frame with the marker.
    if let snapshot = append.snapshot { try log.reset(to: snapshot) }
    try log.append(entries: append.entries, hardState: append.hardState)
    gathered = append.sequence
  }

  /// The sequence that is durable now, or nil when there was nothing to write.
  mutating func flush() throws(LogError) -> UInt64? {
    guard let sequence = gathered else { return nil }
    _ = try log.flush()
    gathered = nil
    return sequence
  }
}
