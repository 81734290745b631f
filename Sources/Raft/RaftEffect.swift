public import Model

/// One write of the log stage: what must reach the disk before `RaftInput.appended(sequence)` may come back.
public struct LogAppend: Equatable, Sendable {
  /// Ascending by one; completions may be merged (a later one covers the earlier).
  public var sequence: UInt64
  /// Contiguous, possibly empty. A first index at or below the log's last one supersedes the log's end from there.
  public var entries: [Entry]
  /// The hard state to be recorded with the entries; always present, often unchanged.
  public var hardState: HardState
  /// A snapshot that replaces the whole log and the state; entries follow it. Completed only when both are in place.
  /// Only with `RaftConfiguration.hasSnapshots`.
  public var snapshot: SnapshotMetadata?

  public init(
    sequence: UInt64, entries: [Entry], hardState: HardState, snapshot: SnapshotMetadata? = nil
  ) {
    self.sequence = sequence
    self.entries = entries
    self.hardState = hardState
    self.snapshot = snapshot
  }
}

/// Entries that a leader no longer has in memory and a peer still needs; `RaftInput.logRead` answers.
public struct LogRead: Equatable, Sendable {
  public var peer: UInt64
  /// The peer's log is taken to agree up to here: the term of this entry is wanted, and those behind it.
  public var previous: UInt64
  /// The last entry that is not in memory.
  public var last: UInt64
  /// Encoded bytes; one larger entry still comes, alone.
  public var bytesMax: Int

  public init(peer: UInt64, previous: UInt64, last: UInt64, bytesMax: Int) {
    self.peer = peer
    self.previous = previous
    self.last = last
    self.bytesMax = bytesMax
  }
}

/// What a `LogRead` brought.
public struct LogSlice: Equatable, Sendable {
  /// The term of the entry at `LogRead.previous`.
  public var previousTerm: UInt64
  /// Those behind it, contiguous, at least one.
  public var entries: [Entry]

  public init(previousTerm: UInt64, entries: [Entry]) {
    self.previousTerm = previousTerm
    self.entries = entries
  }
}

/// Who leads, as this member sees it. `leader` is 0 while it knows none.
public struct Leadership: Equatable, Sendable {
  public enum Role: Sendable { case follower, preCandidate, candidate, leader }

  public var role: Role
  public var term: UInt64
  public var leader: UInt64

  public init(role: Role, term: UInt64, leader: UInt64) {
    self.role = role
    self.term = term
    self.leader = leader
  }
}

/// Everything a `RaftMachine` asks of its surroundings, to be done in order.
///
/// No effect carries a duty to wait: what depends on a durable write is not emitted before the write's
/// `appended` came back.
public enum RaftEffect: Equatable, Sendable {
  /// Write and sync, then hand in `RaftInput.appended`. At most one per flush; several may be under way.
  case append(LogAppend)
  /// Hand to the peer `message.to`. May be lost, repeated and reordered. A snapshot message names the least state
  /// that helps the peer: a later one may be sent in its place.
  // Indirect, so that a rare large payload does not make every effect large.
  indirect case send(Message)
  /// Read entries back from the log; at most one for each peer at a time.
  case readLog(LogRead)
  /// Committed and locally durable entries, contiguous, each handed out once: apply them, then hand in
  /// `RaftInput.applied`.
  case committed([Entry])
  /// The read asked for by `RaftInput.readIndex(context)` is linearizable once `index` is applied here.
  /// A follower's read is answered again when the network repeats messages; each answer holds.
  case readReady(context: UInt64, index: UInt64)
  /// The read will not be answered: no leader is known, leadership was lost, or too many wait. Ask again.
  case readDropped(context: UInt64)
  /// Role, term or known leader changed.
  case leadershipChanged(Leadership)
  /// A peer sent what no correct peer sends; nothing was changed by it.
  case messageRefused(from: UInt64, kind: Message.Kind, MessageFault)
}
