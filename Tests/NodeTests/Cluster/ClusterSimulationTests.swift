import Foundation
import Testing

/// Whole clusters under virtual time with every fault of network, disks and processes.
///
/// `CAIRN_SEED=n` runs one seed, `CAIRN_SEEDS=n` that many.
@Suite struct ClusterSimulationTests {
  private static let blocks = 8
  private static var seeds: ClosedRange<UInt64> {
    let environment = ProcessInfo.processInfo.environment
    if let seed = environment["CAIRN_SEED"].flatMap(UInt64.init) { return seed...seed }
    return 1...(environment["CAIRN_SEEDS"].flatMap(UInt64.init) ?? 64)
  }

  @Test(arguments: 0..<blocks)
  func membersAgreeAndNothingAcknowledgedIsLost(block: Int) throws {
    var totals = ClusterTotals()
    for seed in Self.seeds where Int(seed % UInt64(Self.blocks)) == block {
      do {
        let simulation = try ClusterSimulation(seed: seed)
        try simulation.run()
        totals.add(simulation)
        // Twice is what shows that a seed replays; an eighth of the seeds is enough for that.
        if seed / 8 % 8 == 1 || Self.seeds.count == 1 {
          let again = try ClusterSimulation(seed: seed)
          try again.run()
          #expect(again.trace == simulation.trace, "seed \(seed) took another course the second time")
        }
      } catch {
        Issue.record(
          "seed \(seed): \(error)\nCAIRN_SEED=\(seed) swift test -c release --filter ClusterSimulationTests")
      }
    }
    if Self.seeds.count >= 8 * Self.blocks { totals.expectBreadth() }
    print("cluster block \(block): \(totals)")
  }
}

/// What the runs of a block met.
private struct ClusterTotals: CustomStringConvertible {
  var seeds = 0
  var counts = ClusterCounts()
  var writes = 0
  var reads = 0
  var entries = 0
  var terms = 0
  var expired = 0
  var renewals = 0
  var successors = 0

  mutating func add(_ simulation: ClusterSimulation) {
    seeds += 1
    let other = simulation.counts
    counts.crashes += other.crashes
    counts.cleanStops += other.cleanStops
    counts.partitions += other.partitions
    counts.commits += other.commits
    counts.messages += other.messages
    counts.exports += other.exports
    counts.snapshots += other.snapshots
    counts.installations += other.installations
    counts.feedJumps += other.feedJumps
    counts.digests += other.digests
    counts.removals += other.removals
    counts.operations += other.operations
    counts.leaseQuestions += other.leaseQuestions
    expired += simulation.book.expired
    renewals += simulation.book.renewals
    successors += simulation.book.successors
    writes += simulation.history.answeredWrites
    reads += simulation.history.answeredReads
    entries += Int(simulation.history.lastLogIndex)
    terms += simulation.leaders.count
  }

  func expectBreadth() {
    #expect(counts.crashes > 2 * seeds)
    #expect(counts.partitions > seeds)
    #expect(counts.installations > 0)
    #expect(counts.digests > 20 * seeds)
    #expect(terms > 2 * seeds)
    #expect(expired > seeds && renewals > 20 * seeds && counts.leaseQuestions > 10 * seeds)
    #expect(successors > 0)
    #expect(writes > 50 * seeds)
    #expect(reads > 20 * seeds)
  }

  var description: String {
    "\(seeds) seeds, \(counts), \(writes) writes, \(reads) reads, \(entries) entries, "
      + "leases: \(expired) expired, \(renewals) renewals, \(successors) successors"
  }
}
