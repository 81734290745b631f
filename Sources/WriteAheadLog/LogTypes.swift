public import Disk
public import Model
public import Zstd

/// Whose log it is; written into every segment, and compared when a log is opened.
public struct LogIdentity: Hashable, Sendable {
  public var clusterID: UInt64
  public var memberID: UInt64

  public init(clusterID: UInt64, memberID: UInt64) {
    self.clusterID = clusterID
    self.memberID = memberID
  }
}

/// What can be chosen about a log. None of it is remembered: a log may be reopened with other options.
public struct LogOptions: Sendable {
  /// What `open` does when the directory holds no log.
  public enum Absence: Sendable {
    /// Creates one: the first start of a member.
    case create
    /// Throws `LogError.missing`: a member that forgot its log must not vote as if it had none.
    case refuse
  }

  public var absence: Absence
  /// Bytes of a segment file. Larger ones make rolls rarer, smaller ones let `purge` give space back sooner.
  public var segmentBytes: Int
  /// Spare segments that `prepareNextSegment` keeps ready.
  public var spareSegments: Int
  /// The zstd level of large batches. Measured on batches of ten Kubernetes-like entries of 900 bytes, CPU of a whole
  /// flush: raw 7.7 us, level -5 11.7 us (5.5 times smaller), -1 13.1 us (6.9), 1 17.1 us (8.2).
  public var compressionLevel: Int32
  /// Payloads below this size (bytes) are stored raw. One entry of 900 bytes becomes 1.2 times smaller for three times
  /// the CPU of its flush, two become 2.1 times smaller.
  public var compressionThreshold: Int
  /// Plain bytes after which a flush begins another frame. A single larger entry still makes one frame.
  public var frameBytes: Int
  /// An index the caller knows to be durable elsewhere (the applied index in LMDB; 0 when there is none). A log
  /// that ends below it has lost acknowledged entries and is refused.
  public var durableIndex: UInt64
  /// Entries below this index are verified, but not decoded and not handed out.
  public var firstIndexNeeded: UInt64
  /// Makes the salts of a new log unguessable for those who choose its contents: random in production, from the
  /// seed in simulation. Only used when a log is created.
  public var saltSeed: UInt32

  public init(
    absence: Absence, saltSeed: UInt32, segmentBytes: Int = 32 << 20, spareSegments: Int = 1,
    compressionLevel: Int32 = -1, compressionThreshold: Int = 1800, frameBytes: Int = 4 << 20,
    durableIndex: UInt64 = 0, firstIndexNeeded: UInt64 = 0
  ) {
    self.absence = absence
    self.saltSeed = saltSeed
    self.segmentBytes = segmentBytes
    self.spareSegments = spareSegments
    self.compressionLevel = compressionLevel
    self.compressionThreshold = compressionThreshold
    self.frameBytes = frameBytes
    self.durableIndex = durableIndex
    self.firstIndexNeeded = firstIndexNeeded
  }
}

/// What a log held when it was opened.
public struct RecoveredLog: Sendable {
  /// The unsynced end of the last batch before a crash, which `open` cut off. Nobody was told it was there.
  public struct TailCut: Hashable, Sendable {
    public var file: String
    /// Where the log ends now, in the file.
    public var offset: Int
    /// Bytes from there to the last nonzero byte that was cleared.
    public var bytes: Int
  }

  /// True when `open` created the log.
  public var isNew = false
  public var hardState = HardState()
  /// The last configuration written, if any was.
  public var confState: ConfState?
  /// The last snapshot marker, if any was written.
  public var snapshot: SnapshotMetadata?
  /// Consecutive entries from `firstIndex` on, superseded ones left out. Those at or below the snapshot
  /// marker are included as long as their segments are kept.
  public var entries: [Entry] = []
  /// The index of `entries[0]`, or the next index to be appended when there are none.
  public var firstIndex: UInt64 = 1
  /// The lowest index the log still holds; below `firstIndex` when `firstIndexNeeded` skipped some.
  public var firstIndexKept: UInt64 = 1
  /// The index of the last entry; `firstIndex - 1` when there are none.
  public var lastIndex: UInt64 = 0
  /// True when the log was closed in order and nothing was written since.
  public var wasClean = false
  public var tailCut: TailCut?

  public init() {}
}

/// Why a log cannot be used. Each names the file, and the offset where there is one.
public enum LogError: Error, Hashable, Sendable {
  /// No log where one must be.
  case missing(directory: String)
  /// The log of another member or cluster.
  case foreign(file: String, found: LogIdentity, expected: LogIdentity)
  /// A format this version does not know.
  case unknownFormat(file: String, version: UInt32)
  /// Bytes that were durable are not what was written: to be repaired from peers or a backup, never cut.
  case corrupt(file: String, offset: Int, reason: String)
  /// A segment between others, or after the last, is gone.
  case segmentMissing(directory: String, sequence: UInt64)
  /// The log ends before an index that was durable.
  case endsEarly(directory: String, lastIndex: UInt64, durableIndex: UInt64)
  /// An entry that no frame can hold (512 MiB); it was not appended.
  case entryTooLarge(index: UInt64, bytes: Int)
  /// The disk failed. The log is poisoned when this came from `flush` or a later step of a write.
  case disk(DiskError)
  /// zstd failed, which it does only without memory.
  case compression(ZstdError)
  /// Another process or object has the log open.
  case locked(directory: String)
  /// An earlier write or sync failed, so nothing is known about the disk; reopening is the only way on.
  case poisoned
  /// `close` was called.
  case closed
}

extension LogError: CustomStringConvertible {
  public var description: String {
    switch self {
    case .missing(let directory): "write-ahead log is missing in \(directory)"
    case .foreign(let file, let found, let expected):
      "write-ahead log \(file) belongs to member \(hex(found.memberID)) of cluster \(hex(found.clusterID)), "
        + "not to member \(hex(expected.memberID)) of cluster \(hex(expected.clusterID))"
    case .unknownFormat(let file, let version):
      "write-ahead log \(file) has format version \(version), which this version of Cairn does not know"
    case .corrupt(let file, let offset, let reason):
      "write-ahead log \(file) is corrupt at offset \(offset): \(reason)"
    case .segmentMissing(let directory, let sequence):
      "write-ahead log in \(directory) is corrupt: segment \(sequence) is missing"
    case .endsEarly(let directory, let lastIndex, let durableIndex):
      "write-ahead log in \(directory) is corrupt: it ends at index \(lastIndex), but index \(durableIndex) was durable"
    case .entryTooLarge(let index, let bytes):
      "entry \(index) of \(bytes) bytes is too large for the write-ahead log"
    case .disk(let error): "write-ahead log: \(error)"
    case .compression(let error): "write-ahead log: \(error)"
    case .locked(let directory): "write-ahead log in \(directory) is in use by another process"
    case .poisoned: "write-ahead log failed before and must be reopened"
    case .closed: "write-ahead log is closed"
    }
  }
}

/// A number in hexadecimal digits, as ids are written everywhere.
func hex(_ number: UInt64) -> String { String(number, radix: 16) }
