import Model
import Raft

/// A member of an interaction scenario: the machine, its log on "disk", and the state after each applied entry.
final class InteractionNode {
  let id: UInt64
  var machine: RaftMachine
  let configuration: RaftConfiguration
  /// What is on disk, from `baseIndex + 1` on.
  private(set) var storage: [Entry] = []
  private(set) var baseIndex: UInt64 = 0
  /// The snapshot of each applied state, the last one being what a snapshot now would hold.
  private(set) var history: [SnapshotMetadata]
  var appendWork: [StorageMessage] = []
  var applyWork: [StorageMessage] = []

  init(_ configuration: RaftConfiguration, start: SnapshotMetadata, trace: any RaftTrace) {
    id = configuration.memberID
    self.configuration = configuration
    history = [start]
    baseIndex = start.index
    let recovery = RaftRecovery(
      hardState: HardState(), compactedIndex: start.index, compactedTerm: start.term, entries: [],
      confState: start.confState, appliedIndex: start.index)
    machine = RaftMachine(configuration: configuration, recovery: recovery, trace: trace)
    machine.offerSnapshot(start)
  }

  var lastSnapshot: SnapshotMetadata { history[history.count - 1] }
  var firstIndex: UInt64 { baseIndex + 1 }
  var lastIndex: UInt64 { baseIndex + UInt64(storage.count) }

  /// What a leader knows about each member.
  var status: [String] { machine.leadership.role == .leader ? machine.progressDescription : [] }

  func write(_ entries: [Entry], snapshot: SnapshotMetadata?) {
    if let snapshot {
      storage.removeAll()
      baseIndex = snapshot.index
    }
    guard let first = entries.first else { return }
    storage.removeLast(storage.count - Int(first.index - baseIndex - 1))
    storage += entries
  }

  /// Nothing else than the snapshot is left of what was before.
  func install(_ snapshot: SnapshotMetadata) {
    history.append(snapshot)
    machine.offerSnapshot(snapshot)
  }

  func apply(_ entries: [Entry]) throws {
    for entry in entries {
      var next = lastSnapshot
      switch entry.kind {
      case .normal: break
      case .confChange: next.confState = machine.apply(try ConfChange(decoding: entry.data).asV2)
      case .confChangeV2: next.confState = machine.apply(try ConfChangeV2(decoding: entry.data))
      }
      next.index = entry.index
      next.term = entry.term
      history.append(next)
      machine.offerSnapshot(next)
    }
  }

  func compact(through index: UInt64) throws {
    if index <= baseIndex {
      throw Violation(description: "requested index is unavailable due to compaction")
    }
    storage.removeFirst(Int(index - baseIndex))
    baseIndex = index
    machine.compact(through: index)
  }
}
