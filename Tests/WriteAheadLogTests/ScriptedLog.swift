import Disk
import Model
import Primitives
import WriteAheadLog

/// The size of the frame at an offset of a segment's bytes.
func frameBytes(_ bytes: [UInt8], at offset: Int) -> Int {
  let stored = bytes[(offset + 16)..<(offset + 20)].reversed().reduce(0) { $0 << 8 | Int($1) }
  return 56 + (stored + 7) / 8 * 8
}

/// A log of one segment of 64 KiB, nearly full, with every kind of record, and what it held after each frame.
struct ScriptedLog {
  static let segmentBytes = 64 << 10
  static let headerBytes = 4096

  let disk = SimulatedDisk()
  let path: String
  /// Where each frame ends, and the log's content up to there.
  private(set) var states: [(end: Int, content: NaiveLog)] = [(headerBytes, NaiveLog())]
  private(set) var contents: [UInt8]

  var last: NaiveLog { states[states.count - 1].content }
  var end: Int { states[states.count - 1].end }

  /// The content after the frames that end at or before `offset`.
  func content(at offset: Int) -> (end: Int, content: NaiveLog) {
    states.last { $0.end <= offset } ?? states[0]
  }

  init(closed: Bool, seed: UInt64 = 1) throws {
    var random = SeededRandom(seed: seed)
    let (log, _) = try WriteAheadLog.open(
      disk: disk, directory: directory, identity: identity,
      options: options(segmentBytes: Self.segmentBytes, absence: .create))
    var naive = NaiveLog()
    var term: UInt64 = 1
    var step = 0
    while Self.headerBytes + log.counters.writtenBytes < Self.segmentBytes - 5500 {
      step += 1
      try Self.write(step, &naive, &term, log, &random)
      try log.flush()
      states.append((Self.headerBytes + log.counters.writtenBytes, naive))
    }
    path = try segmentPaths(disk)[0]
    if closed { try log.close() }
    contents = disk.contents(path) ?? []
    while end + 56 <= contents.count, contents[end] != 0 {
      states.append((end + frameBytes(contents, at: end), naive))
    }
    var crash = SeededRandom(seed: 0)
    disk.crash(.keepEverything, random: &crash)
  }

  private static func write(
    _ step: Int, _ naive: inout NaiveLog, _ term: inout UInt64, _ log: WriteAheadLog,
    _ random: inout SeededRandom
  ) throws {
    var first = naive.next
    if step % 7 == 0, naive.hardState.commit + 2 < naive.next {
      // A new leader's entries supersede the last ones.
      first = naive.next - 2
      term += 1
    }
    if step % 23 == 22 {
      let snapshot = metadata(naive.next + 10, term: term, voters: [0xa1, 0xb2])
      try log.reset(to: snapshot)
      naive.reset(to: snapshot)
      first = naive.next
      naive.hardState.commit = snapshot.index
    }
    let large = step % 5 == 0
    let entries = randomEntries(
      from: first, count: large ? 12 : 1 + step % 3, term: term, dataBytesMax: large ? 200 : 300, &random)
    naive.append(entries)
    if step % 3 > 0 || step % 23 == 22 {
      let commit = max(naive.hardState.commit, naive.next - 1 - UInt64(step % 4))
      naive.hardState = HardState(
        term: term, vote: step % 2 == 0 ? 0xa1 : 0, commit: min(commit, naive.next - 1))
      try log.append(entries: entries, hardState: naive.hardState)
    } else {
      try log.append(entries: entries, hardState: nil)
    }
    if step % 11 == 0 {
      let snapshot = metadata(naive.hardState.commit, term: term)
      try log.markSnapshot(snapshot)
      naive.mark(snapshot)
    }
    if step % 13 == 0 {
      naive.confState = ConfState(voters: [0xa1, UInt64(step)])
      try log.append(confState: ConfState(voters: [0xa1, UInt64(step)]))
    }
  }

  /// A disk that holds the log with these bytes in its segment.
  func disk(_ bytes: [UInt8]) -> SimulatedDisk {
    let copy = disk.copy()
    copy.setContents(path, bytes)
    return copy
  }
}
