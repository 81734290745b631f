internal import Disk
internal import EtcdAPI
internal import Frontend
internal import Glibc
internal import Model
internal import NIOCore
internal import NIOPosix
internal import Node
internal import Raft
internal import Replica
internal import Store
internal import Synchronization
internal import Wire
internal import WriteAheadLog

/// One member in production: the composition of files, node, threads, event loops and listeners.
///
/// Starts in the order in which things depend on each other, and stops in the reverse one: listeners drain, the core
/// thread refuses what waits and closes the log, the committer writes what was applied.
final class RunningMember {
  private let configuration: ServerConfiguration
  private let logger: Logger
  private let directory: DataDirectory
  private let core: CoreThread
  private let committer: CommitterThread
  private let group: MultiThreadedEventLoopGroup
  private let pool: NIOThreadPool
  private let server: WireServer
  private let monitoring: Monitoring
  private var listeners: ClientListeners
  private var threads: [OSThread] = []

  private init(
    configuration: ServerConfiguration, logger: Logger, directory: DataDirectory,
    core: CoreThread, committer: CommitterThread, group: MultiThreadedEventLoopGroup, pool: NIOThreadPool,
    server: WireServer, monitoring: Monitoring, listeners: ClientListeners
  ) {
    self.configuration = configuration
    self.logger = logger
    self.directory = directory
    self.core = core
    self.committer = committer
    self.group = group
    self.pool = pool
    self.server = server
    self.monitoring = monitoring
    self.listeners = listeners
  }

  /// Threads for ranges and other work longer than a turn of an event loop.
  private static let poolThreads = 2
  /// etcd lets open requests finish for as long as one may take.
  private static let drainSeconds: Int64 = 7

  /// Opens the member's files and starts its threads; it serves nobody yet.
  static func open(_ configuration: ServerConfiguration, _ logger: Logger) throws -> RunningMember {
    let disk = PosixDisk(syncs: !configuration.skipsSync)
    let directory = try DataDirectory.open(
      configuration.dataDirectory, walPath: configuration.walDirectory, disk: disk)
    for found in directory.found { DirectoryPermission.warnings(found).forEach(logger.log) }
    try SnapshotDownloads.removeLeftovers(disk: disk, directory: directory.snapshotPath)
    let (store, members) = try openStore(configuration, directory, disk)
    if configuration.locksMemory { try MemoryLock.acquire() }
    var options = nodeOptions(configuration, identity: store.recovery.identity)
    options.stopwatch = { monotonicNanoseconds() }
    let monitoring = Monitoring()
    let opened = try Node.open(
      options: options, store: store, disk: MeasuredDisk(disk, monitoring.log),
      logDirectory: directory.walPath,
      initialMembers: members, saltSeed: UInt32.random(in: .min ... .max), now: monotonicNanoseconds())
    logRecovery(opened.recovery, logger)
    return try start(configuration, logger, directory, store, opened, monitoring)
  }

  /// The store with the identity it has, or at the first start the one computed from the flags.
  private static func openStore(
    _ configuration: ServerConfiguration, _ directory: DataDirectory, _ disk: PosixDisk
  ) throws -> (Store, [Member]) {
    let options = StoreOptions()
    if try disk.exists(directory.storePath) {
      let store = try Store.open(path: directory.storePath, options: options, identity: nil)
      // A crash may have come between the store's creation and the first entry of the log.
      if store.recovery.appliedIndex > 0 { return (store, []) }
      let members = try initialMembers(configuration)
      return (store, members)
    }
    let members = try initialMembers(configuration)
    guard let own = members.first(where: { $0.name == configuration.name }) else {
      throw ConfigurationError.invalid("the initial cluster does not name this member")
    }
    let identity = StoreIdentity(
      clusterID: ClusterIdentity.clusterID(memberIDs: members.map(\.id)), memberID: own.id)
    return (try Store.open(path: directory.storePath, options: options, identity: identity), members)
  }

  private static func initialMembers(_ configuration: ServerConfiguration) throws -> [Member] {
    try configuration.bootstrapMembers().map { member in
      let urls = member.peerURLs.map(\.description)
      let id = ClusterIdentity.memberID(peerURLs: urls, clusterToken: configuration.initialClusterToken)
      return Member(id: id, peerURLs: urls, name: member.name)
    }
  }

  private static func nodeOptions(
    _ configuration: ServerConfiguration, identity: StoreIdentity
  ) -> NodeOptions {
    let tick = Int(configuration.heartbeatMilliseconds)
    var limits = ReplicaLimits()
    limits.requestBytes = Int(clamping: configuration.maxRequestBytes)
    var raftLimits = RaftLimits()
    raftLimits.catchUpEntries = Int(clamping: configuration.snapshotCatchUpEntries)
    let raft = RaftConfiguration(
      memberID: identity.memberID, electionTicks: Int(configuration.electionMilliseconds) / tick,
      seed: UInt64.random(in: .min ... .max), limits: raftLimits)
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
    options.slowApplyNanoseconds = UInt64(clamping: configuration.warningApplyDuration.nanoseconds)
    return options
  }

  private static func logRecovery(_ recovery: NodeRecovery, _ logger: Logger) {
    if let cut = recovery.tailCut {
      logger.warn(
        "cut the unsynced end of the write-ahead log",
        ["file": .text(cut.file), "offset": .integer(Int64(cut.offset)), "bytes": .integer(Int64(cut.bytes))])
    }
    logger.info(
      "opened member",
      [
        "cluster-id": .text(ClusterIdentity.hexadecimal(recovery.store.identity.clusterID)),
        "local-member-id": .text(ClusterIdentity.hexadecimal(recovery.store.identity.memberID)),
        "applied-index": .integer(Int64(clamping: recovery.store.appliedIndex)),
        "last-index": .integer(Int64(clamping: recovery.lastIndex)),
        "current-revision": .integer(recovery.store.revision), "clean-shutdown": .boolean(recovery.wasClean),
      ])
  }

  private static func start(
    _ configuration: ServerConfiguration, _ logger: Logger, _ directory: DataDirectory, _ store: Store,
    _ opened: consuming OpenedNode, _ monitoring: Monitoring
  ) throws -> RunningMember {
    let identity = store.recovery.identity
    let finished = store.recovery.finishedCompactRevision
    let gauge = MemberGauge()
    gauge.finishedCompactRevision.store(finished, ordering: .releasing)
    let pool = NIOThreadPool(numberOfThreads: poolThreads)
    pool.start()
    let group = MultiThreadedEventLoopGroup(numberOfThreads: eventLoops)
    let inbox = Inbox<NodeInput>()
    let runOnPool: @Sendable (@escaping @Sendable () -> Void) -> Void = { work in
      pool.submit { state in if state == .active { work() } }
    }
    let committer = CommitterThread(
      opened.committer, plan: { directory.defragmentPlan(disk: PosixDisk()) },
      report: { inbox.push(.committed($0)) },
      worked: { StoreWork.follow($0, logger) { inbox.push($0) } },
      fail: { stopProcess(logger, "the store cannot be written", $0.description) })
    let defragmenter = Defragmenter(
      committer, gauge: gauge, logger: logger,
      stopsService: configuration.featureGates.stopServiceOnDefragment)
    var context = FrontendContext(
      clusterID: identity.clusterID, memberID: identity.memberID, store: store,
      limits: RequestLimits(
        maxTransactionOperations: Int(clamping: configuration.maxTransactionOperations),
        maxRequestBytes: Int(clamping: configuration.maxRequestBytes)),
      quotaBytes: configuration.effectiveQuotaBytes, gauge: gauge,
      temporaryDirectory: directory.snapshotPath,
      submit: { inbox.push(&$0) },
      runLong: runOnPool,
      defragment: { defragmenter.request($0) },
      report: { error in
        logger.error("the store cannot be read", ["error": .text(error.description)])
        if case .corrupt = error { inbox.push(.damaged) }
      })
    context.watch = watchOptions(configuration)
    context.slowCallNanoseconds = configuration.warningUnaryRequestDuration.nanoseconds
    context.reportSlowCall = { logger.log(MaintenanceLog.slowCall($0, now: .now())) }
    let fronts = FrontendGroup(context: context)
    defragmenter.serve(fronts)
    let ready = Ready(expectedApply: configuration.warningApplyDuration)
    let applyMetrics = opened.node.applyMetrics
    let core = CoreThread(
      node: opened.node, inbox: inbox, tickMilliseconds: Int(configuration.heartbeatMilliseconds),
      gauge: gauge, fronts: fronts, committer: committer, runBeside: runOnPool,
      notice: { ready.take($0, logger) },
      fail: { stopProcess(logger, "the member cannot go on", $0.description) })
    let endpoints = monitoring.endpoints(context, fronts, logger)
    let server = try WireServer.make(
      group: group,
      configuration: WireServer.Configuration(
        options: serverOptions(configuration), methods: MethodTable(methods),
        http1: plainHTTP(configuration, endpoints),
        makeHandler: { fronts.makeFront($0) })
    ).wait()
    let member = RunningMember(
      configuration: configuration, logger: logger, directory: directory, core: core,
      committer: committer, group: group, pool: pool, server: server, monitoring: monitoring,
      listeners: ClientListeners(server, endpoints, logger))
    monitoring.begin(
      context, fronts, gates: configuration.featureGates, apply: applyMetrics, commits: committer.metrics,
      server: server)
    let counting = try monitoring.startCounting(store)
    member.threads = [committer.start(), core.start(), counting]
    clearStaleReaders(of: store, every: .minutes(1), on: group.next(), runOnPool, logger)
    ready.wait()
    try defragmenter.requestAtStart(store, freeMegabytesMin: configuration.bootstrapDefragmentMegabytes)
    return member
  }

  /// A reader that a dead process left in LMDB's table would keep pages from being used again.
  private static func clearStaleReaders(
    of store: Store, every interval: TimeAmount, on eventLoop: any EventLoop,
    _ runOnPool: @escaping @Sendable (@escaping @Sendable () -> Void) -> Void, _ logger: Logger
  ) {
    _ = eventLoop.scheduleRepeatedTask(initialDelay: interval, delay: interval) { _ in
      runOnPool {
        do throws(StoreError) {
          let cleared = try store.clearStaleReaders()
          if cleared > 0 {
            logger.warn(
              "cleared readers of the store that dead processes left behind",
              ["count": .integer(Int64(cleared))])
          }
        } catch {
          logger.warn("stale readers of the store cannot be cleared", ["error": .text(error.description)])
        }
      }
    }
  }

  /// One event loop: on few cores a hop less is worth more than a second loop, and the core thread has a core of
  /// its own.
  private static let eventLoops = max(1, System.coreCount / 2)

  private static let methods = FrontendContext.methods.map { method in
    let kind: RPCMethod.Kind =
      switch method.kind {
      case .unary: .unary
      case .serverStream: .serverStream
      case .bidirectional: .bidirectional
      }
    return RPCMethod("\(method.path)", kind)
  }

  private static func serverOptions(_ configuration: ServerConfiguration) -> ServerOptions {
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

  /// The gateway in front of the other endpoints, unless it is turned off, and etcd's checks before both.
  private static func plainHTTP(
    _ configuration: ServerConfiguration, _ endpoints: HTTPEndpoints
  ) -> AccessControl {
    let requestBytesMax = Int(clamping: configuration.maxRequestBytes) + 512 * 1024
    let pages: any HTTP1Handler =
      configuration.servesGateway ? Gateway(before: endpoints, requestBytesMax: requestBytesMax) : endpoints
    return AccessControl(
      before: pages, origins: configuration.corsOrigins, hosts: configuration.admittedHosts)
  }

  private static func watchOptions(_ configuration: ServerConfiguration) -> WatchOptions {
    var options = WatchOptions()
    options.progressMilliseconds = UInt64(
      clamping: configuration.effectiveWatchProgressInterval.nanoseconds / 1_000_000)
    options.leaderCheckMilliseconds = configuration.electionMilliseconds
    options.fragmentBytes = Int(clamping: configuration.maxRequestBytes) + 512 * 1024
    return options
  }

  /// Binds the client listeners; from then on clients are served.
  func serve() throws {
    try listeners.open(configuration)
    logger.info("ready to serve client requests")
  }

  /// Stops in order; returns when everything is on disk and every thread has ended.
  func stop() throws {
    monitoring.stop()
    try server.shutDown(grace: .seconds(Self.drainSeconds)).wait()
    listeners.removeSocketFiles()
    threads[2].join()
    core.inbox.close()
    threads[1].join()
    committer.close()
    threads[0].join()
    try group.syncShutdownGracefully()
    try pool.syncShutdownGracefully()
    directory.close()
  }
}

/// Ends the process after an error that must not be survived: nothing more is acknowledged, and the next start
/// replays what is durable.
private func stopProcess(_ logger: Logger, _ message: String, _ error: String) {
  logger.fatal(message, ["error": .text(error)])
  _exit(1)
}
