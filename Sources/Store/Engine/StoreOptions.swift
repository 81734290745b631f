/// The store's tunables. None of them is part of the file format: a file opens with any values.
public struct StoreOptions: Hashable, Sendable {
  /// Address space reserved for the map, in bytes; a file cannot grow beyond it. Costs nothing until used.
  public var mapBytes = 1 << 40
  /// Slots in LMDB's reader table: the number of views that can exist at once.
  public var readersMax = 1024
  /// KeyValue bytes up to this size are stored beside the key as well, so that ranges need no second lookup.
  public var inlineBytesMax = 512
  /// A generation's memory beyond this many bytes comes from an unlinked file beside the database.
  public var generationMemoryBytesMax = 64 << 20
  /// Size of one block of a generation's memory, in bytes.
  public var blockBytes = 256 << 10
  /// Blocks kept for the next generation instead of being given back.
  public var pooledBlocksMax = 64
  /// The data file is extended ahead in steps of this many bytes.
  public var spaceStepBytes = 4 << 20
  /// Revisions visited by one batch of physical compaction, at least; a batch grows with the commit that
  /// carries it, so that compaction drains faster than puts arrive.
  public var compactionBatchRows = 4096

  /// Bytes of rows that one slice of a defragmentation copies.
  public var defragmentStepBytes = 512 << 10
  /// How fast a defragmentation copies, in bytes of rows a second: it shares the disk and the processor with
  /// the members' work.
  public var defragmentBytesPerSecond = 128 << 20
  /// A defragmentation gives up when the file system has fewer bytes left than this: they are for the store.
  public var defragmentReserveBytes: Int64 = 64 << 20

  /// For tools that read the whole data file once, see `EnvironmentOptions.readsAhead`.
  public var readsAhead = false

  /// Reading the data file for damage in the background; nil: not at all.
  public var scrub: ScrubOptions? = ScrubOptions()

  public init() {}
}

/// Whose data a store file holds.
public struct StoreIdentity: Hashable, Sendable, CustomStringConvertible {
  public var clusterID: UInt64
  public var memberID: UInt64

  public init(clusterID: UInt64, memberID: UInt64) {
    self.clusterID = clusterID
    self.memberID = memberID
  }

  public var description: String {
    "cluster \(String(clusterID, radix: 16)), member \(String(memberID, radix: 16))"
  }
}

/// What a store knew when it was opened: the durable prefix of the log that it holds.
public struct StoreRecovery: Hashable, Sendable {
  /// True if the file was created by this open.
  public var isNew: Bool
  public var identity: StoreIdentity
  /// The last log entry whose effects are durable; replay goes on behind it.
  public var appliedIndex: UInt64
  /// The term of that entry.
  public var term: UInt64
  /// The current revision; 1 in an empty store.
  public var revision: Int64
  /// The revision of the last compaction accepted, -1 before the first.
  public var scheduledCompactRevision: Int64
  /// The revision up to which compaction has physically finished, -1 before the first.
  public var finishedCompactRevision: Int64
  /// The `confState` row of `meta`, if there is one.
  public var confState: [UInt8]?
  /// Reader slots left behind by dead processes and cleared by this open.
  public var staleReadersCleared: Int
}
