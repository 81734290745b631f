/// Why bytes are not a protocol buffer message. The verdict is that of the canonical Go decoder: what it
/// refuses is refused here (see `ProtoReader` for what is bounded more tightly).
public enum ProtoError: Error, Hashable, Sendable {
  /// A field, a length or a group goes on after the end of the message.
  case truncated
  /// A varint of more than ten bytes, or one that does not fit in 64 bits.
  case varintTooLong
  /// A tag with field number 0 or above 2^29 - 1.
  case badTag
  /// One of the reserved wire types 6 and 7.
  case badWireType
  /// The end of a group that was not begun, or of another group than the open one.
  case badGroup
  /// Messages or groups nested deeper than `ProtoReader.depthMax`.
  case tooDeep
  /// A string field that is not UTF-8.
  case badUTF8
  /// An enum value without meaning here, in a message that only members write.
  case badEnumValue
  /// A request of etcd's before 3.6 to its old store, with content that is not what its path asks for.
  case badLegacyRequest
}

/// A field's number and wire type in one word, as it stands on the wire; made for `switch`.
public struct ProtoTag: Hashable, Sendable {
  public let raw: UInt32

  @inlinable
  public init(raw: UInt32) { self.raw = raw }

  @inlinable
  public var field: Int { Int(raw >> 3) }
  @inlinable
  public var wireType: UInt32 { raw & 7 }

  /// int32, int64, uint32, uint64, bool and enum fields.
  @inlinable
  public static func varint(_ field: Int) -> ProtoTag { ProtoTag(raw: UInt32(field) << 3) }
  /// bytes, string, message and packed repeated fields.
  @inlinable
  public static func length(_ field: Int) -> ProtoTag { ProtoTag(raw: UInt32(field) << 3 | 2) }

  @inlinable
  public static func ~= (pattern: ProtoTag, value: ProtoTag) -> Bool { pattern.raw == value.raw }
}

/// A cursor over one encoded message. Bounds- and overflow-proof: any input ends in values or in a
/// `ProtoError`, never in a trap.
///
/// A decoder is a loop: `while let tag = try reader.nextTag()`, a `switch` over the tags it knows, and `skip`
/// for the rest. A known field with another wire type is then an unknown field, as in Go. The last value of
/// a scalar wins; a submessage that occurs again is merged by decoding into the same value.
///
/// Go allows 10,000 levels of nesting on its growing stacks. Ours is fixed, so we stop at `depthMax`, the
/// limit of the C++, Java and Swift libraries.
///
/// Lifetime: the reader and the buffers it hands out point into the caller's memory and must not outlive
/// it; make one inside the closure that lends the bytes.
@safe
public struct ProtoReader {
  /// Levels of submessages and groups below the outermost message.
  public static let depthMax = 100

  @usableFromInline let bytes: UnsafeRawBufferPointer
  @usableFromInline var position = 0
  @usableFromInline let depthLeft: Int

  @inlinable
  public init(_ bytes: UnsafeRawBufferPointer) {
    unsafe self.bytes = bytes
    depthLeft = Self.depthMax
  }

  @inlinable
  init(_ bytes: UnsafeRawBufferPointer, depthLeft: Int) {
    unsafe self.bytes = bytes
    self.depthLeft = depthLeft
  }

  @inlinable
  public var isAtEnd: Bool { unsafe position == bytes.count }

  /// The next field's tag, or nil at the end of the message.
  @inlinable
  public mutating func nextTag() throws(ProtoError) -> ProtoTag? {
    guard unsafe position < bytes.count else { return nil }
    let raw = try readVarint()
    guard raw >= 8, raw < 1 << 32 else { throw .badTag }
    return ProtoTag(raw: UInt32(truncatingIfNeeded: raw))
  }

  // Inlinable: most varints of a request are one byte, and the call costs more than the work.
  @inlinable
  public mutating func readVarint() throws(ProtoError) -> UInt64 {
    guard unsafe position < bytes.count else { throw .truncated }
    let first = unsafe bytes[position]
    if first < 0x80 {
      position &+= 1
      return UInt64(first)
    }
    return try readLongVarint()
  }

  @usableFromInline
  mutating func readLongVarint() throws(ProtoError) -> UInt64 {
    var value: UInt64 = 0
    var shift: UInt64 = 0
    while true {
      guard unsafe position < bytes.count else { throw .truncated }
      let byte = unsafe bytes[position]
      // The tenth byte holds bit 63 alone.
      if shift == 63, byte > 1 { throw .varintTooLong }
      position &+= 1
      value |= UInt64(byte & 0x7f) &<< shift
      if byte < 0x80 { return value }
      shift &+= 7
    }
  }

  @inlinable
  public mutating func readInt64() throws(ProtoError) -> Int64 {
    Int64(truncatingIfNeeded: try readVarint())
  }

  /// Also of a varint that does not fit: its low 32 bits, as in every implementation.
  @inlinable
  public mutating func readInt32() throws(ProtoError) -> Int32 {
    Int32(truncatingIfNeeded: try readVarint())
  }

  @inlinable
  public mutating func readBool() throws(ProtoError) -> Bool {
    try readVarint() != 0
  }

  /// A length-delimited field's content, in place.
  @inlinable
  public mutating func readBuffer() throws(ProtoError) -> UnsafeRawBufferPointer {
    let length = try readVarint()
    let start = position
    guard unsafe length <= UInt64(bytes.count &- start) else { throw .truncated }
    position &+= Int(truncatingIfNeeded: length)
    return unsafe UnsafeRawBufferPointer(rebasing: bytes[start..<position])
  }

  @inlinable
  public mutating func readBytes() throws(ProtoError) -> [UInt8] {
    unsafe [UInt8](try readBuffer())
  }

  public mutating func readString() throws(ProtoError) -> String {
    guard let string = unsafe String(validating: try readBuffer(), as: UTF8.self) else { throw .badUTF8 }
    return string
  }

  /// A reader of the submessage that stands here.
  @inlinable
  public mutating func readMessage() throws(ProtoError) -> ProtoReader {
    guard depthLeft > 0 else { throw .tooDeep }
    return unsafe ProtoReader(try readBuffer(), depthLeft: depthLeft &- 1)
  }

  /// Appends the values of a packed repeated field.
  public mutating func readPackedVarints(into values: inout [UInt64]) throws(ProtoError) {
    var packed = unsafe ProtoReader(try readBuffer(), depthLeft: 0)
    while !packed.isAtEnd { values.append(try packed.readVarint()) }
  }

  /// Passes over the value of a field that the decoder does not know.
  public mutating func skip(_ tag: ProtoTag) throws(ProtoError) {
    try skip(tag, depthLeft: depthLeft)
  }

  private mutating func skip(_ tag: ProtoTag, depthLeft: Int) throws(ProtoError) {
    switch tag.wireType {
    case 0: _ = try readVarint()
    case 1: try advance(8)
    case 2: _ = unsafe try readBuffer()
    case 3: try skipGroup(tag, depthLeft: depthLeft)
    case 4: throw .badGroup
    case 5: try advance(4)
    default: throw .badWireType
    }
  }

  private mutating func skipGroup(_ start: ProtoTag, depthLeft: Int) throws(ProtoError) {
    guard depthLeft > 0 else { throw .tooDeep }
    while let tag = try nextTag() {
      if tag.wireType == 4 {
        guard tag.field == start.field else { throw .badGroup }
        return
      }
      try skip(tag, depthLeft: depthLeft - 1)
    }
    throw .truncated
  }

  private mutating func advance(_ count: Int) throws(ProtoError) {
    guard unsafe count <= bytes.count - position else { throw .truncated }
    position += count
  }
}
