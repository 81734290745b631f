public import Primitives

extension RangeRequest: WireMessage {
  public mutating func merge(from reader: inout ProtoReader) throws(ProtoError) {
    while let tag = try reader.nextTag() {
      switch tag {
      case .length(1): key = try reader.readBytes()
      case .length(2): rangeEnd = try reader.readBytes()
      case .varint(3): limit = try reader.readInt64()
      case .varint(4): revision = try reader.readInt64()
      case .varint(5): sortOrder = try reader.readInt32()
      case .varint(6): sortTarget = try reader.readInt32()
      case .varint(7): serializable = try reader.readBool()
      case .varint(8): keysOnly = try reader.readBool()
      case .varint(9): countOnly = try reader.readBool()
      case .varint(10): minModRevision = try reader.readInt64()
      case .varint(11): maxModRevision = try reader.readInt64()
      case .varint(12): minCreateRevision = try reader.readInt64()
      case .varint(13): maxCreateRevision = try reader.readInt64()
      default: try reader.skip(tag)
      }
    }
  }

  public func encode(into writer: inout ProtoWriter) {
    writer.bytes(1, key)
    writer.bytes(2, rangeEnd)
    writer.int64(3, limit)
    writer.int64(4, revision)
    writer.int32(5, sortOrder)
    writer.int32(6, sortTarget)
    writer.bool(7, serializable)
    writer.bool(8, keysOnly)
    writer.bool(9, countOnly)
    writer.int64(10, minModRevision)
    writer.int64(11, maxModRevision)
    writer.int64(12, minCreateRevision)
    writer.int64(13, maxCreateRevision)
  }

  public var encodedSize: Int {
    var size = ProtoSize.bytes(1, count: key.count)
    size += ProtoSize.bytes(2, count: rangeEnd.count)
    size += ProtoSize.int64(3, limit)
    size += ProtoSize.int64(4, revision)
    size += ProtoSize.int32(5, sortOrder)
    size += ProtoSize.int32(6, sortTarget)
    size += ProtoSize.bool(7, serializable)
    size += ProtoSize.bool(8, keysOnly)
    size += ProtoSize.bool(9, countOnly)
    size += ProtoSize.int64(10, minModRevision)
    size += ProtoSize.int64(11, maxModRevision)
    size += ProtoSize.int64(12, minCreateRevision)
    size += ProtoSize.int64(13, maxCreateRevision)
    return size
  }
}

extension PutRequest: WireMessage {
  public mutating func merge(from reader: inout ProtoReader) throws(ProtoError) {
    while let tag = try reader.nextTag() {
      switch tag {
      case .length(1): key = try reader.readBytes()
      case .length(2): value = try reader.readBytes()
      case .varint(3): lease = try reader.readInt64()
      case .varint(4): previousKeyValue = try reader.readBool()
      case .varint(5): ignoreValue = try reader.readBool()
      case .varint(6): ignoreLease = try reader.readBool()
      default: try reader.skip(tag)
      }
    }
  }

  public func encode(into writer: inout ProtoWriter) {
    writer.bytes(1, key)
    writer.bytes(2, value)
    writer.int64(3, lease)
    writer.bool(4, previousKeyValue)
    writer.bool(5, ignoreValue)
    writer.bool(6, ignoreLease)
  }

  public var encodedSize: Int {
    var size = ProtoSize.bytes(1, count: key.count)
    size += ProtoSize.bytes(2, count: value.count)
    size += ProtoSize.int64(3, lease)
    size += ProtoSize.bool(4, previousKeyValue)
    size += ProtoSize.bool(5, ignoreValue)
    size += ProtoSize.bool(6, ignoreLease)
    return size
  }
}

extension DeleteRangeRequest: WireMessage {
  public mutating func merge(from reader: inout ProtoReader) throws(ProtoError) {
    while let tag = try reader.nextTag() {
      switch tag {
      case .length(1): key = try reader.readBytes()
      case .length(2): rangeEnd = try reader.readBytes()
      case .varint(3): previousKeyValue = try reader.readBool()
      default: try reader.skip(tag)
      }
    }
  }

  public func encode(into writer: inout ProtoWriter) {
    writer.bytes(1, key)
    writer.bytes(2, rangeEnd)
    writer.bool(3, previousKeyValue)
  }

  public var encodedSize: Int {
    var size = ProtoSize.bytes(1, count: key.count)
    size += ProtoSize.bytes(2, count: rangeEnd.count)
    size += ProtoSize.bool(3, previousKeyValue)
    return size
  }
}

extension CompactionRequest: WireMessage {
  public mutating func merge(from reader: inout ProtoReader) throws(ProtoError) {
    while let tag = try reader.nextTag() {
      switch tag {
      case .varint(1): revision = try reader.readInt64()
      case .varint(2): physical = try reader.readBool()
      default: try reader.skip(tag)
      }
    }
  }

  public func encode(into writer: inout ProtoWriter) {
    writer.int64(1, revision)
    writer.bool(2, physical)
  }

  public var encodedSize: Int {
    ProtoSize.int64(1, revision) + ProtoSize.bool(2, physical)
  }
}
