/// Appends protocol buffer fields to a byte array. Callers write fields in ascending order of their numbers,
/// which makes the bytes those of Go's and Swift's libraries.
///
/// A nested message of known size is written with `message(_:size:)` and then its fields; one of unknown
/// size between `beginMessage` and `endMessage`.
public struct ProtoWriter: Sendable {
  public private(set) var bytes: [UInt8] = []

  public init() {}
  public init(reserving capacity: Int) { bytes.reserveCapacity(capacity) }
  /// Goes on after `bytes`, which keep their place.
  public init(appendingTo bytes: consuming [UInt8]) { self.bytes = bytes }

  public var count: Int { bytes.count }

  /// Makes room for `count` more bytes. Growth stays geometric, so it may be called per message.
  public mutating func reserve(_ count: Int) {
    let needed = bytes.count + count
    if needed > bytes.capacity { bytes.reserveCapacity(max(needed, 2 * bytes.capacity)) }
  }

  public mutating func removeAll(keepingCapacity: Bool = true) {
    bytes.removeAll(keepingCapacity: keepingCapacity)
  }

  // MARK: Pieces

  public mutating func varint(_ value: UInt64) {
    unsafe appendInPlace(ProtoSize.varint(value)) { pointer in
      _ = unsafe Self.store(value, at: pointer)
    }
  }

  public mutating func tag(_ tag: ProtoTag) {
    varint(UInt64(tag.raw))
  }

  /// Bytes as they are: encoded fields, or the content after a tag and length.
  public mutating func raw(_ content: UnsafeRawBufferPointer) {
    unsafe bytes.append(contentsOf: content)
  }

  /// Bytes as they are.
  public mutating func raw(_ content: [UInt8]) {
    bytes.append(contentsOf: content)
  }

  // MARK: Fields that are always written

  public mutating func varintField(_ field: Int, _ value: UInt64) {
    let tag = UInt64(ProtoTag.varint(field).raw)
    unsafe appendInPlace(ProtoSize.varint(tag) &+ ProtoSize.varint(value)) { pointer in
      let end = unsafe Self.store(tag, at: pointer)
      _ = unsafe Self.store(value, at: end)
    }
  }

  public mutating func bytesField(_ field: Int, _ value: [UInt8]) {
    unsafe value.withUnsafeBytes { buffer in unsafe bytesField(field, buffer) }
  }

  public mutating func bytesField(_ field: Int, _ value: UnsafeRawBufferPointer) {
    let tag = UInt64(ProtoTag.length(field).raw)
    let count = value.count
    let head = ProtoSize.varint(tag) &+ ProtoSize.varint(UInt64(count))
    unsafe appendInPlace(head + count) { pointer in
      var end = unsafe Self.store(tag, at: pointer)
      unsafe end = Self.store(UInt64(count), at: end)
      if let start = value.baseAddress { unsafe end.copyMemory(from: start, byteCount: count) }
    }
  }

  public mutating func stringField(_ field: Int, _ value: String) {
    message(field, size: value.utf8.count)
    bytes.append(contentsOf: value.utf8)
  }

  // MARK: Fields that are left out when zero or empty, as proto3 says

  public mutating func uint64(_ field: Int, _ value: UInt64) {
    if value != 0 { varintField(field, value) }
  }

  public mutating func int64(_ field: Int, _ value: Int64) {
    if value != 0 { varintField(field, UInt64(bitPattern: value)) }
  }

  /// int32 and enum fields; negative values take ten bytes.
  public mutating func int32(_ field: Int, _ value: Int32) {
    if value != 0 { varintField(field, UInt64(bitPattern: Int64(value))) }
  }

  public mutating func bool(_ field: Int, _ value: Bool) {
    if value { varintField(field, 1) }
  }

  public mutating func bytes(_ field: Int, _ value: [UInt8]) {
    if !value.isEmpty { bytesField(field, value) }
  }

  public mutating func bytes(_ field: Int, _ value: UnsafeRawBufferPointer) {
    if unsafe !value.isEmpty { unsafe bytesField(field, value) }
  }

  public mutating func string(_ field: Int, _ value: String) {
    if !value.isEmpty { stringField(field, value) }
  }

  // MARK: Messages

  /// The tag and length of a message (or bytes) field; its `size` bytes of content must follow.
  public mutating func message(_ field: Int, size: Int) {
    let tag = UInt64(ProtoTag.length(field).raw)
    unsafe appendInPlace(ProtoSize.varint(tag) &+ ProtoSize.varint(UInt64(size))) { pointer in
      let end = unsafe Self.store(tag, at: pointer)
      _ = unsafe Self.store(UInt64(size), at: end)
    }
  }

  /// An open message: where its content begins.
  public struct OpenMessage: Sendable {
    fileprivate let contentStart: Int
  }

  /// Begins a message field of unknown size.
  public mutating func beginMessage(_ field: Int) -> OpenMessage {
    tag(.length(field))
    bytes.append(0)
    return OpenMessage(contentStart: bytes.count)
  }

  /// Ends the message begun last: fills in its length. One byte is kept for it; a content of 128 bytes or
  /// more is moved up to make room, because the encoding must be the canonical (shortest) one.
  public mutating func endMessage(_ open: OpenMessage) {
    let start = open.contentStart
    let size = bytes.count - start
    precondition(size >= 0, "the message was begun in these bytes")
    let extra = ProtoSize.varint(UInt64(size)) - 1
    if extra > 0 {
      for _ in 0..<extra { bytes.append(0) }
      unsafe bytes.withUnsafeMutableBytes { buffer in
        unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[(start + extra)...])
          .copyMemory(from: UnsafeRawBufferPointer(rebasing: buffer[start..<(start + size)]))
      }
    }
    var rest = UInt64(size)
    var index = start - 1
    while rest >= 0x80 {
      bytes[index] = UInt8(truncatingIfNeeded: rest) | 0x80
      rest >>= 7
      index += 1
    }
    bytes[index] = UInt8(truncatingIfNeeded: rest)
  }

  // MARK: Raw writing

  /// Appends `size` bytes that `body` stores, all of them: one check of uniqueness and capacity for a whole
  /// field, where appending piece by piece costs one for each (a Put: 41 ns, so 18).
  @inline(__always)
  private mutating func appendInPlace(_ size: Int, _ body: (UnsafeMutableRawPointer) -> Void) {
    bytes.append(addingCapacity: size) { output in
      unsafe output.withUnsafeMutableBufferPointer { buffer, count in
        guard let start = buffer.baseAddress else { return }
        unsafe body(UnsafeMutableRawPointer(start))
        count = size
      }
    }
  }

  /// Stores a varint, exactly `ProtoSize.varint` bytes, and returns the place behind it.
  @inline(__always)
  private static func store(_ value: UInt64, at start: UnsafeMutableRawPointer) -> UnsafeMutableRawPointer {
    var pointer = unsafe start
    var rest = value
    while rest >= 0x80 {
      unsafe pointer.storeBytes(of: UInt8(truncatingIfNeeded: rest) | 0x80, as: UInt8.self)
      unsafe pointer += 1
      rest >>= 7
    }
    unsafe pointer.storeBytes(of: UInt8(truncatingIfNeeded: rest), as: UInt8.self)
    return unsafe pointer + 1
  }
}

/// Sizes of encoded fields, for the size pass before writing. The names and rules are `ProtoWriter`'s.
public enum ProtoSize {
  public static func varint(_ value: UInt64) -> Int {
    // Seven bits a byte; 9/64 is 1/7 closely enough for 1 to 64 bits.
    ((64 &- (value | 1).leadingZeroBitCount) &* 9 &+ 64) &>> 6
  }

  public static func tag(_ field: Int) -> Int { varint(UInt64(field) << 3) }

  public static func varintField(_ field: Int, _ value: UInt64) -> Int { tag(field) &+ varint(value) }

  /// A message, bytes or string field with `count` bytes of content, written even when empty.
  public static func message(_ field: Int, size: Int) -> Int { tag(field) &+ varint(UInt64(size)) &+ size }

  public static func uint64(_ field: Int, _ value: UInt64) -> Int {
    value == 0 ? 0 : varintField(field, value)
  }

  public static func int64(_ field: Int, _ value: Int64) -> Int {
    value == 0 ? 0 : varintField(field, UInt64(bitPattern: value))
  }

  public static func int32(_ field: Int, _ value: Int32) -> Int {
    value == 0 ? 0 : varintField(field, UInt64(bitPattern: Int64(value)))
  }

  public static func bool(_ field: Int, _ value: Bool) -> Int { value ? tag(field) &+ 1 : 0 }

  public static func bytes(_ field: Int, count: Int) -> Int { count == 0 ? 0 : message(field, size: count) }

  public static func string(_ field: Int, _ value: String) -> Int { bytes(field, count: value.utf8.count) }
}
