internal import EtcdAPI
internal import Metrics
internal import Model
internal import NIOCore
internal import Node
internal import Primitives
internal import Replica
internal import Store
internal import Synchronization
public import Wire

/// etcd's services on one event loop: decodes and checks requests, answers reads that need nobody else at
/// once from a read view, hands everything else to the member's thread in one batch for each read of a socket,
/// and sends the answers that come back.
///
/// Confined to its event loop; `Sendable` only so that work on other threads can carry it back there.
public final class LoopFrontend: RPCHandler, @unchecked Sendable {
  let context: FrontendContext
  let eventLoop: any EventLoop
  unowned let group: FrontendGroup
  let loopIndex: Int
  let builder: ResponseBuilder
  private(set) lazy var watches = WatchService(self, options: context.watch, seed: .random(in: .min ... .max))
  var pending: PendingCalls
  var longReads = LongReads()
  var keepAlives = KeepAliveStreams()
  var isReleaseScheduled = false
  var healthWatches: [HealthWatch] = []
  /// Physical compactions that were applied and wait for the committer.
  private var compactions: [(revision: Int64, call: RPCCall, headerRevision: Int64, body: [UInt8])] = []
  private var outgoing: [NodeInput] = []
  /// One view serves the reads of a batch: it was taken after their bytes had been read.
  private var batchView: ReadView?
  private var inBatch = false
  let metrics = LoopMetrics()
  var rangeTally = RangeTally()
  private var clientVersions = ClientVersions()
  /// Bytes of events on their way from the member's thread.
  let deliveryBytes = Atomic<Int>(0)

  init(context: FrontendContext, eventLoop: any EventLoop, group: FrontendGroup, loopIndex: Int) {
    self.context = context
    self.eventLoop = eventLoop
    self.group = group
    self.loopIndex = loopIndex
    builder = ResponseBuilder(clusterID: context.clusterID, memberID: context.memberID)
    pending = PendingCalls(loop: loopIndex)
  }

  // MARK: Calls

  public func began(_ call: RPCCall) {
    // A stream is judged once, when it begins.
    if isLearner, FrontendContext.methods[call.method] != .snapshot { return call.fail(.learnerUnsupported) }
    if let refusal = refusalByMetadata(call, isStream: true) { return call.fail(refusal) }
    switch FrontendContext.methods[call.method] {
    case .watch: watches.began(call)
    case .leaseKeepAlive: beginKeepAlive(call)
    default: break
    }
  }

  public func received(_ call: RPCCall, message: UnsafeRawBufferPointer) {
    inBatch = true
    switch FrontendContext.methods[call.method] {
    case .watch: return watches.received(call, message)
    case .leaseKeepAlive: return keepAlive(call, message)
    default: break
    }
    if isLearner, !Self.mayServeAsLearner(FrontendContext.methods[call.method]) {
      return call.fail(.learnerUnsupported)
    }
    if let refusal = refusalByMetadata(call, isStream: false) { return call.fail(refusal) }
    switch FrontendContext.methods[call.method] {
    case .range: range(call, message)
    case .put: put(call, message)
    case .deleteRange: deleteRange(call, message)
    case .txn: transaction(call, message)
    case .compact: compact(call, message)
    case .rangeStream: rangeStream(call, message)
    case .leaseGrant: leaseGrant(call, message)
    case .leaseRevoke: leaseRevoke(call, message)
    case .leaseTimeToLive: leaseTimeToLive(call, message)
    case .leaseLeases: leaseLeases(call)
    case .memberList: memberList(call, message)
    case .status: status(call)
    case .alarm: alarm(call, message)
    case .memberAdd: memberAdd(call, message)
    case .memberRemove: memberRemove(call, message)
    case .memberUpdate: memberUpdate(call, message)
    case .memberPromote: memberPromote(call, message)
    case .moveLeader: moveLeader(call, message)
    case .downgrade: downgrade(call, message)
    case .healthCheck: healthCheck(call, message)
    case .healthList: healthList(call)
    case .healthWatch: healthWatch(call, message)
    case .defragment: defragment(call)
    case .hash: hash(call)
    case .hashKV: hashKV(call, message)
    case .snapshot: snapshot(call)
    case .lock: lock(call, message)
    case .unlock: unlock(call, message)
    case .electionCampaign: campaign(call, message)
    case .electionProclaim: proclaim(call, message)
    case .electionLeader: electionLeader(call, message)
    case .electionObserve: observe(call, message)
    case .electionResign: resign(call, message)
    default: call.fail(ClientError(.unimplemented, "unknown method"))
    }
  }

  public func requestsEnded(_ call: RPCCall) {
    (call.userObject as? KeepAliveStream)?.end()
  }

  public func cancelled(_ call: RPCCall, reason: CancellationReason) {
    // Answers to a call that ended are dropped by the wire; only what goes on by itself has to be told.
    (call.userObject as? any CallWork)?.cancel()
    if FrontendContext.methods[call.method] == .watch { watches.ended(call) }
    endHealthWatch(call)
    if reason == .protocolViolation { countBroken(call) }
  }

  /// Counts a stream that its client's messages broke.
  func countBroken(_ call: RPCCall) {
    switch FrontendContext.methods[call.method] {
    case .watch: metrics.brokenWatches.add()
    case .leaseKeepAlive: metrics.brokenKeepAlives.add()
    default: break
    }
  }

  public func writable(_ call: RPCCall) {
    (call.userObject as? any CallWork)?.resume()
    if FrontendContext.methods[call.method] == .watch { watches.writable(call) }
  }

  public func batchEnded(_ connection: ServerConnection) {
    inBatch = false
    if !rangeTally.isEmpty {
      rangeTally.settle(connection.batchEnd - connection.batchTime, in: metrics)
    }
    releaseView()
    flush()
  }

  /// etcd's interceptors: what a request's metadata alone can refuse.
  private func refusalByMetadata(_ call: RPCCall, isStream: Bool) -> ClientError? {
    let versionIsGood = call.withMetadata(.clientAPIVersion) { bytes in
      clientVersions.count(bytes, isStream: isStream)
    }
    if !versionIsGood { return .invalidClientAPIVersion }
    if !hasLeader, wantsLeader(call) { return .noLeader }
    return nil
  }

  /// What the metrics show of this loop.
  var figures: LoopFigures {
    var figures = watches.figures
    figures.clientVersions = clientVersions
    return figures
  }

  var hasLeader: Bool { context.gauge.leader.load(ordering: .relaxed) != 0 }

  /// Whether this member has no vote yet. What it knows may be old, so it serves little.
  var isLearner: Bool { context.gauge.isLearner.load(ordering: .relaxed) }

  /// Of ranges only the serializable ones, which is seen when they are decoded.
  private static func mayServeAsLearner(_ method: EtcdMethod) -> Bool {
    method == .range || method == .status || method == .snapshot
  }

  func wantsLeader(_ call: RPCCall) -> Bool {
    call.withMetadata(.hasLeader) { bytes in bytes.map { $0.elementsEqual("true".utf8) } ?? false }
  }

  public func draining(_ connection: ServerConnection) {
    keepAlives.end(on: connection)
    // All connections of the loop drain at once.
    watches.closeAll(.serverStopped)
    endHealthWatches(of: connection)
  }

  // MARK: To the member's thread

  func propose(_ call: RPCCall?, _ work: PendingWork, operation: [UInt8]) {
    outgoing.append(
      .replica(.propose(Proposal(ticket: pending.add(call, work), operation: operation))))
    flushOutsideBatch()
  }

  /// Has `work` done once a read is linearizable.
  func confirmRead(_ call: RPCCall?, _ work: PendingWork) {
    outgoing.append(.replica(.readIndex(pending.add(call, work))))
    flushOutsideBatch()
  }

  func submit(_ input: ReplicaInput) { submit(input: .replica(input)) }

  func submit(input: NodeInput) {
    outgoing.append(input)
    flushOutsideBatch()
  }

  /// Somebody waits for what is applied to be committed.
  func askForCommit() {
    outgoing.append(.commitSoon)
    flushOutsideBatch()
  }

  private func flushOutsideBatch() {
    if !inBatch { flush() }
  }

  private func flush() {
    if !outgoing.isEmpty { context.submit(&outgoing) }
  }

  // MARK: From the member's thread

  /// Takes events, and then answers to tickets of this loop: nobody hears of a change before its watchers.
  func deliver(events: [EventBatch], answers: [Answer]) {
    if !events.isEmpty {
      watches.deliver(events)
      delivered(events)
    }
    let began = NIODeadline.now()
    for answer in answers {
      guard let waiting = pending.take(answer.ticket) else { continue }
      noteIfSlow(waiting, answer, now: began)
      switch answer {
      case .applied(_, let revision, let body): complete(waiting, revision: revision, body: body)
      case .failed(_, let error): fail(waiting, error)
      case .readReady: serve(waiting)
      case .lease(_, let answer): complete(waiting, answer)
      }
    }
    if !rangeTally.isEmpty { rangeTally.settle(NIODeadline.now() - began, in: metrics) }
    releaseView()
  }

  /// The member's thread tells the time by ticks, and those stand still while the log is being synced: what a disk that
  /// hangs keeps it from refusing is refused here. Whether it happens all the same is open, as with each time-out.
  func endPeriod() {
    let limit = context.requestTimeoutNanoseconds
    // The thread's own answer knows more; it comes first if it comes in time.
    let periods = UInt32(clamping: limit / Self.periodNanoseconds + 2)
    for overdue in pending.endPeriod(keeping: periods) { fail(overdue, .requestTimedOut) }
  }

  /// How often calls that wait are looked at. After a pause of the process that is once, so none is refused for it.
  static let periodNanoseconds: UInt64 = 500_000_000

  /// The committer removed everything up to `revision`: answers the physical compactions that waited for it.
  public func compactionFinished(_ revision: Int64) {
    compactions.removeAll { waiting in
      guard waiting.revision <= revision else { return false }
      respond(waiting.call, revision: waiting.headerRevision, body: waiting.body)
      return true
    }
  }

  private func complete(_ waiting: PendingCalls.Pending, revision: Int64, body: [UInt8]) {
    if case .local(let done) = waiting.work {
      return done(.success(LocalOutcome(revision: revision, body: body)))
    }
    guard let call = waiting.call else { return }
    if case .refusal(let error) = waiting.work { return call.fail(error) }
    if case .afterCommand(let serve) = waiting.work { return serve(call) }
    if case .promotion = waiting.work { return serveMemberList(call) }
    if case .physicalCompaction(let wanted) = waiting.work,
      context.gauge.finishedCompactRevision.load(ordering: .acquiring) < wanted
    {
      compactions.append((wanted, call, revision, body))
      askForCommit()
      return
    }
    respond(call, revision: revision, body: body)
  }

  private func fail(_ waiting: PendingCalls.Pending, _ error: ClientError) {
    if case .probe(let done) = waiting.work { return done(error) }
    if case .refusal(let refusal) = waiting.work { return waiting.call?.fail(refusal) ?? () }
    if case .local(let done) = waiting.work { return done(.failure(error)) }
    guard let call = waiting.call else { return }
    if case .promotion(let id) = waiting.work, error == .notLeader { return askLeaderToPromote(call, id) }
    call.fail(error)
  }

  private func serve(_ waiting: PendingCalls.Pending) {
    if case .probe(let done) = waiting.work { return done(nil) }
    guard let call = waiting.call, call.isOpen else { return }
    switch waiting.work {
    case .range(let request): serveRange(call, request)
    case .transaction(let request): serveTransaction(call, request)
    case .rangeStream(let request): serveRangeStream(call, request)
    case .memberList: serveMemberList(call)
    case .afterRead(let serve): serve(call)
    case .command, .physicalCompaction, .probe, .local, .leaseRenewal, .leaseTimeToLive, .leaseList, .refusal,
      .afterCommand, .promotion:
      preconditionFailure("only reads become ready")
    }
  }

  // MARK: Tools of the services

  var term: UInt64 { context.gauge.raftTerm.load(ordering: .relaxed) }

  func respond(_ call: RPCCall, revision: Int64, body: [UInt8]) {
    call.respond(builder.response(revision: revision, term: term, body: body))
  }

  /// The view of this batch.
  func view() throws(StoreError) -> ReadView {
    if let batchView { return batchView }
    let view = try context.store.view()
    batchView = view
    return view
  }

  /// Lets go of the view unless a batch of requests is being read.
  func releaseViewOutsideBatch() {
    if !inBatch { releaseView() }
  }

  private func releaseView() {
    batchView?.end()
    batchView = nil
  }

  /// Refuses a call because the store failed to read.
  func fail(_ call: RPCCall, _ error: StoreError) {
    context.report(error)
    call.fail(context.clientError(error))
  }

  /// The answer to bytes that are no message of the method's type, in grpc-go's words.
  func refuseMalformed(_ call: RPCCall, _ error: ProtoError) {
    countBroken(call)
    call.fail(ClientError(.internal, "grpc: error unmarshalling request: \(error)"))
  }
}
