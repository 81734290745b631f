import Disk
import Node
import Primitives
import Store
import Testing

/// The switch to a defragmented store file: power cuts and errors at each of its operations.
@Suite struct StoreSwitchTests {
  private enum Outcome: Equatable {
    case adopted
    case refused
    case unknown
  }

  /// A member whose new store file is complete and synced, but for its name.
  private func member(_ disk: SimulatedDisk) throws -> DefragmentPlan {
    let directory = try DataDirectory.open("/data", walPath: nil, disk: disk)
    try make(directory.storePath, disk)
    try disk.syncDirectory("/data/member/store")
    let plan = directory.defragmentPlan(disk: disk)
    try make(plan.path, disk)
    return plan
  }

  private func make(_ path: String, _ disk: SimulatedDisk) throws {
    let file = try disk.open(path, .create)
    try file.write(Array(path.utf8), at: 0)
    try file.syncData()
    file.close()
  }

  private func adopt(_ plan: DefragmentPlan) -> Outcome {
    do throws(AdoptionError) {
      try plan.adopt()
      return .adopted
    } catch {
      switch error {
      case .refused: return .refused
      case .unknown: return .unknown
      }
    }
  }

  /// The number of disk operations of a switch.
  private func operations() throws -> Int {
    let disk = SimulatedDisk()
    let plan = try member(disk)
    let before = disk.operationCount
    #expect(adopt(plan) == .adopted)
    return disk.operationCount - before
  }

  private func check(_ disk: SimulatedDisk, _ outcome: Outcome, _ path: String) throws {
    let directory = try DataDirectory.open("/data", walPath: nil, disk: disk)
    switch outcome {
    case .adopted: #expect(directory.storePath == path)
    case .refused: #expect(directory.storePath != path)
    case .unknown: break
    }
    #expect(disk.contents(directory.storePath) == Array(directory.storePath.utf8))
    #expect(try disk.list("/data/member/store").count == 1)
    #expect(try !disk.exists("/data/member/CURRENT.new"))
    directory.close()
  }

  @Test(arguments: 0..<8 as Range<UInt64>)
  func `a power cut at any operation leaves the old store or the new one (14685, 6368)`(seed: UInt64) throws {
    let count = try operations()
    #expect(count >= 6)
    var random = SeededRandom(seed: seed)
    for number in 0...count {
      let disk = SimulatedDisk(seed: seed)
      let plan = try member(disk)
      disk.cutPower(atOperation: disk.operationCount + number)
      let outcome = adopt(plan)
      #expect((outcome == .adopted) == (number == count))
      disk.crash(.random, random: &random)
      try check(disk, outcome, plan.path)
    }
  }

  @Test(arguments: 0..<8 as Range<UInt64>)
  func `an error at any operation says which store a start would open (18810)`(seed: UInt64) throws {
    let count = try operations()
    for number in 0..<count {
      let disk = SimulatedDisk(seed: seed)
      let plan = try member(disk)
      disk.fail(operation: disk.operationCount + number, with: .noSpace)
      let outcome = adopt(plan)
      #expect(outcome != .adopted)
      // The member ends in order here; the lock goes with its process.
      let copy = disk.copy()
      var random = SeededRandom(seed: seed)
      copy.crash(.keepEverything, random: &random)
      try check(copy, outcome, plan.path)
    }
  }
}
