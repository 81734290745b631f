import Testing
import Zstd

@Suite("Zstd blocks")
struct BlockTests {
  private func compress(_ plain: [UInt8], room: Int? = nil, level: Int32 = 1) throws -> [UInt8]? {
    let compressor = ZstdCompressor(level: level)
    var output = [UInt8](repeating: 0, count: room ?? ZstdCompressor.bound(plain.count))
    let size = try plain.withUnsafeBytes { plain in
      try output.withUnsafeMutableBytes { try compressor.compress(plain, into: $0) }
    }
    return size.map { Array(output[..<$0]) }
  }

  private func noise(_ count: Int) -> [UInt8] {
    var state: UInt64 = 88_172_645_463_325_252
    return (0..<count).map { _ in
      state ^= state << 13
      state ^= state >> 7
      state ^= state << 17
      return UInt8(truncatingIfNeeded: state)
    }
  }

  @Test("round trip", arguments: [0, 1, 100, 5000, 300_000], [Int32(-5), 1, 3])
  func roundTrip(size: Int, level: Int32) throws {
    let decompressor = ZstdDecompressor()
    for plain in [noise(size), [UInt8](repeating: 7, count: size)] {
      let stored = try #require(try compress(plain, level: level))
      for _ in 0..<2 {
        let back = try stored.withUnsafeBytes { try decompressor.decompress($0, plainSize: size) }
        #expect(back == plain)
      }
    }
  }

  @Test("what does not fit gives nil, and the context works on")
  func incompressible() throws {
    #expect(try compress(noise(1000), room: 900) == nil)
    #expect(try compress([UInt8](repeating: 1, count: 1000), room: 900) != nil)
  }

  @Test("a block that says it is larger or smaller than declared is refused within the declared memory")
  func wrongSize() throws {
    let bomb = try #require(try compress([UInt8](repeating: 0, count: 50_000_000)))
    #expect(bomb.count < 10_000)
    let decompressor = ZstdDecompressor()
    for declared in [0, 1, 4096, 49_999_999, 50_000_001] {
      #expect(throws: ZstdError.wrongSize(expected: declared)) {
        try bomb.withUnsafeBytes { try decompressor.decompress($0, plainSize: declared) }
      }
    }
  }

  @Test("damaged blocks give an error or other bytes, never a trap")
  func damage() throws {
    let plain = noise(200) + [UInt8](repeating: 3, count: 2000)
    let stored = try #require(try compress(plain))
    let decompressor = ZstdDecompressor()
    var refused = 0
    for bit in 0..<(stored.count * 8) {
      var damaged = stored
      damaged[bit / 8] ^= 1 << UInt8(bit % 8)
      let result = Result {
        try damaged.withUnsafeBytes { try decompressor.decompress($0, plainSize: plain.count) }
      }
      if case .success(let back) = result { #expect(back.count == plain.count) } else { refused += 1 }
    }
    #expect(refused > 0)
    for cut in 0..<stored.count {
      #expect(throws: ZstdError.self) {
        try stored[..<cut].withUnsafeBytes { try decompressor.decompress($0, plainSize: plain.count) }
      }
    }
  }
}
