import Model
import Primitives

/// The keys that a lease holds, in byte order, a bounded batch at a time. Keys that were returned may be deleted between
/// the batches.
///
/// Rows of `leasekey` lie in that order but for keys of 480 bytes and more with equal first parts. Each group of those
/// is sorted here; one that is too large for a batch is read again for each.
struct LeaseKeyScan {
  private let end: KeyBound
  /// The row that the next batch begins at; nil at the end.
  private var start: [UInt8]?
  /// The last key returned of the group of long keys at `start`, which was not finished.
  private var floor: [UInt8]?
  private let keysMax: Int
  private let bytesMax: Int

  init(lease: Int64, keysMax: Int = 1024, bytesMax: Int = 4 << 20) {
    let id = UInt64(bitPattern: lease)
    end = id == .max ? .unbounded : .before(leaseKey(lease &+ 1))
    start = leaseKey(lease)
    self.keysMax = keysMax
    self.bytesMax = bytesMax
  }

  /// The next keys; nil when there are no more.
  mutating func next(in reader: some KeyReader) throws(StoreError) -> [[UInt8]]? {
    while let from = start {
      var batch = Batch(floor: floor)
      start = nil
      try reader.tableRows(.leasekey, from: from, to: end) { (row, rest) throws(StoreError) -> ScanStep in
        let group = row.count == LeaseKeyRow.longBytes ? Self.part(row) : nil
        guard batch.takes(group, keysMax: keysMax) else {
          start = [UInt8](row)
          return .stop
        }
        batch.add([UInt8](Self.part(row)) + rest, bytesMax: bytesMax)
        return .next
      }
      let keys = batch.finish()
      if batch.isCut {
        start = from
        floor = keys.last
      } else {
        floor = nil
      }
      if !keys.isEmpty { return keys }
    }
    return nil
  }

  /// The part of a user key that a row's key carries.
  private static func part(_ row: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
    let end = min(row.count, LeaseKeyRow.leaseBytes + RowFormat.keyPartBytes)
    return UnsafeRawBufferPointer(rebasing: row[LeaseKeyRow.leaseBytes..<end])
  }

  /// Either short keys, or the least keys above `floor` of one group of long ones.
  private struct Batch {
    private(set) var keys: [[UInt8]] = []
    /// There were more keys than fit.
    var isCut: Bool { ceiling != nil }
    private let floor: [UInt8]?
    private var isStarted = false
    /// The first part that all keys share, if they are long.
    private var group: [UInt8]?
    private var bytes = 0
    /// The least of the keys that did not fit.
    private var ceiling: [UInt8]?

    init(floor: [UInt8]?) { self.floor = floor }

    mutating func takes(_ other: UnsafeRawBufferPointer?, keysMax: Int) -> Bool {
      guard isStarted else {
        isStarted = true
        group = other.map { [UInt8]($0) }
        return true
      }
      guard let group else { return other == nil && keys.count < keysMax }
      return other.map { group.elementsEqual($0) } ?? false
    }

    mutating func add(_ key: [UInt8], bytesMax: Int) {
      if let floor, group != nil, !floor.lexicographicallyPrecedes(key) { return }
      if let ceiling, !key.lexicographicallyPrecedes(ceiling) { return }
      keys.append(key)
      bytes += key.count
      if group != nil, bytes > 2 * bytesMax { shrink(to: bytesMax) }
    }

    private mutating func shrink(to bytesMax: Int) {
      keys.sort { $0.lexicographicallyPrecedes($1) }
      while bytes > bytesMax, keys.count > 1, let last = keys.popLast() {
        bytes -= last.count
        ceiling = last
      }
    }

    mutating func finish() -> [[UInt8]] {
      if group != nil { keys.sort { $0.lexicographicallyPrecedes($1) } }
      return keys
    }
  }
}
