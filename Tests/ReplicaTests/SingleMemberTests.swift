import Model
import Raft
import Replica
import Testing

@Suite struct SingleMemberTests {
  @Test func firstBootLeadsWithoutWaitingAndPublishes() {
    let replica = ReplicaHarness()
    #expect(replica.writes.count == 1)
    #expect(replica.writes.first?.entries.map(\.kind) == [.confChange])
    replica.work()
    #expect(replica.machine.leadership == Leadership(role: .leader, term: 2, leader: replica.memberID))
    #expect(replica.isPublished)
    #expect(
      replica.commands.map(\.operation) == [
        .clusterMemberAttributesSet(
          MemberAttributes(
            memberID: replica.memberID, name: "m1", clientURLs: ["http://127.0.0.1:2379"])),
        .clusterVersionSet("3.7.0"),
      ])
    // 1 the member, 2 the empty entry of term 2, 3 and 4 the publication.
    #expect(replica.machine.appliedIndex == 4)
  }

  @Test func restartCampaignsAfterApplyingAndKeepsAKnownVersion() {
    let entries = [
      Entry(term: 1, index: 1, kind: .confChange, data: ConfChange(nodeID: 1).encoded()),
      Entry(term: 2, index: 2), Entry(term: 2, index: 3, data: RaftCommand(id: 77).encoded()),
    ]
    let configuration = ReplicaHarness.configuration(memberID: 1)
    var machine = ReplicaMachine(
      configuration: configuration,
      recovery: RaftRecovery(
        hardState: HardState(term: 2, vote: 1, commit: 2), compactedIndex: 0, compactedTerm: 0,
        entries: entries,
        confState: ConfState(voters: [1]), appliedIndex: 0),
      clusterVersion: "3.7.0")
    var effects: [ReplicaEffect] = []
    machine.flush(&effects)
    guard case .apply(let batch) = effects.first, effects.count == 1 else {
      Issue.record("committed entries first, got \(effects)")
      return
    }
    #expect(batch.entries == Array(entries[..<2]))
    effects.removeAll()
    machine.handle(.applied(index: 2), &effects)
    machine.flush(&effects)
    #expect(machine.leadership == Leadership(role: .candidate, term: 3, leader: 0))
  }

  @Test func proposalsAreStampedAndAnsweredByApply() {
    let replica = ReplicaHarness()
    replica.work()
    let before = replica.commands.count
    for ticket in 1...3 { replica.put(UInt64(ticket)) }
    replica.flush()
    #expect(replica.writes.count == 1, "one write for the batch")
    #expect(replica.writes[0].entries.count == 3)
    replica.write()
    #expect(replica.batches.map(\.tickets) == [[Ticket(1), Ticket(2), Ticket(3)]])
    replica.apply()
    #expect(replica.applied.count == 3)
    #expect(replica.machine.waitingCount == 0)
    let ids = replica.commands[before...].map(\.id)
    // etcd's scheme: the member's low 16 bits, the start's low 40 bits, a count.
    let first: UInt64 = 0x7788 << 48 | (1_700_000_000_123 & (1 << 40 - 1)) << 8
    #expect(ids == [first + 3, first + 4, first + 5])
    #expect(replica.commands.last?.operation == .put(PutRequest(key: [1], value: [2])))
  }

  @Test func userTravelsInTheHeader() {
    let replica = ReplicaHarness()
    replica.work()
    let operation = RaftCommand(operation: .compaction(CompactionRequest(revision: 3))).encoded()
    replica.handle(
      .propose(Proposal(ticket: Ticket(1), operation: operation, username: "ann", authRevision: 9)))
    replica.work()
    #expect(replica.commands.last?.username == "ann")
    #expect(replica.commands.last?.authRevision == 9)
    #expect(replica.commands.last?.operation == .compaction(CompactionRequest(revision: 3)))
  }

  @Test func readsWaitForWhatWasCommittedBeforeThem() {
    let replica = ReplicaHarness()
    replica.work()
    let applied = replica.machine.appliedIndex
    replica.read(1)
    replica.flush()
    #expect(replica.readsReady[Ticket(1)] == applied, "nothing is pending: at once")
    replica.put(2)
    replica.flush()
    replica.write()
    replica.read(3)
    replica.flush()
    #expect(replica.readsReady[Ticket(3)] == nil, "the put is committed, not applied")
    replica.apply()
    #expect(replica.readsReady[Ticket(3)] == applied + 1)
  }

  @Test func readsBeforeTheFirstCommitOfTheTermWait() {
    let replica = ReplicaHarness()
    replica.read(1)
    replica.flush()
    #expect(replica.readsReady.isEmpty)
    replica.work()
    #expect(replica.readsReady[Ticket(1)] ?? 0 >= 2, "behind the empty entry of the leader's term")
  }

  @Test func requestSizeIncludesTheHeader() {
    var limits = ReplicaLimits()
    limits.requestBytes = 1_000
    let replica = ReplicaHarness(limits: limits)
    replica.work()
    // Key 3, value 3, put 3, header 2 + 1 + 1 + 10 (an id with the top bits set takes nine or ten bytes).
    let overhead =
      RaftCommand(id: 0x7788 << 48, operation: .put(PutRequest(key: [1], value: [2]))).encodedSize - 1
    replica.put(1, bytes: 1_000 - overhead - 2)
    replica.put(2, bytes: 1_000)
    #expect(replica.replies == [Ticket(2): .requestTooLarge])
    replica.work()
    #expect(replica.applied[Ticket(1)] != nil)
  }

  @Test func tooManyUnappliedEntriesPushBack() {
    var limits = ReplicaLimits()
    limits.applyGap = 10
    let replica = ReplicaHarness(limits: limits)
    replica.work()
    for ticket in 0..<11 { replica.put(UInt64(ticket)) }
    replica.flush()
    replica.write()
    replica.put(100)
    #expect(replica.replies == [Ticket(100): .tooManyRequests])
    replica.apply()
    replica.put(101)
    replica.work()
    #expect(replica.applied[Ticket(101)] != nil)
  }

  @Test func waitingRequestsAreBounded() {
    var limits = ReplicaLimits()
    limits.waitingRequests = 3
    let replica = ReplicaHarness(limits: limits)
    replica.work()
    for ticket in 0..<3 { replica.put(UInt64(ticket)) }
    replica.put(3)
    replica.read(4)
    #expect(replica.replies == [Ticket(3): .tooManyRequests, Ticket(4): .tooManyRequests])
  }

  @Test func stopAnswersEverythingThatWaits() {
    let replica = ReplicaHarness()
    replica.work()
    replica.put(1)
    replica.flush()
    replica.write()
    replica.read(2)
    replica.flush()
    replica.put(3)
    replica.handle(.stop)
    // 1 is committed and on its way to apply, which answers it.
    #expect(replica.replies == [Ticket(2): .serverStopped, Ticket(3): .serverStopped])
    replica.put(4)
    replica.read(5)
    #expect(replica.replies[Ticket(4)] == .serverStopped)
    #expect(replica.replies[Ticket(5)] == .serverStopped)
    replica.apply()
    #expect(replica.applied[Ticket(1)] != nil)
    #expect(replica.machine.waitingCount == 0)
  }

  @Test func aStuckDiskTimesRequestsOut() {
    let replica = ReplicaHarness()
    replica.work()
    replica.ticks(1)
    replica.put(1)
    replica.flush()
    replica.ticks(69)
    #expect(replica.replies.isEmpty)
    replica.ticks(1)
    #expect(replica.replies == [Ticket(1): .requestTimedOut], "7 s: 5 s and two election timeouts")
    // The command is executed all the same; nobody waits for it.
    replica.write()
    #expect(replica.batches.last?.tickets.allSatisfy { $0 == nil } == true)
  }
}

/// Proposals that are not a client's commands.
@Suite struct OtherProposalTests {
  @Test func changesOfTheConfigurationFindTheirTicket() {
    let replica = ReplicaHarness()
    replica.work()
    let change = ConfChange(kind: .updateNode, nodeID: replica.memberID, context: [1, 2])
    replica.handle(.proposeChange(Ticket(5), change))
    replica.put(6)
    replica.flush()
    replica.write()
    #expect(replica.batches.map(\.tickets) == [[Ticket(5), Ticket(6)]])
    #expect(replica.batches.first?.entries.map(\.kind) == [.confChange, .normal])
    replica.work()
    #expect(replica.machine.waitingCount == 0)
  }

  @Test func aChangeIsRefusedWithoutALeaderAndAfterTheStop() {
    let follower = ReplicaHarness(others: [2, 3])
    follower.handle(.proposeChange(Ticket(1), ConfChange(kind: .updateNode, nodeID: 2)))
    #expect(follower.replies == [Ticket(1): .noLeader])
    let replica = ReplicaHarness()
    replica.work()
    replica.handle(.stop)
    replica.handle(.proposeChange(Ticket(2), ConfChange(kind: .updateNode, nodeID: 2)))
    #expect(replica.replies == [Ticket(2): .serverStopped])
  }

  @Test func anUnattendedCommandIsAppliedWithoutATicket() {
    let replica = ReplicaHarness()
    replica.work()
    let command = RaftCommand.Operation.compaction(CompactionRequest(revision: 5))
    replica.handle(.proposeUnattended(command))
    replica.flush()
    replica.write()
    #expect(replica.batches.map(\.tickets) == [[nil]])
    replica.work()
    #expect(replica.commands.last?.operation == command)
  }
}
