internal import Frontend
internal import Model
internal import NIOCore
internal import Node
internal import Raft
internal import Replica
internal import Store
internal import Wire

/// What the flags mean to the parts of a member.
enum MemberOptions {
  static func node(
    _ configuration: ServerConfiguration, identity: StoreIdentity, snapshots: SnapshotPlace
  ) -> NodeOptions {
    let tick = Int(configuration.heartbeatMilliseconds)
    var limits = ReplicaLimits()
    limits.requestBytes = Int(clamping: configuration.maxRequestBytes)
    var raftLimits = RaftLimits()
    raftLimits.catchUpEntries = Int(clamping: configuration.snapshotCatchUpEntries)
    var raft = RaftConfiguration(
      memberID: identity.memberID, electionTicks: Int(configuration.electionMilliseconds) / tick,
      seed: UInt64.random(in: .min ... .max), limits: raftLimits)
    raft.preVote = configuration.preVotes
    raft.checkQuorum = true
    raft.stepDownOnRemoval = true
    let replica = ReplicaConfiguration(
      raft: raft, clusterID: identity.clusterID, tickMilliseconds: tick,
      startMilliseconds: UInt64(clamping: LogTimestamp.now().milliseconds), name: configuration.name,
      clientURLs: (configuration.advertiseClientURLs ?? []).map(\.description),
      clusterVersion: FrontendContext.clusterVersion, limits: limits)
    var options = NodeOptions(
      replica: replica,
      commitIntervalNanoseconds: UInt64(clamping: configuration.effectiveBatchInterval.nanoseconds),
      catchUpEntries: configuration.snapshotCatchUpEntries, quotaBytes: configuration.effectiveQuotaBytes,
      autoCompaction: configuration.autoCompaction)
    options.stopwatch = { monotonicNanoseconds() }
    options.snapshots = snapshots
    options.forcesNewCluster = configuration.forcesNewCluster
    options.isReconfigurationStrict = configuration.isReconfigurationStrict
    options.learnersMax = Int(clamping: configuration.learnersMax)
    options.slowApplyNanoseconds = UInt64(clamping: configuration.warningApplyDuration.nanoseconds)
    options.comparisonIntervalNanoseconds = UInt64(
      clamping: configuration.effectiveCorruptCheckTime.nanoseconds)
    return options
  }

  static func wire(_ configuration: ServerConfiguration) -> ServerOptions {
    var options = ServerOptions()
    options.reusesPort = configuration.reusesPort
    // etcd's allowance for what gRPC adds to a request.
    options.requestBytesMax = Int(clamping: configuration.maxRequestBytes) + 512 * 1024
    options.concurrentStreamsMax = min(options.concurrentStreamsMax, configuration.maxConcurrentStreams)
    options.timesHandling = configuration.hasExtensiveMetrics
    options.keepaliveMinTime = .nanoseconds(configuration.keepaliveMinTime.nanoseconds)
    options.keepaliveInterval = .nanoseconds(configuration.keepaliveInterval.nanoseconds)
    options.keepaliveTimeout = .nanoseconds(configuration.keepaliveTimeout.nanoseconds)
    return options
  }

  static func watch(_ configuration: ServerConfiguration) -> WatchOptions {
    var options = WatchOptions()
    options.progressMilliseconds = UInt64(
      clamping: configuration.effectiveWatchProgressInterval.nanoseconds / 1_000_000)
    options.leaderCheckMilliseconds = configuration.electionMilliseconds
    options.fragmentBytes = Int(clamping: configuration.maxRequestBytes) + 512 * 1024
    return options
  }
}
