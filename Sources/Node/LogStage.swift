import Model
import Raft
import WriteAheadLog

/// The log stage: gathers the appends of a batch and makes them durable with one write and one sync.
struct LogStage {
  let log: WriteAheadLog
  /// The newest append gathered since the last flush.
  private var gathered: UInt64?

  init(_ log: WriteAheadLog) { self.log = log }

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
