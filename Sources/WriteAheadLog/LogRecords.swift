import Model
import Primitives

// The payload of a frame, and the state in a segment header, are one protocol buffer message:
//
//     message Records {
//       repeated raftpb.Entry entry = 1;
//       raftpb.HardState hard_state = 2;           // the last one counts
//       raftpb.SnapshotMetadata snapshot = 3;      // the last one counts
//       raftpb.ConfState conf_state = 4;           // the last one counts
//     }

/// What a log remembers beside entries.
struct LogState: Equatable {
  var hardState: HardState?
  var snapshot: SnapshotMetadata?
  var confState: ConfState?

  var isEmpty: Bool { hardState == nil && snapshot == nil && confState == nil }

  /// Takes over what `later` has.
  mutating func merge(_ later: LogState) {
    hardState = later.hardState ?? hardState
    snapshot = later.snapshot ?? snapshot
    confState = later.confState ?? confState
  }

  func encode() -> [UInt8] {
    var writer = ProtoWriter()
    if let hardState { writer.record(hardState) }
    if let snapshot { writer.record(snapshot) }
    if let confState { writer.record(confState) }
    return writer.bytes
  }
}

extension ProtoWriter {
  mutating func record(_ entry: Entry) {
    message(1, size: entry.encodedSize)
    entry.encode(into: &self)
  }

  mutating func record(_ hardState: HardState) {
    message(2, size: hardState.encodedSize)
    hardState.encode(into: &self)
  }

  mutating func record(_ snapshot: SnapshotMetadata) {
    message(3, size: snapshot.encodedSize)
    snapshot.encode(into: &self)
  }

  mutating func record(_ confState: ConfState) {
    message(4, size: confState.encodedSize)
    confState.encode(into: &self)
  }
}

/// Decodes records into `state`, and entries of the given indexes to `entries`; returns the number of entries seen.
func decodeRecords(
  _ bytes: UnsafeRawBufferPointer, keeping indexes: Range<UInt64>, entries: inout [Entry],
  state: inout LogState
) throws(ProtoError) -> Int {
  var reader = ProtoReader(bytes)
  var count = 0
  while let tag = try reader.nextTag() {
    switch tag {
    case .length(1):
      let entry = try Entry(decoding: reader.readBuffer())
      count += 1
      if indexes.contains(entry.index) { entries.append(entry) }
    case .length(2): state.hardState = try HardState(decoding: reader.readBuffer())
    case .length(3): state.snapshot = try SnapshotMetadata(decoding: reader.readBuffer())
    case .length(4): state.confState = try ConfState(decoding: reader.readBuffer())
    // A record to be skipped would be one whose loss nobody noticed: new kinds come with a new format version.
    default: throw .badTag
    }
  }
  return count
}
