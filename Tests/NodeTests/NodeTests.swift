import Disk
import Model
import Node
import Primitives
import Raft
import Replica
import Store
import Testing
import WriteAheadLog

/// A member driven by hand: one batch in, everything it leads to out.
@Suite struct NodeTests {
  private static let memberID = SimulatedFiles.memberID

  private func options(catchUpEntries: UInt64 = 0, generationBytes: Int = 1 << 20) -> NodeOptions {
    let replica = ReplicaConfiguration(
      raft: RaftConfiguration(memberID: Self.memberID, seed: 1), clusterID: SimulatedFiles.clusterID,
      startMilliseconds: 1, name: "n", clientURLs: ["http://127.0.0.1:2379"], clusterVersion: "3.7.0")
    return NodeOptions(
      replica: replica, generationBytes: generationBytes, generationBytesMax: generationBytes,
      catchUpEntries: catchUpEntries, logSegmentBytes: 64 << 10)
  }

  private var storeOptions: StoreOptions {
    var options = StoreOptions()
    options.mapBytes = 1 << 28
    return options
  }

  private func start(_ files: SimulatedFiles, _ options: NodeOptions? = nil) throws -> RunningNode {
    let node = try RunningNode(
      files, options: options ?? self.options(), storeOptions: storeOptions, saltSeed: 1, now: 0)
    _ = try node.drive([])
    return node
  }

  private func put(_ ticket: UInt64, valueBytes: Int = 10) -> NodeInput {
    let request = PutRequest(key: Array("k\(ticket)".utf8), value: incompressible(valueBytes, seed: ticket))
    let command = RaftCommand(operation: .put(request))
    return .replica(.propose(Proposal(ticket: Ticket(ticket), operation: command.encoded())))
  }

  private func puts(_ tickets: Range<UInt64>, valueBytes: Int = 10) -> [NodeInput] {
    tickets.map { put($0, valueBytes: valueBytes) }
  }

  private func revision(_ node: RunningNode) throws -> Int64 {
    let view = try node.store.view()
    defer { view.end() }
    return view.revision
  }

  @Test func firstStartPublishesInOneCall() throws {
    let files = try SimulatedFiles(seed: 1)
    let node = try RunningNode(files, options: options(), storeOptions: storeOptions, saltSeed: 1, now: 0)
    let outputs = try node.drive([])
    #expect(node.opened.node.leadership == Leadership(role: .leader, term: 2, leader: Self.memberID))
    #expect(outputs.notices.contains { if case .published = $0 { true } else { false } })
    let view = try node.store.view()
    #expect(
      try view.members() == [
        MemberRecord(
          id: Self.memberID, peerURLs: ["http://127.0.0.1:2380"], name: "n",
          clientURLs: ["http://127.0.0.1:2379"])
      ])
    #expect(try view.clusterVersion() == "3.7.0")
    #expect(view.revision == 1)
    #expect(view.appliedIndex == 4)
  }

  @Test func aBatchTakesOneWriteAndOneSync() throws {
    let files = try SimulatedFiles(seed: 1)
    let node = try start(files)
    for size in [1, 100] as [UInt64] {
      let before = files.disk.operationCount
      let outputs = try node.drive(puts(0..<size))
      #expect(outputs.answers.count == Int(size))
      #expect(files.disk.operationCount - before == 2, "a write and a sync")
    }
  }

  @Test func nothingIsAnsweredWhenTheSyncFails() throws {
    let files = try SimulatedFiles(seed: 1)
    let node = try start(files)
    files.disk.fail(operation: files.disk.operationCount + 1, with: .inputOutput)
    #expect(throws: NodeError.self) { try node.drive(puts(0..<10)) }
    #expect(node.outputs.answers.isEmpty)
    #expect(try revision(node) == 1)
    #expect(throws: NodeError.self, "a failed log accepts nothing more") {
      try node.drive(puts(10..<11))
    }
  }

  @Test func restartReplaysTheLogBehindTheStore() throws {
    let files = try SimulatedFiles(seed: 1)
    var node: RunningNode? = try start(files)
    _ = try node?.drive(puts(0..<5))
    try node?.commit()
    _ = try node?.drive(puts(5..<9))
    node = nil
    var random = SeededRandom(seed: 1)
    files.disk.crash(.loseEverything, random: &random)
    let again = try start(files)
    #expect(again.opened.recovery.store.appliedIndex == 9)
    #expect(again.opened.recovery.lastIndex == 13)
    #expect(!again.opened.recovery.wasClean)
    #expect(try revision(again) == 10)
    #expect(again.opened.node.leadership.term == 3)
  }

  @Test func anOrderlyStopIsMarkedInTheLog() throws {
    let files = try SimulatedFiles(seed: 1)
    var node: RunningNode? = try start(files)
    _ = try node?.drive(puts(0..<5))
    _ = try node?.stop()
    node = nil
    var random = SeededRandom(seed: 1)
    files.disk.crash(.loseEverything, random: &random)
    let again = try start(files)
    #expect(again.opened.recovery.wasClean)
    #expect(try revision(again) == 6)
  }

  @Test func segmentsBelowTheStoreArePurged() throws {
    let files = try SimulatedFiles(seed: 1)
    let node = try start(files)
    for round in 0..<20 as Range<UInt64> {
      _ = try node.drive(puts(round * 100..<(round + 1) * 100, valueBytes: 1_000))
      try node.commit()
    }
    let kept = try #require(try files.readLog())
    #expect(kept.firstIndexKept > 1_500)
    #expect(kept.lastIndex == 2_004)
  }

  @Test func applyWaitsForTheCommitter() throws {
    let files = try SimulatedFiles(seed: 1)
    let node = try start(files, options(generationBytes: 20_000))
    // The first generation is handed over by its size; the second one fills up behind it.
    var answered = 0
    for round in 0..<10 as Range<UInt64> {
      answered += try node.drive(puts(round * 10..<(round + 1) * 10, valueBytes: 1_000)).answers
        .count
    }
    #expect(answered < 100)
    #expect(node.opened.node.appliedIndex < node.opened.node.commitIndex)
    while node.opened.node.appliedIndex < node.opened.node.commitIndex {
      let report = try #require(try node.opened.committer.commitNext())
      answered += try node.drive([.committed(report)]).answers.count
    }
    #expect(answered == 100)
  }
}

/// What a start refuses (cases S20 and S21: missing, older, newer and foreign files).
@Suite struct StartTests {
  private let storeOptions: StoreOptions = {
    var options = StoreOptions()
    options.mapBytes = 1 << 28
    return options
  }()

  private func options(memberID: UInt64 = SimulatedFiles.memberID) -> NodeOptions {
    let replica = ReplicaConfiguration(
      raft: RaftConfiguration(memberID: memberID, seed: 1), clusterID: SimulatedFiles.clusterID,
      startMilliseconds: 1, name: "n", clientURLs: [], clusterVersion: "3.7.0")
    return NodeOptions(replica: replica, catchUpEntries: 0, logSegmentBytes: 64 << 10)
  }

  private func start(_ files: SimulatedFiles) throws -> RunningNode {
    try RunningNode(files, options: options(), storeOptions: storeOptions, saltSeed: 1, now: 0)
  }

  /// Runs a member over `puts` puts, moves them into LMDB if asked to, and lets it die.
  private func runMember(_ files: SimulatedFiles, puts: Int, committing: Bool) throws {
    let node = try start(files)
    _ = try node.drive([])
    for number in 0..<puts {
      let value = incompressible(2_000, seed: UInt64(number))
      let request = PutRequest(key: [UInt8(number % 250)], value: value)
      let proposal = Proposal(ticket: Ticket(1), operation: RaftCommand(operation: .put(request)).encoded())
      #expect(try node.drive([.replica(.propose(proposal))]).answers.count == 1)
    }
    if committing {
      try node.commit()
    }
  }

  private func crash(_ files: SimulatedFiles) {
    var random = SeededRandom(seed: 1)
    files.disk.crash(.loseEverything, random: &random)
  }

  private func error(_ files: SimulatedFiles) -> NodeError? {
    #expect(throws: NodeError.self) { try start(files) }
    do {
      _ = try start(files)
    } catch {
      return error as? NodeError
    }
    return nil
  }

  private func removeLog(_ files: SimulatedFiles) throws {
    for name in try files.disk.list(files.logDirectory) {
      try files.disk.remove("\(files.logDirectory)/\(name)")
    }
    try files.disk.syncDirectory(files.logDirectory)
  }

  private func removeStore(_ files: SimulatedFiles) throws {
    for name in ["store", "store-lock"] {
      try PosixDisk().remove("\(files.directory)/\(name)")
    }
  }

  @Test func aMissingLogIsNotReplacedByAnEmptyOne() throws {
    let files = try SimulatedFiles(seed: 1)
    try runMember(files, puts: 3, committing: true)
    crash(files)
    try removeLog(files)
    guard case .log(.missing) = error(files) else {
      Issue.record("a member that forgot its log would vote again")
      return
    }
  }

  @Test func aMissingStoreIsRebuiltFromAWholeLog() throws {
    let files = try SimulatedFiles(seed: 1)
    try runMember(files, puts: 3, committing: true)
    crash(files)
    try removeStore(files)
    let node = try start(files)
    _ = try node.drive([])
    let view = try node.store.view()
    #expect(view.revision == 4)
  }

  @Test func aMissingStoreIsRefusedWhenTheLogWasPurged() throws {
    let files = try SimulatedFiles(seed: 1)
    try runMember(files, puts: 100, committing: true)
    crash(files)
    try removeStore(files)
    guard case .gapBetweenStoreAndLog(appliedIndex: 0, let firstIndex) = error(files) else {
      Issue.record("what was purged cannot be replayed")
      return
    }
    #expect(firstIndex > 1)
  }

  @Test func aLogOlderThanTheStoreIsRefused() throws {
    let files = try SimulatedFiles(seed: 1)
    try runMember(files, puts: 3, committing: false)
    crash(files)
    let old = files.disk.copy()
    try runMember(files, puts: 3, committing: true)
    crash(files)
    for name in try old.list(files.logDirectory) {
      let path = "\(files.logDirectory)/\(name)"
      if let bytes = old.contents(path) { files.disk.setContents(path, bytes) }
    }
    switch error(files) {
    case .log(.endsEarly), .storeAheadOfLog: break
    case let other:
      Issue.record("the store holds what the log has lost, but the start said \(String(describing: other))")
    }
  }

  @Test func anotherMembersLogIsRefused() throws {
    let files = try SimulatedFiles(seed: 1)
    try runMember(files, puts: 1, committing: false)
    crash(files)
    try removeStore(files)
    let identity = StoreIdentity(clusterID: SimulatedFiles.clusterID, memberID: 99)
    let store = try Store.open(path: files.storePath, options: storeOptions, identity: identity)
    #expect(throws: NodeError.self) {
      _ = try Node.open(
        options: options(memberID: 99), store: store, disk: files.disk, logDirectory: files.logDirectory,
        initialMembers: [], saltSeed: 1, now: 0)
    }
  }

  @Test func anotherClustersStoreIsRefused() throws {
    let files = try SimulatedFiles(seed: 1)
    try runMember(files, puts: 1, committing: true)
    let identity = StoreIdentity(clusterID: 99, memberID: SimulatedFiles.memberID)
    #expect(throws: StoreError.self) {
      _ = try Store.open(path: files.storePath, options: storeOptions, identity: identity)
    }
  }
}

/// The log compresses, so what is to fill it must be random.
private func incompressible(_ count: Int, seed: UInt64) -> [UInt8] {
  var random = SeededRandom(seed: seed)
  return (0..<count).map { _ in UInt8.random(in: 0...255, using: &random) }
}
