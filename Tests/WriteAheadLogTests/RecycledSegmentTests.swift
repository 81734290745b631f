import Disk
import Model
import Primitives
import Testing
import WriteAheadLog

/// A segment written over an old one: the old one's frames, all valid once, lie behind and must never come back.
@Suite("Write-ahead log: recycled segments with stale content")
struct RecycledSegmentTests {
  struct Recycled {
    let disk: SimulatedDisk
    let path: String
    /// The file before it was reused, and now.
    let stale: [UInt8]
    let fresh: [UInt8]
    let states: [(end: Int, content: NaiveLog)]
    let purgedBelow: UInt64
  }

  /// Fills two segments, recycles the first as the third and writes `flushes` frames to it.
  private func recycled(flushes: Int) throws -> Recycled {
    let disk = SimulatedDisk()
    var random = SeededRandom(seed: 3)
    let options = options(segmentBytes: 32 << 10, absence: .create)
    var life = try LogLife(disk, options)
    func write() throws {
      let entries = randomEntries(from: life.naive.next, count: 2, term: 1, dataBytesMax: 400, &random)
      try life.append(entries, HardState(term: 1, vote: 1, commit: entries[0].index))
      try life.flush()
    }
    while life.log.counters.rolls < 1 { try write() }
    let first = try segmentPaths(disk)[0]
    let stale = try #require(disk.contents(first))
    // The roll has just happened: everything but the last flush lies in the first segment.
    try life.purge(below: life.naive.next - 2)
    try life.log.prepareNextSegment()
    #expect(try disk.list(directory).contains { $0.hasSuffix(".used") })
    while life.log.counters.rolls < 2 { try write() }
    #expect(life.log.counters.rollsWithoutSpare == 1)
    let path = try #require(try segmentPaths(disk).last)
    var states: [(end: Int, content: NaiveLog)] = []
    // Frame boundaries of the reused file, from what each flush adds.
    var end = 4096
    let written = life.log.counters.writtenBytes
    end += frameBytes(try #require(disk.contents(path)), at: end)
    states.append((end, life.naive))
    let start = end
    for _ in 0..<flushes {
      try write()
      states.append((start + life.log.counters.writtenBytes - written, life.naive))
    }
    return Recycled(
      disk: disk, path: path, stale: stale, fresh: try #require(disk.contents(path)), states: states,
      purgedBelow: life.purgedBelow)
  }

  private func open(_ disk: SimulatedDisk) throws(LogError) -> RecoveredLog {
    try WriteAheadLog.open(disk: disk, directory: directory, identity: identity, options: options()).recovered
  }

  @Test("the new content up to every byte, stale content behind it: exactly the frames that are whole")
  func staleBehindEveryByte() throws {
    let log = try recycled(flushes: 30)
    #expect(log.stale.count == log.fresh.count && log.stale[6000...] != log.fresh[6000...])
    var random = SeededRandom(seed: 0)
    log.disk.crash(.keepEverything, random: &random)
    for cut in log.states[0].end...(log.states[log.states.count - 1].end + 100) {
      let disk = log.disk.copy()
      disk.setContents(log.path, Array(log.fresh[..<cut] + log.stale[cut...]))
      // Where the stale bytes happen to be the new ones, more is whole than was written.
      let whole = log.fresh.indices[cut...].first { log.fresh[$0] != log.stale[$0] } ?? log.fresh.count
      let expected = try #require(log.states.last { $0.end <= whole })
      let recovered = try open(disk)
      if let difference = recovered.difference(from: expected.content, purgedBelow: log.purgedBelow) {
        Issue.record("\(cut): \(difference)")
        return
      }
      // Once header and number are there, a torn frame is known as one; bare stale bytes are no news.
      if whole >= expected.end + 40, whole < log.states[log.states.count - 1].end {
        #expect(recovered.tailCut?.offset == expected.end)
      } else if whole == expected.end {
        #expect(recovered.tailCut == nil)
      }
    }
  }

  @Test("valid frames of the old segment, put right behind the new ones, are not taken for theirs")
  func transplantedFrames() throws {
    let log = try recycled(flushes: 5)
    var random = SeededRandom(seed: 0)
    log.disk.crash(.keepEverything, random: &random)
    let last = log.states[log.states.count - 1]
    var offset = 4096
    var tried = 0
    while offset + 56 < log.stale.count, log.stale[offset..<(offset + 4)].elementsEqual(Array("CWF1".utf8)) {
      let size = frameBytes(log.stale, at: offset)
      var bytes = log.fresh
      let count = min(log.stale.count - offset, bytes.count - last.end)
      bytes.replaceSubrange(last.end..<(last.end + count), with: log.stale[offset..<(offset + count)])
      let disk = log.disk.copy()
      disk.setContents(log.path, bytes)
      let recovered = try open(disk)
      #expect(recovered.difference(from: last.content, purgedBelow: log.purgedBelow) == nil)
      offset += size
      tried += 1
    }
    #expect(tried > 20)
  }

  @Test("damage to a synced frame of a recycled segment is refused, to the last one cut and reported")
  func flips() throws {
    let log = try recycled(flushes: 8)
    var random = SeededRandom(seed: 0)
    log.disk.crash(.keepEverything, random: &random)
    let last = log.states[log.states.count - 1]
    let beforeLast = log.states[log.states.count - 2]
    var cuts = 0
    for bit in 0..<((last.end + 200) * 8) {
      let disk = log.disk.copy()
      disk.flipBit(bit, of: log.path)
      do throws(LogError) {
        let recovered = try open(disk)
        if recovered.difference(from: last.content, purgedBelow: log.purgedBelow) == nil {
          if bit / 8 < last.end { Issue.record("bit \(bit) unnoticed") }
        } else {
          let isPrefix = recovered.difference(from: beforeLast.content, purgedBelow: log.purgedBelow) == nil
          if !isPrefix || recovered.tailCut?.offset != beforeLast.end {
            Issue.record("bit \(bit) changed the log")
          }
          cuts += 1
        }
      } catch {
        if error.namedFile != log.path || bit / 8 >= beforeLast.end { Issue.record("bit \(bit): \(error)") }
      }
    }
    #expect(cuts == (last.end - beforeLast.end) * 8)
  }
}
