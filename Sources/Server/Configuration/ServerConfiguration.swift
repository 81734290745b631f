public import Model
public import Replica

/// Everything a member needs to know to start, validated once; nothing below `main` reads arguments or the
/// environment.
///
/// Made by `init(flags:)` from parsed flags, or directly by tests.
public struct ServerConfiguration: Sendable, Equatable {
  public enum ClusterState: String, Sendable { case new, existing }

  public var name: String
  public var dataDirectory: String
  /// Where the log lives when it has a directory of its own; nil keeps it under `dataDirectory`.
  public var walDirectory: String?

  public var listenClientURLs: [EndpointURL]
  /// What MemberList and the published attributes tell clients; nil only before validation.
  public var advertiseClientURLs: [EndpointURL]?
  /// Where HTTP is served when gRPC shall have the client URLs for itself; empty: there too.
  public var listenClientHTTPURLs: [EndpointURL] = []
  /// For metrics and health alone, beside the client URLs.
  public var listenMetricsURLs: [EndpointURL] = []
  public var listenPeerURLs: [EndpointURL]
  public var advertisePeerURLs: [EndpointURL]

  /// `name=url,...`; only read at the first start.
  public var initialCluster: String
  public var initialClusterState: ClusterState
  public var initialClusterToken: String
  /// `--strict-reconfig-check`: changes of members that would lose the quorum are refused.
  public var isReconfigurationStrict = true
  /// `--max-learners`.
  public var learnersMax: Int64 = 1
  /// `--pre-vote`: ask whether an election could be won before raising the term.
  public var preVotes = true
  /// `--force-new-cluster`: a cluster of one from this member's data.
  public var forcesNewCluster = false
  /// As given; less than 5 s is raised to it.
  public var raftReadTimeout = GoDuration.seconds(5)
  public var raftWriteTimeout = GoDuration.seconds(5)

  /// Milliseconds of one Raft tick.
  public var heartbeatMilliseconds: UInt64
  /// Milliseconds without a leader until an election; at least five heartbeats.
  public var electionMilliseconds: UInt64

  /// Entries kept in the log behind the last background commit for slow followers.
  public var snapshotCatchUpEntries: UInt64

  public var maxTransactionOperations: UInt64
  public var maxRequestBytes: UInt64
  public var maxConcurrentStreams: UInt32
  /// Pings that come faster than this are answered with GOAWAY.
  public var keepaliveMinTime: GoDuration
  /// Time between the server's own pings; zero or less: none.
  public var keepaliveInterval: GoDuration
  /// Time to wait for their answers; zero or less: no limit.
  public var keepaliveTimeout: GoDuration

  /// As given: 0 is etcd's default quota, negative means none. `effectiveQuotaBytes` tells the meaning.
  public var quotaBackendBytes: Int64
  /// As given: zero means the default of 1 s.
  public var backendBatchInterval: GoDuration

  /// As given: zero means the default; `effectiveCorruptCheckTime` tells the meaning.
  public var corruptCheckTime: GoDuration
  /// As given: zero or less means the default; `effectiveWatchProgressInterval` tells the meaning.
  public var watchProgressInterval: GoDuration
  /// Nil: history is compacted only when a client asks for it.
  public var autoCompaction: AutoCompactionPolicy?
  /// Defragment at the start when at least so many megabytes are free inside the file; 0: never.
  public var bootstrapDefragmentMegabytes: UInt64
  /// A request that takes longer is warned of; zero or less: every one.
  public var warningUnaryRequestDuration: GoDuration
  /// Entries that take longer to apply are warned of; zero or less: all.
  public var warningApplyDuration: GoDuration
  public var featureGates: FeatureGates

  /// `--enable-grpc-gateway`.
  public var servesGateway = true
  /// `--cors`: origins that browsers are told to trust; `*` is all.
  public var corsOrigins = ["*"]
  /// `--host-whitelist`: hosts that plain HTTP requests may be addressed to; `*` is all.
  public var admittedHosts = ["*"]
  /// `--metrics extensive`: the times of gRPC calls in buckets too.
  public var hasExtensiveMetrics = false

  /// Pages stay in memory once they are there.
  public var locksMemory: Bool
  /// Another process may listen on the same ports.
  public var reusesPort: Bool
  /// The log is not synced: a power cut loses what was acknowledged, and may leave the log behind the store.
  public var skipsSync: Bool

  public var logLevel: LogLevel
  public var logFormat: LogFormat
  /// `default`, `stderr`, `stdout`, `systemd/journal` and file paths.
  public var logOutputs: [String]
  /// Nil: log files grow without end.
  public var logRotation: LogRotation?

  /// etcd's time limit of a request: 5 s and two election timeouts.
  public var requestTimeoutNanoseconds: UInt64 { (5_000 + 2 * electionMilliseconds) * 1_000_000 }

  /// The largest size the store may have, in bytes; nil for no limit.
  public var effectiveQuotaBytes: Int64? {
    switch quotaBackendBytes {
    case 0: 2 * 1024 * 1024 * 1024
    case ..<0: nil
    default: quotaBackendBytes
    }
  }

  /// Longest time that applied entries wait for a background commit. etcd's default is 100 ms; a longer one rewrites
  /// each page of the tree less often, and the log makes up for what was not committed.
  public var effectiveBatchInterval: GoDuration {
    backendBatchInterval.nanoseconds > 0 ? backendBatchInterval : .milliseconds(1_000)
  }

  /// How long members go without being compared, while their data changes; on by default, unlike in etcd.
  public var effectiveCorruptCheckTime: GoDuration {
    corruptCheckTime > .zero ? corruptCheckTime : .seconds(60)
  }

  /// Time without events after which a watcher that asked for it is told of its progress: etcd's default is 10 minutes,
  /// and its least 100 ms.
  public var effectiveWatchProgressInterval: GoDuration {
    watchProgressInterval.nanoseconds > 0 ? max(watchProgressInterval, .milliseconds(100)) : .seconds(600)
  }

  /// Where the log's segments are.
  public var effectiveWALDirectory: String { walDirectory ?? "\(dataDirectory)/member/wal" }
}
