internal import CPrimitives
internal import Model

/// A 128-bit sum modulo 2^128 of one keyed hash for each row of `rev`.
///
/// The hash of a row is SipHash-2-4-128 under the key "cairn set-hash 1" over main and sub (big-endian, as
/// in the row key) and the row's KeyValue bytes. Pointers are left out: they differ between members. The
/// order of additions and subtractions does not matter, so the sum is maintained row by row and compares in
/// O(1): with a scan of the same file, and with another member at an equal applied index when compaction
/// has finished.
public struct SetHash: Hashable, Sendable, CustomStringConvertible {
  public var high: UInt64 = 0
  public var low: UInt64 = 0

  public init() {}
  init(high: UInt64, low: UInt64) {
    self.high = high
    self.low = low
  }

  public var description: String {
    hexadecimal(
      withUnsafeBytes(of: high.bigEndian) { Array($0) } + withUnsafeBytes(of: low.bigEndian) { Array($0) })
  }

  /// The hash of one row.
  init(main: Int64, sub: UInt32, keyValue: UnsafeRawBufferPointer) {
    var head = (UInt64(bitPattern: main).bigEndian, UInt64(sub).bigEndian)
    var digest: (UInt64, UInt64) = (0, 0)
    withUnsafeMutableBytes(of: &head) { head in
      withUnsafeMutableBytes(of: &digest) { digest in
        guard let headWords = head.assumingMemoryBound(to: UInt64.self).baseAddress,
          let digestWords = digest.assumingMemoryBound(to: UInt64.self).baseAddress
        else { return }
        cairn_siphash128(
          0x6573_206e_7269_6163, 0x3120_6873_6168_2d74, headWords, 2, keyValue.baseAddress, keyValue.count,
          digestWords)
      }
    }
    high = digest.1
    low = digest.0
  }

  /// The hash of a row of `rev` whose form and checksums were verified.
  init(verified key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) {
    self.init(
      main: key.signed64(0), sub: UInt32(truncatingIfNeeded: key.word64(8)),
      keyValue: UnsafeRawBufferPointer(rebasing: value[RowFormat.revisionHeaderBytes...]))
  }

  static func += (sum: inout SetHash, term: SetHash) {
    let (low, carry) = sum.low.addingReportingOverflow(term.low)
    sum.low = low
    sum.high = sum.high &+ term.high &+ (carry ? 1 : 0)
  }

  static func -= (sum: inout SetHash, term: SetHash) {
    let (low, borrow) = sum.low.subtractingReportingOverflow(term.low)
    sum.low = low
    sum.high = sum.high &- term.high &- (borrow ? 1 : 0)
  }
}
