import Disk
import Foundation
import Model
import Node
import Offline
import Snapshot
import Store
import Testing

@Suite struct SaveTests {
  @Test(arguments: [0, 1, 150, 299, 300]) func `what is only in the log is saved as well`(_ stored: Int)
    throws
  {
    let fixture = try MemberFixture()
    try fixture.make(SampleCommands.make(300, seed: 8), stored: stored)
    let whole = try MemberFixture()
    try whole.make(SampleCommands.make(300, seed: 8), stored: 300)
    let report = try SnapshotSave.run(
      fixture.place, to: fixture.path("snapshot"), disk: fixture.disk, report: { _ in })
    #expect(report.replayed == 300 - stored)
    #expect(report.unconfirmed == 0 && report.appliedIndex == 301)
    let status = try SnapshotStatus.read(
      disk: fixture.disk, path: fixture.path("snapshot"), report: { _ in })
    let expected = try SnapshotStatus.read(disk: whole.disk, path: try whole.save(), report: { _ in })
    #expect(status.revision == expected.revision && status.totalKey == expected.totalKey)
    let hashes = try [fixture, whole].map { member in
      try KeyHash.of(member.place, revision: 0, disk: member.disk, report: { _ in })
    }
    #expect(hashes[0] == hashes[1])
  }

  @Test func `hashing a member changes none of its files`() throws {
    let fixture = try MemberFixture()
    try fixture.make(SampleCommands.make(300, seed: 8), stored: 100)
    let files = ["data/member/store/0000000000000001.mdb", "data/member/CURRENT"]
    let before = try files.map { try fixture.contents(fixture.path($0)) }
    _ = try KeyHash.of(fixture.place, revision: 0, disk: fixture.disk, report: { _ in })
    #expect(try files.map { try fixture.contents(fixture.path($0)) } == before)
  }

  @Test func `entries that one of several voters cannot vouch for are left out and counted`() throws {
    let fixture = try MemberFixture()
    try fixture.make(SampleCommands.make(100, seed: 8), stored: 40, voters: 3, commit: 60)
    let report = try SnapshotSave.run(
      fixture.place, to: fixture.path("snapshot"), disk: fixture.disk, report: { _ in })
    #expect(report.appliedIndex == 60 && report.unconfirmed == 43 && report.replayed == 17)
  }

  @Test func `an existing file, a missing member and a member in use are refused`() throws {
    let fixture = try MemberFixture()
    try fixture.make(SampleCommands.make(20, seed: 8), stored: 10)
    let path = try fixture.save()
    #expect(message { try fixture.save() } == "\(path) exists; nothing was written")
    #expect(
      message {
        try SnapshotSave.run(
          fixture.place(fixture.path("none")), to: fixture.path("x"), disk: fixture.disk, report: { _ in })
      } == "\(fixture.path("none")) holds no member")
    #expect(try !fixture.names().contains("none"))
    let directory = try DataDirectory.open(fixture.dataDirectory, walPath: nil, disk: fixture.disk)
    var asked = 0
    let place = MemberPlace(dataDirectory: fixture.dataDirectory, logDirectory: nil) {
      asked += 1
      return asked < 3
    }
    #expect(
      message {
        try SnapshotSave.run(place, to: fixture.path("x"), disk: fixture.disk, report: { _ in })
      }.contains("is in use by another process"))
    #expect(asked == 3)
    directory.close()
  }

  @Test func `a member of etcd is named`() throws {
    let fixture = try MemberFixture()
    try FileManager.default.createDirectory(
      atPath: fixture.path("data/member/snap"), withIntermediateDirectories: true)
    try fixture.write([1], fixture.path("data/member/snap/db"))
    #expect(message { try fixture.save() }.contains("etcd member (bbolt)"))
  }

  @Test func `a defragmentation keeps every row and gives space back`() throws {
    let fixture = try MemberFixture()
    var commands = SampleCommands.make(3000, seed: 12, valueBytes: 400)
    commands.append(.compaction(CompactionRequest(revision: 2000)))
    try fixture.make(commands, stored: commands.count)
    let before = try compactedRows(fixture)
    var steps = 0
    let summary = try OfflineDefragment.run(fixture.place, disk: fixture.disk) { _ in steps += 1 }
    #expect(summary.bytesAfter < summary.bytesBefore && steps > 0)
    #expect(
      try fixture.names(in: "data/member/store").filter { $0.hasSuffix(".mdb") } == ["0000000000000002.mdb"])
    let again = try DataDirectory.open(fixture.dataDirectory, walPath: nil, disk: fixture.disk)
    #expect(again.storePath.hasSuffix("0000000000000002.mdb"))
    #expect(try rows(try Store.open(path: again.storePath, options: .quiet, identity: nil)) == before)
    again.close()
  }

  /// Has the compaction's rows deleted by commits, and returns what is left.
  private func compactedRows(_ fixture: MemberFixture) throws -> [[UInt8]] {
    let directory = try DataDirectory.open(fixture.dataDirectory, walPath: nil, disk: fixture.disk)
    defer { directory.close() }
    let store = try Store.open(path: directory.storePath, options: .quiet, identity: nil)
    let committer = try store.makeCommitter()
    while try committer.commitNext() != nil {}
    return try rows(store)
  }

  private func rows(_ store: Store) throws -> [[UInt8]] {
    var found: [[UInt8]] = []
    let export = try store.export(fileGrowthBytesMax: .max)
    try export.forEachRow { table, key, value in
      // The state row counts commits.
      if table != .meta { found.append([table.rawValue] + Array(key) + Array(value)) }
      return .next
    }
    export.end()
    return found
  }
}
