public import Model

extension ConfState {
  /// The configuration after `change`; nil for a kind of change, or a starting point, that this version does not
  /// carry out. The same on every member: a pure function of replicated state.
  public func applying(_ change: ConfChange) -> ConfState? {
    guard learners.isEmpty, votersOutgoing.isEmpty, learnersNext.isEmpty else { return nil }
    var voters = self.voters
    switch change.kind {
    case .addNode: if !voters.contains(change.nodeID) { voters.append(change.nodeID) }
    case .removeNode: voters.removeAll { $0 == change.nodeID }
    case .updateNode: break
    case .addLearnerNode: return nil
    }
    return ConfState(voters: voters.sorted())
  }
}

extension RaftMachine {
  /// Starts a cluster: the initial members become committed configuration changes at term 1, in the order of their
  /// ids, so that every member writes the same first entries. Only for a machine without any state.
  public mutating func bootstrap(_ members: [(id: UInt64, context: [UInt8])]) {
    precondition(log.lastIndex == 0 && term == 0, "bootstrap is the first thing a member ever does")
    precondition(!members.isEmpty)
    term = 1
    for member in members.sorted(by: { $0.id < $1.id }) {
      let change = ConfChange(kind: .addNode, nodeID: member.id, context: member.context)
      _ = log.append(term: term, kind: .confChange, data: change.encoded())
    }
    log.commit(to: log.lastIndex)
    voters = MajorityConfiguration(members.map(\.id))
  }

  /// Takes in a configuration that a committed change led to, once the change is applied. Applying the bootstrap
  /// changes again changes nothing.
  public mutating func adoptConfiguration(_ confState: ConfState, _ effects: inout [RaftEffect]) {
    precondition(confState.learners.isEmpty && confState.votersOutgoing.isEmpty, "majorities only")
    adopt(MajorityConfiguration(confState.voters), &effects)
  }
}
