import Primitives
import Testing

@Suite struct LookupTableTests {
  @Test func behavesLikeADictionary() {
    var random = SeededRandom(seed: 1)
    for keySpace in [8, 40, 1_000, 1 << 40] as [UInt64] {
      var table = LookupTable()
      var model: [UInt64: UInt64] = [:]
      for step in 0..<20_000 as Range<UInt64> {
        let key = UInt64.random(in: 1...keySpace, using: &random)
        switch Int.random(in: 0..<5, using: &random) {
        case 0, 1:
          table.insert(step, for: key)
          model[key] = step
        case 2, 3: #expect(table.remove(key) == model.removeValue(forKey: key))
        default: #expect(table.value(of: key) == model[key])
        }
        #expect(table.count == model.count)
      }
      for (key, value) in model { #expect(table.value(of: key) == value) }
    }
  }

  @Test func keyZeroIsNowhere() {
    var table = LookupTable()
    #expect(table.remove(0) == nil)
    table.insert(7, for: .max)
    #expect(table.value(of: .max) == 7)
    #expect(table.remove(0) == nil)
  }
}
