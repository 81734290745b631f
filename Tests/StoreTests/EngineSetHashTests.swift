import LMDB
import Model
import Primitives
import Store
import Testing

/// The set-hash is part of the format: here it is computed from the definition alone.
struct EngineSetHashTests {
  @Test func theReferenceIsSipHash() {
    let key = Array(0..<16 as Range<UInt8>)
    // The first vectors of the authors' list for 128-bit output.
    #expect(engineHex(sipHash128(key: key, [])) == "a3817f04ba25a8e66df67214c7550293")
    #expect(engineHex(sipHash128(key: key, [0])) == "da87c1d86b99af44347659119b22fc45")
  }

  @Test func theSumFollowsTheDefinition() throws {
    let fixture = try EngineFixture(try EngineDirectory())
    for round in 0..<40 {
      try fixture.put("key\(round % 7)", String(repeating: "v", count: round))
      if round % 9 == 5 { try fixture.delete("key\(round % 7)") }
      if round % 13 == 12 { try fixture.commitAll() }
    }
    try fixture.apply(.compact(20))
    try fixture.commitAll()
    var low: UInt64 = 0
    var high: UInt64 = 0
    try fixture.store.view().rows(from: Revision(main: 0, sub: 0), through: .max) { revision, row in
      let head = [revision.main, revision.sub].flatMap { word in
        withUnsafeBytes(of: word.bigEndian) { Array($0) }
      }
      let digest = sipHash128(key: engineBytes("cairn set-hash 1"), head + Array(row.keyValue))
      let (sum, carry) = low.addingReportingOverflow(word(digest, 0))
      low = sum
      high = high &+ word(digest, 8) &+ (carry ? 1 : 0)
      return .next
    }
    let hash = try fixture.store.export(fileGrowthBytesMax: 0).setHash
    #expect(hash.high == high && hash.low == low)
    #expect(low != 0 && high != 0)
  }

  /// What the applier says without waiting for a commit is what the file says of the same index after it.
  @Test func theDigestAheadOfTheCommitIsThatOfTheCommit() throws {
    let fixture = try EngineFixture(try EngineDirectory())
    var compactions = 0
    for round in 0..<60 {
      try fixture.put("key\(round % 7)", String(repeating: "v", count: round))
      if round % 9 == 5 { try fixture.delete("key\(round % 7)") }
      // Frozen and not committed, or neither.
      if round % 4 == 1 { _ = try fixture.applier.freeze() }
      if round % 20 == 10 {
        try fixture.apply(.compact(fixture.applier.revision - 5))
        #expect(try fixture.applier.digest() == nil, "its rows are still there")
        try fixture.commitAll()
        compactions += 1
      }
      let digest = try #require(try fixture.applier.digest())
      #expect(digest.index == fixture.applier.appliedIndex && digest.revision == fixture.applier.revision)
      if round % 3 == 2 {
        try fixture.commitAll()
        let hashes = try fixture.store.verifySetHash()
        #expect(hashes.stored == digest.hash && hashes.computed == digest.hash)
        #expect(try fixture.applier.digest() == digest)
      }
    }
    #expect(compactions == 3)
  }

  /// A row that LMDB lost, or one from another place, is found by the sum although every checksum holds.
  @Test func lostRowsAreFound() throws {
    let directory = try EngineDirectory()
    do {
      let fixture = try EngineFixture(directory)
      for round in 0..<10 { try fixture.put("key\(round)", "v") }
      try fixture.commitAll()
    }
    do {
      let environment = try rawEnvironment(directory)
      var transaction = try environment.beginWrite()
      let key: [UInt8] = [0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0]
      let deleted = try key.withUnsafeBytes { try transaction.delete(environment.table(.rev), $0) }
      #expect(deleted)
      try transaction.commit()
    }
    let hashes = try EngineFixture(directory).store.verifySetHash()
    #expect(hashes.stored != hashes.computed)
  }
}

private func word(_ bytes: [UInt8], _ offset: Int) -> UInt64 {
  (0..<8).reduce(0) { $0 | UInt64(bytes[offset + $1]) << (8 * UInt64($1)) }
}

/// SipHash-2-4 with 128 bits of output, as its authors describe it.
private func sipHash128(key: [UInt8], _ message: [UInt8]) -> [UInt8] {
  let k0 = word(key, 0)
  let k1 = word(key, 8)
  var v: [UInt64] = [
    0x736f_6d65_7073_6575 ^ k0, 0x646f_7261_6e64_6f6d ^ k1 ^ 0xee, 0x6c79_6765_6e65_7261 ^ k0,
    0x7465_6462_7974_6573 ^ k1,
  ]
  func rotate(_ x: UInt64, _ bits: UInt64) -> UInt64 { x << bits | x >> (64 - bits) }
  func rounds(_ count: Int) {
    for _ in 0..<count {
      v[0] = v[0] &+ v[1]
      v[1] = rotate(v[1], 13) ^ v[0]
      v[0] = rotate(v[0], 32)
      v[2] = v[2] &+ v[3]
      v[3] = rotate(v[3], 16) ^ v[2]
      v[0] = v[0] &+ v[3]
      v[3] = rotate(v[3], 21) ^ v[0]
      v[2] = v[2] &+ v[1]
      v[1] = rotate(v[1], 17) ^ v[2]
      v[2] = rotate(v[2], 32)
    }
  }
  var padded = message
  while padded.count % 8 != 7 { padded.append(0) }
  padded.append(UInt8(truncatingIfNeeded: message.count))
  for offset in stride(from: 0, to: padded.count, by: 8) {
    let block = word(padded, offset)
    v[3] ^= block
    rounds(2)
    v[0] ^= block
  }
  v[2] ^= 0xee
  rounds(4)
  let first = v[0] ^ v[1] ^ v[2] ^ v[3]
  v[1] ^= 0xdd
  rounds(4)
  let second = v[0] ^ v[1] ^ v[2] ^ v[3]
  return [first, second].flatMap { half in withUnsafeBytes(of: half.littleEndian) { Array($0) } }
}
