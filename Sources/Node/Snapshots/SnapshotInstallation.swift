public import Model
public import Store

/// A received snapshot on its way into the store: the log's marker is durable.
public struct SnapshotInstallation: Sendable {
  public var metadata: SnapshotMetadata
  public var path: String
  let place: SnapshotPlace

  /// Carries it out, on the committer's thread. It takes as long as the snapshot is large; the process has to stop after
  /// an error.
  public func run(_ committer: Committer) throws(SnapshotInstallError) -> StoreRecovery {
    try committer.install(path, on: place.disk, wanted: metadata, plan: place.plan())
  }
}

/// Where a received snapshot is, from Raft's consent to the switch of stores.
///
/// 1. The file is complete, verified and durable under its name: `SnapshotReceiver`.
/// 2. Raft takes the snapshot, and the log begins anew behind it; that marker is synced. A crash before leaves the old
///    log and store, and the file is removed at the next start.
/// 3. The committer builds a data file from it and switches `CURRENT`. A crash before leaves a marker above the store's
///    applied index: the next start builds it again, or refuses if the file is gone.
/// 4. The node goes on with the new state, and the log's write is reported to Raft, which acknowledges the snapshot to
///    the leader. The file is removed.
///
/// In between the member follows and logs what comes behind the snapshot, and serves serializable reads of the old state,
/// but votes for nobody: its log is not complete.
struct SnapshotInstaller {
  enum State {
    case idle
    /// Handed to Raft, which may refuse it.
    case offered(ReceivedSnapshot)
    /// In the log; `sequence` is the newest write that waits for the installation.
    case logged(ReceivedSnapshot, sequence: UInt64)
    case installing(ReceivedSnapshot, sequence: UInt64)
  }

  var state = State.idle

  /// Nothing is executed, frozen or reported as written from Raft's consent to the end.
  var isUnderWay: Bool {
    switch state {
    case .idle, .offered: false
    case .logged, .installing: true
    }
  }

  /// The path that must stay.
  var path: String? {
    switch state {
    case .idle: nil
    case .offered(let snapshot), .logged(let snapshot, _), .installing(let snapshot, _): snapshot.path
    }
  }
}
