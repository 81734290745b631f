/// raftpb.Entry.
public struct Entry: Hashable, Sendable {
  public enum Kind: Int32, Sendable { case normal = 0, confChange = 1, confChangeV2 = 2 }

  public var term: UInt64
  public var index: UInt64
  public var kind: Kind
  public var data: [UInt8]

  public init(term: UInt64, index: UInt64, kind: Kind = .normal, data: [UInt8] = []) {
    self.term = term
    self.index = index
    self.kind = kind
    self.data = data
  }
}

/// raftpb.HardState: what a member must never forget.
public struct HardState: Hashable, Sendable {
  public var term: UInt64
  public var vote: UInt64
  public var commit: UInt64

  public init(term: UInt64 = 0, vote: UInt64 = 0, commit: UInt64 = 0) {
    self.term = term
    self.vote = vote
    self.commit = commit
  }
}

/// raftpb.ConfState.
public struct ConfState: Hashable, Sendable {
  public var voters: [UInt64] = []
  public var learners: [UInt64] = []
  public var votersOutgoing: [UInt64] = []
  public var learnersNext: [UInt64] = []
  public var autoLeave = false

  public init() {}
  public init(voters: [UInt64]) { self.voters = voters }
}

/// raftpb.SnapshotMetadata.
public struct SnapshotMetadata: Hashable, Sendable {
  public var confState: ConfState
  public var index: UInt64
  public var term: UInt64

  public init(confState: ConfState = ConfState(), index: UInt64 = 0, term: UInt64 = 0) {
    self.confState = confState
    self.index = index
    self.term = term
  }
}

/// raftpb.Message.
public struct Message: Hashable, Sendable {
  public enum Kind: Int32, CaseIterable, Sendable {
    case hup = 0, beat, propose, append, appendResponse, vote, voteResponse, snapshot, heartbeat,
      heartbeatResponse, unreachable, snapshotStatus, checkQuorum, transferLeader, timeoutNow, readIndex,
      readIndexResponse, preVote, preVoteResponse, storageAppend, storageAppendResponse, storageApply,
      storageApplyResponse, forgetLeader
  }

  public var kind: Kind
  public var to: UInt64
  public var from: UInt64
  public var term: UInt64
  public var logTerm: UInt64
  public var index: UInt64
  public var entries: [Entry]
  public var commit: UInt64
  public var vote: UInt64
  public var snapshot: SnapshotMetadata?
  public var reject: Bool
  public var rejectHint: UInt64
  public var context: [UInt8]

  public init(
    kind: Kind, to: UInt64 = 0, from: UInt64 = 0, term: UInt64 = 0, logTerm: UInt64 = 0, index: UInt64 = 0,
    entries: [Entry] = [], commit: UInt64 = 0, vote: UInt64 = 0, snapshot: SnapshotMetadata? = nil,
    reject: Bool = false, rejectHint: UInt64 = 0, context: [UInt8] = []
  ) {
    self.kind = kind
    self.to = to
    self.from = from
    self.term = term
    self.logTerm = logTerm
    self.index = index
    self.entries = entries
    self.commit = commit
    self.vote = vote
    self.snapshot = snapshot
    self.reject = reject
    self.rejectHint = rejectHint
    self.context = context
  }
}
