/// An immutable set of keys made of ranges: what a shared scan of history looks for. The union of many watchers'
/// ranges, sorted and without overlap, so that a row is judged by one binary search.
public struct KeySet: Sendable {
  /// `[key, end)`; without an end it goes on for ever.
  public struct Interval: Hashable, Sendable {
    public var key: [UInt8]
    public var end: [UInt8]?

    public init(key: [UInt8], end: [UInt8]?) {
      self.key = key
      self.end = end
    }
  }

  /// Ascending, disjoint and not adjoining.
  public let intervals: [Interval]

  public init(_ ranges: [Interval]) {
    var merged: [Interval] = []
    for range in ranges.sorted(by: { $0.key.lexicographicallyPrecedes($1.key) }) {
      if let end = range.end, !range.key.lexicographicallyPrecedes(end) { continue }
      guard let last = merged.last else {
        merged.append(range)
        continue
      }
      guard let lastEnd = last.end else { break }
      if lastEnd.lexicographicallyPrecedes(range.key) {
        merged.append(range)
      } else if let end = range.end {
        if lastEnd.lexicographicallyPrecedes(end) { merged[merged.count - 1].end = end }
      } else {
        merged[merged.count - 1].end = nil
      }
    }
    intervals = merged
  }

  /// All keys.
  public static let all = KeySet([Interval(key: [], end: nil)])

  public func contains(_ key: [UInt8]) -> Bool {
    unsafe key.withUnsafeBytes { unsafe contains($0) }
  }

  public func contains(_ key: UnsafeRawBufferPointer) -> Bool {
    // The last interval that begins at or before the key.
    var low = 0
    var high = intervals.count
    while low < high {
      let middle = (low + high) / 2
      if unsafe compareKeys(intervals[middle].key, key) <= 0 { low = middle + 1 } else { high = middle }
    }
    guard low > 0 else { return false }
    guard let end = intervals[low - 1].end else { return true }
    return unsafe compareKeys(end, key) > 0
  }
}

/// The order of keys: bytes as unsigned numbers, a prefix before what it begins. Negative, zero or positive.
public func compareKeys(_ a: [UInt8], _ b: UnsafeRawBufferPointer) -> Int {
  unsafe a.withUnsafeBytes { unsafe compareKeys($0, b) }
}

public func compareKeys(_ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer) -> Int {
  let common = min(a.count, b.count)
  var position = 0
  while position + 8 <= common {
    let left = unsafe a.loadUnaligned(fromByteOffset: position, as: UInt64.self).bigEndian
    let right = unsafe b.loadUnaligned(fromByteOffset: position, as: UInt64.self).bigEndian
    if left != right { return left < right ? -1 : 1 }
    position += 8
  }
  while position < common {
    let left = unsafe a[position]
    let right = unsafe b[position]
    if left != right { return left < right ? -1 : 1 }
    position += 1
  }
  return a.count - b.count
}
