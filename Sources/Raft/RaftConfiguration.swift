/// What a `RaftMachine` is told once. Times are ticks: the machine reads no clock.
public struct RaftConfiguration: Sendable {
  /// How a leader proves that it leads when a read asks.
  public enum ReadMode: Sendable {
    /// By a round of heartbeats that began after the read.
    case safe
    /// By the lease that the quorum check and its rule about votes give. Wrong when clocks drift without bound.
    case lease
  }

  /// This member; neither 0 nor one of the two largest numbers, which name the local stages.
  public var memberID: UInt64
  /// A follower that heard no leader for this many ticks, plus a random 0 to `electionTicks - 1`, campaigns.
  /// Lower values recover sooner and make false elections likelier. Greater than `heartbeatTicks`.
  public var electionTicks: Int
  /// A leader sends heartbeats every so many ticks. At least 1.
  public var heartbeatTicks: Int
  /// Seeds the election timeouts, together with the member's id.
  public var seed: UInt64
  public var limits: RaftLimits

  /// Ask whether an election could be won before raising the term: a member that comes back does not disturb.
  public var preVote = false
  /// A leader that has not heard a quorum for an election timeout steps down; a follower that heard its leader
  /// recently gives no vote.
  public var checkQuorum = false
  /// `lease` needs `checkQuorum`.
  public var readMode = ReadMode.safe
  /// A leader that a change removes or demotes steps down once it has applied the change.
  public var stepDownOnRemoval = false
  /// A follower sends proposals on to its leader.
  public var forwardsProposals = true
  /// Refuse a change of the configuration while another may be unapplied, and one that does not fit the present
  /// configuration. Off only where something above serialises changes: one that does not fit then ends the process.
  public var validatesChanges = true
  /// Whether the surroundings can send and install snapshots. Otherwise a peer that the log no longer reaches gets
  /// nothing, and a snapshot is refused.
  public var hasSnapshots = false
  /// Let a batch of inputs share one append message per peer, sent by `flush`; hold vote requests back until term and
  /// vote are durable. Off: each input's messages at once, as etcd's library does it.
  public var batches = true
  /// Storage is written beside the machine and reported when it is done; entries are applied only when they are
  /// durable here. Off: `RaftMachine.advance` reports that everything of the last `ready` is done.
  public var asyncStorageWrites = true

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

/// Every bound of a `RaftMachine`. Tests shrink them to make the edges common. Bytes of entries are counted as
/// encoded, unless said otherwise.
public struct RaftLimits: Sendable {
  /// Applied entries kept in memory for peers that lag (etcd: SnapshotCatchUpEntries).
  public var catchUpEntries = 5_000
  /// Payload bytes of applied entries kept in memory; the smaller bound wins.
  public var catchUpBytes = 64 << 20
  /// Entry bytes in one append message to a peer; one larger entry still goes, alone.
  public var messageBytes = 1 << 20
  /// Bytes of entries read back from the log for one peer and not yet acknowledged by it.
  public var readBytes = 4 << 20
  /// Append messages sent to one peer and not yet acknowledged by it.
  public var inflightMessages = 512
  /// Payload bytes sent to one peer and not yet acknowledged by it; the message that reaches it still goes.
  public var inflightBytes = 64 << 20
  /// Entry bytes handed to apply and not yet applied; the rest waits in the log. One larger entry still goes, alone.
  public var applyBytes = 64 << 20
  /// Payload bytes proposed by this leader and not yet applied; beyond it proposals are dropped.
  public var uncommittedBytes = 256 << 20
  /// Linearizable reads that wait for a round on the leader; beyond it they are dropped.
  public var waitingReads = 100_000
  /// Members in a configuration that a peer's snapshot brings.
  public var members = 1_000

  public init() {}
}
