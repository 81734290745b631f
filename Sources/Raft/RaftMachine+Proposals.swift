public import Model

extension RaftMachine {
  /// Appends a command to the log, if this member leads, or sends it to the leader. The entry is durable and
  /// committed later, or never: the caller recognises it when `committed` hands it out.
  public mutating func propose(_ data: [UInt8], _ effects: inout [RaftEffect]) -> ProposalOutcome {
    propose(Entry(term: 0, index: 0, data: data), &effects)
  }

  /// The same for a change of the configuration. A leader that may not take it now appends an empty entry in its
  /// place: what comes of it is seen when it is applied.
  public mutating func propose(
    _ change: ConfChangeV2, _ effects: inout [RaftEffect]
  ) -> ProposalOutcome {
    propose(Entry(term: 0, index: 0, kind: .confChangeV2, data: change.encoded()), &effects)
  }

  public mutating func propose(_ change: ConfChange, _ effects: inout [RaftEffect]) -> ProposalOutcome {
    propose(Entry(term: 0, index: 0, kind: .confChange, data: change.encoded()), &effects)
  }

  /// Proposes for callers of `ready`: `taken` or `proposalDropped`.
  public mutating func propose(_ entry: Entry) -> StepOutcome {
    step(Message(kind: .propose, from: id, entries: [entry]))
  }

  private mutating func propose(_ entry: Entry, _ effects: inout [RaftEffect]) -> ProposalOutcome {
    defer { emit(&effects) }
    switch role {
    case .leader:
      guard takesProposals else { return .noLeader }
      return proposeEntries([entry]) == .taken ? .appended(index: log.lastIndex) : .overloaded
    case .follower, .candidate, .preCandidate:
      return propose(entry) == .taken ? .forwarded : .noLeader
    }
  }

  /// Not a member any more, or about to hand over.
  private var takesProposals: Bool { progress.position(of: id) != nil && transferee == 0 }

  mutating func proposeEntries(_ proposed: [Entry]) -> StepOutcome {
    guard progress.position(of: id) != nil else { return .proposalDropped }
    if transferee != 0 {
      tracer.debug(
        "\(id.hex) [term \(term)] transfer leadership to \(transferee.hex) is in progress; dropping proposal")
      return .proposalDropped
    }
    var entries = proposed
    for position in entries.indices where entries[position].kind != .normal {
      checkChange(&entries[position], index: log.lastIndex + UInt64(position) + 1)
    }
    var bytes = 0
    for entry in entries { bytes += entry.data.count }
    // As in etcd, one command of any size passes when nothing else waits, and an empty one always.
    if uncommittedBytes > 0 && bytes > 0 && uncommittedBytes + bytes > configuration.limits.uncommittedBytes {
      tracer.warning(
        "\(id.hex) appending new entries to log would exceed uncommitted entry size limit; dropping proposal")
      return .proposalDropped
    }
    appendOwn(entries)
    broadcastAppends()
    return .taken
  }

  /// One change at a time: the next may be proposed when the last is applied. Best effort, since what is applied
  /// trails what is committed; a change refused here becomes an empty entry.
  private mutating func checkChange(_ entry: inout Entry, index: UInt64) {
    guard let change = entry.change else {
      entry = Entry(term: 0, index: 0)
      return
    }
    let leaves = change.changes.isEmpty
    var fault: String?
    if pendingChangeIndex > log.appliedIndex {
      fault = "possible unapplied conf change at index \(pendingChangeIndex) (applied to \(log.appliedIndex))"
    } else if members.isJoint && !leaves {
      fault = "must transition out of joint config first"
    } else if !members.isJoint && leaves {
      fault = "not in joint state; refusing empty conf change"
    } else {
      // etcd leaves this to whoever proposes, and panics when such a change is applied.
      fault = misfit(of: change)
    }
    if let fault, configuration.validatesChanges {
      tracer.info("\(id.hex) ignoring conf change \(entry.changeText) at config \(members): \(fault)")
      entry = Entry(term: 0, index: 0)
    } else {
      pendingChangeIndex = index
    }
  }

  /// Why the rules refuse a change; nil if it fits. Nothing else is pending: it will be applied to what is now.
  private func misfit(of change: ConfChangeV2) -> String? {
    var changer = changer()
    do throws(ConfigurationError) {
      try changer.apply(change)
      return nil
    } catch {
      return error.description
    }
  }

  /// A follower's part.
  mutating func forward(_ message: Message) -> StepOutcome {
    if leader == 0 {
      tracer.info("\(id.hex) no leader at term \(term); dropping proposal")
      return .proposalDropped
    }
    if !configuration.forwardsProposals {
      tracer.info("\(id.hex) not forwarding to leader \(leader.hex) at term \(term); dropping proposal")
      return .proposalDropped
    }
    var message = message
    message.to = leader
    send(message)
    return .taken
  }
}

extension Entry {
  /// The configuration change in it; nil for a command, and for bytes that are none.
  var change: ConfChangeV2? {
    switch kind {
    case .normal: nil
    case .confChange: (try? ConfChange(decoding: data))?.asV2
    case .confChangeV2: try? ConfChangeV2(decoding: data)
    }
  }
}
