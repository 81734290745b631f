internal import Model
internal import Raft
internal import Replica
internal import Store

/// What a member proposes of its own accord while it runs: alarms for its own faults, and automatic compaction.
struct UnattendedDuties {
  private var alarms: AlarmDuty
  private var compaction: AutoCompaction?

  init(options: NodeOptions, revision: Int64, now: UInt64) {
    alarms = AlarmDuty(memberID: options.replica.raft.memberID)
    compaction = options.autoCompaction.map { policy in
      AutoCompaction(policy: policy, now: now / 1_000_000, revision: revision)
    }
  }

  mutating func damaged() { alarms.damaged() }

  /// The commands to be proposed now; `now` in monotonic nanoseconds.
  mutating func due(
    _ raised: AlarmSet, _ applier: Applier, leads: Bool, now: UInt64, _ notices: inout [NodeNotice]
  ) -> [RaftCommand.Operation] {
    var operations: [RaftCommand.Operation] = []
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
