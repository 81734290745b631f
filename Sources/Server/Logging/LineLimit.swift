internal import Synchronization

/// Bounds the lines that others can cause as often as they like, so that nobody fills the disk from outside: some at once
/// for each text and sender, then one every few seconds, which says how many like it were left out. Any thread.
final class LineLimit: Sendable {
  static let linesAtOnce: UInt64 = 20
  static let nanosecondsPerLine: UInt64 = 5_000_000_000
  /// Senders can call themselves anything; those beyond share one allowance.
  static let allowancesMax = 64

  private struct Key: Hashable {
    var message: String
    var sender: String
  }

  private struct Allowance {
    var lines = LineLimit.linesAtOnce
    var since: UInt64
    var leftOut: UInt64 = 0

    /// Nil: not now. Otherwise how many were left out since the last.
    mutating func take(now: UInt64) -> UInt64? {
      let earned = (now - min(now, since)) / LineLimit.nanosecondsPerLine
      if earned > 0 {
        lines = min(LineLimit.linesAtOnce, lines + min(earned, LineLimit.linesAtOnce))
        since = now
      }
      guard lines > 0 else {
        leftOut += 1
        return nil
      }
      lines -= 1
      defer { leftOut = 0 }
      return leftOut
    }

    func isFull(now: UInt64) -> Bool {
      (now - min(now, since)) / LineLimit.nanosecondsPerLine + lines >= LineLimit.linesAtOnce
    }
  }

  private let allowances = Mutex<[Key: Allowance]>([:])
  private let now: @Sendable () -> UInt64

  init(now: @escaping @Sendable () -> UInt64 = { monotonicNanoseconds() }) { self.now = now }

  /// The record as it is to be written, with what was left out since the last one like it; nil to leave it out.
  func admit(_ record: LogRecord, from sender: String) -> LogRecord? {
    let now = now()
    let leftOut = allowances.withLock { allowances in
      var key = Key(message: record.message, sender: sender)
      if allowances[key] == nil, allowances.count >= Self.allowancesMax {
        for (old, allowance) in allowances where allowance.isFull(now: now) { allowances[old] = nil }
        if allowances.count >= Self.allowancesMax { key = Key(message: "", sender: "") }
      }
      return allowances[key, default: Allowance(since: now)].take(now: now)
    }
    guard let leftOut else { return nil }
    var admitted = record
    if leftOut > 0 { admitted.fields.append("lines-left-out", .unsigned(leftOut)) }
    return admitted
  }
}
