public import Model

/// What a `RaftMachine` is told once. Times are ticks: the machine reads no clock.
public struct RaftConfiguration: Sendable {
  /// This member; never 0.
  public var memberID: UInt64
  /// A follower that heard no leader for this many ticks, plus a random 0 to `electionTicks - 1`, campaigns.
  /// Lower values recover sooner and make false elections likelier. Greater than `heartbeatTicks`.
  public var electionTicks: Int
  /// A leader sends heartbeats every so many ticks. At least 1.
  public var heartbeatTicks: Int
  /// Seeds the election timeouts. Members of one cluster must differ, or they campaign in step.
  public var seed: UInt64
  public var limits: RaftLimits

  public init(
    memberID: UInt64, electionTicks: Int = 10, heartbeatTicks: Int = 1, seed: UInt64,
    limits: RaftLimits = RaftLimits()
  ) {
    precondition(memberID != 0, "0 means no member")
    precondition(heartbeatTicks >= 1 && electionTicks > heartbeatTicks, "elections outlast heartbeats")
    self.memberID = memberID
    self.electionTicks = electionTicks
    self.heartbeatTicks = heartbeatTicks
    self.seed = seed
    self.limits = limits
  }
}

/// Every bound of a `RaftMachine`. Tests shrink them to make the edges common.
public struct RaftLimits: Sendable {
  /// Applied entries kept in memory for peers that lag (etcd: SnapshotCatchUpEntries).
  public var catchUpEntries = 5_000
  /// Bytes of applied entries kept in memory; the smaller bound wins.
  public var catchUpBytes = 64 << 20
  /// Entry bytes in one append message to a peer; one larger entry still goes, alone.
  public var messageBytes = 1 << 20
  /// Entries sent to one peer and not yet acknowledged by it.
  public var inflightEntries = 4_096
  /// Entry bytes handed to apply and not yet applied; the rest waits in the log.
  public var applyBytes = 64 << 20
  /// Entry bytes proposed by this leader and not yet committed; beyond it proposals are dropped.
  public var uncommittedBytes = 256 << 20
  /// Linearizable reads that wait for a round on the leader; beyond it they are dropped.
  public var waitingReads = 100_000

  public init() {}
}

/// The state a `RaftMachine` starts from: what the log and the store hold after a start or a crash.
public struct RaftRecovery: Sendable {
  public var hardState: HardState
  /// Everything up to here, and its term, is in the store and may be missing from `entries`.
  public var compactedIndex: UInt64
  public var compactedTerm: UInt64
  /// Durable entries, contiguous from `compactedIndex + 1`.
  public var entries: [Entry]
  /// The configuration as of `appliedIndex`.
  public var confState: ConfState
  /// The store's applied index, at least `compactedIndex` and at most the last entry's index.
  public var appliedIndex: UInt64

  /// A member that never ran.
  public init() {
    self.init(
      hardState: HardState(), compactedIndex: 0, compactedTerm: 0, entries: [], confState: ConfState(),
      appliedIndex: 0)
  }

  public init(
    hardState: HardState, compactedIndex: UInt64, compactedTerm: UInt64, entries: [Entry],
    confState: ConfState, appliedIndex: UInt64
  ) {
    self.hardState = hardState
    self.compactedIndex = compactedIndex
    self.compactedTerm = compactedTerm
    self.entries = entries
    self.confState = confState
    self.appliedIndex = appliedIndex
  }
}
