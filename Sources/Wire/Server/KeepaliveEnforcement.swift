import NIOCore

/// grpc-go's judgement of client pings: too many without traffic in between, and the connection is ended.
///
/// Pings while the server sends headers or data are free: bandwidth estimators ping all the time.
struct KeepaliveEnforcement {
  static let strikesMax = 2
  /// Between pings of a connection without calls.
  static let idleInterval = TimeAmount.hours(2)

  private let minTime: TimeAmount
  private var lastPing: NIODeadline?
  private var strikes = 0
  private var trafficSinceLastPing = false

  init(minTime: TimeAmount) {
    self.minTime = minTime
  }

  @inline(__always)
  mutating func trafficSent() {
    trafficSinceLastPing = true
  }

  /// Judges one ping; true when the client must go.
  mutating func pingReceived(at now: NIODeadline, hasCalls: Bool) -> Bool {
    defer { lastPing = now }
    if trafficSinceLastPing {
      trafficSinceLastPing = false
      strikes = 0
      return false
    }
    if let lastPing, lastPing + (hasCalls ? minTime : Self.idleInterval) > now { strikes += 1 }
    return strikes > Self.strikesMax
  }
}
