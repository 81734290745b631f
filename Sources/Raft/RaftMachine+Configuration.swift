public import Model

extension RaftMachine {
  /// Starts a cluster: the initial members become committed configuration changes at term 1, in the order of their
  /// ids, so that every member writes the same first entries. Only for a machine without any state.
  public mutating func bootstrap(_ initial: [(id: UInt64, context: [UInt8])]) {
    precondition(log.lastIndex == 0 && term == 0, "bootstrap is the first thing a member ever does")
    precondition(!initial.isEmpty)
    term = 1
    for member in initial.sorted(by: { $0.id < $1.id }) {
      let change = ConfChange(kind: .addNode, nodeID: member.id, context: member.context)
      _ = log.append(term: term, kind: .confChange, data: change.encoded())
    }
    log.commit(to: log.lastIndex)
    adopt(ConfState(voters: initial.map(\.id)))
    reportedLeadership = leadership
    readyLeadership = leadership
  }

  /// Takes in a configuration that a committed change led to (`ConfState.applying`), once the change is applied.
  /// Applying the bootstrap changes again changes nothing.
  public mutating func adoptConfiguration(_ confState: ConfState, _ effects: inout [RaftEffect]) {
    // While the bootstrap changes are applied one by one, each finds all members in place already.
    if confState != members.confState { adopt(confState) }
    emit(&effects)
  }

  private mutating func adopt(_ confState: ConfState) {
    var changer = changer()
    do throws(ConfigurationError) {
      try changer.restore(confState)
    } catch {
      preconditionFailure("an applied configuration is impossible: \(error)")
    }
    switchTo(changer)
  }

  /// Carries out a committed change and returns what the configuration is then. A change that does not fit ends the
  /// process: it would end every member's, and validation keeps it out of the log.
  public mutating func apply(_ change: ConfChangeV2) -> ConfState {
    var changer = changer()
    do throws(ConfigurationError) {
      try changer.apply(change)
    } catch {
      preconditionFailure("a change that does not fit was committed: \(error)")
    }
    switchTo(changer)
    return members.confState
  }

  func changer() -> ConfigurationChanger {
    ConfigurationChanger(
      configuration: members, progress: progress, lastIndex: log.lastIndex, inflightLimits: inflightLimits)
  }

  mutating func switchTo(_ changer: ConfigurationChanger) {
    let followedVoter = role == .follower && members.voters.contains(leader)
    members = changer.configuration
    progress = changer.progress
    hasNewConfiguration = true
    tracer.info("\(id.hex) switched to configuration \(members)")
    if followedVoter && !members.voters.contains(leader) { succeedRemovedLeader() }
    guard role == .leader else { return }
    if progress[id] == nil || members.learners.contains(id) {
      if configuration.stepDownOnRemoval { becomeFollower(term: term, leader: 0) }
      return
    }
    if members.voters.incoming.isEmpty { return }
    // A smaller quorum may already have confirmed the round, and hold more.
    concludeRound()
    if advanceCommit() {
      retryPostponedReads()
      broadcastAppends()
    } else {
      for position in progress.indices where progress[position].id != id {
        _ = sendAppend(position, evenIfEmpty: false)
      }
    }
    if transferee != 0 && !members.voters.contains(transferee) { transferee = 0 }
  }

  /// The leader is none any more: the next one need not wait until it is missed, only for the others to hear of it too.
  private mutating func succeedRemovedLeader() {
    // etcd-io/raft waits; its scenarios, which come without batches, say so. And a leader that answers reads on its lease
    // counts on it, until it has applied the change itself.
    guard configuration.batches, configuration.readMode == .safe, isPromotable else { return }
    leader = 0
    let wait = Int.random(in: 1...max(1, configuration.electionTicks / 3), using: &random)
    electionElapsedTicks = max(electionElapsedTicks, electionTimeoutTicks - wait)
  }

  /// Everything up to `index` is applied; a joint configuration that asks for it is left.
  mutating func applied(index: UInt64) {
    let payload = log.applied(to: index, creditBytes: configuration.limits.applyBytes)
    uncommittedBytes -= min(uncommittedBytes, payload)
    if hasNewConfiguration && log.snapshot == nil {
      hasNewConfiguration = false
      appliedConfState = members.confState
    }
    if members.autoLeave && role == .leader && log.appliedIndex >= pendingChangeIndex {
      // Refused while leadership is handed over; then the next entry, or the next leader, tries again.
      if proposeEntries([Entry(term: 0, index: 0, kind: .confChangeV2)]) == .taken {
        tracer.info("initiating automatic transition out of joint configuration \(members)")
      } else {
        tracer.debug(
          "not initiating automatic transition out of joint configuration \(members): raft proposal dropped")
      }
    }
    log.dropOldEntries(limits: configuration.limits)
  }
}
