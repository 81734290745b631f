/// When the leader lets all members say what their data is: it proposes an empty entry, at which each takes a digest.
///
/// Soon again when somebody had nothing to say (it was not reached, or a compaction was under way), a few times; then
/// only with the next interval, and only when something was applied since: an idle cluster stays idle. As long as members
/// are known to differ and it is open who is wrong, it goes on asking.
struct ComparisonDuty {
  private let interval: UInt64
  private let pause: UInt64
  private var leads = false
  private var next: UInt64 = 0
  /// Empty entries since the last index at which everybody has spoken.
  private var tries = 0
  private var completeIndex: UInt64 = 0
  private static let triesMax = 3
  private static let pauseNanoseconds: UInt64 = 5_000_000_000

  init(intervalNanoseconds: UInt64) {
    interval = intervalNanoseconds
    pause = min(intervalNanoseconds, Self.pauseNanoseconds)
  }

  /// Whether the leader should propose one now. `comparedIndex` is the last index at which members had to speak,
  /// `completeIndex` the last at which all did, `isDoubtful` as `DigestComparison` has it; `now` is monotonic, in nanoseconds.
  mutating func isDue(
    leads: Bool, appliedIndex: UInt64, comparedIndex: UInt64, completeIndex: UInt64, isDoubtful: Bool,
    now: UInt64
  ) -> Bool {
    guard leads else {
      self.leads = false
      return false
    }
    if !self.leads {
      self.leads = true
      // A term begins with an empty entry.
      tries = 1
      next = now + pause
    }
    if completeIndex > self.completeIndex {
      self.completeIndex = completeIndex
      tries = 0
      next = now + interval
    }
    guard now >= next else { return false }
    if appliedIndex > comparedIndex {
      if tries >= Self.triesMax { tries = 0 }
    } else if !isDoubtful, completeIndex >= comparedIndex || tries >= Self.triesMax {
      return false
    }
    tries += 1
    next = now + (tries < Self.triesMax || isDoubtful ? pause : interval)
    return true
  }
}
