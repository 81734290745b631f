import Disk
import Foundation
import Model
import Node
import Offline
import Primitives
import Snapshot
import Store
import Testing
import WriteAheadLog

/// A folder with a stopped member in it, made entry by entry: what is in its data file, and what is only in its log.
final class MemberFixture {
  static let peerURL = "http://localhost:2380"
  static let token = "etcd-cluster"

  let folder: String
  let disk = PosixDisk()
  private(set) var entries: [Entry] = []

  init() throws {
    // LMDB syncs for real; in memory that costs nothing.
    let base = FileManager.default.fileExists(atPath: "/dev/shm") ? "/dev/shm" : NSTemporaryDirectory()
    folder = "\(base)/cairn-offline-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: folder) }

  var dataDirectory: String { "\(folder)/data" }
  var place: MemberPlace { place(dataDirectory) }
  func place(_ path: String) -> MemberPlace {
    MemberPlace(dataDirectory: path, logDirectory: nil, waits: { false })
  }
  func path(_ name: String) -> String { "\(folder)/\(name)" }
  func names(in name: String = "") throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: path(name)).sorted()
  }

  static let memberID = ClusterIdentity.memberID(peerURLs: [peerURL], clusterToken: token)
  static let identity = StoreIdentity(
    clusterID: ClusterIdentity.clusterID(memberIDs: [memberID]), memberID: memberID)

  /// Makes the member: the first `stored` of the commands are in the data file, all are in the log.
  func make(_ commands: [RaftCommand.Operation], stored: Int, voters: Int = 1, commit: UInt64? = nil) throws {
    let directory = try DataDirectory.open(dataDirectory, walPath: nil, disk: disk)
    defer { directory.close() }
    entries = []
    for voter in 0..<voters {
      let id = voter == 0 ? Self.memberID : UInt64(voter)
      let member = Member(id: id, peerURLs: ["http://localhost:\(2380 + voter)"], name: "m\(voter)")
      let change = ConfChange(kind: .addNode, nodeID: id, context: member.json)
      add(.confChange, change.encoded())
    }
    let first = entries.count
    for (number, command) in commands.enumerated() {
      add(.normal, RaftCommand(id: UInt64(number + 1), operation: command).encoded())
    }
    let (log, _) = try WriteAheadLog.open(
      disk: disk, directory: directory.walPath,
      identity: LogIdentity(clusterID: Self.identity.clusterID, memberID: Self.identity.memberID),
      options: LogOptions(absence: .create, saltSeed: 7, segmentBytes: 64 << 10))
    for entry in entries {
      try log.append(
        entries: [entry],
        hardState: HardState(
          term: 1, vote: Self.memberID, commit: min(commit ?? UInt64(first), entry.index)))
      if entry.index % 5 == 0 { try log.flush() }
    }
    try log.close()
    var recovered = RecoveredLog()
    recovered.entries = Array(entries.prefix(first + stored))
    recovered.lastIndex = UInt64(first + stored)
    recovered.hardState = HardState(term: 1, vote: Self.memberID, commit: recovered.lastIndex)
    let store = try Store.open(
      path: directory.storePath, options: .quiet, identity: Self.identity)
    _ = try LogReplay.run(store: store, log: recovered, commit: true) { _ in }
  }

  private func add(_ kind: Entry.Kind, _ data: [UInt8]) {
    entries.append(Entry(term: 1, index: UInt64(entries.count + 1), kind: kind, data: data))
  }

  /// Saves a snapshot and returns its path.
  @discardableResult
  func save(_ name: String = "snapshot") throws -> String {
    _ = try SnapshotSave.run(place, to: path(name), disk: disk, report: { _ in })
    return path(name)
  }

  func plan(_ snapshot: String, to target: String) throws -> RestorePlan {
    RestorePlan(
      snapshotPath: snapshot, dataDirectory: path(target), logDirectory: nil, name: "default",
      cluster: try InitialCluster(parsing: "default=\(Self.peerURL)"), clusterToken: Self.token,
      advertisedPeerURLs: [try EndpointURL(parsing: Self.peerURL)])
  }

  @discardableResult
  func restore(_ plan: RestorePlan) throws -> RestoreReport {
    try SnapshotRestore(plan: plan, disk: disk, saltSeed: 3, report: { _ in }).run()
  }

  /// Opens the store of a directory beside nobody, for a look.
  func withView<Result>(_ target: String, _ body: (ReadView, StoreRecovery) throws -> Result) throws -> Result
  {
    let directory = try DataDirectory.open(path(target), walPath: nil, disk: disk, absence: .refuse)
    defer { directory.close() }
    let store = try Store.open(path: directory.storePath, options: .quiet, identity: nil)
    let view = try store.view()
    defer { view.end() }
    return try body(view, store.recovery)
  }

  func contents(_ path: String) throws -> [UInt8] { Array(try Data(contentsOf: URL(fileURLWithPath: path))) }
  func write(_ bytes: [UInt8], _ path: String) throws {
    try Data(bytes).write(to: URL(fileURLWithPath: path))
  }
}

extension StoreOptions {
  static var quiet: StoreOptions {
    var options = StoreOptions()
    options.scrub = nil
    return options
  }
}

/// Long forms run with `Tools/test --long`.
let isLong = ProcessInfo.processInfo.environment["CAIRN_TEST_LONG"] != nil

/// Commands that touch everything a snapshot holds.
enum SampleCommands {
  static func make(_ count: Int, seed: UInt64, valueBytes: Int = 40) -> [RaftCommand.Operation] {
    var random = SeededRandom(seed: seed)
    var commands: [RaftCommand.Operation] = [
      .leaseGrant(LeaseGrant(id: 77, ttl: 1000)), .leaseGrant(LeaseGrant(id: -5, ttl: 50)),
      .clusterVersionSet("3.7.0"),
    ]
    var revision: Int64 = 1
    while commands.count < count {
      let key = Array("key/\(Int.random(in: 0..<40, using: &random))".utf8)
      switch Int.random(in: 0..<12, using: &random) {
      case 0:
        commands.append(.deleteRange(DeleteRangeRequest(key: key)))
      case 1 where revision > 20:
        commands.append(.compaction(CompactionRequest(revision: revision / 2)))
      case 2:
        commands.append(.put(put(key + Array(repeating: UInt8(ascii: "x"), count: 600), &random, valueBytes)))
      default:
        var request = put(key, &random, valueBytes)
        if Int.random(in: 0..<4, using: &random) == 0 { request.lease = 77 }
        commands.append(.put(request))
      }
      revision += 1
    }
    return commands
  }

  private static func put(_ key: [UInt8], _ random: inout SeededRandom, _ valueBytes: Int) -> PutRequest {
    PutRequest(key: key, value: (0..<valueBytes).map { _ in UInt8(truncatingIfNeeded: random.next()) })
  }
}
