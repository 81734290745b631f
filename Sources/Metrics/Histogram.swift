public import Synchronization

/// How a histogram divides its values, and what it shows them in.
public struct HistogramShape: Sendable {
  /// The upper bounds of the buckets as they are shown, ascending; the last bucket, without a bound, comes on top.
  public let bounds: [Double]
  /// The same in the unit that is observed.
  @usableFromInline let limits: [UInt64]
  /// Observed units in one shown unit: 1e9 for seconds counted in nanoseconds.
  let unitsPerOne: Double

  public static let boundsMax = 24

  public init(bounds: [Double], unitsPerOne: Double) {
    precondition(!bounds.isEmpty && bounds.count <= Self.boundsMax, "a histogram has 1 to 24 bounds")
    precondition(zip(bounds, bounds.dropFirst()).allSatisfy(<), "bounds ascend")
    self.bounds = bounds
    self.unitsPerOne = unitsPerOne
    limits = bounds.map { UInt64(($0 * unitsPerOne).rounded()) }
  }

  /// `count` buckets, each bound twice the one before.
  public static func doubling(from start: Double, count: Int, unitsPerOne: Double) -> HistogramShape {
    var bounds = [start]
    while bounds.count < count { bounds.append(bounds[bounds.count - 1] * 2) }
    return HistogramShape(bounds: bounds, unitsPerOne: unitsPerOne)
  }

  /// Observed in nanoseconds, shown in seconds.
  public static func seconds(from start: Double, count: Int) -> HistogramShape {
    doubling(from: start, count: count, unitsPerOne: 1_000_000_000)
  }

  /// Observed in nanoseconds, shown in milliseconds.
  public static func milliseconds(from start: Double, count: Int) -> HistogramShape {
    doubling(from: start, count: count, unitsPerOne: 1_000_000)
  }

  /// The first bucket whose bound is not below the value.
  @inlinable func bucket(of value: UInt64) -> Int {
    var index = 0
    while index < limits.count, value > limits[index] { index += 1 }
    return index
  }
}

/// Values counted by size. `observe` is for one writing thread, `observeShared` for many; any thread may read.
public final class Histogram: Sendable {
  public let shape: HistogramShape
  @usableFromInline let cells = InlineArray<25, Atomic<UInt64>> { _ in Atomic(0) }
  @usableFromInline let sum = Atomic<UInt64>(0)

  public init(_ shape: HistogramShape) { self.shape = shape }

  @inlinable public func observe(_ value: UInt64) {
    let bucket = shape.bucket(of: value)
    cells[bucket].store(cells[bucket].load(ordering: .relaxed) &+ 1, ordering: .relaxed)
    sum.store(sum.load(ordering: .relaxed) &+ value, ordering: .relaxed)
  }

  /// The same value so many times.
  public func observe(_ value: UInt64, times: UInt64) {
    guard times > 0 else { return }
    let bucket = shape.bucket(of: value)
    cells[bucket].store(cells[bucket].load(ordering: .relaxed) &+ times, ordering: .relaxed)
    sum.store(sum.load(ordering: .relaxed) &+ value &* times, ordering: .relaxed)
  }

  public func observeShared(_ value: UInt64) {
    cells[shape.bucket(of: value)].wrappingAdd(1, ordering: .relaxed)
    sum.wrappingAdd(value, ordering: .relaxed)
  }

  public var reading: HistogramReading {
    var reading = HistogramReading(shape)
    for index in reading.counts.indices { reading.counts[index] = cells[index].load(ordering: .relaxed) }
    reading.sum = Double(sum.load(ordering: .relaxed)) / shape.unitsPerOne
    return reading
  }
}

/// What a histogram held when it was read.
public struct HistogramReading: Sendable, Equatable {
  public let bounds: [Double]
  /// For each bucket the values in it alone; the last one has no bound.
  public var counts: [UInt64]
  public var sum = 0.0

  public init(_ shape: HistogramShape) {
    bounds = shape.bounds
    counts = [UInt64](repeating: 0, count: bounds.count + 1)
  }

  /// What was counted elsewhere: `counts` has one more than `bounds`.
  public init(bounds: [Double], counts: [UInt64], sum: Double) {
    precondition(counts.count == bounds.count + 1, "every value is in one bucket")
    self.bounds = bounds
    self.counts = counts
    self.sum = sum
  }

  public var count: UInt64 { counts.reduce(0, &+) }

  /// Adds what another thread's histogram of the same shape held.
  public mutating func add(_ other: HistogramReading) {
    precondition(bounds == other.bounds, "only histograms of one shape add up")
    for index in counts.indices { counts[index] &+= other.counts[index] }
    sum += other.sum
  }
}
