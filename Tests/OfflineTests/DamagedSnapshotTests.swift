import Disk
import Foundation
import Model
import Offline
import Primitives
import Testing

/// Snapshot files that are not what was written: refused by name, and nothing written.
@Suite struct DamagedSnapshotTests {
  /// A snapshot of 16 KiB; with the SHA-256 behind it that `etcdctl snapshot save` leaves, if asked for.
  private func sample(_ fixture: MemberFixture, withDigest: Bool) throws -> [UInt8] {
    try fixture.make(SampleCommands.make(245, seed: 4, valueBytes: 66), stored: 100)
    var bytes = try fixture.contents(try fixture.save())
    try #require((14 << 10...18 << 10).contains(bytes.count), "\(bytes.count) bytes")
    if withDigest { bytes += try digest(of: bytes, fixture) }
    return bytes
  }

  private func digest(of bytes: [UInt8], _ fixture: MemberFixture) throws -> [UInt8] {
    try fixture.write(bytes, fixture.path("plain"))
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/sha256sum")
    process.arguments = [fixture.path("plain")]
    let output = Pipe()
    process.standardOutput = output
    try process.run()
    process.waitUntilExit()
    let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self).prefix(64)
    let digits = Array(text.utf8)
    return try stride(from: 0, to: 64, by: 2).map { index in
      try #require(UInt8(String(decoding: digits[index..<(index + 2)], as: UTF8.self), radix: 16))
    }
  }

  private func isRefused(_ bytes: [UInt8], _ fixture: MemberFixture) throws -> Bool {
    let path = fixture.path("bad")
    try fixture.write(bytes, path)
    var refusals = 0
    do throws(OfflineError) {
      _ = try SnapshotStatus.read(disk: fixture.disk, path: path, report: { _ in })
    } catch {
      refusals += error.description.contains(path) ? 1 : 0
    }
    let plan = try fixture.plan(path, to: "restored")
    do throws(OfflineError) {
      _ = try SnapshotRestore(plan: plan, disk: fixture.disk, saltSeed: 1, report: { _ in }).run()
    } catch {
      refusals += error.description.contains(path) ? 1 : 0
    }
    return refusals == 2
  }

  @Test(arguments: [false, true]) func `a file cut at any byte is refused`(_ withDigest: Bool) throws {
    let fixture = try MemberFixture()
    let bytes = try sample(fixture, withDigest: withDigest)
    let before = try fixture.names()
    for length in 0..<bytes.count where !(withDigest && length == bytes.count - 32) {
      #expect(try isRefused(Array(bytes[..<length]), fixture), "cut at \(length)")
    }
    #expect(try fixture.names() == (before + ["bad"]).sorted())
  }

  @Test(arguments: [false, true]) func `a file with a flipped bit is refused`(_ withDigest: Bool) throws {
    let fixture = try MemberFixture()
    var bytes = try sample(fixture, withDigest: withDigest)
    let before = try fixture.names()
    var random = SeededRandom(seed: 9)
    for position in bytes.indices {
      let bits = isLong ? Array(0..<8) : [Int.random(in: 0..<8, using: &random)]
      for bit in bits {
        bytes[position] ^= 1 << UInt8(bit)
        #expect(try isRefused(bytes, fixture), "bit \(bit) of byte \(position)")
        bytes[position] ^= 1 << UInt8(bit)
      }
    }
    #expect(try fixture.names() == (before + ["bad"]).sorted())
    try fixture.write(bytes, fixture.path("bad"))
    let status = try SnapshotStatus.read(disk: fixture.disk, path: fixture.path("bad"), report: { _ in })
    #expect(status.totalKey > 20)
  }

  @Test func `without the hash check, damage is found by checksums and leaves nothing behind`() throws {
    let fixture = try MemberFixture()
    var bytes = try sample(fixture, withDigest: false)
    let before = try fixture.names()
    let path = fixture.path("bad")
    var plan = try fixture.plan(path, to: "restored")
    plan.isHashChecked = false
    // The digest itself is not looked at; everything before it is covered by checksums of its own.
    var random = SeededRandom(seed: 11)
    for _ in 0..<300 {
      let position = Int.random(in: 0..<(bytes.count - 600), using: &random)
      bytes[position] ^= 4
      try fixture.write(bytes, path)
      #expect(throws: OfflineError.self, "byte \(position)") { try fixture.restore(plan) }
      bytes[position] ^= 4
    }
    #expect(try fixture.names() == (before + ["bad"]).sorted())
    bytes[bytes.count - 1] ^= 1
    try fixture.write(bytes, path)
    try fixture.restore(plan)
    #expect(try fixture.names().contains("restored"))
  }

  @Test func `files of other kinds are named for what they are`() throws {
    let fixture = try MemberFixture()
    var bolt = [UInt8](repeating: 0, count: 65536)
    bolt.replaceSubrange(16..<20, with: [0xed, 0xda, 0x0c, 0xed])
    try fixture.write(bolt, fixture.path("etcd.db"))
    #expect(error(fixture, "etcd.db").contains("bbolt"))
    #expect(error(fixture, "nothing").contains("No such file"))
    #expect(error(fixture, "").contains("not a regular file"))
    #expect(mkfifo(fixture.path("pipe"), 0o600) == 0)
    #expect(error(fixture, "pipe").contains("not a regular file"))
    try FileManager.default.createSymbolicLink(
      atPath: fixture.path("loop"), withDestinationPath: fixture.path("loop"))
    #expect(error(fixture, "loop").contains("symbolic links"))
    try fixture.write([], fixture.path("empty"))
    #expect(error(fixture, "empty").contains("not a snapshot"))
  }

  @Test func `random files, and right heads on random bodies, are refused`() throws {
    let fixture = try MemberFixture()
    let head = try sample(fixture, withDigest: false)
    var random = SeededRandom(seed: 21)
    for round in 0..<400 {
      let count = Int.random(in: 0..<20000, using: &random)
      var bytes = (0..<count).map { _ in UInt8(truncatingIfNeeded: random.next()) }
      let kept = Int.random(in: 0..<min(head.count, count + 1), using: &random)
      if round % 2 == 0 { bytes.replaceSubrange(..<min(kept, count), with: head[..<min(kept, count)]) }
      #expect(try isRefused(bytes, fixture), "round \(round)")
    }
  }

  @Test func `a file of a declared terabyte costs nothing`() throws {
    let fixture = try MemberFixture()
    let head = try sample(fixture, withDigest: false)
    try fixture.write(head, fixture.path("huge"))
    #expect(truncate(fixture.path("huge"), 1 << 40) == 0)
    #expect(error(fixture, "huge").contains("no trailer"))
  }

  private func error(_ fixture: MemberFixture, _ name: String) -> String {
    do throws(OfflineError) {
      _ = try SnapshotStatus.read(disk: fixture.disk, path: fixture.path(name), report: { _ in })
      return ""
    } catch {
      return error.description
    }
  }
}
