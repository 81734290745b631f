import Model
import Node
import Primitives
import Raft
import Replica
import Store

/// What one seed is like: every run turns other faults on and has other limits, small ones above all.
struct Personality {
  var clients: Int
  var keys: Int
  var valueBytesMax: Int
  var thinkTime: UInt64
  var commitTime: UInt64
  var observeInterval: UInt64
  var faultInterval: UInt64
  /// Chances in a hundred of each fault when one is due.
  var powerCuts: Int
  var diskErrors: Int
  var stops: Int
  var stallsInTenThousand: Int
  var duration: UInt64
  var requestsMax: Int

  private var generationBytes: Int
  private var generationBytesMax: Int
  private var commitInterval: UInt64
  private var catchUpEntries: UInt64
  private var segmentBytes: Int
  private var applyGap: UInt64
  private var raftSeed: UInt64

  init(_ random: inout SeededRandom) {
    func pick<Value>(_ values: [Value]) -> Value { values[Int.random(in: 0..<values.count, using: &random)] }
    clients = pick([1, 3, 10, 20])
    keys = pick([3, 15, 60])
    valueBytesMax = pick([100, 1_000, 20_000])
    thinkTime = pick([15 * millisecond, 50 * millisecond, 120 * millisecond])
    commitTime = pick([millisecond, 20 * millisecond, 300 * millisecond])
    observeInterval = pick([50 * millisecond, 300 * millisecond])
    faultInterval = pick([60 * millisecond, 200 * millisecond, 600 * millisecond])
    powerCuts = pick([0, 30, 70])
    diskErrors = pick([0, 0, 20])
    stops = pick([0, 5, 30])
    stallsInTenThousand = pick([0, 0, 0, 3])
    duration = pick([2, 4]) * second
    requestsMax = 3_000
    generationBytes = pick([4 << 10, 64 << 10, 1 << 20])
    generationBytesMax = 4 * generationBytes
    commitInterval = pick([5 * millisecond, 100 * millisecond, second])
    catchUpEntries = pick([0, 10, 500])
    segmentBytes = pick([64 << 10, 256 << 10])
    applyGap = pick([20, 5_000])
    raftSeed = random.next()
  }

  func nodeOptions(starts: Int, now: UInt64) -> NodeOptions {
    var raftLimits = RaftLimits()
    raftLimits.catchUpEntries = 20
    raftLimits.applyBytes = 4 << 10
    var limits = ReplicaLimits()
    limits.applyGap = applyGap
    limits.requestBytes = 15_000
    let replica = ReplicaConfiguration(
      raft: RaftConfiguration(
        memberID: SimulatedFiles.memberID, seed: raftSeed &+ UInt64(starts), limits: raftLimits),
      clusterID: SimulatedFiles.clusterID,
      // A clock that stands still between starts would repeat request ids; real ones move by the start at least.
      startMilliseconds: 1_700_000_000_000 + now / millisecond, name: "sim",
      clientURLs: ["http://127.0.0.1:2379"], clusterVersion: "3.7.0", limits: limits)
    return NodeOptions(
      replica: replica, commitIntervalNanoseconds: commitInterval, generationBytes: generationBytes,
      generationBytesMax: generationBytesMax, catchUpEntries: catchUpEntries, logSegmentBytes: segmentBytes)
  }

  var storeOptions: StoreOptions {
    var options = StoreOptions()
    options.mapBytes = 1 << 30
    options.readersMax = 16
    options.inlineBytesMax = 64
    options.blockBytes = 16 << 10
    options.spaceStepBytes = 256 << 10
    options.compactionBatchRows = 16
    return options
  }
}
