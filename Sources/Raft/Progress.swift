/// What a leader knows about one member's log, and how it sends to it.
///
///     probe      where the logs agree is unknown: one append with entries at a time
///     replicate  they agree up to `next - 1`, or will: appends follow each other within the limits
///     snapshot   the log no longer reaches back far enough: nothing is sent until the snapshot is through
struct Progress: Equatable, CustomStringConvertible, Sendable {
  enum State: Equatable, Sendable {
    case probe, replicate
    /// `pending` is the snapshot's index.
    case snapshot(pending: UInt64)
  }

  let id: UInt64
  /// Known to be durable there.
  private(set) var match: UInt64
  /// The next index to send. Always above `match`.
  private(set) var next: UInt64
  private(set) var state = State.probe
  /// The commit index that has been sent and that the peer can use: it has the entries, or they are on their way.
  private var sentCommit: UInt64 = 0
  /// Nothing is to be sent until something comes back.
  private var isFlowPaused = false
  private(set) var inflights: Inflights
  /// The last entry that it was sent ahead of answers.
  private var lastSentIndex: UInt64 = 0
  private var lastSentTerm: UInt64 = 0
  /// What it needs next is being read back from the log.
  private(set) var isReadingLog = false
  /// It was sent a snapshot or old entries, and does not follow yet.
  private var isCatchingUp = false
  /// It was heard of since the last quorum check.
  var isRecentlyActive = false
  /// It was heard of in the period before that.
  private var wasActive = false
  var isLearner = false
  /// The latest read round it confirmed.
  var confirmedRound: UInt64 = 0

  init(id: UInt64, match: UInt64, next: UInt64, limits: InflightLimits) {
    self.id = id
    self.match = match
    self.next = next
    inflights = Inflights(limits: limits)
  }

  var isPaused: Bool {
    switch state {
    case .probe, .replicate: isFlowPaused || isReadingLog
    case .snapshot: true
    }
  }

  /// A full pipeline takes empty appends only: were all of its messages lost, nothing else would find that out.
  var mayTakeEntries: Bool { state != .replicate || !inflights.isFull }

  /// The index behind which it has to be sent everything yet, if it is catching up and answers.
  var neededIndex: UInt64? {
    guard isCatchingUp, isRecentlyActive || wasActive else { return nil }
    let index =
      switch state {
      case .probe: next - 1
      case .replicate: match
      case .snapshot(let pending): pending
      }
    return index > 0 ? index : nil
  }

  /// A quorum check counts from here on.
  mutating func beginActivityPeriod() {
    wasActive = isRecentlyActive
    isRecentlyActive = false
  }

  // MARK: Changing pace

  mutating func becomeProbe() {
    // A snapshot that is through moves the start; the answer to the first probe tells the rest.
    if case .snapshot(let pending) = state { next = max(match + 1, pending + 1) } else { next = match + 1 }
    enter(.probe)
    sentCommit = min(sentCommit, next - 1)
  }

  mutating func becomeReplicate() {
    enter(.replicate)
    next = match + 1
  }

  mutating func becomeSnapshot(_ index: UInt64) {
    enter(.snapshot(pending: index))
    isCatchingUp = true
    next = index + 1
    sentCommit = index
  }

  /// The snapshot did not arrive: its index says nothing about the peer.
  mutating func snapshotFailed() {
    guard case .snapshot = state else { return }
    state = .snapshot(pending: 0)
  }

  /// Waits for an answer or the next heartbeat's.
  mutating func pauseFlow() { isFlowPaused = true }

  /// An answer came: the peer is reachable.
  mutating func resumeFlow() { isFlowPaused = false }

  private mutating func enter(_ new: State) {
    state = new
    isFlowPaused = false
    isReadingLog = false
    inflights.reset()
  }

  // MARK: Sending

  mutating func startReadingLog() {
    isReadingLog = true
    isCatchingUp = true
  }

  mutating func endReadingLog() { isReadingLog = false }

  /// What it needs next is in memory. While it is being probed, it may be still at work on a snapshot.
  mutating func canFollow() { if state == .replicate { isCatchingUp = false } }

  /// The term of the entry before `next`, if that was sent ahead of answers.
  var termOfLastSent: UInt64? { lastSentIndex > 0 && lastSentIndex == next - 1 ? lastSentTerm : nil }

  mutating func sentEntries(count: Int, bytes: Int, lastTerm: UInt64) {
    switch state {
    case .replicate:
      if count > 0 {
        next += UInt64(count)
        inflights.add(index: next - 1, bytes: bytes)
        lastSentIndex = next - 1
        lastSentTerm = lastTerm
      }
      isFlowPaused = inflights.isFull
    case .probe:
      if count > 0 { isFlowPaused = true }
    case .snapshot:
      preconditionFailure("nothing is sent beside a snapshot")
    }
  }

  mutating func sentCommit(_ index: UInt64) { sentCommit = index }

  /// Whether sending `commit` would tell the peer anything it can use.
  func canUseCommit(_ commit: UInt64) -> Bool { commit > sentCommit && sentCommit < next - 1 }

  // MARK: Answers

  /// The peer holds everything up to `index`. False if that was known.
  mutating func acknowledged(_ index: UInt64) -> Bool {
    guard index > match else { return false }
    match = index
    next = max(next, index + 1)
    isFlowPaused = false
    return true
  }

  mutating func freeInflights(through index: UInt64) { inflights.acknowledge(through: index) }

  /// The peer refused an append that followed `rejected`; its log may agree up to `hint`. False if the refusal is
  /// stale.
  mutating func refused(rejected: UInt64, hint: UInt64) -> Bool {
    if state == .replicate {
      guard rejected > match else { return false }
      next = match + 1
    } else {
      guard next - 1 == rejected else { return false }
      next = max(min(rejected, hint + 1), match + 1)
      isFlowPaused = false
    }
    sentCommit = min(sentCommit, next - 1)
    return true
  }

  /// As etcd's logs write it.
  var description: String {
    var text: String
    var pending: UInt64 = 0
    switch state {
    case .probe: text = "StateProbe"
    case .replicate: text = "StateReplicate"
    case .snapshot(let index):
      text = "StateSnapshot"
      pending = index
    }
    text += " match=\(match) next=\(next)"
    if isLearner { text += " learner" }
    if isPaused { text += " paused" }
    if pending > 0 { text += " pendingSnap=\(pending)" }
    if !isRecentlyActive { text += " inactive" }
    if inflights.count > 0 { text += " inflight=\(inflights.count)" + (inflights.isFull ? "[full]" : "") }
    return text
  }
}
