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
  private let catchUpEntries: UInt64
  private let holdBytesMax: Int
  /// The disk had room for the last file that the log wanted.
  private var hasRoom = true

  /// - Parameters:
  ///   - appliedIndex: the store's durable one, behind which `catchUpEntries` are kept.
  ///   - holdBytesMax: see `NodeOptions.logHoldBytesMax`.
  init(_ log: WriteAheadLog, appliedIndex: UInt64, catchUpEntries: UInt64, holdBytesMax: Int) {
    self.log = log
    self.catchUpEntries = catchUpEntries
    self.holdBytesMax = holdBytesMax
    keptIndex = max(log.firstReadableIndex, Self.index(catchUpEntries, behind: appliedIndex))
  }

  private static func index(_ count: UInt64, behind index: UInt64) -> UInt64 { index - min(index, count) }

  /// Gives up what the store has, `applied` being its durable index, and no other member may need: so much is kept behind
  /// it, and more, from `needed` on, for members that are catching up. Without that a snapshot could be outdated again by
  /// the time it is in place, for ever.
  mutating func purge(applied: UInt64, needed: UInt64?) throws(LogError) {
    var index = Self.index(catchUpEntries, behind: applied)
    if let needed, hasRoom, log.size.segmentBytes <= holdBytesMax {
      // A snapshot may be a little older than the index that it was asked for.
      index = min(index, Self.index(catchUpEntries, behind: needed))
    }
    try log.purge(below: index)
    keptIndex = max(keptIndex, index, log.firstReadableIndex)
  }

  /// Throws what kept the files from being made; the log itself goes on.
  mutating func adopt(_ prepared: PreparedSegments) throws(LogError) {
    hasRoom = false
    try log.adopt(prepared)
    hasRoom = true
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
