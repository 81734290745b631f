public import Primitives

/// A granted lease as etcd stores it: leasepb.Lease.
public struct LeaseRecord: Hashable, Sendable {
  /// The longest time to live that can be granted, in seconds (etcd's MaxLeaseTTL).
  public static let ttlSecondsMax: Int64 = 9_000_000_000

  /// Not 0.
  public var id: Int64
  /// As granted, in seconds.
  public var ttlSeconds: Int64
  /// From a checkpoint, in seconds; 0: none. Written by etcd only, and not used here.
  public var remainingTTLSeconds: Int64

  public init(id: Int64, ttlSeconds: Int64, remainingTTLSeconds: Int64 = 0) {
    self.id = id
    self.ttlSeconds = ttlSeconds
    self.remainingTTLSeconds = remainingTTLSeconds
  }
}

/// What an applied command did to the set of leases.
public enum LeaseChange: Hashable, Sendable {
  case granted(id: Int64, ttlSeconds: Int64)
  /// Gone, with the keys it held.
  case revoked(id: Int64, keys: Int)
}

extension LeaseRecord: WireMessage {
  public init() { self.init(id: 0, ttlSeconds: 0) }

  public mutating func merge(from reader: inout ProtoReader) throws(ProtoError) {
    while let tag = try reader.nextTag() {
      switch tag {
      case .varint(1): id = try reader.readInt64()
      case .varint(2): ttlSeconds = try reader.readInt64()
      case .varint(3): remainingTTLSeconds = try reader.readInt64()
      default: try reader.skip(tag)
      }
    }
  }

  public func encode(into writer: inout ProtoWriter) {
    writer.int64(1, id)
    writer.int64(2, ttlSeconds)
    writer.int64(3, remainingTTLSeconds)
  }

  public var encodedSize: Int {
    ProtoSize.int64(1, id) + ProtoSize.int64(2, ttlSeconds) + ProtoSize.int64(3, remainingTTLSeconds)
  }
}
