public import FoundationEssentials
public import SwiftProtobuf

/// Whether a message can be encoded: swift-protobuf reads any integer that fits an Int as an enum's value from JSON, but
/// takes the size of its encoding from the lower 32 bits, and would write beyond its buffer.
public struct EnumRange: Visitor {
  public struct Violation: Error {}

  public static func check(_ message: some SwiftProtobuf.Message) throws {
    var range = EnumRange()
    try message.traverse(visitor: &range)
  }

  private init() {}

  private func check(_ value: some SwiftProtobuf.Enum) throws {
    guard Int32(exactly: value.rawValue) != nil else { throw Violation() }
  }

  public mutating func visitSingularEnumField<E: SwiftProtobuf.Enum>(value: E, fieldNumber: Int) throws {
    try check(value)
  }
  public mutating func visitRepeatedEnumField<E: SwiftProtobuf.Enum>(value: [E], fieldNumber: Int) throws {
    for each in value { try check(each) }
  }
  public mutating func visitPackedEnumField<E: SwiftProtobuf.Enum>(value: [E], fieldNumber: Int) throws {
    for each in value { try check(each) }
  }
  public mutating func visitSingularMessageField<M: SwiftProtobuf.Message>(value: M, fieldNumber: Int) throws
  {
    try value.traverse(visitor: &self)
  }
  public mutating func visitRepeatedMessageField<M: SwiftProtobuf.Message>(
    value: [M], fieldNumber: Int
  ) throws {
    for each in value { try each.traverse(visitor: &self) }
  }

  // Everything else fits by its type.
  public mutating func visitSingularDoubleField(value: Double, fieldNumber: Int) {}
  public mutating func visitSingularInt64Field(value: Int64, fieldNumber: Int) {}
  public mutating func visitSingularUInt64Field(value: UInt64, fieldNumber: Int) {}
  public mutating func visitSingularBoolField(value: Bool, fieldNumber: Int) {}
  public mutating func visitSingularStringField(value: String, fieldNumber: Int) {}
  public mutating func visitSingularBytesField(value: Data, fieldNumber: Int) {}
  public mutating func visitUnknown(bytes: Data) {}
  public mutating func visitMapField<KeyType, ValueType: MapValueType>(
    fieldType: _ProtobufMap<KeyType, ValueType>.Type, value: _ProtobufMap<KeyType, ValueType>.BaseType,
    fieldNumber: Int
  ) {}
  public mutating func visitMapField<KeyType, ValueType>(
    fieldType: _ProtobufEnumMap<KeyType, ValueType>.Type,
    value: _ProtobufEnumMap<KeyType, ValueType>.BaseType, fieldNumber: Int
  ) throws where ValueType.RawValue == Int {
    for each in value.values { try check(each) }
  }
  public mutating func visitMapField<KeyType, ValueType>(
    fieldType: _ProtobufMessageMap<KeyType, ValueType>.Type,
    value: _ProtobufMessageMap<KeyType, ValueType>.BaseType, fieldNumber: Int
  ) throws {
    for each in value.values { try each.traverse(visitor: &self) }
  }
}
