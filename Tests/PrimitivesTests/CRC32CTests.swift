import CPrimitives
import Primitives
import Testing

@Suite struct CRC32CTests {
  /// RFC 3720, B.4, and the check value of the catalogue of parametrised CRCs.
  @Test func knownVectors() {
    #expect(CRC32C.checksum([UInt8]("123456789".utf8)) == 0xe306_9283)
    #expect(CRC32C.checksum([UInt8](repeating: 0, count: 32)) == 0x8a91_36aa)
    #expect(CRC32C.checksum([UInt8](repeating: 0xff, count: 32)) == 0x62a8_ab43)
    #expect(CRC32C.checksum([UInt8](0..<32)) == 0x46dd_794e)
    #expect(CRC32C.checksum([UInt8]((0..<32).reversed())) == 0x113f_db5c)
    #expect(CRC32C.checksum([]) == 0)
    #expect(CRC32C.checksum([], seed: 0x1234) == 0x1234)
  }

  @Test func theInstructionAndTheTableAgree() {
    var random = SeededRandom(seed: 5)
    let bytes = (0..<4_096).map { _ in UInt8(truncatingIfNeeded: random.next()) }
    for _ in 0..<5_000 {
      let start = Int.random(in: 0...bytes.count, using: &random)
      let end = Int.random(in: start...min(bytes.count, start + 300), using: &random)
      let seed = UInt32(truncatingIfNeeded: random.next())
      bytes.withUnsafeBytes { buffer in
        let part = UnsafeRawBufferPointer(rebasing: buffer[start..<end])
        #expect(
          cairn_crc32c(seed, part.baseAddress, part.count)
            == cairn_crc32c_portable(seed, part.baseAddress, part.count))
      }
    }
  }

  @Test func aChecksumIsContinued() {
    let bytes = [UInt8](0..<200)
    let whole = CRC32C.checksum(bytes)
    for cut in 0...bytes.count {
      let first = CRC32C.checksum([UInt8](bytes[..<cut]))
      #expect(CRC32C.checksum([UInt8](bytes[cut...]), seed: first) == whole)
    }
  }
}
