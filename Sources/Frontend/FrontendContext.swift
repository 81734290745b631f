public import EtcdAPI
public import Model
public import Node
public import Store

/// What the services of one member share. Immutable; used from every event loop.
public struct FrontendContext: Sendable {
  public var clusterID: UInt64
  public var memberID: UInt64
  public var store: Store
  public var limits: RequestLimits
  /// The limit that `--quota-backend-bytes` sets; nil for none.
  public var quotaBytes: Int64?
  public var gauge: MemberGauge
  public var watch = WatchOptions()
  public let metrics = ServiceMetrics()
  /// Where snapshot files are built while a client fetches them.
  public var temporaryDirectory: String
  /// Hands a batch to the member's thread and empties it.
  public var submit: @Sendable (inout [NodeInput]) -> Void
  /// Runs work that may take longer than a turn of an event loop on a pool of threads.
  public var runLong: @Sendable (@escaping @Sendable () -> Void) -> Void
  /// Defragments the data file, or joins the defragmentation under way; told the reason if nothing came of it.
  public var defragment: @Sendable (@escaping @Sendable (ClientError?) -> Void) -> Void
  /// Asks the leader to make a voter of a learner; told the reason if it did not.
  public var promoteAtLeader: @Sendable (UInt64, @escaping @Sendable (ClientError?) -> Void) -> Void = {
    $1(.notLeader)
  }
  /// The wall clock, in seconds since 1970.
  public var unixSeconds: @Sendable () -> Int64
  /// When the member's thread refuses a request; etcd's is 5 s and two election timeouts.
  public var requestTimeoutNanoseconds: UInt64 = 7_000_000_000
  /// Unary calls that take longer are reported.
  public var slowCallNanoseconds = Int64.max
  public var reportSlowCall: @Sendable (SlowCall) -> Void = { _ in }
  /// Told of an error of the store that a read met; the client has been refused.
  public var report: @Sendable (StoreError) -> Void

  public init(
    clusterID: UInt64, memberID: UInt64, store: Store, limits: RequestLimits, quotaBytes: Int64?,
    gauge: MemberGauge, temporaryDirectory: String, unixSeconds: @escaping @Sendable () -> Int64,
    submit: @escaping @Sendable (inout [NodeInput]) -> Void,
    runLong: @escaping @Sendable (@escaping @Sendable () -> Void) -> Void,
    defragment: @escaping @Sendable (@escaping @Sendable (ClientError?) -> Void) -> Void,
    report: @escaping @Sendable (StoreError) -> Void
  ) {
    self.clusterID = clusterID
    self.memberID = memberID
    self.store = store
    self.limits = limits
    self.quotaBytes = quotaBytes
    self.gauge = gauge
    self.temporaryDirectory = temporaryDirectory
    self.unixSeconds = unixSeconds
    self.submit = submit
    self.runLong = runLong
    self.defragment = defragment
    self.report = report
  }

  /// What a client is told of an error of the store.
  func clientError(_ error: StoreError) -> ClientError {
    if case .corrupt = error { return .corruptCluster }
    return ClientError(.internal, "etcdserver: \(error)")
  }

  /// The versions of etcd whose API this is.
  public static let apiVersion = "3.7.1"
  public static let clusterVersion = "3.7.0"

  /// The page `/version`; nil as long as the members have not settled on a version of the cluster.
  public static func versionJSON(cluster: String?) -> String {
    #"{"etcdserver":"\#(apiVersion)","etcdcluster":"\#(cluster ?? "not_decided")","storage":"\#(clusterVersion)"}"#
  }

  /// The services built so far; every other path is answered as grpc-go answers what a server lacks.
  public static let methods: [EtcdMethod] = [
    .range, .rangeStream, .put, .deleteRange, .txn, .compact, .watch, .leaseGrant, .leaseRevoke,
    .leaseKeepAlive, .leaseTimeToLive, .leaseLeases, .memberAdd, .memberRemove, .memberUpdate, .memberList,
    .memberPromote, .status, .alarm, .defragment, .hash, .hashKV, .snapshot, .moveLeader, .downgrade,
    .healthCheck,
    .healthList, .healthWatch,
    .lock, .unlock, .electionCampaign, .electionProclaim, .electionLeader, .electionObserve, .electionResign,
  ]
}
