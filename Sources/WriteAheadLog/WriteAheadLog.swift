import Disk
public import Model
import Primitives
import Zstd

/// The durable Raft log of a member: group commits as checksummed, chained zstd frames in preallocated segments
/// (drawn in LogFormat.swift).
///
/// `append`, `markSnapshot` and the like only collect; `flush` makes all of it durable with one write and one
/// fdatasync. Nothing may be acknowledged or sent that depends on what was not flushed. After a crash the log holds
/// everything flushed, and of the flush that was going on a prefix of its frames, in which the term and vote are
/// never older than the entries.
///
/// When a write or sync fails the log is poisoned: every later call throws, and only opening it anew tells what is on
/// disk. One owner at a time; `SegmentPreparation` may run on another thread.
public final class WriteAheadLog {
  let disk: any Disk
  let directory: String
  let identity: LogIdentity
  let options: LogOptions
  let salt: Salt

  /// Segments in the order of their numbers; the last one is written to.
  var segments: [Segment] = []
  var file: any DiskFile
  /// Where the next frame goes in the last segment, and how much of it was synced.
  var end: Int
  var durableEnd: Int
  /// Where the last segment's header ends.
  var headerEnd: Int
  var chain: UInt32
  var nextFrame: UInt64
  /// What the frames laid out so far say: a new segment's header carries it.
  var laidState: LogState
  /// The index after the last entry laid out.
  var laidIndex: UInt64
  /// The index after the last entry appended.
  private var nextIndex: UInt64

  /// Complete frames of the coming flush, and the one being filled.
  private var full: [FrameBuilder] = []
  private var filling = FrameBuilder()
  private var pendingState = LogState()
  private var output: FrameOutput

  var spares: SparePool
  var catalog: LogCatalog
  var reader = LogReader()
  var metrics = LogMetrics()
  private var condition = Condition.open
  private let lock: any DiskLock

  private enum Condition { case open, poisoned, closed }

  struct Segment {
    var path: String
    var sequence: UInt64
    var highestIndex: UInt64
    var fileBytes: Int
    var headerBytes: Int
    /// Where the synced frames end.
    var end: Int
  }

  init(_ opened: OpenedLog) {
    disk = opened.disk
    directory = opened.directory
    identity = opened.identity
    options = opened.options
    salt = opened.salt
    segments = opened.segments
    file = opened.file
    end = opened.end
    durableEnd = opened.end
    chain = opened.chain
    nextFrame = opened.nextFrame
    laidState = opened.state
    laidIndex = opened.nextIndex
    nextIndex = opened.nextIndex
    headerEnd = opened.headerEnd
    spares = opened.spares
    catalog = opened.catalog
    lock = opened.lock
    output = FrameOutput(level: options.compressionLevel, threshold: options.compressionThreshold)
  }
}

// MARK: Collecting

extension WriteAheadLog {
  /// The index that follows the last entry appended, flushed or not.
  public var nextEntryIndex: UInt64 { nextIndex }

  /// True when something waits for `flush`.
  public var hasUnflushed: Bool {
    !full.isEmpty || !filling.isEmpty || !pendingState.isEmpty
  }

  /// Adds consecutive entries, and the hard state that goes with them. Entries at an index that is there already
  /// supersede it and all above. Nothing is written before `flush`.
  ///
  /// The first entry must not leave a gap, nor supersede what is known to be committed.
  public func append(entries: [Entry], hardState: HardState?) throws(LogError) {
    try checkUsable()
    if let first = entries.first {
      precondition(first.index > 0 && first.index <= nextIndex, "entries follow on each other")
      precondition(
        first.index > (pendingState.hardState ?? laidState.hardState ?? HardState()).commit,
        "committed entries are never superseded")
      for entry in entries { try check(entry) }
      nextIndex = first.index
      if filling.hasIndex, filling.nextIndex != nextIndex { closeFrame() }
      for entry in entries {
        precondition(entry.index == nextIndex, "entries are consecutive")
        if filling.payload.count >= options.frameBytes { closeFrame() }
        filling.add(entry)
        nextIndex = entry.index + 1
      }
    }
    if let hardState { pendingState.hardState = hardState }
  }

  /// Records that a snapshot at `metadata` exists: entries up to its index can be had from it. They stay in the log
  /// until `purge`.
  public func markSnapshot(_ metadata: SnapshotMetadata) throws(LogError) {
    try checkUsable()
    pendingState.snapshot = metadata
    pendingState.confState = metadata.confState
  }

  /// Records that a snapshot received from a peer replaces the log: all entries are void, the next one follows the
  /// snapshot. The snapshot file must have been synced, with its directory, before.
  public func reset(to metadata: SnapshotMetadata) throws(LogError) {
    try checkUsable()
    closeFrame()
    filling.isReset = true
    filling.firstIndex = metadata.index + 1
    // In the same frame as the reset: a crash leaves both or neither.
    filling.state.snapshot = metadata
    filling.state.confState = metadata.confState
    pendingState.snapshot = nil
    pendingState.confState = nil
    nextIndex = metadata.index + 1
  }

  /// Records the configuration that applied entries have led to.
  public func append(confState: ConfState) throws(LogError) {
    try checkUsable()
    pendingState.confState = confState
  }

  private func check(_ entry: Entry) throws(LogError) {
    let bytes = entry.encodedSize + 16
    guard bytes <= LogFormat.payloadBytesMax - options.frameBytes else {
      throw .entryTooLarge(index: entry.index, bytes: entry.data.count)
    }
  }

  private func closeFrame() {
    if filling.isEmpty { return }
    full.append(filling)
    filling = FrameBuilder()
  }
}

// MARK: Writing

extension WriteAheadLog {
  /// Makes everything appended durable: one write and one fdatasync, or nothing at all when nothing was appended.
  /// Returns the bytes written. After an error the log is poisoned.
  @discardableResult
  public func flush() throws(LogError) -> Int {
    try checkUsable()
    guard hasUnflushed else { return 0 }
    return try poisoning { () throws(LogError) in
      addState()
      let before = metrics.writtenBytes
      for index in full.indices { try lay(&full[index]) }
      if !filling.isEmpty { try lay(&filling) }
      try writeOut()
      full.removeAll()
      filling.removeAll()
      metrics.flushes += 1
      return metrics.writtenBytes - before
    }
  }

  /// Puts the state into the last frame, behind the entries its commit index speaks of. Of a flush of several frames a
  /// crash may leave the first ones: those begin with the new term and vote, so that no entry is younger.
  private func addState() {
    if !full.isEmpty, var early = pendingState.hardState {
      early.commit = laidState.hardState?.commit ?? 0
      full[0].state.hardState = early
    }
    filling.state.merge(pendingState)
    pendingState = LogState()
  }

  /// Adds a frame to the output, rolling to a new segment when it would not fit.
  private func lay(_ frame: inout FrameBuilder) throws(LogError) {
    let state = frame.state
    let content = frame.finish()
    let bytes = FrameOutput.bound(payloadBytes: frame.payload.count)
    // One more header, for the seal.
    let needed = end + output.count + bytes + LogFormat.frameHeaderBytes
    if needed > options.segmentBytes, end + output.count > headerEnd {
      try writeOut()
      try roll()
    }
    if frame.hasIndex { laidIndex = frame.nextIndex }
    laidState.merge(state)
    try add(
      frame.payload.bytes, content, firstIndex: frame.hasIndex ? frame.firstIndex : laidIndex,
      entryCount: frame.entryCount)
  }

  private func add(
    _ payload: [UInt8], _ content: FrameHeader.Content, firstIndex: UInt64, entryCount: Int
  ) throws(LogError) {
    var header = FrameHeader(
      previous: chain, content: content, isCompressed: false, storedBytes: 0, plainBytes: 0,
      payloadChecksum: 0,
      entryCount: entryCount, number: nextFrame, firstIndex: firstIndex, durableBytes: durableEnd)
    catalog.add(header, at: LogCatalog.Place(segment: current.sequence, offset: end + output.count))
    do throws(ZstdError) {
      try output.add(
        payload, &header, salt: salt.value(current.sequence), compressing: !content.contains(.close))
    } catch {
      throw .compression(error)
    }
    chain = header.checksum
    nextFrame += 1
    metrics.plainBytes += payload.count
    if entryCount > 0 {
      segments[segments.count - 1].highestIndex = max(current.highestIndex, header.nextIndex - 1)
    }
  }

  /// The one write and the one sync.
  private func writeOut() throws(LogError) {
    guard output.count > 0 else { return }
    try onDisk { () throws(DiskError) in
      try output.withBytes { (bytes) throws(DiskError) in try file.write(bytes, at: end) }
      try file.syncData()
    }
    end += output.count
    durableEnd = end
    metrics.writtenBytes += output.count
    segments[segments.count - 1].fileBytes = max(current.fileBytes, end)
    segments[segments.count - 1].end = end
    output.removeAll()
  }

  /// Marks the log as closed in order, after flushing, and gives the directory free.
  public func close() throws(LogError) {
    try flush()
    try poisoning { () throws(LogError) in
      // Two marks, the second at the start of a page: one lost page does not take the last entries and every sign of
      // them.
      let page = LogFormat.segmentHeaderUnit
      let rest = page - (end + LogFormat.frameHeaderBytes) % page
      try add([UInt8](repeating: 0, count: rest % page), .close, firstIndex: laidIndex, entryCount: 0)
      try add([], .close, firstIndex: laidIndex, entryCount: 0)
      try writeOut()
    }
    condition = .closed
    file.close()
    lock.release()
  }

  func checkUsable() throws(LogError) {
    switch condition {
    case .open: return
    case .poisoned: throw .poisoned
    case .closed: throw .closed
    }
  }

  /// Runs a step after whose failure nothing is known about the disk.
  func poisoning<Result>(_ body: () throws(LogError) -> Result) throws(LogError) -> Result {
    do throws(LogError) {
      return try body()
    } catch {
      condition = .poisoned
      throw error
    }
  }
}
