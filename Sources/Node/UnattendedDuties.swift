internal import Model
internal import Raft
internal import Replica
internal import Store

/// What a member proposes of its own accord while it runs: alarms for its own faults, automatic compaction, and the
/// cluster's version.
struct UnattendedDuties {
  private var alarms: AlarmDuty
  private var clusterVersion: ClusterVersionDuty
  private var compaction: AutoCompaction?

  init(options: NodeOptions, revision: Int64, now: UInt64) {
    alarms = AlarmDuty(memberID: options.replica.raft.memberID)
    clusterVersion = ClusterVersionDuty(
      memberID: options.replica.raft.memberID, version: options.replica.clusterVersion)
    compaction = options.autoCompaction.map { policy in
      AutoCompaction(policy: policy, now: now / 1_000_000, revision: revision)
    }
  }

  mutating func damaged() { alarms.damaged() }

  mutating func versions(_ versions: [MemberVersion]) { clusterVersion.take(versions) }

  /// The commands to be proposed now; `now` in monotonic nanoseconds.
  mutating func due(
    _ raised: AlarmSet, _ applier: Applier, leads: Bool, now: UInt64, _ notices: inout [NodeNotice]
  ) throws(NodeError) -> [RaftCommand.Operation] {
    var operations: [RaftCommand.Operation] = []
    if leads, clusterVersion.isDue {
      let (members, present) = try orStop { () throws(StoreError) in
        (try applier.members().map(\.id), try applier.clusterVersion())
      }
      if let version = clusterVersion.due(members: members, present: present) {
        operations.append(.clusterVersionSet(version))
      }
    }
    if let alarm = alarms.due(raised, isShortOfSpace: applier.isShortOfSpace, now: now) {
      operations.append(alarm)
    }
    guard let policy = compaction?.policy else { return operations }
    let events =
      compaction?.advance(
        now: now / 1_000_000, revision: applier.revision, compactRevision: applier.compactRevision,
        leads: leads) ?? []
    for event in events {
      if case .start(let revision) = event {
        operations.append(.compaction(CompactionRequest(revision: revision)))
      }
      notices.append(.autoCompaction(event, policy))
    }
    return operations
  }
}
