/// What a `ReplicaMachine` has counted since it was made, for metrics; nothing is decided by it.
public struct ReplicaCounters: Sendable, Equatable {
  /// Times a leader appeared that was not known before.
  public var leaderChanges: UInt64 = 0
  /// Proposals whose fate is unknown: no result within the time limit, or the member stopped.
  public var failedProposals: UInt64 = 0
  /// Rounds of reads that a change of leaders ended.
  public var failedReadIndexes: UInt64 = 0
  /// Rounds of reads with an answer too late, or none.
  public var slowReadIndexes: UInt64 = 0
  public var leasesRenewed: UInt64 = 0
  /// Leases whose time ran out and whose revocation this member proposed.
  public var leasesExpired: UInt64 = 0
  /// Learners that this member, the leader, was asked to make voters of, and did; and why it refused others.
  public var promotions: UInt64 = 0
  public var promotionsOfUnknown: UInt64 = 0
  public var promotionsOfVoters: UInt64 = 0
  public var promotionsTooEarly: UInt64 = 0

  public init() {}
}
