import Disk
import Model
import Raft
import Replica
import Store
import Testing

@testable import Node

/// When the file for a member that is too far behind is made.
@Suite struct SnapshotSenderTests {
  private static let options = NodeOptions(
    replica: ReplicaConfiguration(
      raft: RaftConfiguration(memberID: SimulatedFiles.memberID, seed: 1),
      clusterID: SimulatedFiles.clusterID,
      startMilliseconds: 1, name: "n", clientURLs: ["http://127.0.0.1:2379"], clusterVersion: "3.7.0"),
    logSegmentBytes: 64 << 10)
  private let files: SimulatedFiles
  private let store: Store

  /// A store that was closed with everything committed, and is open again.
  init() throws {
    files = try SimulatedFiles(seed: 1)
    var storeOptions = StoreOptions()
    storeOptions.mapBytes = 1 << 28
    try Self.fill(files, storeOptions)
    store = try Store.open(
      path: files.storePath, options: storeOptions,
      identity: StoreIdentity(clusterID: SimulatedFiles.clusterID, memberID: SimulatedFiles.memberID))
  }

  private static func fill(_ files: SimulatedFiles, _ storeOptions: StoreOptions) throws {
    let node = try RunningNode(files, options: options, storeOptions: storeOptions, saltSeed: 1, now: 0)
    let put = RaftCommand(operation: .put(PutRequest(key: [1], value: [2])))
    _ = try node.drive([])
    _ = try node.drive([.replica(.propose(Proposal(ticket: Ticket(1), operation: put.encoded())))])
    try node.commit()
  }

  private func sender() -> SnapshotSender {
    let place = SnapshotPlace(disk: files.disk, directory: "/snapshots") {
      preconditionFailure("nothing is installed")
    }
    return SnapshotSender(store: store, place: place, catchUpEntries: 10, fileGrowthBytesMax: 1 << 20)
  }

  /// A request of Raft's for a state that is at least so recent, and what it leads to.
  private func request(_ sender: inout SnapshotSender, _ index: UInt64) -> [SnapshotSender.Step] {
    var steps: [SnapshotSender.Step] = []
    let metadata = SnapshotMetadata(confState: ConfState(voters: [1, 2]), index: index, term: 1)
    sender.request(Message(kind: .snapshot, to: 2, from: 1, term: 1, snapshot: metadata), &steps)
    return steps
  }

  private func isExport(_ steps: [SnapshotSender.Step]) -> Bool {
    guard steps.count == 1, case .work(.exportSnapshot) = steps[0] else { return false }
    return true
  }

  /// Nobody writes: another commit might not come for a long time, and without a quorum never.
  @Test func whatIsCommittedIsSentAtOnce() throws {
    let committed = store.recovery.appliedIndex
    try #require(committed > 0)
    var sender = sender()
    #expect(isExport(request(&sender, committed)))
  }

  @Test func whatIsNotCommittedWaits() throws {
    let wanted = store.recovery.appliedIndex + 2
    var sender = sender()
    let steps = request(&sender, wanted)
    guard steps.count == 1, case .commitWanted = steps[0] else {
      Issue.record("\(steps)")
      return
    }
    var following: [SnapshotSender.Step] = []
    sender.committed(wanted - 1, &following)
    #expect(following.isEmpty)
    sender.committed(wanted, &following)
    #expect(isExport(following))
  }
}
