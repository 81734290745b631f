public import Model

/// What can happen to a `RaftMachine`, apart from proposals, which want an answer (`propose`).
public enum RaftInput: Sendable {
  /// One unit of time passed.
  case tick
  /// Start an election now, if this member may.
  case campaign
  /// A message came from the network. It is not trusted.
  // Indirect, so that a rare large payload does not make every input large.
  indirect case message(Message)
  /// The log stage made the `LogAppend` of this sequence, and all before it, durable.
  case appended(sequence: UInt64)
  /// The log stage can read back the entries from this index on, of those that are no longer in memory. At first it can
  /// read none.
  case logKept(from: UInt64)
  /// What came of a `LogRead`; nil when the entries are not kept any more.
  case logRead(LogRead, LogSlice?)
  /// The apply stage executed all entries up to this index.
  case applied(index: UInt64)
  /// Confirm leadership for reads that wait now. `context` is the caller's own and must be unique.
  case readIndex(context: UInt64)
  /// Hand leadership to a voter; a follower passes the wish on. Given up after an election timeout.
  case transferLeadership(to: UInt64)
  /// A follower takes no one for its leader any more, without waiting for the election timeout.
  case forgetLeader
  /// The transport lost the way to a peer: what was sent lately may be lost.
  case unreachable(peer: UInt64)
  /// The snapshot for a peer was delivered, or will not be.
  case snapshotReported(peer: UInt64, succeeded: Bool)
}

/// What became of a proposal.
public enum ProposalOutcome: Equatable, Sendable {
  /// This member leads; the entry got this index. It may still be superseded by another leader's.
  case appended(index: UInt64)
  /// Sent to the leader of this moment.
  case forwarded
  /// No leader is known, or leadership is being handed over, or this leader is no member any more: ask again later.
  case noLeader
  /// Too many uncommitted bytes.
  case overloaded
}

/// What became of a message or another step.
public enum StepOutcome: Equatable, Sendable {
  case taken
  /// A proposal that nobody took.
  case proposalDropped
  /// An answer from someone that is no member.
  case peerUnknown
  /// A peer sent what no correct peer sends; nothing was changed by it.
  case refused(MessageFault)
}

/// Why a peer's message was refused.
public enum MessageFault: Equatable, Sendable, CaseIterable, CustomStringConvertible {
  case localOnlyKind, wrongAddress, fromSelf, termOutOfRange, indexOutOfRange, entriesNotContiguous
  case entryTermOutOfRange, contradictsCommitted, secondLeaderInTerm, unsupported, malformedChange
  case malformedSnapshot
  /// Found by whoever knows what entries mean.
  case malformedCommand
  case snapshotWithoutFile

  public var description: String {
    switch self {
    case .localOnlyKind: "its kind is for a member's own use"
    case .wrongAddress: "sender or receiver is not who it should be"
    case .fromSelf: "it names its receiver as the sender"
    case .termOutOfRange: "its term is out of range"
    case .indexOutOfRange: "an index or a context is out of range"
    case .entriesNotContiguous: "its entries are not those that its kind has, in their order"
    case .entryTermOutOfRange: "an entry's term is out of range"
    case .contradictsCommitted: "an entry contradicts a committed one"
    case .secondLeaderInTerm: "another member leads in its term"
    case .unsupported: "this member takes no snapshots"
    case .malformedChange: "an entry holds what is no change of members"
    case .malformedSnapshot: "the snapshot's term, index or members are impossible"
    case .malformedCommand: "an entry holds what is no command"
    case .snapshotWithoutFile: "a snapshot without its file"
    }
  }
}
