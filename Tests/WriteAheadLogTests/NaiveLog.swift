import Disk
import Model
import Primitives
import Testing
import WriteAheadLog

/// A log as one would write it without disks: what the real one must come back with.
struct NaiveLog: Equatable {
  var hardState = HardState()
  var confState: ConfState?
  var snapshot: SnapshotMetadata?
  var entries: [Entry] = []
  /// The index of the first entry, or of the one to come.
  var start: UInt64 = 1

  var next: UInt64 { start + UInt64(entries.count) }

  mutating func append(_ new: [Entry]) {
    guard let first = new.first else { return }
    if first.index < start {
      start = first.index
      entries = []
    }
    entries.removeLast(Int(next - first.index))
    entries += new
  }

  mutating func mark(_ metadata: SnapshotMetadata) {
    snapshot = metadata
    confState = metadata.confState
  }

  mutating func reset(to metadata: SnapshotMetadata) {
    mark(metadata)
    entries = []
    start = metadata.index + 1
  }

  /// Entries from `index` on.
  func entries(from index: UInt64) -> ArraySlice<Entry> {
    index >= next ? [] : entries[Int(max(index, start) - start)...]
  }
}

extension RecoveredLog {
  /// What is wrong with the recovered log, compared with `naive`, nil when nothing is. Purged entries may be there
  /// or not.
  func difference(from naive: NaiveLog, purgedBelow floor: UInt64 = 0) -> String? {
    if lastIndex + 1 != naive.next { return "last index \(lastIndex), expected \(naive.next - 1)" }
    if firstIndexKept < naive.start || firstIndexKept > max(floor, naive.start) {
      return "first index \(firstIndexKept), expected \(naive.start)...\(max(floor, naive.start))"
    }
    if naive.entries(from: firstIndex) != entries[...] { return "entries differ" }
    if hardState != naive.hardState { return "hard state \(hardState), expected \(naive.hardState)" }
    if snapshot != naive.snapshot { return "snapshot marker differs" }
    if confState != naive.confState { return "configuration differs" }
    return nil
  }
}

let directory = "/member/wal"
let identity = LogIdentity(clusterID: 0xc1, memberID: 0xa1)

func options(
  segmentBytes: Int = 64 << 10, frameBytes: Int = 1 << 20, absence: LogOptions.Absence = .refuse,
  compressionThreshold: Int = 256
) -> LogOptions {
  LogOptions(
    absence: absence, saltSeed: 0x5eed_5a17, segmentBytes: segmentBytes,
    compressionThreshold: compressionThreshold, frameBytes: frameBytes)
}

/// Random entries: data of 0 to `dataBytesMax` bytes, some of it compressible.
func randomEntries(
  from index: UInt64, count: Int, term: UInt64, dataBytesMax: Int, _ random: inout SeededRandom
) -> [Entry] {
  (0..<count).map { offset in
    let compressible = random.chance(1, in: 3)
    let size = Int.random(in: 0...dataBytesMax, using: &random)
    let data = (0..<size).map { position in
      compressible ? UInt8(position % 7) : UInt8.random(in: 0...255, using: &random)
    }
    let kind: Entry.Kind = random.chance(1, in: 20) ? .confChangeV2 : .normal
    return Entry(term: term, index: index + UInt64(offset), kind: kind, data: data)
  }
}

func metadata(_ index: UInt64, term: UInt64, voters: [UInt64] = [0xa1]) -> SnapshotMetadata {
  SnapshotMetadata(confState: ConfState(voters: voters), index: index, term: term)
}

/// The segment files of a log on a simulated disk, in order.
func segmentPaths(_ disk: SimulatedDisk) throws -> [String] {
  try disk.list(directory).filter { $0.hasSuffix(".wal") }.map { "\(directory)/\($0)" }
}

extension LogError {
  /// The file the error names, nil when it names none.
  var namedFile: String? {
    switch self {
    case .corrupt(let file, _, _), .foreign(let file, _, _), .unknownFormat(let file, _): file
    case .missing(let directory), .segmentMissing(let directory, _), .endsEarly(let directory, _, _):
      directory
    default: nil
    }
  }
}
