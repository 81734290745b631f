import Disk
import Primitives
import Testing

/// What a power cut keeps and loses on the simulated disk, and the faults one can ask it for.
@Suite("Simulated disk")
struct SimulatedDiskTests {
  private func file(_ disk: SimulatedDisk, _ bytes: [UInt8]) throws -> any DiskFile {
    let file = try disk.open("/file", .create)
    try file.write(bytes, at: 0)
    try file.syncData()
    try disk.syncDirectory("/")
    return file
  }

  @Test("what was synced stays, what was not is lost")
  func synced() throws {
    var random = SeededRandom(seed: 1)
    let disk = SimulatedDisk()
    let file = try file(disk, [1, 2, 3])
    try file.write([9, 9, 9, 9], at: 1)
    try file.truncate(to: 2)
    disk.crash(.loseEverything, random: &random)
    #expect(disk.contents("/file") == [1, 2, 3])
    #expect(throws: DiskError(.write, "/file", .badHandle)) { try file.write([1], at: 0) }
  }

  @Test("a name is lost without a directory sync, and so is a rename: the old state is intact")
  func names() throws {
    var random = SeededRandom(seed: 1)
    let disk = SimulatedDisk()
    _ = try file(disk, [1])
    let other = try disk.open("/new", .create)
    try other.write([2], at: 0)
    try other.syncData()
    var copy = disk.copy()
    copy.crash(.loseEverything, random: &random)
    #expect(try copy.list("/") == ["file"], "synced bytes do not make a name durable")
    try disk.syncDirectory("/")
    try disk.rename("/new", to: "/file")
    #expect(disk.contents("/file") == [2])
    copy = disk.copy()
    copy.crash(.loseEverything, random: &random)
    #expect(copy.contents("/file") == [1] && copy.contents("/new") == [2])
    try disk.syncDirectory("/")
    disk.crash(.loseEverything, random: &random)
    #expect(disk.contents("/file") == [2] && disk.contents("/new") == nil)
    try disk.remove("/file")
    disk.crash(.loseEverything, random: &random)
    #expect(disk.contents("/file") == [2], "a removal is undone too")
  }

  @Test("files of a directory whose own name is lost are lost")
  func directories() throws {
    var random = SeededRandom(seed: 1)
    let disk = SimulatedDisk()
    try disk.createDirectory("/d")
    _ = try disk.open("/d/f", .create)
    try disk.syncDirectory("/d")
    disk.crash(.loseEverything, random: &random)
    #expect(try disk.list("/").isEmpty)
    try disk.createDirectories("/a/b")
    disk.crash(.loseEverything, random: &random)
    #expect(try disk.exists("/a/b"))
  }

  @Test("every subset of sectors of an unsynced write is reachable, and nothing else")
  func subsets() throws {
    var random = SeededRandom(seed: 1)
    let disk = SimulatedDisk()
    let file = try file(disk, [UInt8](repeating: 1, count: 2048))
    try file.write([UInt8](repeating: 2, count: 1200), at: 300)
    #expect(disk.pendingUnits == 3)
    let pieces = [300..<512, 512..<1024, 1024..<1500]
    for subset in 0..<8 {
      let copy = disk.copy()
      copy.crash(.subset(UInt64(subset)), random: &random)
      var expected = [UInt8](repeating: 1, count: 2048)
      for (bit, piece) in pieces.enumerated() where subset >> bit & 1 == 1 {
        for index in piece { expected[index] = 2 }
      }
      #expect(copy.contents("/file") == expected)
    }
    var seen: Set<[UInt8]> = []
    for _ in 0..<300 {
      let copy = disk.copy()
      copy.crash(.random, random: &random)
      seen.insert(copy.contents("/file") ?? [])
    }
    #expect(seen.count == 8, "random crashes reach every state")
  }

  @Test("after a failed sync a later one that succeeds makes nothing of it durable")
  func failedSync() throws {
    var random = SeededRandom(seed: 1)
    let disk = SimulatedDisk()
    let file = try file(disk, [1])
    try file.write([2], at: 0)
    disk.failNextOperation(with: .inputOutput)
    #expect(throws: DiskError(.sync, "/file", .inputOutput)) { try file.syncData() }
    try file.syncData()
    #expect(disk.contents("/file") == [2])
    let copy = disk.copy()
    copy.crash(.loseEverything, random: &random)
    #expect(copy.contents("/file") == [1])
    try file.write([2], at: 0)
    try file.syncData()
    disk.crash(.loseEverything, random: &random)
    #expect(disk.contents("/file") == [2], "written again it is")
  }

  @Test("a power cut stops every later operation until the crash")
  func powerCut() throws {
    var random = SeededRandom(seed: 1)
    let disk = SimulatedDisk()
    let file = try file(disk, [1])
    disk.cutPower(atOperation: disk.operationCount + 1)
    try file.write([2], at: 0)
    #expect(throws: DiskError(.sync, "/file", .powerOff)) { try file.syncData() }
    #expect(throws: DiskError(.list, "/", .powerOff)) { try disk.list("/") }
    #expect(throws: DiskError(.write, "/file", .powerOff)) { try file.write([3], at: 0) }
    var results: Set<[UInt8]> = []
    for _ in 0..<40 {
      let copy = disk.copy()
      copy.crash(.random, random: &random)
      results.insert(copy.contents("/file") ?? [])
    }
    #expect(results == [[1], [2]])
  }

  @Test("a full disk, random errors, locks")
  func faults() throws {
    var random = SeededRandom(seed: 1)
    let disk = SimulatedDisk(seed: 3)
    let file = try file(disk, [1, 2])
    disk.limitCapacity(bytes: 4)
    #expect(throws: DiskError(.write, "/file", .noSpace)) { try file.write([1, 2, 3, 4, 5], at: 0) }
    try file.write([1, 2, 3, 4], at: 0)
    disk.failAtRandom(1, in: 2, operations: [.sync])
    var failures = 0
    for _ in 0..<100 {
      do throws(DiskError) { try file.syncData() } catch { failures += 1 }
    }
    #expect(failures > 25 && failures < 75)
    let lock = try disk.lock("/lock")
    #expect(throws: DiskError(.lock, "/lock", .locked)) { try disk.lock("/lock") }
    disk.crash(.keepEverything, random: &random)
    let second = try disk.lock("/lock")
    lock.release()
    #expect(throws: DiskError(.lock, "/lock", .locked)) { try disk.lock("/lock") }
    second.release()
    try disk.lock("/lock").release()
  }

  @Test("the same seed gives the same crashes")
  func deterministic() throws {
    func run() throws -> [[UInt8]?] {
      var random = SeededRandom(seed: 5)
      let disk = SimulatedDisk(seed: 9)
      var results: [[UInt8]?] = []
      for round in 0..<20 {
        let path = "/\(round)"
        let file = try disk.open(path, .create)
        try file.write([UInt8](repeating: UInt8(round), count: 3000), at: round * 7)
        if round % 3 == 0 { try disk.syncDirectory("/") }
        disk.crash(.random, random: &random)
        results.append(disk.contents(path))
      }
      return results
    }
    #expect(try run() == run())
  }
}
