import Metrics
import Primitives
import Testing

@Suite struct HistogramTests {
  @Test func `a value on a bound belongs to the bucket below it`() {
    let shape = HistogramShape.seconds(from: 0.001, count: 14)
    #expect(shape.bounds.first == 0.001)
    #expect(shape.bounds.last == 8.192)
    let histogram = Histogram(shape)
    for value: UInt64 in [0, 1_000_000, 1_000_001, 2_000_000, 8_192_000_000, 8_192_000_001, .max / 2] {
      histogram.observe(value)
    }
    let counts = histogram.reading.counts
    #expect(counts[0] == 2)
    #expect(counts[1] == 2)
    #expect(counts[13] == 1)
    #expect(counts[14] == 2)
    #expect(histogram.reading.count == 7)
  }

  @Test(arguments: UInt64(0)..<20) func `a histogram agrees with a naive one`(_ seed: UInt64) {
    var random = SeededRandom(seed: seed)
    let starts: [Double] = [0.0001, 0.001, 0.1, 1, 100]
    let start: Double = starts.randomElement(using: &random) ?? 1
    let shape = HistogramShape.doubling(
      from: start, count: Int.random(in: 1...24, using: &random), unitsPerOne: 1_000_000_000)
    let histograms = [Histogram(shape), Histogram(shape)]
    var naive = [UInt64](repeating: 0, count: shape.bounds.count + 1)
    var sum = 0.0
    for _ in 0..<500 {
      let exponent = Int.random(in: 0..<45, using: &random)
      var value = UInt64.random(in: 0...(1 << exponent), using: &random)
      if Bool.random(using: &random) {
        let bound = shape.bounds.randomElement(using: &random) ?? start
        value = UInt64((bound * 1_000_000_000).rounded()) + UInt64.random(in: 0...1, using: &random)
      }
      let times = UInt64.random(in: 0...3, using: &random)
      switch Int.random(in: 0..<3, using: &random) {
      case 0: for _ in 0..<times { histograms[0].observe(value) }
      case 1: for _ in 0..<times { histograms[1].observeShared(value) }
      default: histograms[1].observe(value, times: times)
      }
      let index =
        shape.bounds.firstIndex { UInt64(($0 * 1_000_000_000).rounded()) >= value } ?? shape.bounds.count
      naive[index] += times
      sum += Double(value) * Double(times) / 1_000_000_000
    }
    var reading = HistogramReading(shape)
    for histogram in histograms { reading.add(histogram.reading) }
    #expect(reading.counts == naive)
    #expect(abs(reading.sum - sum) <= sum * 1e-9)
  }
}
