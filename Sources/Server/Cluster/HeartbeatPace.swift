/// Whether a leader's heartbeats leave in time, as etcd measures it: one that comes later than two intervals after the last
/// to the same member is late.
struct HeartbeatPace {
  let intervalNanoseconds: UInt64
  private var last: [UInt64: UInt64] = [:]

  init(intervalNanoseconds: UInt64) { self.intervalNanoseconds = intervalNanoseconds }

  var expectedNanoseconds: UInt64 { 2 * intervalNanoseconds }

  /// By how much a heartbeat to a member, sent now, is late; nil if it is in time.
  mutating func sent(to peer: UInt64, now: UInt64) -> UInt64? {
    defer { last[peer] = now }
    guard let before = last[peer], now > before, now - before > expectedNanoseconds else { return nil }
    return now - before - expectedNanoseconds
  }

  /// Leadership has changed: the pause before it does not count.
  mutating func reset() { last = [:] }
}
