/// Counts latencies in nanoseconds in buckets of at most 0.1 % relative width, exact below 2 microseconds.
struct LatencyHistogram: Sendable {
  /// A power of two is cut into this many buckets.
  private static let fractionBits = 10

  private(set) var count = 0
  private(set) var least = Int64.max
  private(set) var greatest: Int64 = 0
  private var sum = 0.0
  private var sumOfSquares = 0.0
  private var buckets: [UInt32]

  init() {
    buckets = [UInt32](repeating: 0, count: (64 - Self.fractionBits) << Self.fractionBits)
  }

  mutating func record(_ nanoseconds: Int64) {
    let value = max(0, nanoseconds)
    count += 1
    least = min(least, value)
    greatest = max(greatest, value)
    sum += Double(value)
    sumOfSquares += Double(value) * Double(value)
    buckets[Self.bucket(of: value)] &+= 1
  }

  mutating func merge(_ other: LatencyHistogram) {
    count += other.count
    least = min(least, other.least)
    greatest = max(greatest, other.greatest)
    sum += other.sum
    sumOfSquares += other.sumOfSquares
    for index in buckets.indices { buckets[index] &+= other.buckets[index] }
  }

  var mean: Double { count == 0 ? 0 : sum / Double(count) }

  var standardDeviation: Double {
    guard count > 0 else { return 0 }
    return max(0, sumOfSquares / Double(count) - mean * mean).squareRoot()
  }

  /// The latency that `fraction` of all do not exceed, in nanoseconds.
  func quantile(_ fraction: Double) -> Int64 {
    guard count > 0 else { return 0 }
    let rank = max(1, Int((Double(count) * fraction).rounded(.up)))
    var seen = 0
    for index in buckets.indices where buckets[index] > 0 {
      seen += Int(buckets[index])
      if seen >= rank { return min(greatest, max(least, Self.upperBound(of: index))) }
    }
    return greatest
  }

  /// How many lie at or below each of ascending bounds and above the one before.
  func counts(upTo bounds: [Double]) -> [Int] {
    var result = [Int](repeating: 0, count: bounds.count)
    var row = 0
    for index in buckets.indices where buckets[index] > 0 {
      // The lower bound, so that the fastest falls into the first row, which ends at it.
      let lowerBound = index == 0 ? 0 : Self.upperBound(of: index - 1) + 1
      let value = Double(max(least, lowerBound))
      while row < bounds.count - 1, value > bounds[row] { row += 1 }
      result[row] += Int(buckets[index])
    }
    return result
  }

  private static func bucket(of value: Int64) -> Int {
    let magnitude = 63 - value.leadingZeroBitCount
    guard magnitude > fractionBits else { return Int(value) }
    let shift = magnitude - fractionBits
    return (shift << fractionBits) + Int(value >> Int64(shift))
  }

  private static func upperBound(of bucket: Int) -> Int64 {
    guard bucket >= 2 << fractionBits else { return Int64(bucket) }
    let shift = (bucket >> fractionBits) - 1
    let fraction = Int64(bucket & ((1 << fractionBits) - 1)) + (1 << fractionBits)
    return ((fraction + 1) << Int64(shift)) - 1
  }
}
