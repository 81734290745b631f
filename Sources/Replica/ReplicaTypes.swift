public import Model
public import Raft

/// The edge's own name for a request; comes back with its one answer. The value `UInt64.max` is reserved.
public struct Ticket: Hashable, Sendable {
  public var number: UInt64
  public init(_ number: UInt64) { self.number = number }
}

/// A command on its way into the log.
public struct Proposal: Sendable {
  public var ticket: Ticket
  /// etcd's InternalRaftRequest with fields up to 11 only, as encoded protobuf; the machine appends the header
  /// (field 100) with the request id.
  public var operation: [UInt8]
  /// Travels in the header, so that authorization is checked again at apply. Empty: no user.
  public var username: String
  public var authRevision: UInt64

  public init(ticket: Ticket, operation: [UInt8], username: String = "", authRevision: UInt64 = 0) {
    self.ticket = ticket
    self.operation = operation
    self.username = username
    self.authRevision = authRevision
  }
}

/// What can happen to a `ReplicaMachine`.
public enum ReplicaInput: Sendable {
  /// One unit of time (`ReplicaConfiguration.tickMilliseconds`) passed.
  case tick
  case propose(Proposal)
  /// A change of the cluster's configuration. Its id is set by the machine.
  case proposeChange(Ticket, ConfChange)
  /// A command that no client waits for. It may be lost: who wants it looks for its outcome and asks again.
  case proposeUnattended(RaftCommand.Operation)
  /// An empty entry in the log, if this member leads: an index that all members pass. It may be lost.
  case proposeEmpty
  /// A linearizable read: answered by `readReady` once this member's state is recent enough, or by `reply`.
  case readIndex(Ticket)
  /// Id 0: one is chosen. Answered like a proposal.
  case leaseGrant(Ticket, LeaseGrant)
  /// Linearizable, and only the leader can tell: answered by `lease`, or by `reply`. A renewal of a lease that has
  /// expired is answered when that is revoked.
  case leaseRenew(Ticket, id: Int64)
  case leaseTimeToLive(Ticket, id: Int64)
  /// The same, asked by another member for its client: never passed on again, `no leader` unless this member leads.
  case leaseAsked(Ticket, LeaseQuestion)
  /// Answered from this member's state.
  case leaseList(Ticket)
  /// Hand leadership to this voter, or, with 0, to the one that is best prepared. Answered by `transferred` when that
  /// member leads (with 0 also when there is nobody to hand it to), or by `reply`.
  case transferLeadership(Ticket, to: UInt64)
  /// A message from another member, not trusted.
  case message(Message)
  /// The transport can reach a peer, or lost the way to it: what was sent lately may be lost.
  case connectivity(peer: UInt64, isConnected: Bool)
  /// Messages to a peer were lost, though the way to it may still be open.
  case unreachable(peer: UInt64)
  /// A snapshot that was to be sent reached the peer's disk, or will not.
  case snapshotReported(peer: UInt64, succeeded: Bool)
  /// Entries from this index on can be read back from the log.
  case logKept(from: UInt64)
  /// What came of a `LogRead`, as `RaftInput` has it.
  case logRead(LogRead, LogSlice?)
  /// The `LogAppend` of this sequence and all before it are durable.
  case appended(sequence: UInt64)
  /// What the entries of the next `applied` did to leases, in order.
  case leasesChanged([LeaseChange])
  /// All entries up to `index` are executed and visible to new read views.
  case applied(index: UInt64)
  /// Answer everything that waits with `etcdserver: server stopped`, and take nothing more.
  case stop
}

/// Committed entries for the apply stage, in log order.
public struct ApplyBatch: Sendable {
  public var entries: [Entry]
  /// For each entry the local request that waits for its result, which the apply stage answers; nil when none does.
  public var tickets: [Ticket?]

  public init(entries: [Entry], tickets: [Ticket?]) {
    self.entries = entries
    self.tickets = tickets
  }
}

/// Everything a `ReplicaMachine` asks for, to be done in order. No effect carries a duty to wait.
public enum ReplicaEffect: Sendable {
  /// Write and sync, then hand in `appended`. With a snapshot: also put its state in the place of the present one,
  /// then call `installed`, before that.
  case append(LogAppend)
  case send(Message)
  /// Read entries back from the log, then hand in `logRead`.
  case readLog(LogRead)
  /// Execute, answer the tickets, publish, then hand in `applied`.
  case apply(ApplyBatch)
  /// The request failed (or was never executed, or its fate is unknown: a time-out).
  case reply(Ticket, ClientError)
  /// These reads may be served from any view whose applied index is at least `appliedIndex`; it is applied already.
  case readReady([Ticket], appliedIndex: UInt64)
  case lease(Ticket, LeaseAnswer)
  /// Only the leader, another member, can tell: the edge asks it, as `leaseAsked`, and answers the ticket.
  case askLeader(Ticket, LeaseQuestion, leader: UInt64)
  /// Leadership is where it was wanted.
  case transferred(Ticket)
  case leadershipChanged(Leadership)
  /// The member's own attributes and the cluster version are applied: the member may serve clients.
  case published
  case messageRefused(from: UInt64, kind: Message.Kind, MessageFault)
}

/// What a `ReplicaMachine` is told once.
public struct ReplicaConfiguration: Sendable {
  public var raft: RaftConfiguration
  public var clusterID: UInt64
  public var tickMilliseconds: Int
  /// Milliseconds since 1970 at process start: keeps request ids of earlier runs apart from this one's.
  public var startMilliseconds: UInt64
  /// Name and client URLs, proposed after each start once a leader is known.
  public var name: String
  public var clientURLs: [String]
  /// What this member runs, "3.7.0". Proposed as the cluster's version by a sole voter that finds another one, or none,
  /// in the store; with others to ask, that is settled elsewhere.
  public var clusterVersion: String
  public var limits: ReplicaLimits

  public init(
    raft: RaftConfiguration, clusterID: UInt64, tickMilliseconds: Int = 100, startMilliseconds: UInt64,
    name: String, clientURLs: [String], clusterVersion: String, limits: ReplicaLimits = ReplicaLimits()
  ) {
    precondition(tickMilliseconds > 0)
    self.raft = raft
    self.clusterID = clusterID
    self.tickMilliseconds = tickMilliseconds
    self.startMilliseconds = startMilliseconds
    self.name = name
    self.clientURLs = clientURLs
    self.clusterVersion = clusterVersion
    self.limits = limits
  }

  /// etcd's request time limit: 5 s and two election timeouts.
  public var requestTimeoutTicks: Int {
    (5_000 + tickMilliseconds - 1) / tickMilliseconds + 2 * raft.electionTicks
  }

  /// etcd's shortest lease, which shorter ones are raised to: one and a half election timeouts, in whole seconds.
  public var minLeaseTTLSeconds: Int64 {
    Int64(((3 * raft.electionTicks) / 2 * tickMilliseconds + 999) / 1_000)
  }
}

/// Every bound of a `ReplicaMachine`, Raft's own aside.
public struct ReplicaLimits: Sendable {
  /// Encoded command, header included (--max-request-bytes).
  public var requestBytes = 1_572_864
  /// Committed but not yet applied entries beyond which proposals answer `too many requests`.
  public var applyGap: UInt64 = 5_000
  /// Proposals and reads that wait for an answer.
  public var waitingRequests = 1 << 20
  /// Bytes of proposals that wait for a leader.
  public var waitingProposalBytes = 64 << 20
  public var lease = LeaseLimits()

  public init() {}
}
