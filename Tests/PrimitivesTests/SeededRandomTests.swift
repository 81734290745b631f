import Primitives
import Testing

@Suite struct SeededRandomTests {
  /// Computed with an independent implementation of SplitMix64 and xoshiro256**. A seed printed by a failing
  /// simulation must replay on any later version, so this sequence never changes.
  @Test(
    arguments: [
      (0, [0x99ec_5f36_cb75_f2b4, 0xbf6e_1f78_4956_452a, 0x1a5f_849d_4933_e6e0, 0x6aa5_94f1_262d_2d2c]),
      (1, [0xb3f2_af6d_0fc7_10c5, 0x853b_5596_4736_4cea, 0x92f8_9756_082a_4514, 0x642e_1c7b_c266_a3a7]),
      (
        0xdead_beef,
        [0xc555_5444_a74d_7e83, 0x65c3_0d37_b4b1_6e38, 0x54f7_7320_0a4e_fa23, 0x429a_ed75_fb95_8af7]
      ),
    ] as [(UInt64, [UInt64])])
  func goldenSequence(_ seed: UInt64, _ expected: [UInt64]) {
    var random = SeededRandom(seed: seed)
    #expect(expected.map { _ in random.next() } == expected)
  }

  @Test func theThousandthNumber() {
    var random = SeededRandom(seed: 42)
    for _ in 0..<999 { _ = random.next() }
    #expect(random.next() == 0x8de5_848c_61ab_8968)
  }

  @Test func chances() {
    var random = SeededRandom(seed: 1)
    let hits = (0..<10_000).count { _ in random.chance(1, in: 4) }
    #expect((2_300...2_700).contains(hits))
    #expect((0..<100).allSatisfy { _ in random.chance(1, in: 1) })
    #expect(!(0..<100).contains { _ in random.chance(0, in: 3) })
  }
}
