import Disk
import Model
import Primitives
import Testing
import WriteAheadLog

/// What a log refuses to open, and that it names it; and what it must not mistake for damage.
@Suite("Write-ahead log: refusals")
struct RefusalTests {
  /// A closed or crashed log of several segments of 16 KiB, no spares beside.
  private func segmented(closed: Bool) throws -> (disk: SimulatedDisk, content: NaiveLog, paths: [String]) {
    let disk = SimulatedDisk()
    var random = SeededRandom(seed: 5)
    var life = try LogLife(disk, CrashTests.small)
    while life.log.counters.rolls < 3 {
      let entries = randomEntries(from: life.naive.next, count: 4, term: 2, dataBytesMax: 500, &random)
      try life.append(entries, HardState(term: 2, vote: 1, commit: entries[0].index))
      try life.flush()
    }
    if closed { try life.log.close() }
    var crash = SeededRandom(seed: 0)
    disk.crash(.keepEverything, random: &crash)
    return (disk, life.naive, try segmentPaths(disk))
  }

  private func open(_ disk: SimulatedDisk, _ options: LogOptions = CrashTests.small) throws(LogError)
    -> RecoveredLog
  {
    try WriteAheadLog.open(disk: disk, directory: directory, identity: identity, options: options).recovered
  }

  @Test("an earlier segment cut at any byte is corrupt, by name; nothing is changed")
  func cutEarlierSegment() throws {
    let (disk, content, paths) = try segmented(closed: false)
    #expect(paths.count == 4)
    #expect(try open(disk.copy()).difference(from: content) == nil)
    let bytes = try #require(disk.contents(paths[1]))
    for cut in stride(from: 0, to: bytes.count, by: 7) {
      let copy = disk.copy()
      copy.setContents(paths[1], Array(bytes[..<cut]))
      do throws(LogError) {
        _ = try open(copy)
        Issue.record("cut at \(cut) was accepted")
      } catch {
        #expect(error.namedFile == paths[1])
        #expect(copy.contents(paths[1])?.count == cut)
      }
    }
  }

  @Test("a bit of an earlier segment: the same content, or refused by name", arguments: [true, false])
  func flipEarlierSegment(closed: Bool) throws {
    let (disk, content, paths) = try segmented(closed: closed)
    let bytes = try #require(disk.contents(paths[2]))
    var refused = 0
    for bit in stride(from: 0, to: bytes.count * 8, by: 3) {
      let copy = disk.copy()
      copy.flipBit(bit, of: paths[2])
      do throws(LogError) {
        if let difference = try open(copy).difference(from: content) {
          Issue.record("bit \(bit): \(difference)")
        }
      } catch {
        refused += 1
        if error.namedFile != paths[2] { Issue.record("bit \(bit): \(error)") }
      }
    }
    #expect(refused > bytes.count)
  }

  @Test("sectors and pages filled with zeros, ones or stale content", arguments: [true, false])
  func fills(closed: Bool) throws {
    let log = try ScriptedLog(closed: closed)
    let lastFrame = log.states[log.states.count - 2].end..<log.end
    let stale = try ScriptedLog(closed: true, seed: 99).contents
    for unit in [512, 4096] {
      for start in stride(from: 0, to: log.contents.count, by: unit) {
        for fill in 0..<3 {
          var bytes = log.contents
          let range = start..<(start + unit)
          bytes.replaceSubrange(
            range,
            with: fill == 2 ? Array(stale[range]) : [UInt8](repeating: fill == 0 ? 0 : 0xff, count: unit))
          let disk = log.disk(bytes)
          do throws(LogError) {
            let recovered = try open(disk)
            if recovered.difference(from: log.last) == nil { continue }
            // Without the close marks nothing is left that tells of the last frames when one sector held them all.
            let isPrefix = recovered.difference(from: log.content(at: start).content) == nil
            #expect(!closed && isPrefix && lastFrame.overlaps(range), "\(start), fill \(fill)")
          } catch {
            // The other scripted log has the same ids and salts: its header is valid, its frames do not chain.
            #expect(error.namedFile == log.path, "\(start), fill \(fill): \(error)")
          }
        }
      }
    }
  }

  @Test("missing segments: between others, the last one, all of them")
  func missing() throws {
    let (disk, content, paths) = try segmented(closed: false)
    for index in 1..<4 {
      let copy = disk.copy()
      try copy.remove(paths[index])
      #expect(throws: LogError.segmentMissing(directory: directory, sequence: UInt64(index + 1))) {
        try open(copy)
      }
    }
    // Without the first the rest is a log that was purged: the caller compares with what it needs.
    var copy = disk.copy()
    try copy.remove(paths[0])
    let recovered = try open(copy)
    #expect(recovered.firstIndexKept > 1)
    #expect(recovered.difference(from: content, purgedBelow: recovered.firstIndexKept) == nil)
    copy = disk.copy()
    for path in paths { try copy.remove(path) }
    _ = try copy.open("\(directory)/0000000000000009.used", .create)
    #expect(throws: LogError.missing(directory: directory)) { try open(copy) }
    var refusing = CrashTests.small
    refusing.absence = .refuse
    let empty = SimulatedDisk()
    #expect(throws: LogError.missing(directory: directory)) { try open(empty, refusing) }
    try empty.createDirectories(directory)
    #expect(throws: LogError.missing(directory: directory)) { try open(empty, refusing) }
  }

  @Test("the log of another member or cluster, a strange name, an unknown version")
  func foreign() throws {
    let (disk, _, paths) = try segmented(closed: true)
    let other = LogIdentity(clusterID: 0xc1, memberID: 0xff)
    #expect(throws: LogError.foreign(file: paths[0], found: identity, expected: other)) {
      try WriteAheadLog.open(
        disk: disk.copy(), directory: directory, identity: other, options: CrashTests.small)
    }
    var copy = disk.copy()
    try copy.rename(paths[0], to: "\(directory)/0000000000000000-0000000000000001.wal")
    #expect(throws: LogError.self) { try open(copy) }
    copy = disk.copy()
    _ = try copy.open("\(directory)/7-1.wal", .create)
    #expect(
      throws: LogError.corrupt(
        file: "\(directory)/7-1.wal", offset: 0, reason: "the name is not one of a segment")
    ) { try open(copy) }
    copy = disk.copy()
    var bytes = try #require(disk.contents(paths[0]))
    bytes[8] = 2
    copy.setContents(paths[0], bytes)
    #expect(throws: LogError.unknownFormat(file: paths[0], version: 2)) { try open(copy) }
  }

  @Test("a log that ends below what was durable elsewhere is refused, and left as it is")
  func endsEarly() throws {
    let log = try ScriptedLog(closed: false)
    let beforeLast = log.states[log.states.count - 2]
    var bytes = log.contents
    bytes[beforeLast.end + 60] ^= 1
    let disk = log.disk(bytes)
    var options = options()
    options.durableIndex = log.last.next - 1
    let lastIndex = beforeLast.content.next - 1
    #expect(
      throws: LogError.endsEarly(
        directory: directory, lastIndex: lastIndex, durableIndex: options.durableIndex)
    ) { try open(disk, options) }
    #expect(disk.contents(log.path) == bytes)
    options.durableIndex = lastIndex
    #expect(try open(disk, options).tailCut?.offset == beforeLast.end)
  }

  @Test("a directory in use is refused; a failing read is an error")
  func lockedAndUnreadable() throws {
    let disk = SimulatedDisk()
    do {
      let life = try LogLife(disk, CrashTests.small)
      #expect(throws: LogError.locked(directory: directory)) { try open(disk) }
      try life.log.close()
      #expect(throws: LogError.closed) { try life.log.flush() }
    }
    #expect(try open(disk).wasClean)
    disk.failAtRandom(1, in: 1, operations: [.read])
    #expect(throws: LogError.self) { try open(disk) }
    disk.failAtRandom(0, in: 1, operations: [])
    #expect(try open(disk).wasClean)
  }

  @Test("entries below the first one needed are verified, not handed out")
  func firstIndexNeeded() throws {
    let (disk, content, paths) = try segmented(closed: true)
    var options = CrashTests.small
    options.firstIndexNeeded = content.next - 3
    let recovered = try open(disk.copy(), options)
    #expect(recovered.entries.count == 3 && recovered.firstIndex == content.next - 3)
    #expect(recovered.firstIndexKept == 1 && recovered.lastIndex == content.next - 1)
    #expect(recovered.difference(from: content) == nil)
    options.firstIndexNeeded = content.next + 100
    #expect(try open(disk.copy(), options).entries.isEmpty)
    disk.flipBit(5000 * 8, of: paths[0])
    #expect(throws: LogError.self) { try open(disk, options) }
  }

  @Test("one flush writes once and syncs once; an idle flush touches nothing")
  func oneWriteOneSync() throws {
    let disk = SimulatedDisk()
    let (log, _) = try WriteAheadLog.open(
      disk: disk, directory: directory, identity: identity, options: options(absence: .create))
    try log.append(
      entries: [Entry(term: 1, index: 1, data: [1])], hardState: HardState(term: 1, vote: 1, commit: 0))
    try log.append(
      entries: [Entry(term: 1, index: 2, data: [2])], hardState: HardState(term: 1, vote: 1, commit: 2))
    #expect(log.hasUnflushed)
    let before = disk.operationCount
    #expect(try log.flush() > 0)
    #expect(disk.operationCount == before + 2)
    #expect(try log.flush() == 0 && !log.hasUnflushed)
    #expect(disk.operationCount == before + 2)
  }
}
