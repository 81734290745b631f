import Disk
import Model
import Primitives
import Zstd

/// Reads a whole log: everything is verified before anything is changed on disk or handed out.
struct LogRecovery {
  let disk: any Disk
  let directory: String
  let identity: LogIdentity
  let options: LogOptions

  private(set) var segments: [FoundSegment] = []
  private(set) var recovered = RecoveredLog()
  private(set) var state = LogState()
  private var frames: [FoundFrame] = []

  /// Where all entries lie.
  var catalog: LogCatalog {
    var catalog = LogCatalog(nextIndex: segments.first?.header.firstIndex ?? 1)
    for frame in frames {
      let sequence = segments[frame.segment].header.sequence
      catalog.add(frame.header, at: LogCatalog.Place(segment: sequence, offset: frame.offset))
    }
    return catalog
  }

  init(disk: any Disk, directory: String, identity: LogIdentity, options: LogOptions) {
    self.disk = disk
    self.directory = directory
    self.identity = identity
    self.options = options
  }

  /// `names` in the order of their sequence numbers.
  mutating func run(_ names: [SegmentName]) throws(LogError) {
    for (index, name) in names.enumerated() {
      try scan(name, index: index, isLast: index == names.count - 1)
    }
    guard let first = segments.first, let last = segments.last else {
      throw .missing(directory: directory)
    }
    if last.lastContent?.contains(.seal) == true {
      throw .segmentMissing(directory: directory, sequence: last.header.sequence &+ 1)
    }
    var live = LiveEntries(nextIndex: first.header.firstIndex)
    for (number, frame) in frames.enumerated() where !live.add(frame.header, frame: number) {
      throw .corrupt(
        file: segments[frame.segment].path, offset: frame.offset,
        reason: "entries from \(frame.header.firstIndex) do not follow on \(live.nextIndex &- 1)")
    }
    guard live.nextIndex > options.durableIndex else {
      throw .endsEarly(
        directory: directory, lastIndex: live.nextIndex &- 1, durableIndex: options.durableIndex)
    }
    recovered.lastIndex = live.nextIndex - 1
    recovered.firstIndexKept = live.firstIndex
    recovered.firstIndex = min(max(live.firstIndex, options.firstIndexNeeded), live.nextIndex)
    try decode(live)
    recovered.wasClean = last.lastContent?.contains(.close) == true && last.tornBytes == 0
    if last.tornBytes > 0 {
      recovered.tailCut = .init(file: last.path, offset: last.end, bytes: last.tornBytes)
    }
  }

  private mutating func scan(_ name: SegmentName, index: Int, isLast: Bool) throws(LogError) {
    let path = "\(directory)/\(name.text)"
    let bytes = try onDisk { () throws(DiskError) in
      let file = try disk.open(path, .read)
      defer { file.close() }
      return try SegmentBytes(file)
    }
    var found = try FoundSegment.scan(
      bytes.all, path: path, index: index, identity: identity, frames: &frames)
    guard found.header.sequence == name.sequence, found.header.firstIndex == name.firstIndex else {
      throw .corrupt(file: path, offset: 32, reason: "the file has the name of another segment")
    }
    if let previous = segments.last { try checkJoint(previous, found) }
    if isLast {
      try found.examineTail(bytes.all)
    } else if bytes.all.count < found.header.segmentBytes {
      throw .corrupt(file: path, offset: bytes.all.count, reason: "the file is cut short")
    }
    segments.append(found)
  }

  /// The later segment says where the earlier one ended when it was left; all before that was synced.
  private func checkJoint(_ earlier: FoundSegment, _ later: FoundSegment) throws(LogError) {
    guard later.header.sequence == earlier.header.sequence &+ 1 else {
      throw .segmentMissing(directory: directory, sequence: earlier.header.sequence &+ 1)
    }
    guard
      Salt(of: earlier.header.salt, sequence: earlier.header.sequence)
        == Salt(of: later.header.salt, sequence: later.header.sequence)
    else { throw .corrupt(file: later.path, offset: 56, reason: "the segment belongs to another log") }
    // The seal is written when the later segment exists already, so it may be there or not.
    let isSealed = earlier.lastContent?.contains(.seal) == true
    let expectedEnd = later.header.chainEnd + (isSealed ? LogFormat.frameHeaderBytes : 0)
    let expectedFrame = later.header.firstFrame &+ (isSealed ? 1 : 0)
    guard earlier.end == expectedEnd, earlier.nextFrame == expectedFrame,
      (isSealed ? earlier.chainBeforeSeal : earlier.chain) == later.header.chain
    else {
      throw .corrupt(
        file: earlier.path, offset: min(earlier.end, later.header.chainEnd),
        reason: "segment \(later.header.sequence) follows frames up to \(later.header.chainEnd)")
    }
  }

  // MARK: Contents

  private mutating func decode(_ live: LiveEntries) throws(LogError) {
    guard let last = segments.last else { return }
    // The last header holds the state of all that came before; only frames behind it can change it.
    state = last.state
    let stateFrames = latestStateFrames(inSegment: segments.count - 1)
    var pieces = live.pieces[...]
    while let piece = pieces.first, piece.indexes.upperBound <= recovered.firstIndex { pieces.removeFirst() }
    var wanted: [(frame: Int, indexes: Range<UInt64>)] = stateFrames.sorted().map { ($0, 0..<0) }
    for piece in pieces { wanted.append((piece.frame, piece.indexes)) }
    wanted.sort { ($0.frame, $0.indexes.count) < ($1.frame, $1.indexes.count) }

    if let lowest = pieces.first?.indexes.lowerBound {
      recovered.entries.reserveCapacity(Int(live.nextIndex - max(lowest, recovered.firstIndex)))
    }
    var decoder = FrameDecoder()
    for (position, want) in wanted.enumerated() {
      // A frame wanted for its state and for its entries is decoded once, for both.
      if position + 1 < wanted.count, wanted[position + 1].frame == want.frame { continue }
      let floor = max(want.indexes.lowerBound, recovered.firstIndex)
      let frame = frames[want.frame]
      let belongsToLast = frame.segment == segments.count - 1
      var frameState = LogState()
      try decoder.decode(
        frame, of: segments[frame.segment], disk: disk,
        keeping: floor..<max(floor, want.indexes.upperBound), entries: &recovered.entries, state: &frameState)
      if belongsToLast { state.merge(frameState) }
    }
    recovered.hardState = state.hardState ?? HardState()
    // A torn flush may have kept the snapshot's frame and lost the commit index that came with it.
    recovered.hardState.commit = max(recovered.hardState.commit, state.snapshot?.index ?? 0)
    recovered.snapshot = state.snapshot
    recovered.confState = state.confState
    try checkEntries(live, frames: wanted.map(\.frame))
  }

  /// The last frame with each kind of state.
  private func latestStateFrames(inSegment segment: Int) -> Set<Int> {
    var latest: Set<Int> = []
    var wanted: FrameHeader.Content = [.hardState, .snapshot, .confState]
    for number in frames.indices.reversed() where frames[number].segment == segment {
      let found = frames[number].header.content.intersection(wanted)
      if found.isEmpty { continue }
      latest.insert(number)
      wanted.subtract(found)
      if wanted.isEmpty { break }
    }
    return latest
  }

  /// Headers and payloads must tell the same story.
  private func checkEntries(_ live: LiveEntries, frames wanted: [Int]) throws(LogError) {
    var expected = recovered.firstIndex
    for entry in recovered.entries {
      guard entry.index == expected else { break }
      expected += 1
    }
    guard expected == live.nextIndex, recovered.entries.count == Int(expected - recovered.firstIndex) else {
      let frame = live.pieces.first { $0.indexes.contains(expected) }.map { frames[$0.frame] }
      throw .corrupt(
        file: frame.map { segments[$0.segment].path } ?? directory, offset: frame?.offset ?? 0,
        reason: "entry \(expected) is not in the frame that should hold it")
    }
  }
}

/// Reads payloads back from disk and decodes them. Keeps the last file open: frames come in order.
private struct FrameDecoder {
  private var file: (segment: Int, file: any DiskFile)?
  private var stored: [UInt8] = []
  private var plain: [UInt8] = []
  private let decompressor = ZstdDecompressor()

  mutating func decode(
    _ frame: FoundFrame, of segment: FoundSegment, disk: any Disk, keeping indexes: Range<UInt64>,
    entries: inout [Entry], state: inout LogState
  ) throws(LogError) {
    try read(frame, path: segment.path, disk: disk)
    let count: Int
    do throws(ProtoError) {
      count = try plain.withUnsafeBufferPointer { (plain) throws(ProtoError) in
        let bytes = UnsafeRawBufferPointer(
          rebasing: UnsafeRawBufferPointer(plain)[..<frame.header.plainBytes])
        return try decodeRecords(bytes, keeping: indexes, entries: &entries, state: &state)
      }
    } catch {
      throw .corrupt(file: segment.path, offset: frame.offset, reason: "payload: \(error)")
    }
    guard count == frame.header.entryCount else {
      throw .corrupt(
        file: segment.path, offset: frame.offset,
        reason: "\(count) entries instead of \(frame.header.entryCount)")
    }
  }

  /// Brings the frame's payload into the first `plainBytes` of `plain`.
  private mutating func read(_ frame: FoundFrame, path: String, disk: any Disk) throws(LogError) {
    let header = frame.header
    if file?.segment != frame.segment {
      file = (frame.segment, try onDisk { () throws(DiskError) in try disk.open(path, .read) })
    }
    guard let file = file?.file else { return }
    grow(&stored, to: LogFormat.aligned(header.storedBytes))
    grow(&plain, to: header.plainBytes)
    let offset = frame.offset + LogFormat.frameHeaderBytes
    let count = try onDisk { () throws(DiskError) in
      try stored.withUnsafeMutableBufferPointer { (stored) throws(DiskError) in
        try file.read(
          at: offset,
          into: UnsafeMutableRawBufferPointer(
            rebasing: UnsafeMutableRawBufferPointer(stored)[..<header.storedBytes]))
      }
    }
    guard count == header.storedBytes else {
      throw .corrupt(file: path, offset: offset + count, reason: "the file became shorter while it was read")
    }
    guard header.isCompressed else {
      swap(&stored, &plain)
      return
    }
    do throws(ZstdError) {
      try plain.withUnsafeMutableBufferPointer { (plain) throws(ZstdError) in
        try stored.withUnsafeBufferPointer { (stored) throws(ZstdError) in
          try decompressor.decompress(
            UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(stored)[..<header.storedBytes]),
            into: UnsafeMutableRawBufferPointer(
              rebasing: UnsafeMutableRawBufferPointer(plain)[..<header.plainBytes]))
        }
      }
    } catch {
      throw .corrupt(file: path, offset: frame.offset, reason: "\(error)")
    }
  }

  private func grow(_ bytes: inout [UInt8], to count: Int) {
    if bytes.count < count { bytes.append(contentsOf: repeatElement(0, count: count - bytes.count)) }
  }
}

/// Gives a disk's error its place among those of the log.
func onDisk<Result>(_ body: () throws(DiskError) -> Result) throws(LogError) -> Result {
  do throws(DiskError) { return try body() } catch { throw .disk(error) }
}
