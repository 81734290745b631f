internal import CPrimitives
internal import Model
internal import Primitives

/// The bytes of rows in LMDB. All integers are big-endian.
///
/// `crc` is CRC32C over the table's raw value (one byte), the row's LMDB key, and the row's header (or
/// payload) behind the checksum. `kv crc` is CRC32C over the row's KeyValue bytes: a checksum of its own,
/// so that a walk along pointers or a count need not touch values.
///
/// `rev`, key: the revision.
/// ```
///  0        8        16
///  | main   | sub    |
/// ```
/// `rev`, value:
/// ```
///  0     4       5       8        12      16         20         24          32          40
///  | crc | flags | 0 0 0 | kv crc | depth | prev.sub | jump.sub | prev.main | jump.main | KeyValue ...
/// ```
/// `key` (and the leaves of `long`), value; the KeyValue bytes are there if the inlined flag is set, their
/// checksum always:
/// ```
///  0     4       5       8        12      16    20         24         28
///  | crc | flags | 0 0 0 | kv crc | depth | sub | prev.sub | jump.sub |
///  28    36          44          52       60        68      76
///  | mod | prev.main | jump.main | create | version | lease | KeyValue ...
/// ```
/// A link (a `key` row of exactly 480 bytes, and a `long` row whose part of the key is 480 bytes), value:
/// ```
///  0     4       5       8      16
///  | crc | flags | 0 0 0 | node |
/// ```
/// `long`, key: `| node u64 | part of the key, 0 to 480 bytes |`.
///
/// All other tables, value: `| crc | payload ... |`.
///
/// Checksums, depth and subs have 32 bits, the others 64. Flags: 1 tombstone, 2 inlined KeyValue, 4 link.
/// Others are zero; a reader refuses them.
///
/// `prev` is the key's row before this one (a tombstone included), `jump` an older one further back: rows of
/// a key form a skew-binary skip list over their number in it (`depth`, 0 first), so the jump of depth d goes
/// back by the least term of d's skew-binary representation. Main 0 means none. Both may name rows that
/// compaction deleted.
enum RowFormat {
  static let revisionKeyBytes = 16
  static let revisionHeaderBytes = 40
  static let keyHeaderBytes = 76
  static let linkBytes = 16
  static let checksumBytes = 4
  /// Bytes of a user key that one level holds; a key at least this long goes on in `long`.
  static let keyPartBytes = 480
  static let nodeBytes = 8
  /// The longest key of the other tables: LMDB's limit.
  static let tableKeyBytesMax = 511

  static let tombstone: UInt8 = 1
  static let inlined: UInt8 = 2
  static let link: UInt8 = 4

  static func checksum(
    _ table: Table, key: UnsafeRawBufferPointer, body: UnsafeRawBufferPointer
  ) -> UInt32 {
    var tag = table.rawValue
    let seed = withUnsafeBytes(of: &tag) { tag in CRC32C.checksum(tag) }
    return CRC32C.checksum(body, seed: CRC32C.checksum(key, seed: seed))
  }
}

/// Pointers of a row to older rows of its key.
struct RowPointers {
  var previous = Revision(main: 0, sub: 0)
  var jump = Revision(main: 0, sub: 0)
  var depth: UInt32 = 0
}

/// A decoded row of `rev`: its header is verified, its KeyValue bytes only by `isIntact`.
struct RevisionRow {
  var flags: UInt8
  var keyValueChecksum: UInt32
  var pointers: RowPointers
  var keyValue: UnsafeRawBufferPointer

  var isTombstone: Bool { flags & RowFormat.tombstone != 0 }
  /// To be asked before the KeyValue bytes are used.
  var isIntact: Bool { CRC32C.checksum(keyValue) == keyValueChecksum }

  /// Nil if checksum or form of the header are wrong.
  @inline(__always)
  init?(key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer) {
    let end = RowFormat.revisionHeaderBytes
    guard value.count >= end,
      value.word32(0)
        == RowFormat.checksum(.rev, key: key, body: UnsafeRawBufferPointer(rebasing: value[4..<end]))
    else { return nil }
    flags = value[4]
    guard flags & ~RowFormat.tombstone == 0 else { return nil }
    keyValueChecksum = value.word32(8)
    pointers = RowPointers(
      previous: Revision(main: value.signed64(24), sub: Int64(value.word32(16))),
      jump: Revision(main: value.signed64(32), sub: Int64(value.word32(20))), depth: value.word32(12))
    keyValue = UnsafeRawBufferPointer(rebasing: value[end...])
  }

  /// Writes a row's value of `revisionHeaderBytes` + `keyValue.count` bytes to `target`.
  static func encode(
    key: UnsafeRawBufferPointer, flags: UInt8, pointers: RowPointers, keyValue: UnsafeRawBufferPointer,
    keyValueChecksum: UInt32, to target: UnsafeMutableRawPointer
  ) {
    target.set32(UInt32(flags) << 24, at: 4)
    target.set32(keyValueChecksum, at: 8)
    target.set32(pointers.depth, at: 12)
    target.set32(UInt32(truncatingIfNeeded: pointers.previous.sub), at: 16)
    target.set32(UInt32(truncatingIfNeeded: pointers.jump.sub), at: 20)
    target.set64(UInt64(bitPattern: pointers.previous.main), at: 24)
    target.set64(UInt64(bitPattern: pointers.jump.main), at: 32)
    if let source = keyValue.baseAddress {
      (target + RowFormat.revisionHeaderBytes).copyMemory(from: source, byteCount: keyValue.count)
    }
    let header = UnsafeRawBufferPointer(start: target + 4, count: RowFormat.revisionHeaderBytes - 4)
    target.set32(RowFormat.checksum(.rev, key: key, body: header), at: 0)
  }
}

/// A decoded row of `key` or leaf of `long`, the latest version of a key: its header is verified, its
/// KeyValue bytes only by `isIntact`.
struct KeyRow {
  var flags: UInt8
  var keyValueChecksum: UInt32
  var version: RowVersion
  var pointers: RowPointers
  /// Empty if the bytes are only in `rev`.
  var keyValue: UnsafeRawBufferPointer

  var isTombstone: Bool { flags & RowFormat.tombstone != 0 }
  var isInlined: Bool { flags & RowFormat.inlined != 0 }
  /// To be asked before inlined KeyValue bytes are used.
  var isIntact: Bool { CRC32C.checksum(keyValue) == keyValueChecksum }

  /// Nil if checksum or form of the header are wrong.
  @inline(__always)
  init?(table: Table, key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer) {
    let end = RowFormat.keyHeaderBytes
    guard value.count >= end,
      value.word32(0)
        == RowFormat.checksum(table, key: key, body: UnsafeRawBufferPointer(rebasing: value[4..<end]))
    else { return nil }
    flags = value[4]
    guard flags & ~(RowFormat.tombstone | RowFormat.inlined) == 0,
      (flags & RowFormat.inlined != 0) == (value.count > end)
    else { return nil }
    keyValueChecksum = value.word32(8)
    version = RowVersion(
      mod: Revision(main: value.signed64(28), sub: Int64(value.word32(16))), create: value.signed64(52),
      version: value.signed64(60), lease: value.signed64(68), isTombstone: flags & RowFormat.tombstone != 0)
    pointers = RowPointers(
      previous: Revision(main: value.signed64(36), sub: Int64(value.word32(20))),
      jump: Revision(main: value.signed64(44), sub: Int64(value.word32(24))), depth: value.word32(12))
    keyValue = UnsafeRawBufferPointer(rebasing: value[end...])
  }

  /// Writes a row's value of `keyHeaderBytes` + `inlined.count` bytes to `target`.
  static func encode(
    table: Table, key: UnsafeRawBufferPointer, version: RowVersion, pointers: RowPointers,
    inlined: UnsafeRawBufferPointer, keyValueChecksum: UInt32, to target: UnsafeMutableRawPointer
  ) {
    var flags: UInt8 = version.isTombstone ? RowFormat.tombstone : 0
    if !inlined.isEmpty { flags |= RowFormat.inlined }
    target.set32(UInt32(flags) << 24, at: 4)
    target.set32(keyValueChecksum, at: 8)
    target.set32(pointers.depth, at: 12)
    target.set32(UInt32(truncatingIfNeeded: version.mod.sub), at: 16)
    target.set32(UInt32(truncatingIfNeeded: pointers.previous.sub), at: 20)
    target.set32(UInt32(truncatingIfNeeded: pointers.jump.sub), at: 24)
    target.set64(UInt64(bitPattern: version.mod.main), at: 28)
    target.set64(UInt64(bitPattern: pointers.previous.main), at: 36)
    target.set64(UInt64(bitPattern: pointers.jump.main), at: 44)
    target.set64(UInt64(bitPattern: version.create), at: 52)
    target.set64(UInt64(bitPattern: version.version), at: 60)
    target.set64(UInt64(bitPattern: version.lease), at: 68)
    if let source = inlined.baseAddress {
      (target + RowFormat.keyHeaderBytes).copyMemory(from: source, byteCount: inlined.count)
    }
    let header = UnsafeRawBufferPointer(start: target + 4, count: RowFormat.keyHeaderBytes - 4)
    target.set32(RowFormat.checksum(table, key: key, body: header), at: 0)
  }
}

/// A decoded link row: the node of `long` where a key goes on.
struct LinkRow {
  var node: UInt64

  init?(table: Table, key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer) {
    guard value.count == RowFormat.linkBytes, value[4] == RowFormat.link,
      value.word32(0)
        == RowFormat.checksum(table, key: key, body: UnsafeRawBufferPointer(rebasing: value[4...]))
    else { return nil }
    node = value.word64(8)
  }

  static func encode(table: Table, key: UnsafeRawBufferPointer, node: UInt64) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: RowFormat.linkBytes)
    bytes.withUnsafeMutableBytes { bytes in
      guard let target = bytes.baseAddress else { return }
      target.set32(UInt32(RowFormat.link) << 24, at: 4)
      target.set64(node, at: 8)
      let body = UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(bytes)[4...])
      target.set32(RowFormat.checksum(table, key: key, body: body), at: 0)
    }
    return bytes
  }
}

/// Values of the other tables.
enum TableValue {
  /// The payload; nil if the checksum is wrong.
  static func payload(
    _ table: Table, key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer
  ) -> UnsafeRawBufferPointer? {
    guard value.count >= RowFormat.checksumBytes else { return nil }
    let body = UnsafeRawBufferPointer(rebasing: value[RowFormat.checksumBytes...])
    guard value.word32(0) == RowFormat.checksum(table, key: key, body: body) else { return nil }
    return body
  }

  static func encode(
    _ table: Table, key: UnsafeRawBufferPointer, payload: UnsafeRawBufferPointer,
    to target: UnsafeMutableRawPointer
  ) {
    target.set32(RowFormat.checksum(table, key: key, body: payload), at: 0)
    if let source = payload.baseAddress {
      (target + RowFormat.checksumBytes).copyMemory(from: source, byteCount: payload.count)
    }
  }
}

extension UnsafeRawBufferPointer {
  @inline(__always) func word32(_ offset: Int) -> UInt32 {
    UInt32(bigEndian: loadUnaligned(fromByteOffset: offset, as: UInt32.self))
  }
  @inline(__always) func word64(_ offset: Int) -> UInt64 {
    UInt64(bigEndian: loadUnaligned(fromByteOffset: offset, as: UInt64.self))
  }
  @inline(__always) func signed64(_ offset: Int) -> Int64 { Int64(bitPattern: word64(offset)) }
}

extension UnsafeMutableRawPointer {
  @inline(__always) func set32(_ value: UInt32, at offset: Int) {
    storeBytes(of: value.bigEndian, toByteOffset: offset, as: UInt32.self)
  }
  @inline(__always) func set64(_ value: UInt64, at offset: Int) {
    storeBytes(of: value.bigEndian, toByteOffset: offset, as: UInt64.self)
  }
}

/// A revision as `rev` key bytes, on the stack.
struct RevisionKey {
  private var words: (UInt64, UInt64)

  @inline(__always)
  init(_ revision: Revision) {
    words = (UInt64(bitPattern: revision.main).bigEndian, UInt64(bitPattern: revision.sub).bigEndian)
  }

  @inline(__always)
  mutating func withBytes<Result: ~Copyable, Failure: Error>(
    _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    try withUnsafeBytes(of: &words, body)
  }

  /// The revision of a `rev` key; nil if it has another length.
  static func revision(_ bytes: UnsafeRawBufferPointer) -> Revision? {
    guard bytes.count == RowFormat.revisionKeyBytes else { return nil }
    return Revision(main: bytes.signed64(0), sub: bytes.signed64(8))
  }
}
