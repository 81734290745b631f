import Model
import Primitives
import Replica
import Testing

/// Random lives of a machine against the naive model, by seeds: many streams and watchers of every kind, transactions,
/// deletes, compaction, slow clients, a feed with gaps, history in slices of any size, and tiny limits.
@Suite struct WatchMachinePropertyTests {
  @Test(arguments: 0..<16) func `watch rules hold in random lives`(_ group: Int) {
    var totals = WatchRun.Totals()
    for seed in 0..<150 {
      var run = WatchRun(seed: UInt64(group * 1_000 + seed))
      run.run(steps: 160)
      totals.add(run)
      if let failure = run.failures.first {
        Issue.record("seed \(group * 1_000 + seed): \(failure)")
        return
      }
    }
    // Each rule was put to the test, or this asserts nothing.
    #expect(totals.events > 5_000)
    #expect(totals.progress > 300)
    #expect(totals.compactions > 100)
    #expect(totals.fragments > 50)
    #expect(totals.previous > 1_000)
  }

  @Test func `equal seeds give equal lives`() {
    var first = WatchRun(seed: 7)
    var second = WatchRun(seed: 7)
    first.run(steps: 300)
    second.run(steps: 300)
    #expect(first.harness.world.seen == second.harness.world.seen)
    #expect(first.harness.world.checker.eventsChecked > 20)
  }
}

/// One random life.
struct WatchRun {
  struct Totals {
    var events = 0
    var progress = 0
    var compactions = 0
    var fragments = 0
    var previous = 0

    mutating func add(_ run: WatchRun) {
      let checker = run.harness.world.checker
      events += checker.eventsChecked
      progress += checker.progressChecked
      compactions += checker.compactionsChecked
      fragments += checker.fragmentsChecked
      previous += checker.previousChecked
    }
  }

  let harness: WatchHarness
  private var random: SeededRandom
  private var streams: [WatchStreamID] = []
  /// Of the feed: what the core was asked last, and where it stands.
  private var isWatched = false
  private var feedNext: Int64?
  /// On their way from the core to the loop.
  private var batches: [EventBatch] = []
  private var now: UInt64 = 0

  var failures: [String] { harness.world.checker.failures }

  init(seed: UInt64) {
    random = SeededRandom(seed: seed)
    var limits = WatchLimits()
    limits.keyReads = 1 + Int(random.next() % 3)
    limits.watchersPerScan = 1 + Int(random.next() % 4)
    limits.sliceRevisions = 1 + Int64(random.next() % 12)
    limits.backlogBytes = Int(random.next() % 2_000)
    limits.responseBytes = 1 + Int(random.next() % 300)
    limits.fragmentBytes = 100 + Int(random.next() % 150)
    limits.matchesAtOnce = 1 + Int(random.next() % 6)
    limits.progressMilliseconds = 1_000
    harness = WatchHarness(limits: limits, seed: seed)
  }

  mutating func run(steps: Int) {
    for _ in 0..<steps where failures.isEmpty { step() }
    guard failures.isEmpty else { return }
    settle()
  }

  private mutating func below(_ bound: Int) -> Int { Int(random.next() % UInt64(bound)) }

  private mutating func step() {
    switch below(40) {
    case 0..<11: write()
    case 11..<14: createWatcher()
    case 14: openStream()
    case 15 where below(4) == 0: closeStream()
    case 15, 16: cancelWatcher()
    case 17..<20: anyStream { harness, stream in harness.requestProgress(stream) }
    case 20..<25: core()
    case 25..<30: if !batches.isEmpty { harness.machine.live(batches.removeFirst(), &harness.world) }
    case 30..<35: answerRead()
    case 35..<38: drainStream()
    case 38 where below(4) == 0: compact()
    default: tick()
    }
  }

  private mutating func anyStream(_ body: (WatchHarness, WatchStreamID) -> Void) {
    if !streams.isEmpty { body(harness, streams[below(streams.count)]) }
  }

  private mutating func key() -> [UInt8] {
    [[UInt8(ascii: "a")], Array("ab".utf8), Array("b".utf8), Array("ba".utf8), Array("c".utf8)][below(5)]
  }

  private mutating func write() {
    let operations = (0...(below(3) == 0 ? below(5) : 0)).map { _ -> NaiveStore.Operation in
      let key = key()
      if below(3) == 0 { return .delete(key) }
      return .put(key, value: [UInt8](repeating: 120, count: below(8) == 0 ? 90 : below(6)))
    }
    harness.store.apply(operations)
  }

  private mutating func openStream() {
    guard streams.count < 5 else { return }
    streams.append(harness.open(room: below(2) == 0 ? nil : 1 + below(4)))
  }

  private mutating func closeStream() {
    guard !streams.isEmpty else { return }
    harness.close(streams.remove(at: below(streams.count)))
  }

  private mutating func createWatcher() {
    if streams.isEmpty { openStream() }
    var request = WatchCreateRequest()
    request.key = below(12) == 0 ? [] : key()
    switch below(5) {
    case 0: request.rangeEnd = [0]
    case 1: request.rangeEnd = key()
    case 2: request.rangeEnd = Array("bb".utf8)
    default: break
    }
    let store = harness.store
    switch below(6) {
    case 0...1: break
    case 2: request.startRevision = store.revision + Int64(below(4)) - 1
    case 3: request.startRevision = max(store.compactRevision, 1) + Int64(below(4)) - 1
    case 4: request.startRevision = Int64(below(Int(store.revision) + 3)) - 1
    default: request.startRevision = store.revision + 1 + Int64(below(20))
    }
    if below(4) == 0 { request.filters = [Int32(below(2))] }
    request.previousKeyValue = below(2) == 0
    request.fragment = below(3) == 0
    request.progressNotify = below(3) == 0
    request.watchID = below(3) == 0 ? Int64(below(6)) : 0
    anyStream { harness, stream in harness.create(stream, request) }
  }

  private mutating func cancelWatcher() {
    let id = Int64(below(6))
    anyStream { harness, stream in harness.cancel(stream, id) }
  }

  /// A turn of the core: it hears whether it is watched, or sends a batch, complete or not.
  private mutating func core() {
    let revision = harness.store.revision
    let wanted = harness.machine.watcherCount > 0
    if wanted != isWatched {
      isWatched = wanted
      feedNext = wanted ? revision + 1 : nil
      if wanted { batches.append(EventBatch(first: revision + 1, last: revision)) }
      return
    }
    guard let first = feedNext, first <= revision else { return }
    let last = first + Int64(below(Int(revision - first) + 1))
    feedNext = last + 1
    batches.append(
      below(6) == 0
        ? EventBatch(first: first, last: last, isComplete: false) : harness.store.batch(first, last))
  }

  private mutating func answerRead() {
    guard !harness.world.reads.isEmpty else { return }
    let position = below(harness.world.reads.count)
    let from = harness.world.reads[position].from
    harness.answer(position, last: from + Int64(below(12)))
  }

  private mutating func drainStream() {
    let room = below(4) == 0 ? nil : 1 + below(5)
    anyStream { harness, stream in harness.drain(stream, room: room) }
  }

  private mutating func compact() {
    let store = harness.store
    let revision = max(store.compactRevision, 1) + Int64(below(Int(store.revision)))
    harness.store.compactRevision = min(revision, store.revision)
  }

  private mutating func tick() {
    now += UInt64(below(700))
    harness.machine.tick(nowMilliseconds: now, &harness.world)
  }

  /// Lets everything come to rest: then everybody has everything, and progress is answered.
  private mutating func settle() {
    for _ in 0..<10_000 {
      core()
      if let batch = batches.first {
        batches.removeFirst()
        harness.machine.live(batch, &harness.world)
      } else if !harness.world.reads.isEmpty {
        harness.answer()
      } else if let full = streams.first(where: { (harness.world.room[Int($0.slot)] ?? 1) <= 0 }) {
        harness.drain(full, room: 1 + below(5))
      } else if feedNext.map({ $0 > harness.store.revision }) ?? true,
        isWatched == (harness.machine.watcherCount > 0)
      {
        break
      }
    }
    harness.world.checker.checkQuiet(harness.store)
    if harness.machine.laggingCount != 0 { harness.world.checker.fail("somebody lags for ever") }
  }
}
