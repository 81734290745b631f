public import Model

// What others may look at.
extension RaftMachine {
  var id: UInt64 { configuration.memberID }

  public var leadership: Leadership { Leadership(role: role, term: term, leader: leader) }
  public var hardState: HardState { HardState(term: term, vote: vote, commit: log.commitIndex) }
  public var confState: ConfState { members.confState }
  public var commitIndex: UInt64 { log.commitIndex }
  public var appliedIndex: UInt64 { log.appliedIndex }
  /// The last index that is durable here.
  public var stableIndex: UInt64 { log.stableIndex }
  public var lastIndex: UInt64 { log.lastIndex }
  /// The first index still in memory.
  public var firstIndex: UInt64 { log.firstIndex }
  /// Whether this member is the one voter.
  public var isSoleVoter: Bool { members.voters.incoming.voters == [id] && !members.isJoint }
  /// Whether this member votes in the configuration it knows.
  public var isVoter: Bool { members.voters.contains(id) }
  public var isLearner: Bool { members.learners.contains(id) }
  /// Whether an entry of this leader's own term is committed: reads may be confirmed.
  public var hasCommittedInTerm: Bool { log.term(at: log.commitIndex) == term }
  /// To whom this leader hands leadership at the moment; 0: to nobody.
  public var leadershipTransferee: UInt64 { transferee }

  /// The term of the entry at `index`; nil if it is beyond the end or no longer in memory.
  public func term(at index: UInt64) -> UInt64? { log.term(at: index) }

  /// Entries still in memory, from `index` on, at most `maxCount`.
  public func entries(from index: UInt64, maxCount: Int) -> [Entry] {
    log.slice(from: index, through: log.lastIndex, maxCount: maxCount, maxBytes: Int.max)
  }

  /// Whether `campaign` would start an election: a voter, no leader itself, no snapshot and no committed
  /// configuration change left to apply (the change may alter who votes).
  public var mayCampaign: Bool { role != .leader && isPromotable && !hasUnappliedChange }

  /// What a leader knows about each member, as etcd prints it, in the order of ids.
  public var progressDescription: [String] { progress.map { "\($0.id): \($0)" } }

  /// For a leader: each member's match index and whether it was heard of lately, in the order of ids.
  public var peers: [(id: UInt64, match: UInt64, isRecentlyActive: Bool, isLearner: Bool)] {
    role == .leader ? progress.map { ($0.id, $0.match, $0.isRecentlyActive, $0.isLearner) } : []
  }

  /// For a leader: the lowest index behind which a peer that is catching up has to be sent everything yet.
  public var neededIndex: UInt64? {
    guard role == .leader else { return nil }
    return progress.lazy.filter { [id] in $0.id != id }.compactMap(\.neededIndex).min()
  }

  // MARK: For tests

  /// Takes the place of the drawn election timeout until the next change of role.
  public mutating func setElectionTimeout(ticks: Int) { electionTimeoutTicks = ticks }

  /// Lets the leader send this snapshot in place of one of its present state.
  public mutating func offerSnapshot(_ metadata: SnapshotMetadata) { offeredSnapshot = metadata }

  /// Drops entries through `index` from memory; they must be applied and durable.
  public mutating func compact(through index: UInt64) { log.compact(through: index) }

  /// Where the bounds of the flow to each peer are, for invariants: messages and bytes in flight.
  public var flow: [(id: UInt64, match: UInt64, next: UInt64, messages: Int, bytes: Int)] {
    progress.map { ($0.id, $0.match, $0.next, $0.inflights.count, $0.inflights.bytes) }
  }
  public var uncommittedPayload: Int { uncommittedBytes }
}
