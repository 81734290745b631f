internal import Model
internal import Primitives

/// All watchers of one event loop: a cursor each over durable history. Synchronous and deterministic; confined to its
/// loop. Effects are calls of the `WatchSink` that every input is given.
///
/// **Live.** The feed brings batches of contiguous revisions. A watcher at the front is *live*: its cursor is the feed's,
/// kept once for all, so that a batch costs the watchers it concerns and no others. They are found through their
/// targets: a key by hash, ranges by an interval tree. A target's watchers with equal filters get the same bytes.
///
/// **Lagging.** A watcher that starts in the past, or whose stream was full when an event came, keeps its own cursor
/// and reads history until that reaches the feed. Watchers of one key share a walk of its chain, watchers of ranges
/// share a scan, in slices; streams that are full wait for `drained` and hold nothing but their watchers' cursors. So a
/// slow client costs bounded memory, stalls nobody, and loses nothing: it gets every event, or, when history was
/// compacted under it, the cancellation that says so.
///
/// **A gap in the feed** (a batch too large to carry, or the feed's beginning) is read from history in the same way, on
/// behalf of all live watchers at once; batches that come meanwhile wait in a bounded backlog.
///
/// **Progress** is the feed's position, told when every watcher of the stream is at the front and none lies in the
/// future. A request that comes while one lags waits for it (etcd drops it, and the client has to ask again). So
/// progress never overtakes an event.
///
/// **Atomic.** A response never ends inside a revision, except fragments, which come one right behind the other.
public struct WatchMachine: ~Copyable {
  public let limits: WatchLimits

  var watchers: [Watcher] = []
  var freeWatchers: [UInt32] = []
  var targetLinks = LinkPool()
  var streamLinks = LinkPool()
  /// Of the two queues and of the streams' blocked lists.
  var queueLinks = LinkPool()
  /// By stream and watch id.
  var watchersByID = SlotTable()
  let hash: KeyHash
  var targets: WatchTargets
  var streams: [WatchStreamRecord] = []
  var freeStreams: [UInt32] = []
  var compactedCount = 0

  /// The feed's position: the first revision that it has not brought.
  var feedNext: Int64 = 1
  /// The feed has a gap at `feedNext`, and revisions up to `feedThrough` are known to exist.
  var isFeedBehind = false
  var feedThrough: Int64 = 0
  var backlog: [EventBatch] = []
  var backlogBytes = 0
  /// The highest revision heard of.
  var revisionSeen: Int64 = 0

  var keyQueue = SlotList()
  var rangeQueue = SlotList()
  var reads: [WatchRead] = []
  var keyReadCount = 0
  var isScanning = false
  var lastReadID: UInt64 = 0

  var timers = WatchTimers()
  /// Streams whose time begins at the next tick: the present time is not known before.
  var newTimers: [WatchStreamID] = []
  var random: SeededRandom
  /// Streams that wait for progress they asked for; may hold closed ones.
  var progressWaiters: [WatchStreamID] = []
  var responses = WatchResponses()

  /// `seed` drives the jitter of periodic progress and keeps clients from choosing keys that collide.
  public init(limits: WatchLimits = WatchLimits(), seed: UInt64) {
    precondition(limits.watchers < Int(UInt32.max) && limits.streams < Int(UInt32.max), "slots have 32 bits")
    precondition(limits.sliceBytes > 0 && limits.sliceRevisions > 0 && limits.watchersPerScan > 0)
    precondition(limits.responseBytes > 0 && limits.fragmentBytes > 0 && limits.matchesAtOnce > 0)
    precondition(limits.keyReads > 0 && limits.progressMilliseconds > 0)
    self.limits = limits
    hash = KeyHash(seed: seed)
    targets = WatchTargets(seed: seed)
    random = SeededRandom(seed: seed)
  }

  /// Watchers that await events: the loop asks for the feed while this is not 0.
  public var watcherCount: Int { watchers.count - freeWatchers.count - compactedCount }

  /// Watchers behind the feed (etcd_debugging_mvcc_slow_watcher_total).
  public internal(set) var laggingCount = 0

  public var streamCount: Int { streams.count - freeStreams.count }
}

// MARK: - Streams

extension WatchMachine {
  /// A Watch call began. nil: there are too many.
  public mutating func streamOpened() -> WatchStreamID? {
    guard streamCount < limits.streams else { return nil }
    let slot = freeStreams.popLast() ?? UInt32(streams.count)
    if slot == streams.count { streams.append(WatchStreamRecord()) }
    let generation = streams[Int(slot)].generation &+ 1
    streams[Int(slot)] = WatchStreamRecord(generation: generation, isOpen: true)
    return WatchStreamID(slot: slot, generation: generation)
  }

  /// The call ended: its watchers are gone. Nothing is sent.
  public mutating func streamClosed(_ stream: WatchStreamID) {
    guard isOpen(stream) else { return }
    while case let slot = streams[Int(stream.slot)].watchers.first, slot != noSlot { removeWatcher(slot) }
    streams[Int(stream.slot)].isOpen = false
    freeStreams.append(stream.slot)
  }

  /// The stream takes events again.
  public mutating func drained(_ stream: WatchStreamID, _ sink: inout some WatchSink) {
    guard isOpen(stream) else { return }
    streams[Int(stream.slot)].isFull = false
    while case let slot = streams[Int(stream.slot)].blocked.first, slot != noSlot {
      queueLinks.remove(slot, from: &streams[Int(stream.slot)].blocked)
      makeReady(slot)
    }
    pump(&sink)
    settleProgress(&sink)
  }

  func isOpen(_ stream: WatchStreamID) -> Bool {
    let slot = Int(stream.slot)
    return slot < streams.count && streams[slot].isOpen && streams[slot].generation == stream.generation
  }

  func streamID(_ slot: UInt32) -> WatchStreamID {
    WatchStreamID(slot: slot, generation: streams[Int(slot)].generation)
  }
}

// MARK: - The states of a watcher

extension WatchMachine {
  func findWatcher(_ stream: UInt32, _ watchID: Int64) -> UInt32? {
    var probe = watchersByID.probe(hash(UInt64(stream), UInt64(bitPattern: watchID)))
    while let slot = watchersByID.next(&probe) {
      if watchers[Int(slot)].stream == stream, watchers[Int(slot)].watchID == watchID { return slot }
    }
    return nil
  }

  /// Files the record of a new watcher, which is in no state yet.
  mutating func addWatcher(_ watcher: Watcher) -> UInt32 {
    let slot: UInt32
    if let reused = freeWatchers.popLast() {
      slot = reused
      watchers[Int(slot)] = watcher
    } else {
      slot = UInt32(watchers.count)
      watchers.append(watcher)
      targetLinks.add(slot: slot)
      streamLinks.add(slot: slot)
      queueLinks.add(slot: slot)
    }
    let stream = Int(watcher.stream)
    watchersByID.insert(slot, hash: hash(UInt64(watcher.stream), UInt64(bitPattern: watcher.watchID)))
    streamLinks.append(slot, to: &streams[stream].watchers)
    streams[stream].watcherCount += 1
    streams[stream].raiseMaxima(watcher)
    if watcher.progressNotify { streams[stream].progressCount += 1 }
    return slot
  }

  /// Ends the watcher: nothing knows it any more.
  mutating func removeWatcher(_ slot: UInt32) {
    detach(slot)
    let watcher = watchers[Int(slot)]
    let stream = Int(watcher.stream)
    if watcher.state == .compacted {
      compactedCount -= 1
      streams[stream].compactedCount -= 1
    }
    watchersByID.remove(slot, hash: hash(UInt64(watcher.stream), UInt64(bitPattern: watcher.watchID)))
    streamLinks.remove(slot, from: &streams[stream].watchers)
    streams[stream].watcherCount -= 1
    streams[stream].areMaximaExact = false
    if watcher.progressNotify { streams[stream].progressCount -= 1 }
    watchers[Int(slot)].state = .free
    freeWatchers.append(slot)
  }

  /// Takes the watcher off its target and out of its queue.
  mutating func detach(_ slot: UInt32) {
    let watcher = watchers[Int(slot)]
    switch watcher.state {
    case .free, .compacted: return
    case .live: targetLinks.remove(slot, from: &targets[watcher.target].live)
    case .ready, .reading, .blocked:
      unqueue(slot)
      targetLinks.remove(slot, from: &targets[watcher.target].lagging)
      countLagging(watcher.stream, -1)
    }
    targets.releaseIfUnused(watcher.target)
  }

  mutating func unqueue(_ slot: UInt32) {
    let watcher = watchers[Int(slot)]
    switch watcher.state {
    case .blocked: queueLinks.remove(slot, from: &streams[Int(watcher.stream)].blocked)
    case .ready where targets[watcher.target].shape == .key: queueLinks.remove(slot, from: &keyQueue)
    case .ready: queueLinks.remove(slot, from: &rangeQueue)
    case .reading: watchers[Int(slot)].read = 0
    case .free, .live, .compacted: return
    }
  }

  /// A live watcher falls behind: `cursor` is the first revision that it misses.
  mutating func fallBehind(_ slot: UInt32, cursor: Int64) {
    let watcher = watchers[Int(slot)]
    targetLinks.remove(slot, from: &targets[watcher.target].live)
    watchers[Int(slot)].cursor = cursor
    watchers[Int(slot)].awaitsStart = false
    beginLagging(slot)
  }

  mutating func beginLagging(_ slot: UInt32) {
    let watcher = watchers[Int(slot)]
    targetLinks.append(slot, to: &targets[watcher.target].lagging)
    countLagging(watcher.stream, 1)
    makeReady(slot)
  }

  private mutating func countLagging(_ stream: UInt32, _ change: Int) {
    laggingCount += change
    streams[Int(stream)].laggingCount += Int32(change)
  }

  /// A lagging watcher in no queue goes to the end of the queue where it belongs.
  mutating func makeReady(_ slot: UInt32, first: Bool = false) {
    let watcher = watchers[Int(slot)]
    watchers[Int(slot)].read = 0
    if streams[Int(watcher.stream)].isFull {
      watchers[Int(slot)].state = .blocked
      queueLinks.append(slot, to: &streams[Int(watcher.stream)].blocked)
      return
    }
    watchers[Int(slot)].state = .ready
    switch (targets[watcher.target].shape == .key, first) {
    case (true, false): queueLinks.append(slot, to: &keyQueue)
    case (true, true): queueLinks.prepend(slot, to: &keyQueue)
    case (false, false): queueLinks.append(slot, to: &rangeQueue)
    case (false, true): queueLinks.prepend(slot, to: &rangeQueue)
    }
  }

  /// A watcher that was being read for has reached `cursor`.
  mutating func advance(_ slot: UInt32, to cursor: Int64) {
    let watcher = watchers[Int(slot)]
    let stream = Int(watcher.stream)
    watchers[Int(slot)].cursor = cursor
    watchers[Int(slot)].awaitsStart = false
    streams[stream].raiseMaxima(watchers[Int(slot)])
    guard cursor >= feedNext else { return makeReady(slot) }
    watchers[Int(slot)].read = 0
    watchers[Int(slot)].state = .live
    targetLinks.remove(slot, from: &targets[watcher.target].lagging)
    targetLinks.append(slot, to: &targets[watcher.target].live)
    countLagging(watcher.stream, -1)
  }

  /// History below `compactRevision` is gone, and the watcher needed it.
  mutating func cancelCompacted(_ slot: UInt32, compactRevision: Int64, _ sink: inout some WatchSink) {
    let watcher = watchers[Int(slot)]
    detach(slot)
    watchers[Int(slot)].state = .compacted
    compactedCount += 1
    streams[Int(watcher.stream)].compactedCount += 1
    sink.cancelled(
      streamID(watcher.stream), watchID: watcher.watchID, revision: 0, compactRevision: compactRevision,
      reason: "")
  }
}
