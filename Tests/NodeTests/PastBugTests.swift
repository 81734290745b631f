import Disk
import Model
import Node
import Primitives
import Raft
import Replica
import Store
import Testing
import WriteAheadLog

/// Faults of etcd's apply path, each by the number of its issue.
@Suite struct PastBugTests {
  private func start(_ files: SimulatedFiles) throws -> RunningNode {
    var storeOptions = StoreOptions()
    storeOptions.mapBytes = 1 << 28
    storeOptions.compactionBatchRows = 4
    let replica = ReplicaConfiguration(
      raft: RaftConfiguration(memberID: SimulatedFiles.memberID, seed: 1),
      clusterID: SimulatedFiles.clusterID, startMilliseconds: 1, name: "n", clientURLs: [],
      clusterVersion: "3.7.0")
    let node = try RunningNode(
      files, options: NodeOptions(replica: replica, catchUpEntries: 0, logSegmentBytes: 64 << 10),
      storeOptions: storeOptions,
      saltSeed: 1, now: 0)
    _ = try node.drive([])
    return node
  }

  private func propose(_ operation: RaftCommand.Operation) -> NodeInput {
    let proposal = Proposal(ticket: Ticket(1), operation: RaftCommand(operation: operation).encoded())
    return .replica(.propose(proposal))
  }

  private func put(_ key: String, _ value: String) -> RaftCommand.Operation {
    .put(PutRequest(key: Array(key.utf8), value: Array(value.utf8)))
  }

  private func transaction(_ operations: [RequestOperation]) -> RaftCommand.Operation {
    var request = TransactionRequest()
    request.success = operations
    return .transaction(request)
  }

  /// One command of each kind, those that fail among them: each moves the applied index, in the store as well, so
  /// that a restart applies none of them twice.
  @Test func everyKindOfEntryMovesTheAppliedIndex_11651() throws {
    let operations: [RaftCommand.Operation] = [
      put("a", "1"), .deleteRange(DeleteRangeRequest(key: Array("a".utf8))),
      .deleteRange(DeleteRangeRequest(key: Array("missing".utf8))),
      transaction([.put(PutRequest(key: [1], value: [2]))]),
      .range(RangeRequest(key: [1])), .compaction(CompactionRequest(revision: 2)),
      .compaction(CompactionRequest(revision: 1)), .compaction(CompactionRequest(revision: 1_000)),
      .leaseGrant(LeaseGrant(id: 7, ttl: 60)), .leaseGrant(LeaseGrant(id: 7, ttl: 60)),
      .leaseRevoke(id: 7), .leaseRevoke(id: 8), .leaseCheckpoint([LeaseCheckpoint(id: 9, remainingTTL: 5)]),
      .alarm(AlarmCommand(action: .get, memberID: 0, alarm: .none)),
      .clusterVersionSet("3.7.0"), .downgradeInfoSet(DowngradeInfo()), .unsupported(field: 1100), .none,
    ]
    let files = try SimulatedFiles(seed: 1)
    var applied: UInt64 = 0
    do {
      let node = try start(files)
      applied = node.opened.node.appliedIndex
      for operation in operations {
        #expect(try node.drive([propose(operation)]).answers.count == 1, "\(operation)")
        applied += 1
        let (index, last) = (node.opened.node.appliedIndex, node.opened.node.lastIndex)
        #expect(index == applied && last == applied, "\(operation)")
        try node.commit()
      }
    }
    var random = SeededRandom(seed: 1)
    files.disk.crash(.loseEverything, random: &random)
    #expect(try start(files).opened.recovery.store.appliedIndex == applied)
  }

  /// The log is cut behind what the store has on disk, never ahead of it: whatever is lost of the store's newest
  /// commits, the log still holds what follows.
  @Test func theLogIsNotCutAheadOfTheStore_11888() throws {
    let files = try SimulatedFiles(seed: 1)
    var random = SeededRandom(seed: 1)
    var revision: Int64 = 1
    var cuts: Set<UInt64> = []
    for round in 0..<24 {
      var node: RunningNode? = try start(files)
      for number in 0..<100 {
        let value = String(repeating: "v", count: 1_000)
        revision += Int64(try #require(node).drive([propose(put("k\(number)", value))]).answers.count)
        if round % 3 == 1 && number == 50 { try node?.commit() }
      }
      if round % 3 == 2 { try node?.commit() }
      node = nil
      files.disk.crash(.loseEverything, random: &random)
      let kept = try #require(try files.readLog())
      cuts.insert(kept.firstIndexKept)
      let again = try start(files)
      #expect(again.opened.recovery.store.appliedIndex + 1 >= kept.firstIndexKept)
      let view = try again.store.view()
      defer { view.end() }
      #expect(view.revision == revision)
    }
    #expect(cuts.count > 3, "the log was cut on the way")
  }

  /// A transaction that reads a compacted revision is refused as a whole, by members whose compaction has deleted the
  /// rows and by those whose has not; so with a read that would have seen something else.
  @Test func readsInATransactionCannotTellMembersApart_18667_21432() throws {
    let nodes = try (0..<2).map { _ in try start(SimulatedFiles(seed: 1)) }
    for (index, node) in nodes.enumerated() {
      for number in 0..<20 { _ = try node.drive([propose(put("k\(number % 3)", "\(number)"))]) }
      _ = try node.drive([propose(.compaction(CompactionRequest(revision: 15)))])
      // Only the first member's rows go.
      if index == 0 { try node.commit() }
      for revision in [3, 14, 15, 16, 21] as [Int64] {
        var read = RangeRequest(key: Array("k".utf8), rangeEnd: Array("l".utf8))
        read.revision = revision
        let write = PutRequest(key: Array("w".utf8), value: Array("\(revision)".utf8))
        let answers = try node.drive([propose(transaction([.range(read), .put(write)]))]).answers
        let answer = try #require(answers.first)
        switch answer {
        case .failed(_, let error):
          #expect(revision < 15 && error.message == "etcdserver: mvcc: required revision has been compacted")
        case .applied: #expect(revision >= 15)
        default: Issue.record("\(answer)")
        }
      }
      // The other member catches up with its own compaction only now.
      try node.commit()
    }
    let hashes = try nodes.map { try $0.store.verifySetHash() }
    #expect(hashes[0].stored == hashes[1].stored)
    #expect(hashes.allSatisfy { $0.stored == $0.computed })
    let revisions = try nodes.map { node in
      let view = try node.store.view()
      defer { view.end() }
      return view.revision
    }
    #expect(revisions == [24, 24])
  }
}
