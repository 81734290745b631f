import Disk
import Foundation
import Model
import Offline
import Primitives
import Testing

@Suite struct CheckTests {
  private struct Outcome {
    var places: [BadPlace] = []
    var notes: [String] = []
    var summary = CheckSummary()
  }

  private func check(_ fixture: MemberFixture) throws -> Outcome {
    var outcome = Outcome()
    outcome.summary = try MemberCheck(
      disk: fixture.disk, bad: { outcome.places.append($0) }, note: { outcome.notes.append($0) },
      report: { _ in }
    ).check(fixture.place)
    return outcome
  }

  private func member(_ count: Int = 1500) throws -> MemberFixture {
    let fixture = try MemberFixture()
    try fixture.make(SampleCommands.make(count, seed: 31, valueBytes: 200), stored: count)
    return fixture
  }

  private static let store = "data/member/store/0000000000000001.mdb"

  /// Flips a bit and returns the file's bytes as they were.
  private func flip(_ fixture: MemberFixture, _ name: String, at offset: Int, bit: UInt8 = 2) throws {
    var bytes = try fixture.contents(fixture.path(name))
    bytes[offset] ^= 1 << bit
    try fixture.write(bytes, fixture.path(name))
  }

  @Test func `a good member has no bad places`() throws {
    let fixture = try member()
    try FileManager.default.copyItem(
      atPath: try fixture.save(), toPath: fixture.path("data/member/snap/copy"))
    let outcome = try check(fixture)
    #expect(outcome.places == [] && outcome.notes == [])
    #expect(outcome.summary.stores == 1 && outcome.summary.snapshots == 1)
    #expect(outcome.summary.logEntries == 1501 && outcome.summary.storeRows > 300)
  }

  /// LMDB leaves bytes of a page that no node covers as they were, and pages that are free: flips there are no damage.
  @Test func `flipped bits of rows are named by file and offset`() throws {
    let fixture = try member()
    let good = try fixture.contents(fixture.path(Self.store))
    var random = SeededRandom(seed: 5)
    var found = 0
    var tried = 0
    // Values are random bytes: each occurs once in `rev` and once beside its key.
    let values = SampleCommands.make(1500, seed: 31, valueBytes: 200).compactMap { command in
      if case .put(let request) = command { return request.value }
      return nil
    }
    for value in values.suffix(isLong ? 300 : 30) {
      guard let place = good.firstRange(of: value)?.lowerBound else { continue }
      tried += 1
      var bad = good
      let offset = place + Int.random(in: 0..<value.count, using: &random)
      bad[offset] ^= 1
      try fixture.write(bad, fixture.path(Self.store))
      let outcome = try check(fixture)
      let isNamed = outcome.places.contains {
        $0.file == fixture.path(Self.store) && $0.offset <= offset && offset - $0.offset < 4096
      }
      if isNamed { found += 1 }
    }
    #expect(found == tried && tried > 10)
  }

  @Test func `any flipped bit of a page in use is found, without a trap`() throws {
    let fixture = try member(300)
    let good = try fixture.contents(fixture.path(Self.store))
    var random = SeededRandom(seed: 6)
    // The file is extended ahead; what is in use lies at its beginning, with earlier states of it.
    let used = try min(good.count, check(fixture).summary.storePages * 2 * 4096)
    var found = 0
    for _ in 0..<(isLong ? 5000 : 400) {
      var bad = good
      bad[Int.random(in: 0..<used, using: &random)] ^= 1 << UInt8.random(in: 0..<8, using: &random)
      try fixture.write(bad, fixture.path(Self.store))
      if try !check(fixture).places.isEmpty { found += 1 }
    }
    #expect(found > 20)
  }

  @Test func `it goes on behind the first bad place, in every file`() throws {
    let fixture = try member()
    try FileManager.default.copyItem(
      atPath: try fixture.save(), toPath: fixture.path("data/member/snap/copy"))
    let good = try fixture.contents(fixture.path(Self.store))
    // Leaves that are in use, and not left from an earlier state: a flipped bit in the number of one is found.
    var leaves: [Int] = []
    for page in stride(from: 8192, to: good.count, by: 4096)
    where good[page + 10] == 2 && good[page + 11] == 0 && leaves.count < 8 {
      try flip(fixture, Self.store, at: page)
      if try check(fixture).places.contains(where: { $0.offset == page }) { leaves.append(page) }
      try fixture.write(good, fixture.path(Self.store))
    }
    try #require(leaves.count == 8)
    for page in [leaves[2], leaves[5], leaves[7]] {
      try flip(fixture, Self.store, at: page)
    }
    let logs = try fixture.names(in: "data/member/wal").filter { $0.hasSuffix(".wal") }
    try #require(logs.count > 3)
    try flip(fixture, "data/member/wal/\(logs[0])", at: 9000)
    try flip(fixture, "data/member/wal/\(logs[2])", at: 12000)
    try flip(fixture, "data/member/snap/copy", at: 5000)
    try flip(fixture, "data/member/CURRENT", at: 20)
    let outcome = try check(fixture)
    let places = outcome.places
    for page in [leaves[2], leaves[5], leaves[7]] {
      #expect(places.contains { $0.file == fixture.path(Self.store) && $0.offset == page }, "page at \(page)")
    }
    for name in [
      "data/member/wal/\(logs[0])", "data/member/wal/\(logs[2])", "data/member/snap/copy",
      "data/member/CURRENT",
    ] {
      #expect(places.contains { $0.file == fixture.path(name) }, "\(name)")
    }
    #expect(outcome.summary.badPlaces == places.count)
  }

  @Test func `every byte of the log counts`() throws {
    let fixture = try member(60)
    let name =
      "data/member/wal/"
      + (try #require(try fixture.names(in: "data/member/wal").first { $0.hasSuffix(".wal") }))
    let good = try fixture.contents(fixture.path(name))
    // What lies behind the last frame is zeros.
    let end = try #require(good.lastIndex { $0 != 0 })
    for offset in stride(from: 0, through: end, by: isLong ? 1 : 23) {
      var bad = good
      bad[offset] ^= 0x10
      try fixture.write(bad, fixture.path(name))
      let outcome = try check(fixture)
      #expect(!outcome.places.isEmpty || !outcome.notes.isEmpty, "byte \(offset)")
    }
  }

  @Test func `a log that lost its end, and a foreign one, are found`() throws {
    let fixture = try member()
    let logs = try fixture.names(in: "data/member/wal").filter { $0.hasSuffix(".wal") }
    let last = try #require(logs.last)
    try FileManager.default.removeItem(atPath: fixture.path("data/member/wal/\(last)"))
    #expect(try !check(fixture).places.isEmpty)
    let other = try MemberFixture()
    try other.make(SampleCommands.make(1500, seed: 31), stored: 1500, voters: 2)
    let strange = try #require(try other.names(in: "data/member/wal").first { $0.hasSuffix(".wal") })
    try FileManager.default.removeItem(atPath: fixture.path("data/member/wal/\(logs[0])"))
    try FileManager.default.copyItem(
      atPath: other.path("data/member/wal/\(strange)"), toPath: fixture.path("data/member/wal/\(logs[0])"))
    #expect(try !check(fixture).places.isEmpty)
  }

  @Test func `random bytes in the place of any file are named`() throws {
    let fixture = try member(60)
    var random = SeededRandom(seed: 77)
    let files =
      [Self.store, "data/member/CURRENT"]
      + (try fixture.names(in: "data/member/wal").filter { $0.hasSuffix(".wal") }).map {
        "data/member/wal/\($0)"
      }
    for name in files {
      let good = try fixture.contents(fixture.path(name))
      for count in [0, 1, 100, 5000, 70000] {
        try fixture.write(
          (0..<count).map { _ in UInt8(truncatingIfNeeded: random.next()) }, fixture.path(name))
        let places = try check(fixture).places
        #expect(places.contains { $0.file == fixture.path(name) }, "\(name) of \(count) bytes")
      }
      try fixture.write(good, fixture.path(name))
    }
  }
}
