public import Primitives

// proto2; see RaftTypes+Codec.swift for what is written when it is zero.

extension ConfChange: WireMessage {
  public init() { self.init(id: 0) }

  public mutating func merge(from reader: inout ProtoReader) throws(ProtoError) {
    while let tag = try reader.nextTag() {
      switch tag {
      case .varint(1): id = try reader.readVarint()
      case .varint(2):
        guard let known = Kind(rawValue: try reader.readInt32()) else { throw .badEnumValue }
        kind = known
      case .varint(3): nodeID = try reader.readVarint()
      case .length(4): context = try reader.readBytes()
      default: try reader.skip(tag)
      }
    }
  }

  public func encode(into writer: inout ProtoWriter) {
    writer.varintField(1, id)
    writer.varintField(2, UInt64(kind.rawValue))
    writer.varintField(3, nodeID)
    writer.bytes(4, context)
  }

  public var encodedSize: Int {
    var size = ProtoSize.varintField(1, id)
    size += ProtoSize.varintField(2, UInt64(kind.rawValue))
    size += ProtoSize.varintField(3, nodeID)
    size += ProtoSize.bytes(4, count: context.count)
    return size
  }
}

extension ConfChangeSingle: WireMessage {
  public init() { self.init(kind: .addNode) }

  public mutating func merge(from reader: inout ProtoReader) throws(ProtoError) {
    while let tag = try reader.nextTag() {
      switch tag {
      case .varint(1):
        guard let known = ConfChange.Kind(rawValue: try reader.readInt32()) else { throw .badEnumValue }
        kind = known
      case .varint(2): nodeID = try reader.readVarint()
      default: try reader.skip(tag)
      }
    }
  }

  public func encode(into writer: inout ProtoWriter) {
    writer.varintField(1, UInt64(kind.rawValue))
    writer.varintField(2, nodeID)
  }

  public var encodedSize: Int {
    ProtoSize.varintField(1, UInt64(kind.rawValue)) + ProtoSize.varintField(2, nodeID)
  }
}

extension ConfChangeV2: WireMessage {
  public init() { self.init(transition: .auto) }

  public mutating func merge(from reader: inout ProtoReader) throws(ProtoError) {
    while let tag = try reader.nextTag() {
      switch tag {
      case .varint(1):
        guard let known = Transition(rawValue: try reader.readInt32()) else { throw .badEnumValue }
        transition = known
      case .length(2):
        var change = ConfChangeSingle()
        try change.mergeField(&reader)
        changes.append(change)
      case .length(3): context = try reader.readBytes()
      default: try reader.skip(tag)
      }
    }
  }

  public func encode(into writer: inout ProtoWriter) {
    writer.varintField(1, UInt64(transition.rawValue))
    for change in changes { writer.messageField(2, change) }
    writer.bytes(3, context)
  }

  public var encodedSize: Int {
    var size = ProtoSize.varintField(1, UInt64(transition.rawValue))
    for change in changes { size += ProtoSize.messageField(2, change) }
    size += ProtoSize.bytes(3, count: context.count)
    return size
  }
}
