import Disk
public import Model
import Primitives
import Zstd

/// Reads entries back from the segments, for members that lag behind what is kept in memory. Every byte is verified.
struct LogReader {
  /// Where the frame lies that holds an entry: who reads on from there need not look for it.
  private struct Cursor {
    var index: UInt64
    /// Of the entry before.
    var previousTerm: UInt64
    var place: LogCatalog.Place
  }

  /// One for each reader that goes through the log at a time; the oldest is dropped.
  private static let cursorsMax = 8
  private static let blockBytes = 256 << 10

  private var cursors: [Cursor] = []
  private var file: (segment: UInt64, file: any DiskFile)?
  private var block: [UInt8] = []
  private let decompressor = ZstdDecompressor()

  /// See `WriteAheadLog.read`.
  mutating func read(
    after previous: UInt64, through last: UInt64, bytesMax: Int, in log: borrowing Source
  ) throws(LogError) -> (previousTerm: UInt64, entries: [Entry])? {
    guard log.catalog.start(of: previous) != nil else { return nil }
    if let cursor = takeCursor(previous + 1, log) {
      return (cursor.previousTerm, try read(from: cursor, through: last, bytesMax: bytesMax, in: log))
    }
    guard let place = log.catalog.start(of: previous) else { return nil }
    let start = Cursor(index: previous, previousTerm: 0, place: place)
    guard let entry = try read(from: start, through: previous, bytesMax: 0, in: log).first,
      let cursor = takeCursor(previous + 1, log)
    else { return nil }
    return (entry.term, try read(from: cursor, through: last, bytesMax: bytesMax, in: log))
  }

  /// Consecutive entries from `cursor` on; leaves a cursor where they end.
  private mutating func read(
    from cursor: Cursor, through last: UInt64, bytesMax: Int, in log: borrowing Source
  ) throws(LogError) -> [Entry] {
    let index = cursor.index
    var place = cursor.place
    var entries: [Entry] = []
    var bytes = 0
    while index + UInt64(entries.count) <= last, let found = try frames(at: place, in: log) {
      var offset = 0
      while let header = try header(at: offset, of: found, in: log) {
        let start = entries.count
        try decode(header, at: offset, of: found, (index + UInt64(start))..<(last + 1), in: log, &entries)
        for position in start..<entries.count {
          bytes += entries[position].encodedSize
          guard bytes > bytesMax, position > 0 else { continue }
          entries.removeSubrange(position...)
          remember(entries, found.place(at: offset))
          return entries
        }
        // The next entry may be in this frame still.
        if start < entries.count { place = found.place(at: offset) }
        if index + UInt64(entries.count) > last { break }
        offset += header.frameBytes
      }
      if index + UInt64(entries.count) <= last { place = found.place(at: offset) }
    }
    remember(entries, place)
    return entries
  }

  private mutating func takeCursor(_ index: UInt64, _ log: borrowing Source) -> Cursor? {
    guard let known = cursors.firstIndex(where: { $0.index == index }) else { return nil }
    let cursor = cursors.remove(at: known)
    for segment in log.segments where segment.sequence == cursor.place.segment { return cursor }
    return nil
  }

  private mutating func remember(_ entries: [Entry], _ place: LogCatalog.Place) {
    guard let last = entries.last else { return }
    if cursors.count == Self.cursorsMax { cursors.removeFirst() }
    cursors.append(Cursor(index: last.index + 1, previousTerm: last.term, place: place))
  }

  // MARK: Frames

  /// What the reader has to know of the log.
  struct Source: ~Copyable {
    let disk: any Disk
    let catalog: LogCatalog
    let segments: [WriteAheadLog.Segment]
    let salt: Salt
  }

  /// Whole frames that follow on each other, the first `count` bytes of the block.
  private struct Frames {
    var segment: WriteAheadLog.Segment
    var offset: Int
    var count: Int

    func place(at inside: Int) -> LogCatalog.Place {
      LogCatalog.Place(segment: segment.sequence, offset: offset + inside)
    }

    func corrupt(at inside: Int, _ reason: String) -> LogError {
      .corrupt(file: segment.path, offset: offset + inside, reason: reason)
    }
  }

  /// Fills the block; nil at the end of the log.
  private mutating func frames(
    at place: LogCatalog.Place, in log: borrowing Source
  ) throws(LogError) -> Frames? {
    guard var position = log.segments.firstIndex(where: { $0.sequence == place.segment }) else { return nil }
    var offset = place.offset
    while offset >= log.segments[position].end {
      position += 1
      guard position < log.segments.count else { return nil }
      offset = log.segments[position].headerBytes
    }
    let segment = log.segments[position]
    let rest = segment.end - offset
    var frames = Frames(segment: segment, offset: offset, count: min(rest, Self.blockBytes))
    try fill(frames, log.disk)
    let bytes = frameHeader(at: 0, of: frames, in: log)?.frameBytes
    guard let bytes, bytes <= rest else { throw frames.corrupt(at: 0, "no valid frame") }
    if bytes > frames.count {
      frames.count = bytes
      try fill(frames, log.disk)
    }
    return frames
  }

  private mutating func fill(_ frames: Frames, _ disk: any Disk) throws(LogError) {
    if block.count < frames.count {
      block.append(contentsOf: repeatElement(0, count: frames.count - block.count))
    } else if block.count > Self.blockBytes, frames.count <= Self.blockBytes {
      // One large frame is no reason to keep its room.
      block = [UInt8](repeating: 0, count: Self.blockBytes)
    }
    let path = frames.segment.path
    if file?.segment != frames.segment.sequence {
      file?.file.close()
      file = nil
      file = (frames.segment.sequence, try onDisk { () throws(DiskError) in try disk.open(path, .read) })
    }
    guard let file = file?.file else { return }
    let read = try onDisk { () throws(DiskError) in
      try block.withUnsafeMutableBufferPointer { (block) throws(DiskError) in
        let room = UnsafeMutableRawBufferPointer(
          rebasing: UnsafeMutableRawBufferPointer(block)[..<frames.count])
        return try file.read(at: frames.offset, into: room)
      }
    }
    guard read == frames.count else {
      throw .corrupt(file: path, offset: frames.offset + read, reason: "the file is cut short")
    }
  }

  /// The header at `offset` in the block; nil behind the last whole frame.
  private func header(
    at offset: Int, of frames: Frames, in log: borrowing Source
  ) throws(LogError) -> FrameHeader? {
    let rest = frames.count - offset
    guard rest >= LogFormat.frameHeaderBytes else { return nil }
    guard let header = frameHeader(at: offset, of: frames, in: log) else {
      throw frames.corrupt(at: offset, "no valid frame")
    }
    guard header.frameBytes <= rest else { return nil }
    let salt = log.salt.value(frames.segment.sequence)
    guard block.withUnsafeBytes({ header.payloadHolds($0, at: offset, salt: salt) }) else {
      throw frames.corrupt(at: offset, "the payload's checksum does not match")
    }
    return header
  }

  private func frameHeader(at offset: Int, of frames: Frames, in log: borrowing Source) -> FrameHeader? {
    let salt = log.salt.value(frames.segment.sequence)
    return block.withUnsafeBytes { block in
      FrameHeader(
        UnsafeRawBufferPointer(rebasing: block[..<frames.count]), at: offset, salt: salt,
        fileOffset: frames.offset + offset)
    }
  }

  /// Adds the frame's entries of these indexes that nothing superseded, if it holds the first of them.
  private func decode(
    _ header: FrameHeader, at offset: Int, of frames: Frames, _ wanted: Range<UInt64>,
    in log: borrowing Source,
    _ entries: inout [Entry]
  ) throws(LogError) {
    let end = min(header.nextIndex, wanted.upperBound, log.catalog.end(ofFrame: header.number))
    let first = wanted.lowerBound
    guard header.entryCount > 0, header.firstIndex <= first, first < end else { return }
    let plain: [UInt8]
    do throws(ZstdError) { plain = try payload(of: header, at: offset) } catch {
      throw frames.corrupt(at: offset, "\(error)")
    }
    let before = entries.count
    do throws(ProtoError) {
      var state = LogState()
      _ = try plain.withUnsafeBufferPointer { (plain) throws(ProtoError) in
        try decodeRecords(
          UnsafeRawBufferPointer(plain), keeping: first..<end, entries: &entries, state: &state)
      }
    } catch {
      throw frames.corrupt(at: offset, "payload: \(error)")
    }
    guard entries.count - before == Int(end - first) else {
      throw frames.corrupt(at: offset, "entry \(first) is not in the frame that should hold it")
    }
  }

  private func payload(of header: FrameHeader, at offset: Int) throws(ZstdError) -> [UInt8] {
    let start = offset + LogFormat.frameHeaderBytes
    let stored = block[start..<(start + header.storedBytes)]
    guard header.isCompressed else { return Array(stored) }
    return try stored.withUnsafeBufferPointer { (stored) throws(ZstdError) in
      try decompressor.decompress(UnsafeRawBufferPointer(stored), plainSize: header.plainBytes)
    }
  }
}

extension WriteAheadLog {
  /// The lowest index that `read` can give.
  public var firstReadableIndex: UInt64 { catalog.firstIndex }

  /// The term of the entry at `previous`, and the entries that follow it up to `last`, at most `bytesMax` encoded (one larger
  /// entry still comes, alone); nil when they are not kept any more. For members that lag behind what is in memory: all
  /// must be flushed, and committed, so that nothing supersedes them. Going on where an earlier call ended costs a read of the file, beginning elsewhere up to 256 KiB more.
  public func read(
    after previous: UInt64, through last: UInt64, bytesMax: Int
  ) throws(LogError) -> (previousTerm: UInt64, entries: [Entry])? {
    try checkUsable()
    precondition(previous < last && last < laidIndex, "what was flushed can be read")
    return try reader.read(
      after: previous, through: last, bytesMax: bytesMax,
      in: LogReader.Source(disk: disk, catalog: catalog, segments: segments, salt: salt))
  }
}
