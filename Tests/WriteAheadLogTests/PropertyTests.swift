import Disk
import Model
import Primitives
import Testing
import WriteAheadLog

/// Random lives against the naive log.
@Suite("Write-ahead log: random appends, conflicts, purges and crashes against a naive log")
struct PropertyTests {
  static let seeds = 240

  @Test("random life", arguments: 0..<8)
  func randomLives(chunk: Int) throws {
    for seed in stride(from: chunk, to: Self.seeds, by: 8) {
      if let failure = try randomLife(seed: UInt64(seed)) {
        Issue.record("seed \(seed): \(failure)")
        return
      }
    }
  }

  private func randomLife(seed: UInt64) throws -> String? {
    var random = SeededRandom(seed: seed)
    let disk = SimulatedDisk(seed: seed)
    var life: LogLife?
    for _ in 0..<12 {
      let options = randomOptions(&random)
      let opened: LogLife
      do throws(LogError) {
        let (log, recovered) = try WriteAheadLog.open(
          disk: disk, directory: directory, identity: identity, options: options)
        if let life, let difference = life.difference(recovered) { return difference }
        _ = log
      } catch {
        return "open: \(error)"
      }
      opened = try LogLife(disk, options)
      var current = opened
      if random.chance(1, in: 3) {
        disk.cutPower(atOperation: disk.operationCount + Int.random(in: 0..<200, using: &random))
      }
      do throws(LogError) {
        for _ in 0..<Int.random(in: 1...60, using: &random) { try step(&current, &random) }
        if random.chance(1, in: 4) {
          try current.flush()
          try current.log.close()
        }
      } catch {
        guard case .disk = error else { return "\(error)" }
      }
      life = current
      disk.crash(.random, random: &random)
    }
    return nil
  }

  private func randomOptions(_ random: inout SeededRandom) -> LogOptions {
    var options = options(
      segmentBytes: [16 << 10, 32 << 10, 64 << 10].randomElement(using: &random) ?? 16 << 10,
      frameBytes: [200, 2000, 1 << 20].randomElement(using: &random) ?? 2000, absence: .create,
      compressionThreshold: [64, 1024].randomElement(using: &random) ?? 64)
    options.spareSegments = Int.random(in: 0...2, using: &random)
    return options
  }

  private func step(_ life: inout LogLife, _ random: inout SeededRandom) throws(LogError) {
    let commit = life.naive.hardState.commit
    switch Int.random(in: 0..<20, using: &random) {
    case 0..<10: try append(&life, from: life.naive.next, &random)
    case 10, 11:
      // A conflict anywhere above the commit index.
      let lowest = max(commit + 1, life.naive.start)
      if lowest < life.naive.next {
        life.term += 1
        try append(&life, from: UInt64.random(in: lowest..<life.naive.next, using: &random), &random)
      }
    case 12:
      life.term += 1
      try life.append(
        [], HardState(term: life.term, vote: UInt64.random(in: 0...3, using: &random), commit: commit))
    case 13: try life.append(ConfState(voters: [1, UInt64.random(in: 2...9, using: &random)]))
    case 14:
      if commit > 0 { try life.mark(metadata(commit, term: life.term)) }
    case 15:
      if random.chance(1, in: 4) {
        let index = life.naive.next + UInt64.random(in: 0...20, using: &random)
        try life.reset(to: metadata(index, term: life.term))
        try life.append([], HardState(term: life.term, vote: 1, commit: index))
      }
    case 16:
      try life.flush()
      try life.purge(below: commit > 10 ? commit - 10 : 0)
    case 17: try life.log.prepareNextSegment()
    default:
      try life.flush()
      try read(life, &random)
    }
  }

  /// Committed entries come back as they were written, from anywhere and going on where the last read ended.
  private func read(_ life: LogLife, _ random: inout SeededRandom) throws(LogError) {
    let naive = life.naive
    let last = min(naive.hardState.commit, naive.next - 1)
    guard last > naive.start else { return }
    var previous = UInt64.random(in: naive.start..<last, using: &random)
    let bytesMax = Int.random(in: 0...3000, using: &random)
    for _ in 0..<4 where previous < last {
      guard let found = try life.log.read(after: previous, through: last, bytesMax: bytesMax) else {
        #expect(previous < life.log.firstReadableIndex)
        return
      }
      #expect(previous >= life.log.firstReadableIndex)
      #expect(found.previousTerm == naive.entries(from: previous).first?.term)
      #expect(found.entries == Array(naive.entries(from: previous + 1).prefix(found.entries.count)))
      let bytes = found.entries.reduce(0) { $0 + $1.encodedSize }
      #expect(!found.entries.isEmpty && (bytes <= bytesMax || found.entries.count == 1))
      let isWhole = found.entries.last?.index == last
      let next = naive.entries(from: previous + 1 + UInt64(found.entries.count)).first?.encodedSize ?? 0
      #expect(isWhole || bytes + next > bytesMax, "as many as fit")
      previous += UInt64(found.entries.count)
    }
  }

  private func append(
    _ life: inout LogLife, from index: UInt64, _ random: inout SeededRandom
  ) throws(LogError) {
    let entries = randomEntries(
      from: index, count: Int.random(in: 1...8, using: &random), term: life.term, dataBytesMax: 600, &random)
    var hardState: HardState?
    if random.chance(2, in: 3) {
      let last = entries[entries.count - 1].index
      let old = life.naive.hardState
      let commit = UInt64.random(in: old.commit...max(old.commit, last), using: &random)
      hardState = HardState(term: max(old.term, life.term), vote: old.vote, commit: commit)
    }
    try life.append(entries, hardState)
  }
}
