public import Primitives

/// The stored form: HashKV is computed over these bytes, so they are etcd's to the bit.
extension KeyValue: WireMessage {
  public init() { self.init(key: []) }

  public mutating func merge(from reader: inout ProtoReader) throws(ProtoError) {
    while let tag = try reader.nextTag() {
      switch tag {
      case .length(1): key = try reader.readBytes()
      case .varint(2): createRevision = try reader.readInt64()
      case .varint(3): modRevision = try reader.readInt64()
      case .varint(4): version = try reader.readInt64()
      case .length(5): value = try reader.readBytes()
      case .varint(6): lease = try reader.readInt64()
      default: try reader.skip(tag)
      }
    }
  }

  public func encode(into writer: inout ProtoWriter) {
    writer.bytes(1, key)
    writer.int64(2, createRevision)
    writer.int64(3, modRevision)
    writer.int64(4, version)
    writer.bytes(5, value)
    writer.int64(6, lease)
  }

  public var encodedSize: Int {
    var size = ProtoSize.bytes(1, count: key.count)
    size += ProtoSize.int64(2, createRevision)
    size += ProtoSize.int64(3, modRevision)
    size += ProtoSize.int64(4, version)
    size += ProtoSize.bytes(5, count: value.count)
    size += ProtoSize.int64(6, lease)
    return size
  }
}

/// An encoded KeyValue taken apart in place: what a range needs to filter, sort and shorten rows without
/// copying their bytes. `key` and `value` point into the decoded bytes and live no longer.
@safe
public struct KeyValueView {
  public var key = unsafe UnsafeRawBufferPointer(start: nil, count: 0)
  public var createRevision: Int64 = 0
  public var modRevision: Int64 = 0
  public var version: Int64 = 0
  public var value = unsafe UnsafeRawBufferPointer(start: nil, count: 0)
  public var lease: Int64 = 0

  public init() {}

  public init(decoding bytes: UnsafeRawBufferPointer) throws(ProtoError) {
    var reader = unsafe ProtoReader(bytes)
    while let tag = try reader.nextTag() {
      switch tag {
      case .length(1): unsafe key = try reader.readBuffer()
      case .varint(2): createRevision = try reader.readInt64()
      case .varint(3): modRevision = try reader.readInt64()
      case .varint(4): version = try reader.readInt64()
      case .length(5): unsafe value = try reader.readBuffer()
      case .varint(6): lease = try reader.readInt64()
      default: try reader.skip(tag)
      }
    }
  }

  public func encode(into writer: inout ProtoWriter) {
    unsafe writer.bytes(1, key)
    writer.int64(2, createRevision)
    writer.int64(3, modRevision)
    writer.int64(4, version)
    unsafe writer.bytes(5, value)
    writer.int64(6, lease)
  }

  public var encodedSize: Int {
    var size = unsafe ProtoSize.bytes(1, count: key.count)
    size += ProtoSize.int64(2, createRevision)
    size += ProtoSize.int64(3, modRevision)
    size += ProtoSize.int64(4, version)
    size += unsafe ProtoSize.bytes(5, count: value.count)
    size += ProtoSize.int64(6, lease)
    return size
  }
}

/// A message without `kv` reads as one with an empty one: etcd always sends it.
extension Event: WireMessage {
  public init() { self.init(kind: .put, keyValue: KeyValue()) }

  public mutating func merge(from reader: inout ProtoReader) throws(ProtoError) {
    while let tag = try reader.nextTag() {
      switch tag {
      case .varint(1):
        guard let known = Kind(rawValue: try reader.readInt32()) else { throw .badEnumValue }
        kind = known
      case .length(2): try keyValue.mergeField(&reader)
      case .length(3):
        var earlier = previous ?? KeyValue()
        try earlier.mergeField(&reader)
        previous = earlier
      default: try reader.skip(tag)
      }
    }
  }

  public func encode(into writer: inout ProtoWriter) {
    writer.int32(1, kind.rawValue)
    writer.messageField(2, keyValue)
    if let previous { writer.messageField(3, previous) }
  }

  public var encodedSize: Int {
    var size = ProtoSize.int32(1, kind.rawValue)
    size += ProtoSize.messageField(2, keyValue)
    if let previous { size += ProtoSize.messageField(3, previous) }
    return size
  }
}

extension ResponseHeader: WireMessage {
  public init() { self.init(clusterID: 0) }

  public mutating func merge(from reader: inout ProtoReader) throws(ProtoError) {
    while let tag = try reader.nextTag() {
      switch tag {
      case .varint(1): clusterID = try reader.readVarint()
      case .varint(2): memberID = try reader.readVarint()
      case .varint(3): revision = try reader.readInt64()
      case .varint(4): raftTerm = try reader.readVarint()
      default: try reader.skip(tag)
      }
    }
  }

  public func encode(into writer: inout ProtoWriter) {
    writer.uint64(1, clusterID)
    writer.uint64(2, memberID)
    writer.int64(3, revision)
    writer.uint64(4, raftTerm)
  }

  public var encodedSize: Int {
    var size = ProtoSize.uint64(1, clusterID)
    size += ProtoSize.uint64(2, memberID)
    size += ProtoSize.int64(3, revision)
    size += ProtoSize.uint64(4, raftTerm)
    return size
  }
}
