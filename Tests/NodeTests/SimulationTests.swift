import Foundation
import Testing

/// Whole members under virtual time with crashes and lost writes.
///
/// `CAIRN_SEED=n` runs one seed, `CAIRN_SEEDS=n` that many.
@Suite struct SimulationTests {
  private static let blocks = 8
  private static var seeds: ClosedRange<UInt64> {
    let environment = ProcessInfo.processInfo.environment
    if let seed = environment["CAIRN_SEED"].flatMap(UInt64.init) { return seed...seed }
    return 1...(environment["CAIRN_SEEDS"].flatMap(UInt64.init) ?? 240)
  }

  @Test(arguments: 0..<blocks)
  func acknowledgedWritesSurvive(block: Int) throws {
    var totals = Totals()
    for seed in Self.seeds where Int(seed % UInt64(Self.blocks)) == block {
      do {
        let simulation = try Simulation(seed: seed)
        try simulation.run()
        totals.add(simulation)
        // Twice is what shows that a seed replays; a part of the seeds is enough for that.
        if seed % 64 < 8 || Self.seeds.count == 1 {
          let again = try Simulation(seed: seed)
          try again.run()
          #expect(again.trace == simulation.trace, "seed \(seed) took another course the second time")
        }
      } catch {
        Issue.record(
          "seed \(seed): \(error)\nCAIRN_SEED=\(seed) swift test -c release --filter SimulationTests")
      }
    }
    if Self.seeds.count >= 10 * Self.blocks { totals.expectBreadth() }
    print("simulation block \(block): \(totals)")
  }
}

/// What the runs of a block met: a simulation in which nothing happens proves nothing.
private struct Totals: CustomStringConvertible {
  var seeds = 0
  var crashes = 0
  var commits = 0
  var cleanStops = 0
  var writes = 0
  var reads = 0
  var entries = 0

  mutating func add(_ simulation: Simulation) {
    seeds += 1
    crashes += simulation.crashes
    commits += simulation.commits
    cleanStops += simulation.cleanStops
    writes += simulation.history.answeredWrites
    reads += simulation.history.answeredReads
    entries += Int(simulation.history.lastLogIndex)
  }

  func expectBreadth() {
    #expect(crashes > seeds)
    #expect(commits > 10 * seeds)
    #expect(cleanStops > 0)
    #expect(writes > 100 * seeds)
    #expect(reads > 30 * seeds)
  }

  var description: String {
    "\(seeds) seeds, \(crashes) crashes, \(cleanStops) clean stops, \(commits) commits, \(writes) writes, \(reads) reads, "
      + "\(entries) entries"
  }
}
