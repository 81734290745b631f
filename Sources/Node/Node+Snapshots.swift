internal import Model
internal import Raft
internal import Replica
internal import Store
internal import WriteAheadLog

// Snapshots between members: sent when this member leads and its log does not reach a peer any more, received when it is
// the one that is too far behind.
extension Node {
  // MARK: Sending

  mutating func sendSnapshot(_ message: Message, _ outputs: inout NodeOutputs) {
    withSender(&outputs) { $0.request(message, &$1) }
  }

  mutating func exported(
    _ result: Result<ExportedSnapshot, SnapshotExportError>, _ outputs: inout NodeOutputs
  ) {
    if case .failure(let error) = result { outputs.notices.append(.snapshotFailed(error)) }
    withSender(&outputs) { $0.exported(result, &$1) }
  }

  mutating func sent(_ snapshot: OutgoingSnapshot, succeeded: Bool, _ outputs: inout NodeOutputs) {
    replica.handle(
      .snapshotReported(peer: snapshot.message.to, succeeded: succeeded), &effects)
    withSender(&outputs) { $0.sent(snapshot, &$1) }
  }

  mutating func withSender(
    _ outputs: inout NodeOutputs, _ body: (inout SnapshotSender, inout [SnapshotSender.Step]) -> Void
  ) {
    guard var sender else { return }
    var steps: [SnapshotSender.Step] = []
    body(&sender, &steps)
    self.sender = sender
    for step in steps {
      switch step {
      case .commitWanted: isCommitWanted = true
      case .work(let work): outputs.notices.append(.work(work))
      case .send(let snapshot): outputs.notices.append(.sendSnapshot(snapshot))
      case .failed(let peer):
        replica.handle(.snapshotReported(peer: peer, succeeded: false), &effects)
      }
    }
  }

  // MARK: Receiving

  /// Raft decides whether the snapshot has anything new. One at a time: another would only be newer, and the leader asks
  /// again.
  mutating func received(_ snapshot: ReceivedSnapshot, _ outputs: inout NodeOutputs) {
    guard case .idle = installer.state, options.snapshots != nil else {
      return discard(snapshot, &outputs)
    }
    installer.state = .offered(snapshot)
    replica.handle(.message(snapshot.message), &effects)
  }

  /// Raft has taken the snapshot: it replaces the log, and all that waits to be executed is in it.
  mutating func beginInstallation(
    _ metadata: SnapshotMetadata, sequence: UInt64, _ outputs: inout NodeOutputs
  ) {
    guard case .offered(let snapshot) = installer.state, snapshot.message.snapshot == metadata else {
      preconditionFailure("Raft takes no snapshot that was not received")
    }
    installer.state = .logged(snapshot, sequence: sequence)
    apply.dropWaiting(&outputs.answers)
  }

  /// After the sync of a write: what may be reported to Raft now. While a snapshot is being installed nothing may, as the
  /// writes behind it build on it.
  mutating func synced(_ sequence: UInt64, _ outputs: inout NodeOutputs) {
    switch installer.state {
    case .idle, .offered: replica.handle(.appended(sequence: sequence), &effects)
    case .logged(let snapshot, _):
      installer.state = .installing(snapshot, sequence: sequence)
      guard let place = options.snapshots, let metadata = snapshot.message.snapshot else {
        preconditionFailure("a snapshot was received")
      }
      outputs.notices.append(
        .installSnapshot(SnapshotInstallation(metadata: metadata, path: snapshot.path, place: place)))
    case .installing(let snapshot, _): installer.state = .installing(snapshot, sequence: sequence)
    }
  }

  /// The store holds the snapshot's state: everything derived from it is made anew, by the same steps as at a start.
  mutating func installed(_ recovery: StoreRecovery, _ outputs: inout NodeOutputs) throws(NodeError) {
    guard case .installing(let snapshot, let sequence) = installer.state else {
      preconditionFailure("installed what was not asked for")
    }
    installer.state = .idle
    withSender(&outputs) { $0.committed(recovery.appliedIndex, &$1) }
    try apply.adoptInstalled(confState: try Node.decodeConfState(recovery.confState))
    feed.jump(to: apply.applier.revision, &outputs.events)
    let view = try orStop { () throws(StoreError) in try store.view() }
    defer { view.end() }
    replica.installed(leases: try orStop { () throws(StoreError) in try view.leases() })
    replica.handle(.appended(sequence: sequence), &effects)
    outputs.notices.append(.storeReplaced(recovery))
    try reportMembers(&outputs)
    discard(snapshot, &outputs)
  }

  /// At the end of a batch: what Raft did not take is of no use.
  mutating func dropRefusedSnapshot(_ outputs: inout NodeOutputs) {
    guard case .offered(let snapshot) = installer.state else { return }
    installer.state = .idle
    discard(snapshot, &outputs)
  }

  private mutating func discard(_ snapshot: ReceivedSnapshot, _ outputs: inout NodeOutputs) {
    // The same state may have come twice, under one name.
    guard installer.path != snapshot.path, let place = options.snapshots else { return }
    outputs.notices.append(.work(.removeSnapshot(place, path: snapshot.path)))
  }
}
