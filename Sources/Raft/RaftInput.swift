public import Model

/// What can happen to a `RaftMachine`, apart from proposals, which want an answer (`propose`).
public enum RaftInput: Sendable {
  /// One unit of time passed.
  case tick
  /// Start an election now, if this member may.
  case campaign
  /// A message came from the network. It is not trusted.
  case message(Message)
  /// The log stage made the `LogAppend` of this sequence, and all before it, durable.
  case appended(sequence: UInt64)
  /// The apply stage executed all entries up to this index.
  case applied(index: UInt64)
  /// Confirm leadership for reads that wait now. `context` is the caller's own and must be unique.
  case readIndex(context: UInt64)
}

/// What became of a proposal.
public enum ProposalOutcome: Equatable, Sendable {
  /// This member leads; the entry got this index. It may still be superseded by another leader's.
  case appended(index: UInt64)
  /// Sent to the leader of this moment.
  case forwarded
  /// No leader is known.
  case noLeader
  /// Too many uncommitted bytes.
  case overloaded
}
