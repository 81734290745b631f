import Model
import Primitives

// The format of a snapshot file, version 1. One format for what a leader sends, `snapshot save` and backups.
//
// Integers are little-endian.
//
//     +--------+---------+-----+---------+-----------+---------+---------+
//     | header | chunk   | ... | chunk   | end chunk | padding | trailer |
//     +--------+---------+-----+---------+-----------+---------+---------+
//
// Header:
//
//      0  u64  magic "CAIRNSNP"
//      8  u32  format version, 1
//     12  u32  bytes of the description
//     16       description, a protocol buffer message:
//                1 cluster id, 2 member id, 3 revision,
//                4 raftpb.SnapshotMetadata (applied index, term, configuration),
//                5 repeated table {1 id, 2 name}
//      .  u32  CRC32C of all before
//
// Chunk:
//
//      0  u32  stored bytes (0: the end chunk, which has plain bytes 0 and no payload)
//      4  u32  plain bytes, at most 64 MiB; equal to the stored bytes when the payload is raw
//      8  u32  CRC32C of the eight bytes before, then of the payload
//     12       payload: zstd, or raw
//
// A chunk's plain bytes are whole rows, in the order of their tables and keys:
//
//      u8 table id, varint key length, key, varint value length, value
//
// Padding: zeros, so that the file's size is a multiple of 512. That is how etcd's tools tell a snapshot from one
// with the 32 bytes of SHA-256 behind it that `etcdctl snapshot save` writes.
//
// Trailer, 64 bytes:
//
//      0  u64  magic "CAIRNEND"
//      8  u64  rows
//     16  u64  plain bytes of all chunks
//     24  u64  bytes of the file
//     32       SHA-256 of the file up to here
//
// A file may be followed by the SHA-256 of all its bytes, as `etcdctl snapshot save` leaves it.

/// The numbers of the format. Part of the format: never to be changed.
enum SnapshotFormat {
  static let version: UInt32 = 1
  static let magic: UInt64 = 0x504e_534e_5249_4143  // "CAIRNSNP"
  static let trailerMagic: UInt64 = 0x444e_454e_5249_4143  // "CAIRNEND"
  static let headerFixedBytes = 16
  static let descriptionBytesMax = 16 << 20
  static let chunkHeaderBytes = 12
  static let chunkPlainBytesMax = 64 << 20
  static let trailerBytes = 64
  static let digestBytes = 32
  static let unit = 512
}

extension SnapshotHeader {
  func encode() -> [UInt8] {
    var description = ProtoWriter()
    description.uint64(1, clusterID)
    description.uint64(2, memberID)
    description.int64(3, revision)
    description.message(4, size: metadata.encodedSize)
    metadata.encode(into: &description)
    for table in tables {
      let open = description.beginMessage(5)
      description.uint64(1, UInt64(table.id))
      description.string(2, table.name)
      description.endMessage(open)
    }
    var bytes: [UInt8] = []
    bytes.appendLittle(SnapshotFormat.magic)
    bytes.appendLittle(SnapshotFormat.version)
    bytes.appendLittle(UInt32(description.count))
    bytes += description.bytes
    bytes.appendLittle(CRC32C.checksum(bytes))
    return bytes
  }

  init(decoding description: [UInt8]) throws(ProtoError) {
    self.init(clusterID: 0, memberID: 0, revision: 0, metadata: SnapshotMetadata(), tables: [])
    try description.withUnsafeBufferPointer { (bytes) throws(ProtoError) in
      var reader = ProtoReader(UnsafeRawBufferPointer(bytes))
      while let tag = try reader.nextTag() {
        switch tag {
        case .varint(1): clusterID = try reader.readVarint()
        case .varint(2): memberID = try reader.readVarint()
        case .varint(3): revision = try reader.readInt64()
        case .length(4): metadata = try SnapshotMetadata(decoding: reader.readBuffer())
        case .length(5):
          var table = Table(id: 0, name: "")
          var fields = try reader.readMessage()
          while let tag = try fields.nextTag() {
            switch tag {
            case .varint(1):
              guard let id = UInt8(exactly: try fields.readVarint()) else { throw .badEnumValue }
              table.id = id
            case .length(2): table.name = try fields.readString()
            default: try fields.skip(tag)
            }
          }
          tables.append(table)
        default: try reader.skip(tag)
        }
      }
    }
  }
}

extension [UInt8] {
  mutating func appendLittle<T: FixedWidthInteger>(_ value: T) {
    Swift.withUnsafeBytes(of: value.littleEndian) { append(contentsOf: $0) }
  }

  func little<T: FixedWidthInteger>(_ offset: Int, as type: T.Type) -> T {
    withUnsafeBytes { T(littleEndian: $0.loadUnaligned(fromByteOffset: offset, as: type)) }
  }
}
