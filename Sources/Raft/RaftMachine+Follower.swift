internal import Model

// What a leader tells its followers. Checked before: no message of a second leader in a term comes here.
extension RaftMachine {
  mutating func receiveFromLeader(_ message: Message) {
    switch message.kind {
    case .append: receiveAppend(message)
    case .heartbeat:
      log.commit(to: message.commit)
      // Not held back by the disk: it promises nothing beyond the term, and a slow sync must not look like death.
      send(Message(kind: .heartbeatResponse, to: message.from, context: message.context))
    case .snapshot: receiveSnapshot(message)
    default: preconditionFailure("only a leader's messages")
    }
  }

  private mutating func receiveAppend(_ message: Message) {
    if message.index < log.commitIndex {
      // What is committed agrees with every leader.
      return send(Message(kind: .appendResponse, to: message.from, index: log.commitIndex))
    }
    guard log.matches(index: message.index, term: message.logTerm) else { return reject(message) }
    if let conflict = log.firstConflict(message.entries) {
      log.replaceSuffix(message.entries[conflict...])
    }
    let lastNew = message.index + UInt64(message.entries.count)
    log.commit(to: min(message.commit, lastNew))
    send(Message(kind: .appendResponse, to: message.from, index: lastNew))
  }

  /// Answers with a guess at where the logs agree: the last entry here whose term is not above the leader's at that
  /// place. It skips all that this log has of later terms at once.
  private mutating func reject(_ message: Message) {
    let own = log.term(at: message.index) ?? 0
    tracer.debug(
      "\(id.hex) [logterm: \(own), index: \(message.index)] rejected MsgApp [logterm: \(message.logTerm), index: \(message.index)] from \(message.from.hex)"
    )
    let hint = log.possibleMatch(upTo: min(message.index, log.lastIndex), term: message.logTerm)
    send(
      Message(
        kind: .appendResponse, to: message.from, logTerm: hint.term, index: message.index, reject: true,
        rejectHint: hint.index))
  }

  private mutating func receiveSnapshot(_ message: Message) {
    guard let metadata = message.snapshot else { return }
    let isRestored = restore(metadata)
    let verdict = isRestored ? "restored" : "ignored"
    tracer.info(
      "\(id.hex) [commit: \(log.commitIndex)] \(verdict) snapshot [index: \(metadata.index), term: \(metadata.term)]"
    )
    let index = isRestored ? log.lastIndex : log.commitIndex
    send(Message(kind: .appendResponse, to: message.from, index: index))
  }

  /// False: the snapshot has nothing new, or is not for this member.
  private mutating func restore(_ metadata: SnapshotMetadata) -> Bool {
    guard metadata.index > log.commitIndex else { return false }
    let state = metadata.confState
    guard (state.voters + state.learners + state.votersOutgoing).contains(id) else {
      tracer.warning(
        "\(id.hex) attempted to restore snapshot but it is not in the ConfState \(state); should never happen"
      )
      return false
    }
    let ends = "lastindex: \(log.lastIndex), lastterm: \(log.lastTerm)"
    if log.matches(index: metadata.index, term: metadata.term) {
      tracer.info(
        "\(id.hex) [commit: \(log.commitIndex), \(ends)] fast-forwarded commit to snapshot [index: \(metadata.index), term: \(metadata.term)]"
      )
      log.commit(to: metadata.index)
      return false
    }
    log.restore(metadata)
    // Everything is as the snapshot says, nothing as before.
    progress = ProgressMap()
    var changer = changer()
    do throws(ConfigurationError) {
      try changer.restore(state)
    } catch {
      preconditionFailure("the snapshot was checked: \(error)")
    }
    switchTo(changer)
    tracer.info(
      "\(id.hex) [commit: \(log.commitIndex), lastindex: \(log.lastIndex), lastterm: \(log.lastTerm)] restored snapshot [index: \(metadata.index), term: \(metadata.term)]"
    )
    return true
  }

  /// The log stage and the state machine have the snapshot in place.
  mutating func installed(_ metadata: SnapshotMetadata) {
    log.installed(snapshotIndex: metadata.index)
    applied(index: metadata.index)
  }

  mutating func forgetLeader() {
    guard role == .follower else { return }
    if configuration.readMode == .lease {
      // Another leader could be elected while the old one still trusts its lease.
      return tracer.error("ignoring MsgForgetLeader due to ReadOnlyLeaseBased")
    }
    guard leader != 0 else { return }
    tracer.info("\(id.hex) forgetting leader \(leader.hex) at term \(term)")
    leader = 0
  }
}
