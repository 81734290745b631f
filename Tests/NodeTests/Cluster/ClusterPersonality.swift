import Disk
import Model
import Node
import Primitives
import Raft
import Replica
import Store

/// What one seed of a cluster is like: every run turns other faults on and has other limits, small ones above all.
struct ClusterPersonality {
  var size: Int
  var clients: Int
  var keys: Int
  var valueBytesMax: Int
  var thinkTime: UInt64
  var commitTime: UInt64
  var faultInterval: UInt64
  /// Chances in a hundred of each fault when one is due.
  var powerCuts: Int
  var partitions: Int
  var stops: Int
  var pauses: Int
  var changes: Int
  var transfers: Int
  /// Of a message, in ten thousand.
  var loss: Int
  var duplication: Int
  /// The mean time of a message on its way.
  var latency: UInt64
  var duration: UInt64
  var requestsMax: Int
  var leaseClients: Int
  var digestInterval: UInt64 = 50

  private var generationBytes: Int
  private var commitInterval: UInt64
  private var catchUpEntries: UInt64
  private var segmentBytes: Int
  private var messageBytes: Int
  private var inflightMessages: Int
  private var raftSeed: UInt64

  init(_ random: inout SeededRandom) {
    func pick<Value>(_ values: [Value]) -> Value { values[Int.random(in: 0..<values.count, using: &random)] }
    size = pick([3, 3, 3, 5])
    clients = pick([3, 8, 15])
    keys = pick([3, 15, 60])
    valueBytesMax = pick([100, 1_000, 8_000])
    thinkTime = pick([10 * millisecond, 40 * millisecond])
    commitTime = pick([millisecond, 20 * millisecond, 200 * millisecond])
    faultInterval = pick([150 * millisecond, 500 * millisecond, 2 * second])
    powerCuts = pick([0, 20, 40])
    partitions = pick([0, 20, 40])
    stops = pick([0, 10])
    pauses = pick([0, 10])
    changes = pick([0, 0, 20])
    transfers = pick([10, 20])
    loss = pick([0, 100, 1_000])
    duplication = pick([0, 100, 500])
    latency = pick([200 * microsecond, 2 * millisecond, 30 * millisecond])
    duration = pick([6, 12]) * second
    requestsMax = 1_500
    generationBytes = pick([4 << 10, 64 << 10, 1 << 20])
    commitInterval = pick([20 * millisecond, 100 * millisecond, second])
    catchUpEntries = pick([5, 20, 500])
    segmentBytes = pick([64 << 10, 256 << 10])
    messageBytes = pick([1, 4 << 10, 1 << 20])
    inflightMessages = pick([1, 4, 512])
    raftSeed = random.next()
    leaseClients = pick([0, 2, 4])
  }

  func nodeOptions(
    _ files: ClusterFiles, starts: Int, now: UInt64, recorder: @escaping @Sendable (Entry) -> Void
  )
    -> NodeOptions
  {
    var raftLimits = RaftLimits()
    raftLimits.catchUpEntries = Int(catchUpEntries)
    raftLimits.applyBytes = 8 << 10
    raftLimits.messageBytes = messageBytes
    raftLimits.inflightMessages = inflightMessages
    var raft = RaftConfiguration(
      memberID: files.memberID, seed: raftSeed &+ UInt64(starts) &* 7_919, limits: raftLimits)
    raft.preVote = true
    raft.checkQuorum = true
    raft.stepDownOnRemoval = true
    var limits = ReplicaLimits()
    limits.requestBytes = 15_000
    let replica = ReplicaConfiguration(
      raft: raft, clusterID: ClusterFiles.clusterID,
      // A clock that stands still between starts would repeat request ids; real ones move by the start at least.
      startMilliseconds: 1_700_000_000_000 + now / millisecond, name: "m\(files.memberID)",
      clientURLs: ["http://127.0.0.1:\(3_000 + files.memberID)"], clusterVersion: "3.7.0", limits: limits)
    var options = NodeOptions(
      replica: replica, commitIntervalNanoseconds: commitInterval, generationBytes: generationBytes,
      generationBytesMax: 4 * generationBytes, catchUpEntries: catchUpEntries, logSegmentBytes: segmentBytes)
    options.snapshots = files.place
    options.digestInterval = digestInterval
    options.comparisonIntervalNanoseconds = 500 * millisecond
    options.learnersMax = 2
    options.recorder = recorder
    return options
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
