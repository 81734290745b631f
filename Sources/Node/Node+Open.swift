public import Disk
public import Model
import Raft
import Replica
public import Store
public import WriteAheadLog

/// What a start found, for the log lines that say so.
public struct NodeRecovery: Sendable {
  public var store: StoreRecovery
  public var isNewLog: Bool
  public var wasClean: Bool
  public var lastIndex: UInt64
  public var tailCut: RecoveredLog.TailCut?
}

/// An opened member.
@frozen
public struct OpenedNode: ~Copyable {
  public var node: Node
  public let committer: Committer
  public let recovery: NodeRecovery
}

extension Node {
  /// Opens or creates a member on an opened store: the store's durable state, then the log behind it. The same
  /// function at the first start, after a clean stop and after any crash.
  ///
  /// - Parameters:
  ///   - store: just opened, with the identity that `options` carries.
  ///   - logDirectory: where the segments of the write-ahead log are.
  ///   - initialMembers: the cluster at its first start; ignored later. Empty for a member that joins one: it learns
  ///     everything from the leader.
  ///   - now: monotonic nanoseconds.
  /// - Throws: when files are missing, foreign or corrupt, or the log does not reach the store's state: a member must
  ///   not vote with a memory that lost something.
  public static func open(
    options: NodeOptions, store: Store, disk: any Disk, logDirectory: String, initialMembers: [Member],
    saltSeed: UInt32, now: UInt64
  ) throws(NodeError) -> OpenedNode {
    var options = options
    options.replica.raft.hasSnapshots = options.snapshots != nil
    let memberID = options.replica.raft.memberID
    let clusterID = options.replica.clusterID
    var found = store.recovery
    let firstNeeded = found.appliedIndex - min(found.appliedIndex, options.catchUpEntries)
    let (log, opened) = try orStop { () throws(LogError) in
      try WriteAheadLog.open(
        disk: disk, directory: logDirectory,
        identity: LogIdentity(clusterID: clusterID, memberID: memberID),
        options: LogOptions(
          absence: found.appliedIndex == 0 ? .create : .refuse, saltSeed: saltSeed,
          segmentBytes: options.logSegmentBytes, durableIndex: found.appliedIndex,
          firstIndexNeeded: firstNeeded))
    }
    var recovered = opened
    let committer = try orStop { () throws(StoreError) in try store.makeCommitter() }
    if let rebuilt = try finishInstallation(recovered, found, committer, options.snapshots) {
      found = rebuilt
    }
    if recovered.lastIndex < found.appliedIndex {
      throw .storeAheadOfLog(appliedIndex: found.appliedIndex, lastIndex: recovered.lastIndex)
    }
    let commands = try orStop { () throws(StoreError) in
      try CommandApplier(store.makeApplier(), quotaBytes: options.quotaBytes)
    }
    let confState = try decodeConfState(found.confState)
    if options.forcesNewCluster {
      try ForcedCluster.begin(
        &recovered, log, confState: confState, appliedIndex: found.appliedIndex, term: found.term,
        memberID: memberID)
    }
    var replica: ReplicaMachine
    let isFirstStart =
      found.appliedIndex == 0 && recovered.lastIndex == 0 && recovered.hardState.term == 0
    if isFirstStart && !initialMembers.isEmpty {
      replica = ReplicaMachine(configuration: options.replica, bootstrapping: initialMembers)
    } else {
      let view = try orStop { () throws(StoreError) in try store.view() }
      defer { view.end() }
      let version = try orStop { () throws(StoreError) in try view.clusterVersion() }
      replica = ReplicaMachine(
        configuration: options.replica, recovery: try raftRecovery(found, recovered, confState),
        clusterVersion: version)
      replica.restoreLeases(try orStop { () throws(StoreError) in try view.leases() })
    }
    let stage = LogStage(
      log, appliedIndex: found.appliedIndex, catchUpEntries: options.catchUpEntries,
      holdBytesMax: options.logHoldBytesMax)
    var effects: [ReplicaEffect] = []
    replica.handle(.logKept(from: stage.keptIndex), &effects)
    let node = Node(
      options: options, store: store, replica: replica, log: stage, commands: commands, confState: confState,
      now: now)
    return OpenedNode(
      node: node, committer: committer,
      recovery: NodeRecovery(
        store: found, isNewLog: recovered.isNew, wasClean: recovered.wasClean,
        lastIndex: recovered.lastIndex, tailCut: recovered.tailCut))
  }

  /// A marker above what the store has applied: the log was begun anew at a snapshot, and a crash came before the store
  /// was built from it.
  private static func finishInstallation(
    _ log: RecoveredLog, _ store: StoreRecovery, _ committer: Committer, _ place: SnapshotPlace?
  ) throws(NodeError) -> StoreRecovery? {
    var wanted: SnapshotMetadata?
    if let marker = log.snapshot, marker.index > store.appliedIndex { wanted = marker }
    guard let place else {
      if let wanted { throw .snapshotMissing(wanted, appliedIndex: store.appliedIndex, file: nil) }
      return nil
    }
    let path = wanted.map(place.receivedPath)
    let exists: Bool
    do throws(DiskError) {
      try place.removeStrays(keeping: path)
      if let path { exists = try place.disk.exists(path) } else { exists = false }
    } catch {
      throw .snapshotDirectory(error)
    }
    guard let wanted, let path else { return nil }
    guard exists else { throw .snapshotMissing(wanted, appliedIndex: store.appliedIndex, file: path) }
    do throws(SnapshotInstallError) {
      return try committer.install(path, on: place.disk, wanted: wanted, plan: place.plan())
    } catch {
      throw .snapshotNotInstalled(error)
    }
  }

  static func decodeConfState(_ bytes: [UInt8]?) throws(NodeError) -> ConfState {
    guard let bytes else { return ConfState() }
    guard let confState = try? ConfState(decoding: bytes) else { throw .unreadableConfiguration }
    return confState
  }

  /// What Raft starts from: the store's applied state and the entries of the log. The entry before the first that
  /// is kept supplies the term there; at index 0 there is none.
  private static func raftRecovery(
    _ store: StoreRecovery, _ log: RecoveredLog, _ confState: ConfState
  ) throws(NodeError) -> RaftRecovery {
    var entries = log.entries
    var compacted: (index: UInt64, term: UInt64) = (0, 0)
    if log.firstIndex > 1 || entries.isEmpty {
      if let first = entries.first, first.index <= store.appliedIndex {
        compacted = (first.index, first.term)
        entries.removeFirst()
      } else {
        compacted = (store.appliedIndex, store.term)
      }
    }
    guard entries.first.map({ $0.index == compacted.index + 1 }) ?? true else {
      throw .gapBetweenStoreAndLog(appliedIndex: store.appliedIndex, firstIndex: log.firstIndex)
    }
    var hardState = log.hardState
    // What Raft takes for granted: the log writes entries behind the term and vote, and never less than it commits.
    guard hardState.commit <= log.lastIndex, hardState.term >= entries.last?.term ?? compacted.term else {
      throw .inconsistentLog(hardState, lastIndex: log.lastIndex)
    }
    // The store applied nothing that was not committed, whatever the log had recorded by then.
    hardState.commit = max(hardState.commit, store.appliedIndex)
    return RaftRecovery(
      hardState: hardState, compactedIndex: compacted.index, compactedTerm: compacted.term,
      entries: entries, confState: confState, appliedIndex: store.appliedIndex)
  }
}
