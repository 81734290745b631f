internal import Primitives

/// etcd's request ids (idutil.Generator): unique in a cluster and, through the start stamp, over restarts.
///
///     | low 16 bits of the member id | low 40 bits of the start in ms | 8 bits of count, carrying upwards |
struct RequestIDs {
  private let prefix: UInt64
  private var suffix: UInt64

  init(memberID: UInt64, startMilliseconds: UInt64) {
    prefix = memberID << 48
    suffix = (startMilliseconds & (1 << 40 - 1)) << 8
  }

  mutating func next() -> UInt64 {
    suffix &+= 1
    let id = prefix | (suffix & (1 << 48 - 1))
    // Only a member id ending in 16 zero bits can come here, once in 2^48 ids.
    return id == 0 ? next() : id
  }
}

/// The header of an InternalRaftRequest, field 100.
enum CommandHeader {
  static func append(
    to operation: consuming [UInt8], id: UInt64, username: String, authRevision: UInt64
  ) -> [UInt8] {
    let size =
      ProtoSize.uint64(1, id) + ProtoSize.string(2, username) + ProtoSize.uint64(3, authRevision)
    var writer = ProtoWriter(appendingTo: operation)
    writer.reserve(size + 4)
    writer.message(100, size: size)
    writer.uint64(1, id)
    writer.string(2, username)
    writer.uint64(3, authRevision)
    return writer.bytes
  }

  /// The request id in an entry's data; 0 if there is none, as in entries that other programs wrote badly.
  static func requestID(of data: [UInt8]) -> UInt64 {
    unsafe data.withUnsafeBytes { bytes in
      var reader = unsafe ProtoReader(bytes)
      return (try? readID(&reader)) ?? 0
    }
  }

  private static func readID(_ reader: inout ProtoReader) throws(ProtoError) -> UInt64 {
    while let tag = try reader.nextTag() {
      guard case .length(100) = tag else {
        try reader.skip(tag)
        continue
      }
      var header = try reader.readMessage()
      while let tag = try header.nextTag() {
        if case .varint(1) = tag { return try header.readVarint() }
        try header.skip(tag)
      }
    }
    return 0
  }
}
