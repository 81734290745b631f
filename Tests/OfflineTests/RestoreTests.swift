import Disk
import Foundation
import Model
import Node
import Offline
import Primitives
import Store
import Testing
import WriteAheadLog

@Suite struct RestoreTests {
  private func snapshot(_ fixture: MemberFixture, count: Int = 300) throws -> String {
    try fixture.make(SampleCommands.make(count, seed: 5), stored: count / 2)
    return try fixture.save()
  }

  /// Every key at a revision.
  private func keys(_ view: ReadView, at revision: Int64) throws -> [[UInt8]] {
    var found: [[UInt8]] = []
    try view.rows(from: Revision(main: 0, sub: 0), through: revision) { revision, row in
      found.append(Array("\(revision)".utf8) + Array(row.keyValue))
      return .next
    }
    return found
  }

  private func liveKeys(
    _ store: Store
  ) throws -> (keys: [[UInt8]], revision: Int64, compactRevision: Int64) {
    let view = try store.view()
    defer { view.end() }
    var keys: [[UInt8]] = []
    try view.scan(from: [0], to: .unbounded, at: view.revision, content: .keyValue) { row in
      keys.append(Array(row.key) + Array(row.keyValue))
      return .next
    }
    return (keys, view.revision, view.compactRevision)
  }

  @Test func `what was saved is there again: history, leases, hashes`() throws {
    let fixture = try MemberFixture()
    let path = try snapshot(fixture)
    let report = try fixture.restore(try fixture.plan(path, to: "restored"))
    #expect(report.memberID == MemberFixture.memberID)
    let old = try fixture.withView("data") { view, recovery in
      (try keys(view, at: .max), try view.leases(), view.revision, view.compactRevision, recovery.revision)
    }
    let new = try fixture.withView("restored") { view, recovery in
      (try keys(view, at: .max), try view.leases(), view.revision, view.compactRevision, recovery.revision)
    }
    #expect(old == new)
    #expect(old.2 > 200 && old.3 > 0 && !old.1.isEmpty)
    for revision in [0, old.3, old.2 - 3] {
      let hashes = try ["data", "restored"].map { name in
        try KeyHash.of(
          fixture.place(fixture.path(name)), revision: revision, disk: fixture.disk, report: { _ in })
      }
      let ofFile = try KeyHash.of(
        snapshot: path, revision: revision, scratchPath: fixture.path("scratch"), disk: fixture.disk,
        report: { _ in })
      #expect(hashes[0] == hashes[1] && hashes[0] == ofFile)
    }
    #expect(try !fixture.names().contains { $0.hasPrefix("scratch") })
    #expect(throws: OfflineError.self) {
      try KeyHash.of(
        fixture.place, revision: old.2 + 1, disk: fixture.disk, report: { _ in })
    }
  }

  @Test func `several members agree, and their ids are etcd's`() throws {
    let fixture = try MemberFixture()
    let path = try snapshot(fixture)
    let cluster = "a=http://10.0.0.1:2380,b=http://10.0.0.2:2380,c=http://10.0.0.3:2380"
    var states: Set<[MemberRecord]> = []
    for (name, address) in [("a", "10.0.0.1"), ("b", "10.0.0.2"), ("c", "10.0.0.3")] {
      var plan = try fixture.plan(path, to: name)
      plan.name = name
      plan.cluster = try InitialCluster(parsing: cluster)
      plan.clusterToken = "etcd-cluster-1"
      plan.advertisedPeerURLs = [try EndpointURL(parsing: "http://\(address):2380")]
      let report = try fixture.restore(plan)
      #expect(report.members == 3)
      try fixture.withView(name) { view, recovery in
        let members = try view.members()
        states.insert(members)
        #expect(members.map(\.name).sorted() == ["a", "b", "c"])
        #expect(recovery.appliedIndex == 3 && recovery.term == 1)
        let confState = try ConfState(decoding: try #require(recovery.confState))
        #expect(confState == ConfState(voters: members.map(\.id)))
        #expect(recovery.identity.memberID == members.first { $0.name == name }?.id)
        #expect(
          recovery.identity.clusterID == ClusterIdentity.clusterID(memberIDs: members.map(\.id)))
        let log = try WriteAheadLog.read(
          disk: fixture.disk, directory: fixture.path("\(name)/member/wal"),
          identity: LogIdentity(
            clusterID: recovery.identity.clusterID, memberID: recovery.identity.memberID),
          options: LogOptions(absence: .refuse, saltSeed: 0))
        #expect(log.lastIndex == 3 && log.entries.isEmpty && log.wasClean)
        #expect(log.snapshot == SnapshotMetadata(confState: confState, index: 3, term: 1))
        #expect(log.hardState == HardState(term: 1, vote: 0, commit: 3))
      }
    }
    #expect(states.count == 1)
  }

  @Test func `bumped revisions are above all that was given out, and compacted`() throws {
    let fixture = try MemberFixture()
    let path = try snapshot(fixture)
    var plan = try fixture.plan(path, to: "restored")
    plan.revisionBump = 1_000_000_000
    let old = try fixture.withView("data") { view, _ in view.revision }
    let report = try fixture.restore(plan)
    #expect(report.revision == old + 1_000_000_000)
    let directory = try DataDirectory.open(
      fixture.path("restored"), walPath: nil, disk: fixture.disk, absence: .refuse)
    let store = try Store.open(path: directory.storePath, options: .quiet, identity: nil)
    let before = try liveKeys(store)
    #expect(before.revision == report.revision && before.compactRevision == report.revision)
    // The compaction is only marked; the member does it as it starts.
    let committer = try store.makeCommitter()
    #expect(committer.isCompacting)
    while try committer.commitNext() != nil {}
    let after = try liveKeys(store)
    #expect(before.keys == after.keys && after.keys.count > 10)
    #expect(try keys(try store.view(), at: .max).count == after.keys.count)
    directory.close()
    plan = try fixture.plan(path, to: "too-far")
    plan.revisionBump = .max
    #expect(throws: OfflineError.self) { try fixture.restore(plan) }
    #expect(try !fixture.names().contains { $0.hasPrefix("too-far") })
  }

  @Test func `a target that holds anything is refused in etcd's words`() throws {
    let fixture = try MemberFixture()
    let path = try snapshot(fixture)
    #expect(
      message { try fixture.restore(try fixture.plan(path, to: "data")) }
        == "data-dir \"\(fixture.path("data"))\" not empty or could not be read")
    #expect(
      message { try fixture.restore(try fixture.plan(path, to: "snapshot")) }
        == "data-dir \"\(fixture.path("snapshot"))\" not empty or could not be read")
    try FileManager.default.createDirectory(atPath: fixture.path("empty"), withIntermediateDirectories: false)
    try fixture.restore(try fixture.plan(path, to: "empty/"))
    var plan = try fixture.plan(path, to: "other")
    plan.logDirectory = fixture.path("data/member/wal")
    #expect(message { try fixture.restore(plan) } == "wal-dir \"\(fixture.path("data/member/wal"))\" exists")
  }

  @Test func `a cluster that does not fit is refused in etcd's words`() throws {
    let fixture = try MemberFixture()
    let path = try snapshot(fixture, count: 20)
    var plan = try fixture.plan(path, to: "x")
    plan.name = "nobody"
    #expect(
      message { try fixture.restore(plan) }
        == "couldn't find local name \"nobody\" in the initial cluster configuration")
    plan = try fixture.plan(path, to: "x")
    plan.advertisedPeerURLs = [try EndpointURL(parsing: "http://localhost:1")]
    #expect(message { try fixture.restore(plan) }.hasPrefix("--initial-cluster has default="))
    #expect(try !fixture.names().contains { $0.hasPrefix("x") })
  }

  @Test func `a log has a directory of its own, and what a stopped restore left of it goes`() throws {
    let fixture = try MemberFixture()
    let path = try snapshot(fixture)
    var plan = try fixture.plan(path, to: "restored")
    plan.logDirectory = fixture.path("log")
    try FileManager.default.createDirectory(atPath: fixture.path("log"), withIntermediateDirectories: false)
    try fixture.write([], fixture.path("log/restoring"))
    try fixture.write([1], fixture.path("log/0000000000000001-0000000000000001.wal"))
    try FileManager.default.createDirectory(
      atPath: fixture.path("restored.restoring/member/store"), withIntermediateDirectories: true)
    try fixture.write([1], fixture.path("restored.restoring/member/store/0000000000000001.mdb"))
    try fixture.restore(plan)
    #expect(try fixture.names() == ["data", "log", "restored", "snapshot"])
    #expect(try !fixture.names(in: "log").contains("restoring"))
    #expect(try fixture.names(in: "restored/member/wal") == [])
  }

  @Test func `two restores to one place: the second is refused`() throws {
    let fixture = try MemberFixture()
    let path = try snapshot(fixture, count: 20)
    try FileManager.default.createDirectory(
      atPath: fixture.path("x.restoring/member"), withIntermediateDirectories: true)
    let lock = try fixture.disk.lock(fixture.path("x.restoring/member/LOCK"))
    #expect(message { try fixture.restore(try fixture.plan(path, to: "x")) }.contains("in use"))
    lock.release()
    try fixture.restore(try fixture.plan(path, to: "x"))
  }
}

/// The text of the error that `body` ends with.
func message(_ body: () throws -> some Any) -> String {
  do {
    _ = try body()
    return ""
  } catch {
    return "\(error)"
  }
}
