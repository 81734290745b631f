public import Disk
public import Model
internal import Node
internal import Primitives
public import WriteAheadLog

/// Which entries of a log are wanted, by the names that etcd-dump-logs has for them.
public enum EntryFilter: String, CaseIterable, Sendable {
  case normal = "Normal"
  case configChange = "ConfigChange"
  /// etcd's v2 requests, of which Cairn writes none.
  case request = "Request"
  case internalRaftRequest = "InternalRaftRequest"
  case range = "IRRRange"
  case put = "IRRPut"
  case deleteRange = "IRRDeleteRange"
  case transaction = "IRRTxn"
  case compaction = "IRRCompaction"
  case leaseGrant = "IRRLeaseGrant"
  case leaseRevoke = "IRRLeaseRevoke"
  case leaseCheckpoint = "IRRLeaseCheckpoint"

  func admits(_ content: EntryContent) -> Bool {
    switch content {
    case .configuration, .configurationV2: return self == .configChange
    case .unreadable(let kind): return self == (kind == .normal ? .normal : .configChange)
    case .empty: return self == .normal || self == .internalRaftRequest
    case .command(let command):
      if self == .normal || self == .internalRaftRequest { return true }
      switch command.operation {
      case .range: return self == .range
      case .put: return self == .put
      case .deleteRange: return self == .deleteRange
      case .transaction: return self == .transaction
      case .compaction: return self == .compaction
      case .leaseGrant: return self == .leaseGrant
      case .leaseRevoke: return self == .leaseRevoke
      case .leaseCheckpoint: return self == .leaseCheckpoint
      case .none, .alarm, .clusterVersionSet, .clusterMemberAttributesSet, .downgradeInfoSet, .unsupported:
        return false
      }
    }
  }
}

/// What an entry says.
public enum EntryContent: Sendable {
  /// A new leader's first entry.
  case empty
  case command(RaftCommand)
  case configuration(ConfChange)
  case configurationV2(ConfChangeV2)
  case unreadable(Entry.Kind)

  public init(_ entry: Entry) {
    do throws(ProtoError) {
      switch entry.kind {
      case .normal: self = entry.data.isEmpty ? .empty : .command(try RaftCommand(entry: entry.data))
      case .confChange: self = .configuration(try ConfChange(decoding: entry.data))
      case .confChangeV2: self = .configurationV2(try ConfChangeV2(decoding: entry.data))
      }
    } catch {
      self = .unreadable(entry.kind)
    }
  }
}

/// One record of a log, and where it was written.
public struct LogRecord: Sendable {
  public enum Content: Sendable {
    case segment(ScannedSegment)
    case entry(Entry, EntryContent)
    case hardState(HardState)
    case snapshot(SnapshotMetadata)
    case configuration(ConfState)
    /// Entries before are void.
    case reset
    /// Closed in order.
    case close
    /// The next segment goes on.
    case seal
    case damage(LogError)
    case tornTail
  }

  public var file: String
  public var offset: Int
  public var content: Content
}

/// The records of a log in the order in which they were written, superseded entries among them.
public struct LogDump {
  public var filters: [EntryFilter]
  /// Entries below are left out.
  public var startIndex: UInt64

  public init(filters: [EntryFilter], startIndex: UInt64) {
    self.filters = filters
    self.startIndex = startIndex
  }

  /// Reads the log of a stopped member; memory is bounded by a frame. Returns the number of entries handed out.
  public func run(
    _ place: MemberPlace, disk: any Disk, _ body: (LogRecord) -> Void
  ) throws(OfflineError) -> Int {
    let directory = try place.whenFree { () throws(DataDirectoryError) in
      try DirectoryInspection(place.dataDirectory, walPath: place.logDirectory, disk: disk)
    }
    defer { directory.close() }
    if case .failure(.etcdData(let path)) = directory.storePath { throw .directory(.etcdData(path)) }
    var count = 0
    try withoutActuallyEscaping(body) { (body) throws(OfflineError) in
      try onLog { () throws(LogError) in
        try LogScan.run(disk: disk, directory: directory.walPath, identity: nil) { event in
          count += hand(out: event, to: body)
        }
      }
    }
    return count
  }

  private func hand(out event: LogScanEvent, to body: (LogRecord) -> Void) -> Int {
    switch event {
    case .segment(let segment): body(LogRecord(file: segment.file, offset: 0, content: .segment(segment)))
    case .frame(let frame): return hand(out: frame, to: body)
    case .damage(let error): body(LogRecord(file: "", offset: 0, content: .damage(error)))
    case .tornTail(let file, let offset):
      body(LogRecord(file: file, offset: offset, content: .tornTail))
    }
    return 0
  }

  private func hand(out frame: ScannedFrame, to body: (LogRecord) -> Void) -> Int {
    func record(_ content: LogRecord.Content) {
      body(LogRecord(file: frame.file, offset: frame.offset, content: content))
    }
    var count = 0
    if frame.isReset { record(.reset) }
    for entry in frame.entries where entry.index >= startIndex {
      let content = EntryContent(entry)
      guard filters.contains(where: { $0.admits(content) }) else { continue }
      record(.entry(entry, content))
      count += 1
    }
    if let state = frame.hardState { record(.hardState(state)) }
    if let snapshot = frame.snapshot { record(.snapshot(snapshot)) }
    if let confState = frame.confState { record(.configuration(confState)) }
    if frame.isClose { record(.close) }
    if frame.isSeal { record(.seal) }
    return count
  }
}
