public import Primitives

// raftpb is proto2 with Go's generated code for plain (not pointer) fields: scalars are written even when
// they are zero, bytes when there are any, repeated numbers one by one.

extension Entry: WireMessage {
  public init() { self.init(term: 0, index: 0) }

  public mutating func merge(from reader: inout ProtoReader) throws(ProtoError) {
    while let tag = try reader.nextTag() {
      switch tag {
      case .varint(1):
        guard let known = Kind(rawValue: try reader.readInt32()) else { throw .badEnumValue }
        kind = known
      case .varint(2): term = try reader.readVarint()
      case .varint(3): index = try reader.readVarint()
      case .length(4): data = try reader.readBytes()
      default: try reader.skip(tag)
      }
    }
  }

  public func encode(into writer: inout ProtoWriter) {
    writer.varintField(1, UInt64(kind.rawValue))
    writer.varintField(2, term)
    writer.varintField(3, index)
    writer.bytes(4, data)
  }

  public var encodedSize: Int {
    var size = ProtoSize.varintField(1, UInt64(kind.rawValue))
    size += ProtoSize.varintField(2, term)
    size += ProtoSize.varintField(3, index)
    size += ProtoSize.bytes(4, count: data.count)
    return size
  }
}

extension HardState: WireMessage {
  public init() { self.init(term: 0) }

  public mutating func merge(from reader: inout ProtoReader) throws(ProtoError) {
    while let tag = try reader.nextTag() {
      switch tag {
      case .varint(1): term = try reader.readVarint()
      case .varint(2): vote = try reader.readVarint()
      case .varint(3): commit = try reader.readVarint()
      default: try reader.skip(tag)
      }
    }
  }

  public func encode(into writer: inout ProtoWriter) {
    writer.varintField(1, term)
    writer.varintField(2, vote)
    writer.varintField(3, commit)
  }

  public var encodedSize: Int {
    ProtoSize.varintField(1, term) + ProtoSize.varintField(2, vote) + ProtoSize.varintField(3, commit)
  }
}

extension ConfState: WireMessage {
  public mutating func merge(from reader: inout ProtoReader) throws(ProtoError) {
    while let tag = try reader.nextTag() {
      switch tag {
      case .varint(1): voters.append(try reader.readVarint())
      case .length(1): try reader.readPackedVarints(into: &voters)
      case .varint(2): learners.append(try reader.readVarint())
      case .length(2): try reader.readPackedVarints(into: &learners)
      case .varint(3): votersOutgoing.append(try reader.readVarint())
      case .length(3): try reader.readPackedVarints(into: &votersOutgoing)
      case .varint(4): learnersNext.append(try reader.readVarint())
      case .length(4): try reader.readPackedVarints(into: &learnersNext)
      case .varint(5): autoLeave = try reader.readBool()
      default: try reader.skip(tag)
      }
    }
  }

  public func encode(into writer: inout ProtoWriter) {
    for id in voters { writer.varintField(1, id) }
    for id in learners { writer.varintField(2, id) }
    for id in votersOutgoing { writer.varintField(3, id) }
    for id in learnersNext { writer.varintField(4, id) }
    writer.varintField(5, autoLeave ? 1 : 0)
  }

  public var encodedSize: Int {
    var size = ProtoSize.varintField(5, 1)
    for id in voters { size += ProtoSize.varintField(1, id) }
    for id in learners { size += ProtoSize.varintField(2, id) }
    for id in votersOutgoing { size += ProtoSize.varintField(3, id) }
    for id in learnersNext { size += ProtoSize.varintField(4, id) }
    return size
  }
}

extension SnapshotMetadata: WireMessage {
  public init() { self.init(confState: ConfState()) }

  public mutating func merge(from reader: inout ProtoReader) throws(ProtoError) {
    while let tag = try reader.nextTag() {
      switch tag {
      case .length(1): try confState.mergeField(&reader)
      case .varint(2): index = try reader.readVarint()
      case .varint(3): term = try reader.readVarint()
      default: try reader.skip(tag)
      }
    }
  }

  public func encode(into writer: inout ProtoWriter) {
    writer.messageField(1, confState)
    writer.varintField(2, index)
    writer.varintField(3, term)
  }

  public var encodedSize: Int {
    var size = ProtoSize.messageField(1, confState)
    size += ProtoSize.varintField(2, index)
    size += ProtoSize.varintField(3, term)
    return size
  }
}
