internal import Model

/// The encoded mvccpb.KeyValue of a row: etcd's bytes, fields in number order and zero fields omitted.
///
/// `key` 1, `create_revision` 2, `mod_revision` 3, `version` 4, `value` 5, `lease` 6. A tombstone carries the
/// key only. Written straight into a generation's memory and never changed again, so responses, the file and
/// HashKV all carry the same bytes.
struct KeyValueBytes {
  var key: UnsafeRawBufferPointer
  var create: Int64 = 0
  var mod: Int64 = 0
  var version: Int64 = 0
  var value: UnsafeRawBufferPointer
  var lease: Int64 = 0

  var encodedCount: Int {
    Self.fieldCount(key) + Self.fieldCount(create) + Self.fieldCount(mod) + Self.fieldCount(version)
      + Self.fieldCount(value) + Self.fieldCount(lease)
  }

  func encode(to target: UnsafeMutableRawPointer) {
    var cursor = target
    Self.write(0x0a, key, &cursor)
    Self.write(0x10, create, &cursor)
    Self.write(0x18, mod, &cursor)
    Self.write(0x20, version, &cursor)
    Self.write(0x2a, value, &cursor)
    Self.write(0x30, lease, &cursor)
  }

  /// Reads a row's bytes; nil where they are no KeyValue of this form.
  init?(decoding bytes: UnsafeRawBufferPointer) {
    let empty = UnsafeRawBufferPointer(rebasing: bytes[0..<0])
    // Not into `self` directly: in a failable initialiser the optimiser of Swift 6.3.1 loses assignments to
    // properties that have a default, made in this loop (`version` read as 0).
    var fields = KeyValueBytes(key: empty, create: 0, mod: 0, version: 0, value: empty, lease: 0)
    var offset = 0
    var last: UInt8 = 0
    while offset < bytes.count {
      let tag = bytes[offset]
      guard tag > last else { return nil }
      last = tag
      offset += 1
      guard let number = Self.varint(bytes, &offset) else { return nil }
      switch tag {
      case 0x0a, 0x2a:
        guard number <= UInt64(bytes.count - offset) else { return nil }
        let field = UnsafeRawBufferPointer(rebasing: bytes[offset..<(offset + Int(number))])
        if tag == 0x0a { fields.key = field } else { fields.value = field }
        offset += Int(number)
      case 0x10: fields.create = Int64(bitPattern: number)
      case 0x18: fields.mod = Int64(bitPattern: number)
      case 0x20: fields.version = Int64(bitPattern: number)
      case 0x30: fields.lease = Int64(bitPattern: number)
      default: return nil
      }
    }
    self = fields
  }

  init(
    key: UnsafeRawBufferPointer, create: Int64, mod: Int64, version: Int64, value: UnsafeRawBufferPointer,
    lease: Int64
  ) {
    self.key = key
    self.create = create
    self.mod = mod
    self.version = version
    self.value = value
    self.lease = lease
  }

  private static func varint(_ bytes: UnsafeRawBufferPointer, _ offset: inout Int) -> UInt64? {
    var number: UInt64 = 0
    var shift: UInt64 = 0
    while offset < bytes.count, shift < 64 {
      let byte = bytes[offset]
      offset += 1
      number |= UInt64(byte & 0x7f) << shift
      if byte < 0x80 { return number }
      shift += 7
    }
    return nil
  }

  private static func varintCount(_ number: UInt64) -> Int {
    number == 0 ? 1 : (70 - number.leadingZeroBitCount) / 7
  }

  private static func fieldCount(_ number: Int64) -> Int {
    number == 0 ? 0 : 1 + varintCount(UInt64(bitPattern: number))
  }

  private static func fieldCount(_ bytes: UnsafeRawBufferPointer) -> Int {
    bytes.isEmpty ? 0 : 1 + varintCount(UInt64(bytes.count)) + bytes.count
  }

  private static func writeVarint(_ number: UInt64, _ cursor: inout UnsafeMutableRawPointer) {
    var rest = number
    while rest >= 0x80 {
      cursor.storeBytes(of: UInt8(truncatingIfNeeded: rest) | 0x80, as: UInt8.self)
      cursor += 1
      rest >>= 7
    }
    cursor.storeBytes(of: UInt8(truncatingIfNeeded: rest), as: UInt8.self)
    cursor += 1
  }

  private static func write(_ tag: UInt8, _ number: Int64, _ cursor: inout UnsafeMutableRawPointer) {
    guard number != 0 else { return }
    cursor.storeBytes(of: tag, as: UInt8.self)
    cursor += 1
    writeVarint(UInt64(bitPattern: number), &cursor)
  }

  private static func write(
    _ tag: UInt8, _ bytes: UnsafeRawBufferPointer, _ cursor: inout UnsafeMutableRawPointer
  ) {
    guard let source = bytes.baseAddress, !bytes.isEmpty else { return }
    cursor.storeBytes(of: tag, as: UInt8.self)
    cursor += 1
    writeVarint(UInt64(bytes.count), &cursor)
    cursor.copyMemory(from: source, byteCount: bytes.count)
    cursor += bytes.count
  }
}
