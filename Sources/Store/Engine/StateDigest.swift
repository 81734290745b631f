public import Model
public import Primitives

/// What a member's history is at an applied index, small enough to be told to all others: members whose compaction has
/// finished agree at equal indexes, or one of them has other data.
public struct StateDigest: Hashable, Sendable {
  public var index: UInt64
  public var revision: Int64
  /// The last compaction, which has finished; -1 before the first.
  public var compactRevision: Int64
  public var hash: SetHash

  public init(index: UInt64, revision: Int64, compactRevision: Int64, hash: SetHash) {
    self.index = index
    self.revision = revision
    self.compactRevision = compactRevision
    self.hash = hash
  }
}

extension StateDigest: WireMessage {
  public init() { self.init(index: 0, revision: 0, compactRevision: 0, hash: SetHash()) }

  public mutating func merge(from reader: inout ProtoReader) throws(ProtoError) {
    while let tag = try reader.nextTag() {
      switch tag {
      case .varint(1): index = try reader.readVarint()
      case .varint(2): revision = try reader.readInt64()
      case .varint(3): compactRevision = try reader.readInt64()
      case .varint(4): hash.high = try reader.readVarint()
      case .varint(5): hash.low = try reader.readVarint()
      default: try reader.skip(tag)
      }
    }
  }

  public func encode(into writer: inout ProtoWriter) {
    writer.uint64(1, index)
    writer.int64(2, revision)
    writer.int64(3, compactRevision)
    writer.uint64(4, hash.high)
    writer.uint64(5, hash.low)
  }

  public var encodedSize: Int {
    ProtoSize.uint64(1, index) + ProtoSize.int64(2, revision) + ProtoSize.int64(3, compactRevision)
      + ProtoSize.uint64(4, hash.high) + ProtoSize.uint64(5, hash.low)
  }
}
