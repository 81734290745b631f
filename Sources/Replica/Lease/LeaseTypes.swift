/// What a lease has and has left.
public struct LeaseTimes: Hashable, Sendable {
  public var grantedSeconds: Int64
  /// Whole seconds, never more than the lease really has; 0 for one that expired and is not revoked yet.
  public var remainingSeconds: Int64

  public init(grantedSeconds: Int64, remainingSeconds: Int64) {
    self.grantedSeconds = grantedSeconds
    self.remainingSeconds = remainingSeconds
  }
}

/// A lease and when it expires, for sorting.
public struct LeaseExpiry: Hashable, Sendable, Comparable {
  public var id: Int64
  /// In ticks of this member; the same for all on one that does not lead.
  public var tick: UInt64

  public init(id: Int64, tick: UInt64) {
    self.id = id
    self.tick = tick
  }

  public static func < (a: LeaseExpiry, b: LeaseExpiry) -> Bool { (a.tick, a.id) < (b.tick, b.id) }
}

/// The outcome of a question about leases.
public enum LeaseAnswer: Hashable, Sendable {
  /// The granted time in seconds, which begins anew; 0: the lease is unknown, or expired and is gone by now.
  case renewed(ttlSeconds: Int64)
  /// Nil: unknown.
  case timeToLive(LeaseTimes?)
  /// In no order.
  case list([LeaseExpiry])
}

/// The bounds of expiry.
public struct LeaseLimits: Sendable {
  /// Revocations proposed a second, as etcd's. Each tick proposes its share in one batch, which costs one sync that other
  /// requests share, and about 10 us a lease of the member's thread: a hundredth of it in the worst storm.
  public var revocationsPerSecond = 1_000
  /// Proposed and not yet applied: what a slow disk or quorum lets pile up.
  public var revocationsInFlight = 256
  /// Keys whose deletion counts as one revocation more.
  public var keysPerRevocation = 16
  /// A new leader spreads leases so that no more than this many expire in a second: revocations keep some air.
  public var expiriesPerSecond = 750

  public init() {}
}
