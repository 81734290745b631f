public import Primitives

/// A type with a hand-written protocol buffer codec. The bytes are those of Go's library: fields in
/// ascending order, shortest varints; `Tests/ModelTests` holds them equal to SwiftProtobuf's.
public protocol WireMessage: Hashable, Sendable {
  /// The message without fields.
  init()
  /// Reads the fields to the reader's end into this value: scalars are replaced, submessages merged,
  /// repeated fields appended to. After an error the value is in an unknown state between.
  mutating func merge(from reader: inout ProtoReader) throws(ProtoError)
  /// Appends the encoded fields: exactly `encodedSize` bytes.
  func encode(into writer: inout ProtoWriter)
  var encodedSize: Int { get }
}

extension WireMessage {
  // Inlinable: otherwise called through the witness table from other modules.
  @inlinable
  public init(decoding bytes: UnsafeRawBufferPointer) throws(ProtoError) {
    self.init()
    var reader = unsafe ProtoReader(bytes)
    try merge(from: &reader)
  }

  @inlinable
  public init(decoding bytes: [UInt8]) throws(ProtoError) {
    self.init()
    let result: Result<Self, ProtoError> = unsafe bytes.withUnsafeBytes { buffer in
      do throws(ProtoError) {
        return .success(unsafe try Self(decoding: buffer))
      } catch {
        return .failure(error)
      }
    }
    self = try result.get()
  }

  /// The message alone in an array of its size.
  @inlinable
  public func encoded() -> [UInt8] {
    var writer = ProtoWriter(reserving: encodedSize)
    encode(into: &writer)
    return writer.bytes
  }

  /// Reads a submessage field's content into this value.
  @inlinable
  mutating func mergeField(_ reader: inout ProtoReader) throws(ProtoError) {
    var inner = try reader.readMessage()
    try merge(from: &inner)
  }
}

extension ProtoWriter {
  /// A message field, written even when the message is empty.
  @inlinable
  public mutating func messageField<M: WireMessage>(_ field: Int, _ value: M) {
    message(field, size: value.encodedSize)
    value.encode(into: &self)
  }
}

extension ProtoSize {
  @inlinable
  public static func messageField<M: WireMessage>(_ field: Int, _ value: M) -> Int {
    message(field, size: value.encodedSize)
  }
}
