/// What a leader knows about one voter's log, and how it sends to it.
struct Progress {
  enum Pace: Equatable {
    /// Where the logs agree is unknown: one append at a time; `waiting` until it is answered or a heartbeat is.
    case probe(waiting: Bool)
    /// The logs agree up to `next - 1` or will: appends follow each other without waiting.
    case replicate
  }

  let id: UInt64
  /// Known to be durable there. For the leader itself: its own stable index.
  var match: UInt64
  /// The next index to send; above `match`.
  var next: UInt64
  var pace: Pace
  /// The commit index last told.
  var sentCommit: UInt64 = 0
  /// The latest read round this voter confirmed.
  var confirmedRound: UInt64 = 0

  init(id: UInt64, match: UInt64, next: UInt64) {
    self.id = id
    self.match = match
    self.next = next
    pace = .probe(waiting: false)
  }

  mutating func sent(count: Int, commit: UInt64) {
    sentCommit = max(sentCommit, commit)
    switch pace {
    case .replicate: next += UInt64(count)
    case .probe: pace = .probe(waiting: true)
    }
  }

  mutating func startReplicating() {
    pace = .replicate
    next = match + 1
  }

  /// The peer holds everything up to `index`. False if that was known.
  mutating func acknowledged(_ index: UInt64) -> Bool {
    let isNews = index > match
    match = max(match, index)
    next = max(next, match + 1)
    return isNews
  }

  /// The peer refused an append that followed `previous`; its log may agree up to `hint`. False if the refusal
  /// is stale.
  mutating func refused(previous: UInt64, hint: UInt64) -> Bool {
    switch pace {
    case .replicate:
      guard previous > match else { return false }
      next = match + 1
    case .probe:
      guard next - 1 == previous else { return false }
      next = max(min(previous, hint + 1), match + 1)
    }
    pace = .probe(waiting: false)
    return true
  }
}
