import Model
import Node
import Primitives
import Raft
import Replica
import Store
import Testing

/// What a member does of its own accord: alarms, automatic compaction; and changes of its own record.
@Suite struct MaintenanceTests {
  private static let memberID = SimulatedFiles.memberID
  private static let corrupt = AlarmMember(memberID: memberID, alarm: .corrupt)

  private func start(
    _ files: SimulatedFiles, quotaBytes: Int64? = nil, autoCompaction: AutoCompactionPolicy? = nil,
    storeOptions: StoreOptions? = nil
  ) throws -> RunningNode {
    let replica = ReplicaConfiguration(
      raft: RaftConfiguration(memberID: Self.memberID, seed: 1), clusterID: SimulatedFiles.clusterID,
      startMilliseconds: 1, name: "n", clientURLs: ["http://127.0.0.1:2379"], clusterVersion: "3.7.0")
    var options = NodeOptions(
      replica: replica, generationBytes: 1 << 20, generationBytesMax: 1 << 20, logSegmentBytes: 64 << 10)
    options.quotaBytes = quotaBytes
    options.autoCompaction = autoCompaction
    var plain = StoreOptions()
    plain.mapBytes = 1 << 28
    let node = try RunningNode(
      files, options: options, storeOptions: storeOptions ?? plain, saltSeed: 1, now: 0)
    _ = try node.drive([])
    return node
  }

  private func propose(_ ticket: UInt64, _ operation: RaftCommand.Operation) -> NodeInput {
    .replica(
      .propose(Proposal(ticket: Ticket(ticket), operation: RaftCommand(operation: operation).encoded())))
  }

  private func put(_ ticket: UInt64, valueBytes: Int = 10) -> NodeInput {
    propose(
      ticket,
      .put(PutRequest(key: Array("k\(ticket)".utf8), value: [UInt8](repeating: 1, count: valueBytes))))
  }

  private func error(_ outputs: NodeOutputs) -> ClientError? {
    guard case .failed(_, let error) = outputs.answers.last else { return nil }
    return error
  }

  // MARK: Alarms

  @Test func damageRaisesCorruptThroughTheLogAndOnce() throws {
    let files = try SimulatedFiles(seed: 1)
    try raiseCorrupt(files)
    // It outlives the process, and is lowered by hand.
    let again = try start(files)
    #expect(again.opened.node.alarms.members == [Self.corrupt])
    let disarm = AlarmCommand(action: .deactivate, memberID: Self.memberID, alarm: .corrupt)
    _ = try again.drive([propose(2, .alarm(disarm))])
    #expect(again.opened.node.alarms.isEmpty)
    #expect(try error(again.drive([put(3)])) == nil)
    // The next finding raises it again.
    _ = try again.drive([.damaged])
    #expect(again.opened.node.alarms.members == [Self.corrupt])
  }

  /// In a process of its own, which ends without a commit.
  private func raiseCorrupt(_ files: SimulatedFiles) throws {
    let node = try start(files)
    _ = try node.drive([.damaged])
    #expect(node.opened.node.alarms.members == [Self.corrupt])
    let index = node.opened.node.lastIndex
    _ = try node.drive([.damaged])
    _ = try node.drive([])
    #expect(node.opened.node.lastIndex == index, "raised already")
    #expect(try error(node.drive([put(1)])) == .corruptCluster)
    _ = try node.stop()
  }

  @Test func aFileThatCannotGrowRaisesNoSpace() throws {
    let files = try SimulatedFiles(seed: 1)
    var tiny = StoreOptions()
    // The map is the limit here, as a full disk would be.
    tiny.mapBytes = 16 << 20
    tiny.spaceStepBytes = 1 << 20
    let node = try start(files, storeOptions: tiny)
    let own = AlarmMember(memberID: Self.memberID, alarm: .noSpace)
    var ticket: UInt64 = 0
    while !node.store.isShortOfSpace, ticket < 2000 {
      ticket += 1
      _ = try node.drive([put(ticket, valueBytes: 20_000)])
      if ticket.isMultiple(of: 10) { try node.commit() }
    }
    #expect(node.store.isShortOfSpace)
    _ = try node.drive([])
    #expect(node.opened.node.alarms.members == [own])
    #expect(try error(node.drive([put(ticket + 1)])) == .noSpace)
    // Room can still be made.
    let everything = DeleteRangeRequest(key: [0], rangeEnd: [0])
    #expect(try error(node.drive([propose(ticket + 2, .deleteRange(everything))])) == nil)
  }

  @Test func overTheQuotaACommittedPutIsExecutedAndRefused() throws {
    let files = try SimulatedFiles(seed: 1)
    let node = try start(files, quotaBytes: 1)
    #expect(try error(node.drive([put(1)])) == .noSpace)
    let view = try node.store.view()
    defer { view.end() }
    #expect(view.revision == 2)
    #expect(node.opened.node.alarms.isEmpty, "the alarm is raised by who refuses at the door")
  }

  // MARK: Automatic compaction

  @Test func historyIsCompactedOnSchedule() throws {
    let files = try SimulatedFiles(seed: 1)
    let node = try start(files, autoCompaction: .periodic(milliseconds: 10_000))
    var events: [AutoCompaction.Event] = []
    for second in 1...31 as ClosedRange<UInt64> {
      let outputs = try node.process([put(second), .replica(.tick)], now: second * 1_000_000_000)
      for case .autoCompaction(let event, _) in outputs.notices { events.append(event) }
    }
    #expect(
      events == [
        .start(revision: 1), .completed(revision: 1, milliseconds: 1000),
        // At second s the revision is s: its own put is applied later. The oldest sample is eleven seconds old.
        .start(revision: 9), .completed(revision: 9, milliseconds: 1000),
        .start(revision: 19), .completed(revision: 19, milliseconds: 1000),
      ])
    let view = try node.store.view()
    defer { view.end() }
    #expect(view.compactRevision == 19)
  }

  // MARK: The own record

  private func update(_ ticket: UInt64, _ id: UInt64, _ urls: [String]) -> NodeInput {
    let context = Member(id: id, peerURLs: urls).json
    return .replica(
      .proposeChange(Ticket(ticket), ConfChange(kind: .updateNode, nodeID: id, context: context)))
  }

  @Test func memberUpdateChangesPeerURLsAndNothingElse_21736() throws {
    let files = try SimulatedFiles(seed: 1)
    let urls = ["http://127.0.0.1:1", "http://127.0.0.1:2"]
    let expected = MemberRecord(
      id: Self.memberID, peerURLs: urls, isLearner: false, name: "n", clientURLs: ["http://127.0.0.1:2379"])
    try changeURLs(files, urls, expected)
    #expect(try members(start(files)) == [expected], "from the log")
  }

  private func members(_ node: RunningNode) throws -> [MemberRecord] {
    let view = try node.store.view()
    defer { view.end() }
    return try view.members()
  }

  private func changeURLs(_ files: SimulatedFiles, _ urls: [String], _ expected: MemberRecord) throws {
    let node = try start(files)
    let outputs = try node.drive([update(7, Self.memberID, urls)])
    guard case .applied(let ticket, _, let body) = outputs.answers.last else {
      Issue.record("an update is answered: \(outputs.answers)")
      return
    }
    #expect(ticket == Ticket(7) && body.isEmpty)
    #expect(try members(node) == [expected])
    #expect(try error(node.drive([update(8, 99, urls)])) == .memberNotFound)
    #expect(try error(node.drive([put(9)])) == nil, "the member still leads itself")
  }

  @Test func aDowngradeIsAnnouncedAndCancelled() throws {
    let files = try SimulatedFiles(seed: 1)
    let node = try start(files)
    func info() throws -> DowngradeInfo {
      let view = try node.store.view()
      defer { view.end() }
      return try view.downgradeInfo()
    }
    #expect(try info() == DowngradeInfo())
    _ = try node.drive([propose(1, .downgradeInfoSet(DowngradeInfo(enabled: true, version: "3.6.0")))])
    #expect(try info() == DowngradeInfo(enabled: true, version: "3.6.0"))
    _ = try node.drive([propose(2, .downgradeInfoSet(DowngradeInfo()))])
    #expect(try info() == DowngradeInfo())
  }
}
