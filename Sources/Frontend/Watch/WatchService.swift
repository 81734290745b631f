import Model
import NIOCore
import Primitives
import Replica
import Store
import Wire

/// The watch streams of one event loop: what `WatchMachine` decides, carried out on calls and on handlers inside the
/// member.
///
/// Confined to its event loop. The machine is never called from inside one of its own calls: what comes up there (a
/// read of history, a notice to a local handler) is kept and done when the call has returned.
final class WatchService {
  /// Where the responses of a stream go.
  enum Outlet {
    case call(RPCCall)
    case local(LocalWatch)
  }

  /// The machine's stream behind a call, found by the call.
  final class CallStream {
    let id: WatchStreamID
    let wantsLeader: Bool

    init(id: WatchStreamID, wantsLeader: Bool) {
      self.id = id
      self.wantsLeader = wantsLeader
    }
  }

  unowned let front: LoopFrontend
  private let options: WatchOptions
  private var machine: WatchMachine
  /// By slot.
  private var outlets: [(id: WatchStreamID, outlet: Outlet)?] = []
  private var openStreams = 0
  private var historyReads: [HistoryRead] = []
  private var runningReads = 0
  private var notices: [(LocalWatch, LocalWatchNotice)] = []
  /// An error of the store that a read for an event met; all streams end with it.
  private var storeError: StoreError?
  private var isFed = false
  private var isTicking = false
  private var leaderlessSince: UInt64?

  init(_ front: LoopFrontend, options: WatchOptions, seed: UInt64) {
    self.front = front
    self.options = options
    var limits = WatchLimits()
    limits.progressMilliseconds = options.progressMilliseconds
    limits.fragmentBytes = options.fragmentBytes
    machine = WatchMachine(limits: limits, seed: seed)
  }

  /// What the metrics show.
  var figures: LoopFigures {
    var figures = LoopFigures()
    figures.watchStreams = machine.streamCount
    figures.watchers = machine.watcherCount
    figures.laggingWatchers = machine.laggingCount
    return figures
  }

  // MARK: Streams

  func began(_ call: RPCCall) {
    guard let id = open(.call(call)) else {
      return call.fail(ClientError(.resourceExhausted, "etcdserver: too many watch streams"))
    }
    let wantsLeader = front.wantsLeader(call)
    call.userObject = CallStream(id: id, wantsLeader: wantsLeader)
  }

  func open(_ outlet: Outlet) -> WatchStreamID? {
    guard let id = machine.streamOpened() else { return nil }
    let slot = Int(id.slot)
    while outlets.count <= slot { outlets.append(nil) }
    precondition(outlets[slot] == nil, "a slot is used by one stream at a time")
    outlets[slot] = (id, outlet)
    openStreams += 1
    startTicking()
    return id
  }

  func close(_ id: WatchStreamID) {
    guard outlet(id) != nil else { return }
    outlets[Int(id.slot)] = nil
    openStreams -= 1
    machine.streamClosed(id)
  }

  func outlet(_ id: WatchStreamID) -> Outlet? {
    guard Int(id.slot) < outlets.count, let entry = outlets[Int(id.slot)], entry.id == id else { return nil }
    return entry.outlet
  }

  /// Ends every stream with an error.
  func closeAll(_ error: ClientError) {
    close(error) { _ in true }
    settle()
  }

  private func close(_ error: ClientError, where matches: (RPCCall?) -> Bool) {
    for case let (id, outlet)? in outlets {
      switch outlet {
      case .call(let call):
        guard matches(call) else { continue }
        close(id)
        call.fail(error)
      case .local(let watch):
        guard matches(nil) else { continue }
        close(id)
        notices.append((watch, .failed(error)))
      }
    }
  }

  // MARK: Requests

  func received(_ call: RPCCall, _ message: UnsafeRawBufferPointer) {
    guard let stream = call.userObject as? CallStream else { return }
    let request: WatchRequest
    do throws(ProtoError) {
      request = try WatchRequest(decoding: message)
    } catch {
      close(stream.id)
      front.countBroken(call)
      return call.fail(
        ClientError(.internal, "grpc: failed to unmarshal the received message: \(error)"))
    }
    switch request {
    case .none: break
    case .create(let request): create(stream.id, request)
    case .cancel(let watchID):
      withRevision(stream.id) { machine, sink, revision, _ in
        machine.cancel(stream.id, watchID: watchID, currentRevision: revision, &sink)
      }
    case .progress:
      withRevision(stream.id) { machine, sink, revision, _ in
        machine.requestProgress(stream.id, currentRevision: revision, &sink)
      }
    }
  }

  func create(_ id: WatchStreamID, _ request: WatchCreateRequest) {
    withRevision(id) { machine, sink, revision, compacted in
      machine.create(
        id, WatchCreate(request), currentRevision: revision, compactRevision: compacted, &sink)
    }
  }

  /// Calls the machine with the published revision and the last compaction.
  private func withRevision(
    _ id: WatchStreamID,
    _ body: (inout WatchMachine, inout LoopWatchSink, _ revision: Int64, _ compacted: Int64) -> Void
  ) {
    do throws(StoreError) {
      let view = try front.view()
      let (revision, compacted) = (view.revision, view.compactRevision)
      withMachine { body(&$0, &$1, revision, compacted) }
    } catch {
      front.context.report(error)
      closeAll(front.context.clientError(error))
    }
  }

  func ended(_ call: RPCCall) {
    guard let stream = call.userObject as? CallStream else { return }
    close(stream.id)
  }

  func writable(_ call: RPCCall) {
    guard let stream = call.userObject as? CallStream else { return }
    withMachine { $0.drained(stream.id, &$1) }
  }

  // MARK: Events

  func deliver(_ batches: [EventBatch]) {
    withMachine { machine, sink in
      for batch in batches { machine.live(batch, &sink) }
    }
  }

  private func withMachine(_ body: (inout WatchMachine, inout LoopWatchSink) -> Void) {
    var sink = LoopWatchSink(service: self)
    body(&machine, &sink)
    settle()
  }

  /// Does what came up during a call of the machine.
  private func settle() {
    if let error = storeError {
      storeError = nil
      front.context.report(error)
      close(front.context.clientError(error)) { _ in true }
    }
    if machine.watcherCount > 0, !isFed { setFed(true) }
    startReads()
    front.releaseViewOutsideBatch()
    // A handler may watch something else or cancel, which comes back here.
    while !notices.isEmpty {
      let batch = notices
      notices = []
      for (watch, notice) in batch { watch.take(notice) }
    }
  }

  private func setFed(_ isFed: Bool) {
    self.isFed = isFed
    front.group.setWatching(front.loopIndex, isFed)
  }

  // MARK: What the sink leaves to be done

  func add(_ read: HistoryRead) { historyReads.append(read) }

  func notify(_ watch: LocalWatch, _ notice: LocalWatchNotice) { notices.append((watch, notice)) }

  func previous(_ key: ArraySlice<UInt8>, at revision: Int64) -> [UInt8]? {
    do throws(StoreError) {
      let view = try front.view()
      return try key.span.bytes.withUnsafeBytes { (key) throws(StoreError) -> [UInt8]? in
        try view.previous(key, before: revision &+ 1).map { Array($0.keyValue) }
      }
    } catch {
      storeError = error
      return nil
    }
  }

  // MARK: History

  private func startReads() {
    while runningReads < options.historyReadsMax, !historyReads.isEmpty {
      runningReads += 1
      let read = historyReads.removeFirst()
      let (context, eventLoop) = (front.context, front.eventLoop)
      let front = self.front
      context.runLong {
        let outcome: Result<HistorySlice, StoreError>
        do throws(StoreError) {
          outcome = .success(try Self.read(read, context.store))
        } catch {
          outcome = .failure(error)
        }
        eventLoop.execute { front.watches.finished(read.id, outcome) }
      }
    }
  }

  private static func read(_ read: HistoryRead, _ store: Store) throws(StoreError) -> HistorySlice {
    switch read.wanted {
    case .key(let key): try store.history(from: read.from, of: key, bytesMax: read.bytesMax)
    case .keys(let keys):
      try store.history(
        from: read.from, of: keys, bytesMax: read.bytesMax, revisionsMax: read.revisionsMax)
    }
  }

  private func finished(_ id: UInt64, _ outcome: Result<HistorySlice, StoreError>) {
    runningReads -= 1
    switch outcome {
    case .success(.events(let batch)):
      withMachine { $0.history(HistoryAnswer(id: id, result: .events(batch)), &$1) }
    case .success(.compacted(let revision)):
      withMachine { $0.history(HistoryAnswer(id: id, result: .compacted(revision: revision)), &$1) }
    case .failure(let error):
      // What cannot be read must not be passed over.
      storeError = error
      settle()
    }
  }

  // MARK: Time

  private func startTicking() {
    guard !isTicking else { return }
    isTicking = true
    scheduleTick()
  }

  private func scheduleTick() {
    let milliseconds = max(10, min(1_000, options.progressMilliseconds / 10, options.leaderCheckMilliseconds))
    let front = self.front
    _ = front.eventLoop.scheduleTask(in: .milliseconds(Int64(milliseconds))) { front.watches.tick() }
  }

  private func tick() {
    let now = NIODeadline.now().uptimeNanoseconds / 1_000_000
    checkLeader(now)
    withMachine { $0.tick(nowMilliseconds: now, &$1) }
    // Not at once: who cancels one watch often creates the next.
    if machine.watcherCount == 0, isFed { setFed(false) }
    if openStreams > 0 {
      scheduleTick()
    } else {
      isTicking = isFed
      if isFed { scheduleTick() }
    }
  }

  private func checkLeader(_ now: UInt64) {
    guard !front.hasLeader else {
      leaderlessSince = nil
      return
    }
    let since = leaderlessSince ?? now
    leaderlessSince = since
    guard now - since >= WatchOptions.leaderChecks * options.leaderCheckMilliseconds else { return }
    close(.noLeader) { call in (call?.userObject as? CallStream)?.wantsLeader ?? false }
  }
}
