import Disk
import Model
import Primitives
import Testing
import WriteAheadLog

/// Faults that etcd's log once had, each by the number of its issue. The exhaustive suites beside this one cover the
/// same ground without the names.
@Suite("Write-ahead log: past bugs of etcd")
struct PastBugTests {
  private func reopen(_ disk: SimulatedDisk, _ options: LogOptions) throws(LogError) -> RecoveredLog {
    try WriteAheadLog.open(disk: disk, directory: directory, identity: identity, options: options).recovered
  }

  /// Names that no directory sync made durable are gone after a power cut: a segment among them would take
  /// acknowledged entries along.
  @Test func aNewSegmentIsInItsDirectoryBeforeItIsUsed_6368() throws {
    let disk = SimulatedDisk()
    var random = SeededRandom(seed: 5)
    var life = try LogLife(disk, CrashTests.small)
    while life.log.counters.rolls < 3 {
      let entries = randomEntries(from: life.naive.next, count: 4, term: 2, dataBytesMax: 500, &random)
      try life.append(entries, HardState(term: 2, vote: 1, commit: entries[0].index))
      try life.flush()
      let copy = disk.copy()
      copy.crash(.loseEverything, random: &random)
      #expect(try reopen(copy, CrashTests.small).difference(from: life.acknowledged) == nil)
    }
  }

  /// The last record lies on several sectors, of which a power cut kept the first and the last.
  @Test func aRecordTornInItsMiddleIsATornTail_15069() throws {
    let disk = SimulatedDisk()
    let options = options(segmentBytes: 64 << 10, absence: .create)
    var random = SeededRandom(seed: 1)
    var life = try LogLife(disk, options)
    try life.append(
      randomEntries(from: 1, count: 3, term: 1, dataBytesMax: 100, &random),
      HardState(term: 1, vote: 1, commit: 0))
    try life.flush()
    let before = life.naive
    try life.append([Entry(term: 1, index: 4, data: (0..<3000).map { _ in random.byte() })], nil)
    disk.cutPower(atOperation: disk.operationCount + 1)
    #expect(throws: LogError.self) { try life.log.flush() }
    let sectors = disk.pendingUnits
    #expect(sectors >= 4)
    let copy = disk.copy()
    copy.crash(.subset(1 | 1 << UInt64(sectors - 1)), random: &random)
    let recovered = try reopen(copy, options)
    #expect(recovered.difference(from: before) == nil)
    #expect(recovered.tailCut != nil)
  }

  /// What the writer takes the reader reads: from one byte to far above the largest request of the defaults.
  @Test(arguments: [1, 1 << 20, 20 << 20])
  func whatWasAppendedCanBeReadAgain_14127(bytes: Int) throws {
    let disk = SimulatedDisk()
    let options = LogOptions(absence: .create, saltSeed: 1)
    var random = SeededRandom(seed: UInt64(bytes))
    let data = (0..<min(bytes, 1 << 20)).map { _ in random.byte() }
    let whole = Array(repeatElement(data, count: bytes / data.count).joined())
    let (log, _) = try WriteAheadLog.open(
      disk: disk, directory: directory, identity: identity, options: options)
    try log.append(
      entries: [Entry(term: 1, index: 1, data: whole)], hardState: HardState(term: 1, vote: 1, commit: 0))
    try log.flush()
    disk.crash(.loseEverything, random: &random)
    let recovered = try reopen(disk, options)
    #expect(recovered.entries.count == 1 && recovered.entries.first?.data == whole)
  }

  /// Lengths and indexes of any size, anywhere in the file: refused or cut, never a trap, never other entries
  /// (CVE-2020-15106, CVE-2020-15112).
  @Test(arguments: [UInt64.max, UInt64.max >> 1, 1 << 32, 0])
  func hugeNumbersAreRefused_10219(word: UInt64) throws {
    let log = try ScriptedLog(closed: false)
    var refused = 0
    for offset in stride(from: 0, to: log.end - 8, by: 12) {
      var bytes = log.contents
      for index in 0..<8 { bytes[offset + index] = UInt8(truncatingIfNeeded: word >> (8 * UInt64(index))) }
      guard bytes != log.contents else { continue }
      do throws(LogError) {
        let recovered = try reopen(log.disk(bytes), options())
        // A byte that nothing reads; or damage that reaches into the last frame, which may look like a tear.
        let reachesLast = offset + 8 > log.states[log.states.count - 2].end
        let isCut = reachesLast && recovered.difference(from: log.content(at: offset).content) == nil
        #expect(isCut || recovered.difference(from: log.last) == nil, "at \(offset)")
      } catch {
        #expect(error.namedFile == log.path, "at \(offset)")
        refused += 1
      }
    }
    #expect(refused > 500)
  }

  /// A length of zero in etcd's last segment reads as its end: everything behind it is dropped in silence.
  @Test func aZeroedFrameInTheMiddleIsNotTheEnd_14102() throws {
    let log = try ScriptedLog(closed: false)
    for index in 1..<(log.states.count - 2) {
      var bytes = log.contents
      for offset in log.states[index - 1].end..<log.states[index].end { bytes[offset] = 0 }
      #expect(throws: LogError.self, "frame \(index)") { try reopen(log.disk(bytes), options()) }
    }
  }
}

extension SeededRandom {
  fileprivate mutating func byte() -> UInt8 { UInt8.random(in: 0...255, using: &self) }
}
