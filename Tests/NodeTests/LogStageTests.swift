import Disk
import Model
import Raft
import Testing
import WriteAheadLog

@testable import Node

/// What the log keeps for other members, and when it gives that up.
@Suite struct LogStageTests {
  private static let entries: UInt64 = 400
  private static let catchUp: UInt64 = 10

  /// A log of 400 entries in segments of 16 KiB, all of them in the store.
  private func stage(holdBytesMax: Int = .max) throws -> (LogStage, SimulatedDisk) {
    let disk = SimulatedDisk()
    let (log, _) = try WriteAheadLog.open(
      disk: disk, directory: "/wal", identity: LogIdentity(clusterID: 1, memberID: 2),
      options: LogOptions(absence: .create, saltSeed: 3, segmentBytes: 16 << 10, compressionThreshold: .max))
    var stage = LogStage(log, appliedIndex: 0, catchUpEntries: Self.catchUp, holdBytesMax: holdBytesMax)
    for index in 1...Self.entries {
      let entry = Entry(term: 1, index: index, kind: .normal, data: [UInt8](repeating: 7, count: 300))
      try stage.append(
        LogAppend(sequence: index, entries: [entry], hardState: HardState(term: 1, vote: 2, commit: index)))
      _ = try stage.flush()
    }
    return (stage, disk)
  }

  private func read(_ stage: LogStage, behind previous: UInt64) throws -> [UInt64]? {
    let read = LogRead(peer: 3, previous: previous, last: Self.entries, bytesMax: 1_000)
    return try stage.read(read)?.entries.map(\.index)
  }

  @Test func whatAMemberNeedsIsKept() throws {
    var (stage, _) = try stage()
    try stage.purge(applied: Self.entries, needed: 100)
    #expect(stage.keptIndex == 90)
    #expect(try read(stage, behind: 100) == [101, 102, 103])
    // It got on.
    try stage.purge(applied: Self.entries, needed: 200)
    #expect(stage.keptIndex == 190)
    #expect(try read(stage, behind: 189) == nil)
    try stage.purge(applied: Self.entries, needed: nil)
    #expect(stage.keptIndex == 390)
    #expect(stage.log.size.segments == 1)
  }

  @Test func whatWasGivenUpStaysSo() throws {
    var (stage, _) = try stage()
    try stage.purge(applied: 390, needed: nil)
    try stage.purge(applied: Self.entries, needed: 300)
    #expect(stage.keptIndex == 380)
    // It may still be in the file.
    #expect(try read(stage, behind: 379) == nil)
    #expect(try read(stage, behind: 380) == [381, 382, 383])
  }

  @Test func tooMuchIsNotKept() throws {
    var (stage, _) = try stage(holdBytesMax: 40 << 10)
    #expect(stage.log.size.segmentBytes > 40 << 10)
    try stage.purge(applied: Self.entries, needed: 100)
    #expect(stage.keptIndex == 390)
  }

  @Test func aFullDiskIsNotFilledForOthers() throws {
    var (stage, disk) = try stage()
    disk.limitCapacity(bytes: 1)
    let preparation = try #require(stage.log.nextPreparation())
    #expect(throws: LogError.self) { try stage.adopt(preparation.run()) }
    try stage.purge(applied: Self.entries, needed: 100)
    #expect(stage.keptIndex == 390)
    // The purged segments become the files that it wanted.
    let again = try #require(stage.log.nextPreparation())
    try stage.adopt(again.run())
  }
}
