// The format of the write-ahead log, version 1.
//
// A log is a directory of segment files, named by sequence number and first index, both as 16 hexadecimal
// digits: `0000000000000001-0000000000000001.wal`. Sequence numbers follow each other without gap and are never
// used twice. Beside them lie `*.spare` (written with zeros, to become segments), `*.used` (old segments, to be
// written over), `*.tmp` (being made; removed at the next start) and `lock`.
//
// Integers are little-endian. A segment is a header and frames, one after another without gap:
//
//     0          headerBytes                                             segmentBytes
//     +----------+---------+---------+-----+---------+---------------------+
//     | header   | frame   | frame   | ... | frame   | zeros or stale bytes|
//     +----------+---------+---------+-----+---------+---------------------+
//
// Segment header (headerBytes is a multiple of 4096; what is behind the dictionary is zero):
//
//      0  u64  magic "CAIRNWAL"
//      8  u32  format version, 1
//     12  u32  checksum: CRC32C of bytes 0..<12 and 16..<headerBytes
//     16  u64  cluster id
//     24  u64  member id
//     32  u64  sequence number of the segment
//     40  u64  first index: the next index when the segment was begun
//     48  u64  number of the first frame
//     56  u32  salt: the initial value of every frame checksum in this segment
//     60  u32  chain: the header checksum of the last frame before this segment (0 in the first one)
//     64  u64  end of that frame in its segment (0 in the first one)
//     72  u64  segmentBytes
//     80  u32  headerBytes
//     84  u32  bytes of state
//     88  u32  bytes of dictionary (0: frames of version 1 use none)
//     92  u32  flags; bit 0: the file was used before and may hold stale bytes
//     96       state: records (see LogRecords.swift) of hard state, configuration and snapshot marker at that time,
//              so that no earlier segment is needed for them; then the dictionary
//
// Frame (begins at a multiple of 8), one for each group commit, or a few for a large one:
//
//      0  u32  magic "CWF1"
//      4  u32  checksum: CRC32C of bytes 8..<56, from the salt on
//      8  u32  previous: the checksum of the frame before, or the header's checksum for the first of a segment
//     12  u8   content flags: 1 entries, 2 hard state, 4 snapshot marker, 8 configuration, 16 log reset by a received
//              snapshot (entries before are void), 32 clean close, 64 segment sealed (another one follows)
//     13  u8   codec: 0 raw, 1 zstd
//     14  u16  zero
//     16  u32  stored bytes of the payload
//     20  u32  plain bytes of the payload
//     24  u32  payload checksum: CRC32C of the stored bytes and the padding, from the salt on
//     28  u32  number of entries
//     32  u64  number of the frame, counted through the life of the log
//     40  u64  index of the first entry; in frames without entries the next index
//     48  u64  durable mark: bytes of this segment that were synced before this frame was written
//     56       payload, padded with zeros to a multiple of 8
//
// The checksum of a frame's header covers that of its payload, and `previous` chains the frames, so a frame vouches for
// all before it. Salts of different segments differ (see `Salt`): stale frames of a reused file never verify.
//
// A log closed in order ends with two frames of clean close; the first one has a payload of zeros, so that the second one
// begins at a multiple of 4096.
//
// A bad spot in any segment but the last is corruption. In the last one it is a torn tail, and is cut, unless some
// frame behind it has a durable mark above it: then it was synced, and is corruption too.

/// The numbers of the format. Part of the format: never to be changed.
enum LogFormat {
  static let version: UInt32 = 1
  static let segmentMagic: UInt64 = 0x4c41_574e_5249_4143  // "CAIRNWAL"
  static let frameMagic: UInt32 = 0x3146_5743  // "CWF1"
  static let segmentHeaderUnit = 4096
  static let segmentHeaderFixedBytes = 96
  static let segmentHeaderBytesMax = 64 << 20
  static let frameHeaderBytes = 56
  static let alignment = 8
  /// No frame declares more plain or stored bytes, whoever wrote it.
  static let payloadBytesMax = 512 << 20

  /// No segment's file is larger: one frame is at most twice `payloadBytesMax`.
  static let segmentFileBytesMax = 2 << 30

  static func aligned(_ bytes: Int) -> Int { (bytes + alignment - 1) & ~(alignment - 1) }
}

/// Salts are the segment's sequence number scrambled by a bijection, so that those of 2^32 neighbours differ, and
/// masked with a number chosen at creation, so that a client cannot compose values that look like frames.
struct Salt: Equatable {
  var mask: UInt32

  init(mask: UInt32) { self.mask = mask }

  /// The mask of the log to which a segment with this salt belongs.
  init(of salt: UInt32, sequence: UInt64) { mask = salt ^ Salt.scramble(sequence) }

  func value(_ sequence: UInt64) -> UInt32 { mask ^ Salt.scramble(sequence) }

  private static func scramble(_ sequence: UInt64) -> UInt32 {
    var x = UInt32(truncatingIfNeeded: sequence)
    x = (x ^ (x >> 16)) &* 0x7feb_352d
    x = (x ^ (x >> 15)) &* 0x846c_a68b
    return x ^ (x >> 16)
  }
}

extension UnsafeRawBufferPointer {
  func little<T: FixedWidthInteger>(_ offset: Int, as type: T.Type) -> T {
    T(littleEndian: loadUnaligned(fromByteOffset: offset, as: type))
  }
}

extension UnsafeMutableRawBufferPointer {
  func setLittle<T: FixedWidthInteger>(_ offset: Int, _ value: T) {
    storeBytes(of: value.littleEndian, toByteOffset: offset, as: T.self)
  }
}
