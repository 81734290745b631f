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
  private let parts: Parts
  private let core: CoreThread
  private let committer: CommitterThread
  private let links: ClusterLinks
  private let requests: MemberRequests
  private let defragmenter: Defragmenter
  private let group: MultiThreadedEventLoopGroup
  private let pool: NIOThreadPool
  private let server: WireServer
  private var listeners: ClientListeners
  private var threads: [OSThread] = []

  private init(
    _ parts: Parts, core: CoreThread, committer: CommitterThread, links: ClusterLinks,
    requests: MemberRequests, defragmenter: Defragmenter, group: MultiThreadedEventLoopGroup,
    pool: NIOThreadPool, server: WireServer, listeners: ClientListeners
  ) {
    self.parts = parts
    self.core = core
    self.committer = committer
    self.links = links
    self.requests = requests
    self.defragmenter = defragmenter
    self.group = group
    self.pool = pool
    self.server = server
    self.listeners = listeners
  }

  /// Threads for ranges and other work longer than a turn of an event loop.
  private static let poolThreads = 2
  /// etcd lets open requests finish for as long as one may take.
  private static let drainSeconds: Int64 = 7

  /// Opens the member's files and starts its threads; it serves nobody yet.
  static func open(
    _ configuration: ServerConfiguration, _ logger: Logger, _ life: Inbox<LifeEvent>
  ) throws -> RunningMember {
    let disk = PosixDisk(syncs: !configuration.skipsSync)
    let directory = try DataDirectory.open(
      configuration.dataDirectory, walPath: configuration.walDirectory, disk: disk)
    for found in directory.found { DirectoryPermission.warnings(found).forEach(logger.log) }
    try SnapshotDownloads.removeLeftovers(disk: disk, directory: directory.snapshotPath)
    let start = try ClusterStart(configuration, directory, disk)
    let store = start.store
    let ranBefore = start.initialMembers.isEmpty && start.knownMembers.isEmpty
    if ranBefore, configuration.featureGates.checksBeforeStart { try InitialCheck(store, logger).run() }
    if configuration.locksMemory { try MemoryLock.acquire() }
    let place = SnapshotPlace(disk: disk, directory: directory.snapshotPath) {
      directory.defragmentPlan(disk: disk)
    }
    let options = MemberOptions.node(configuration, identity: store.recovery.identity, snapshots: place)
    let monitoring = Monitoring()
    let opened = try Node.open(
      options: options, store: store, disk: MeasuredDisk(disk, monitoring.log),
      logDirectory: directory.walPath,
      initialMembers: start.initialMembers, saltSeed: UInt32.random(in: .min ... .max),
      now: monotonicNanoseconds())
    logRecovery(opened.recovery, logger)
    let parts = Parts(
      configuration: configuration, logger: logger, directory: directory, store: store, place: place,
      knownMembers: start.knownMembers, monitoring: monitoring, life: life)
    return try compose(parts, opened)
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

  /// What the composition begins with.
  struct Parts {
    let configuration: ServerConfiguration
    let logger: Logger
    let directory: DataDirectory
    let store: Store
    let place: SnapshotPlace
    let knownMembers: [Member]
    let monitoring: Monitoring
    let life: Inbox<LifeEvent>
  }

  private static func compose(_ parts: Parts, _ opened: consuming OpenedNode) throws -> RunningMember {
    let (configuration, logger, store) = (parts.configuration, parts.logger, parts.store)
    let gauge = MemberGauge()
    gauge.finishedCompactRevision.store(store.recovery.finishedCompactRevision, ordering: .releasing)
    let pool = NIOThreadPool(numberOfThreads: poolThreads)
    pool.start()
    let group = MultiThreadedEventLoopGroup(numberOfThreads: eventLoops)
    let inbox = Inbox<NodeInput>()
    let requests = MemberRequests(inbox)
    let runOnPool: @Sendable (@escaping @Sendable () -> Void) -> Void = { work in
      pool.submit { state in if state == .active { work() } }
    }
    let committer = CommitterThread(
      opened.committer, plan: parts.place.plan,
      report: { inbox.push(.committed($0)) },
      worked: { StoreWork.follow($0, logger) { inbox.push($0) } },
      fail: { stopProcess(logger, "the store cannot be written", $0.description) })
    let defragmenter = Defragmenter(
      committer, gauge: gauge, logger: logger,
      stopsService: configuration.featureGates.stopServiceOnDefragment)
    let leader = LeaderQuestions()
    var context = context(parts, gauge, inbox, runOnPool, defragmenter)
    context.promoteAtLeader = { leader.promote($0, $1) }
    let fronts = FrontendGroup(context: context)
    defragmenter.serve(fronts)
    let links = try ClusterLinks.make(
      parts, context, inbox: inbox, requests: requests, leader: leader, fronts: fronts)
    let notices = MemberNotices(parts.life, expectedApply: configuration.warningApplyDuration)
    let applyMetrics = opened.node.applyMetrics
    let core = CoreThread(
      node: opened.node, inbox: inbox, tickMilliseconds: Int(configuration.heartbeatMilliseconds),
      gauge: gauge, fronts: fronts, committer: committer, links: links, requests: requests,
      runBeside: runOnPool,
      notice: { notices.take($0, logger) },
      fail: { stopProcess(logger, "the member cannot go on", $0.description) })
    let endpoints = parts.monitoring.endpoints(context, fronts, logger)
    let server = try WireServer.make(
      group: group,
      configuration: WireServer.Configuration(
        options: MemberOptions.wire(configuration), methods: MethodTable(methods),
        http1: plainHTTP(configuration, endpoints),
        makeHandler: { fronts.makeFront($0) })
    ).wait()
    let member = RunningMember(
      parts, core: core, committer: committer, links: links, requests: requests, defragmenter: defragmenter,
      group: group, pool: pool, server: server, listeners: ClientListeners(server, endpoints, logger))
    parts.monitoring.begin(
      context, fronts, gates: configuration.featureGates, apply: applyMetrics, commits: committer.metrics,
      server: server, links: links)
    let counting = try parts.monitoring.startCounting(store)
    member.threads = [committer.start(), core.start(), counting]
    clearStaleReaders(of: store, every: .minutes(1), on: group.next(), runOnPool, logger)
    return member
  }

  private static func context(
    _ parts: Parts, _ gauge: MemberGauge, _ inbox: Inbox<NodeInput>,
    _ runOnPool: @escaping @Sendable (@escaping @Sendable () -> Void) -> Void, _ defragmenter: Defragmenter
  ) -> FrontendContext {
    let (configuration, logger) = (parts.configuration, parts.logger)
    let identity = parts.store.recovery.identity
    var context = FrontendContext(
      clusterID: identity.clusterID, memberID: identity.memberID, store: parts.store,
      limits: RequestLimits(
        maxTransactionOperations: Int(clamping: configuration.maxTransactionOperations),
        maxRequestBytes: Int(clamping: configuration.maxRequestBytes)),
      quotaBytes: configuration.effectiveQuotaBytes, gauge: gauge,
      temporaryDirectory: parts.directory.snapshotPath,
      unixSeconds: { Int64(clamping: LogTimestamp.now().milliseconds / 1_000) },
      submit: { inbox.push(&$0) },
      runLong: runOnPool,
      defragment: { defragmenter.request($0) },
      report: { error in
        logger.error("the store cannot be read", ["error": .text(error.description)])
        if case .corrupt = error { inbox.push(.damaged) }
      })
    context.watch = MemberOptions.watch(configuration)
    context.requestTimeoutNanoseconds = configuration.requestTimeoutNanoseconds
    context.slowCallNanoseconds = configuration.warningUnaryRequestDuration.nanoseconds
    context.reportSlowCall = { logger.log(MaintenanceLog.slowCall($0, now: .now())) }
    return context
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

  /// Binds the client listeners; from then on clients are served. Once the member has told its cluster who it is.
  func serve() throws {
    try defragmenter.requestAtStart(
      parts.store, freeMegabytesMin: parts.configuration.bootstrapDefragmentMegabytes)
    try listeners.open(parts.configuration)
    parts.logger.info("ready to serve client requests")
  }

  /// Stops in order; returns when everything is on disk and every thread has ended.
  func stop() throws {
    links.handOver(secondsMax: Self.drainSeconds)
    parts.monitoring.stop()
    try server.shutDown(grace: .seconds(Self.drainSeconds)).wait()
    listeners.removeSocketFiles()
    threads[2].join()
    core.inbox.close()
    threads[1].join()
    requests.close()
    try links.stop()
    committer.close()
    threads[0].join()
    try group.syncShutdownGracefully()
    try pool.syncShutdownGracefully()
    parts.directory.close()
  }
}

/// Ends the process after an error that must not be survived: nothing more is acknowledged, and the next start
/// replays what is durable.
private func stopProcess(_ logger: Logger, _ message: String, _ error: String) {
  logger.fatal(message, ["error": .text(error)])
  _exit(1)
}
