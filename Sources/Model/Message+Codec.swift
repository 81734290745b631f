public import Primitives

/// `snapshot` is raftpb.Snapshot with its metadata alone: a snapshot's data travels in a stream of its own,
/// and data in the message is not kept. `responses` never leave a member and are skipped.
extension Message: WireMessage {
  public init() { self.init(kind: .hup) }

  public mutating func merge(from reader: inout ProtoReader) throws(ProtoError) {
    while let tag = try reader.nextTag() {
      switch tag {
      case .varint(1):
        guard let known = Kind(rawValue: try reader.readInt32()) else { throw .badEnumValue }
        kind = known
      case .varint(2): to = try reader.readVarint()
      case .varint(3): from = try reader.readVarint()
      case .varint(4): term = try reader.readVarint()
      case .varint(5): logTerm = try reader.readVarint()
      case .varint(6): index = try reader.readVarint()
      case .length(7):
        var entry = Entry()
        try entry.mergeField(&reader)
        entries.append(entry)
      case .varint(8): commit = try reader.readVarint()
      case .length(9):
        var metadata = snapshot ?? SnapshotMetadata()
        var inner = try reader.readMessage()
        try metadata.mergeSnapshot(from: &inner)
        snapshot = metadata
      case .varint(10): reject = try reader.readBool()
      case .varint(11): rejectHint = try reader.readVarint()
      case .length(12): context = try reader.readBytes()
      case .varint(13): vote = try reader.readVarint()
      default: try reader.skip(tag)
      }
    }
  }

  public func encode(into writer: inout ProtoWriter) {
    writer.varintField(1, UInt64(kind.rawValue))
    writer.varintField(2, to)
    writer.varintField(3, from)
    writer.varintField(4, term)
    writer.varintField(5, logTerm)
    writer.varintField(6, index)
    for entry in entries { writer.messageField(7, entry) }
    writer.varintField(8, commit)
    if let snapshot {
      writer.message(9, size: ProtoSize.messageField(2, snapshot))
      writer.messageField(2, snapshot)
    }
    writer.varintField(10, reject ? 1 : 0)
    writer.varintField(11, rejectHint)
    writer.bytes(12, context)
    writer.varintField(13, vote)
  }

  public var encodedSize: Int {
    var size = ProtoSize.varintField(1, UInt64(kind.rawValue))
    size += ProtoSize.varintField(2, to)
    size += ProtoSize.varintField(3, from)
    size += ProtoSize.varintField(4, term)
    size += ProtoSize.varintField(5, logTerm)
    size += ProtoSize.varintField(6, index)
    for entry in entries { size += ProtoSize.messageField(7, entry) }
    size += ProtoSize.varintField(8, commit)
    if let snapshot { size += ProtoSize.message(9, size: ProtoSize.messageField(2, snapshot)) }
    size += ProtoSize.varintField(10, reject ? 1 : 0)
    size += ProtoSize.varintField(11, rejectHint)
    size += ProtoSize.bytes(12, count: context.count)
    size += ProtoSize.varintField(13, vote)
    return size
  }
}

extension SnapshotMetadata {
  /// Reads a raftpb.Snapshot, of which the metadata is kept.
  fileprivate mutating func mergeSnapshot(from reader: inout ProtoReader) throws(ProtoError) {
    while let tag = try reader.nextTag() {
      switch tag {
      case .length(2): try mergeField(&reader)
      default: try reader.skip(tag)
      }
    }
  }
}
