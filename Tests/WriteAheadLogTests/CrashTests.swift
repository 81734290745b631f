import Disk
import Model
import Primitives
import Testing
import WriteAheadLog

/// Crashes and failing disks at every operation of a log's life: creation, appends, rolls, purges, recycling, closing.
@Suite("Write-ahead log: crashes and disk errors at every operation")
struct CrashTests {
  static let small = options(segmentBytes: 16 << 10, frameBytes: 2 << 10, absence: .create)

  /// A life with several rolls, purges, recycled segments, a received snapshot, a clean close and a second run.
  /// Stops at the first error; `life` then tells what had been acknowledged.
  private func live(_ disk: SimulatedDisk, _ life: inout LogLife?) throws(LogError) {
    var random = SeededRandom(seed: 7)
    for run in 0..<2 {
      // The life stays what it was until the log is open again: an open that fails has acknowledged nothing new.
      let opened = try LogLife(disk, Self.small)
      var current = opened
      current.purgedBelow = max(current.purgedBelow, life?.purgedBelow ?? 0)
      life = current
      for step in 0..<30 {
        let first = life?.naive.next ?? 1
        let term = UInt64(run * 10 + step / 10 + 1)
        let entries = randomEntries(from: first, count: 1 + step % 4, term: term, dataBytesMax: 900, &random)
        let commit = first + UInt64(entries.count) - 1
        try life?.append(entries, HardState(term: term, vote: 0xa1, commit: commit))
        if step % 9 == 8 { try life?.mark(metadata(commit, term: term)) }
        try life?.flush()
        if step % 6 == 5 {
          try life?.purge(below: commit > 8 ? commit - 8 : 0)
          try life?.log.prepareNextSegment()
        }
        if step == 20 {
          try life?.reset(to: metadata(commit + 50, term: term))
          let hardState = HardState(term: term, vote: 0xa1, commit: commit + 50)
          try life?.append([], hardState)
          try life?.flush()
        }
      }
      try life?.log.close()
    }
  }

  private func operations() throws -> Int {
    let disk = SimulatedDisk()
    var life: LogLife?
    try live(disk, &life)
    let count = disk.operationCount
    #expect((life?.log.counters.rolls ?? 0) >= 2, "the script rolls")
    return count
  }

  /// Opens after a crash and checks; then the log must go on working.
  private func check(_ disk: SimulatedDisk, _ life: LogLife?, _ random: inout SeededRandom) -> String? {
    do throws(LogError) {
      let (log, recovered) = try WriteAheadLog.open(
        disk: disk, directory: directory, identity: identity, options: Self.small)
      if let life, let difference = life.difference(recovered) { return difference }
      if life == nil, recovered.lastIndex != 0 { return "entries before any were appended" }
      let entry = Entry(term: 1000, index: recovered.lastIndex + 1, data: [7])
      try log.append(entries: [entry], hardState: nil)
      try log.flush()
      disk.crash(.random, random: &random)
      let (again, second) = try WriteAheadLog.open(
        disk: disk, directory: directory, identity: identity, options: Self.small)
      if second.entries.last != entry { return "the first entry after the recovery was lost" }
      try again.prepareNextSegment()
      let names = try disk.listOrEmpty(directory)
      if names.contains(where: { $0.hasSuffix(".tmp") }) { return "a temporary file was left: \(names)" }
      return nil
    } catch {
      return "\(error)"
    }
  }

  @Test("the power is cut at every operation; any part of what was not synced survives", arguments: 0..<4)
  func powerCuts(chunk: Int) throws {
    let count = try operations()
    var random = SeededRandom(seed: UInt64(chunk))
    for cut in stride(from: chunk, to: count, by: 4) {
      let disk = SimulatedDisk(seed: UInt64(cut))
      disk.cutPower(atOperation: cut)
      var life: LogLife?
      do throws(LogError) {
        try live(disk, &life)
        Issue.record("no power cut at \(cut)")
      } catch {
        #expect(error != .poisoned)
      }
      let outcomes: [CrashOutcome] = [.loseEverything, .keepEverything, .random, .random, .random, .random]
      for (number, outcome) in outcomes.enumerated() {
        let copy = disk.copy()
        copy.crash(outcome, random: &random)
        if let failure = check(copy, life, &random) {
          Issue.record("cut at operation \(cut), outcome \(number): \(failure)")
          return
        }
      }
    }
  }

  @Test(
    "every operation fails once: nothing is acknowledged after it, and a restart has what was",
    arguments: [DiskError.Code.inputOutput, .noSpace])
  func failures(code: DiskError.Code) throws {
    let count = try operations()
    var random = SeededRandom(seed: 11)
    for number in 0..<count {
      let disk = SimulatedDisk(seed: UInt64(number))
      disk.fail(operation: number, with: code)
      var life: LogLife?
      do throws(LogError) {
        try live(disk, &life)
        Issue.record("operation \(number) failed unnoticed")
      } catch {
        guard case .disk(let cause) = error else {
          Issue.record("operation \(number): \(error)")
          continue
        }
        #expect(cause.code == code)
        checkPoisoned(life, cause)
      }
      // First a restart of the process alone: what the kernel still holds may not be on the disk.
      let disks = [disk.copy(), disk.copy()]
      disks[0].crash(.keepEverything, random: &random)
      disks[1].crash(.random, random: &random)
      for disk in disks {
        if let failure = check(disk, life, &random) {
          Issue.record("operation \(number) failed with \(code.rawValue): \(failure)")
          return
        }
      }
    }
  }

  /// After a failed flush nothing works; a failed preparation leaves the log usable.
  private func checkPoisoned(_ life: LogLife?, _ cause: DiskError) {
    guard let life, !life.since.isEmpty, cause.operation == .write || cause.operation == .sync else { return }
    #expect(throws: LogError.poisoned) { try life.log.flush() }
    #expect(throws: LogError.poisoned) { try life.log.append(entries: [], hardState: HardState()) }
    #expect(throws: LogError.poisoned) { try life.log.close() }
  }

  @Test("every subset of the sectors of an unsynced flush", arguments: [1, 5, 12])
  func sectorSubsets(entryCount: Int) throws {
    for (seed, multipleFrames) in [(1, false), (2, true), (3, false), (4, true)] {
      var random = SeededRandom(seed: UInt64(seed))
      let disk = SimulatedDisk()
      let options = options(
        segmentBytes: 64 << 10, frameBytes: multipleFrames ? 700 : 1 << 20, absence: .create)
      var life = try LogLife(disk, options)
      for round in 1...3 {
        let entries = randomEntries(
          from: life.naive.next, count: 3, term: UInt64(round), dataBytesMax: 300, &random)
        try life.append(entries, HardState(term: UInt64(round), vote: 1, commit: UInt64(round)))
        try life.flush()
      }
      // The next flush supersedes the last two entries, then its sync never happens.
      let entries = randomEntries(
        from: life.naive.next - 2, count: entryCount, term: 9, dataBytesMax: 4000 / entryCount, &random)
      try life.append(entries, HardState(term: 9, vote: 2, commit: 5))
      disk.cutPower(atOperation: disk.operationCount + 1)
      #expect(throws: LogError.self) { try life.log.flush() }
      let units = disk.pendingUnits
      #expect(units >= 1 && units <= 12)
      for subset in 0..<(UInt64(1) << UInt64(units)) {
        let copy = disk.copy()
        copy.crash(.subset(subset), random: &random)
        if let failure = check(copy, life, &random) {
          Issue.record("sectors \(String(subset, radix: 2)) of \(units): \(failure)")
          return
        }
      }
    }
  }
}

extension SimulatedDisk {
  func listOrEmpty(_ directory: String) throws(LogError) -> [String] {
    do throws(DiskError) { return try list(directory) } catch { throw .disk(error) }
  }
}
