import Model
import Replica
import Testing

/// Every watch bug of etcd's past that one member can have, as the sequence that showed it. Each checks through
/// `WatchChecker` too, which knows what every watcher must have.
@Suite struct WatchMachineBugTests {
  private func revisions(_ harness: WatchHarness, _ stream: WatchStreamID, id: Int64) -> [Int64] {
    harness.seen(stream).flatMap { response -> [Int64] in
      if case .events(id, _, _, let events) = response { events.map(\.keyValue.modRevision) } else { [] }
    }
  }

  private func progress(_ harness: WatchHarness, _ stream: WatchStreamID) -> [Int64] {
    harness.seen(stream).compactMap { if case .progress(-1, let revision) = $0 { revision } else { nil } }
  }

  /// A manual progress request was answered while a watcher of the stream was unsynced.
  @Test func progressNeverOvertakesEvents_15220() {
    let harness = WatchHarness()
    for _ in 0..<5 { harness.store.put("a") }
    harness.fed = 7
    let stream = harness.open()
    harness.create(stream, WatchCreateRequest("b"))
    harness.create(stream, WatchCreateRequest("a", from: 2))
    harness.requestProgress(stream)
    #expect(progress(harness, stream) == [])
    harness.answer(last: 4)
    #expect(progress(harness, stream) == [])
    harness.answer()
    #expect(revisions(harness, stream, id: 1) == [2, 3, 4, 5, 6])
    #expect(progress(harness, stream) == [6])
    #expect(harness.world.checker.failures == [])
  }

  /// The same when the watcher lags because its stream is full.
  @Test func progressNeverOvertakesAFullStream_15220() {
    let harness = WatchHarness()
    let stream = harness.open(room: 1)
    harness.create(stream, WatchCreateRequest("a"))
    for _ in 0..<3 {
      harness.store.put("a")
      harness.feed()
    }
    harness.requestProgress(stream)
    #expect(progress(harness, stream) == [])
    harness.drain(stream)
    #expect(progress(harness, stream) == [])
    harness.answerAll()
    #expect(revisions(harness, stream, id: 0) == [2, 3, 4])
    #expect(progress(harness, stream) == [4])
    #expect(harness.world.checker.failures == [])
  }

  /// Periodic progress of one watcher has the same duty.
  @Test func periodicProgressNeverOvertakesEvents_15220() {
    var limits = WatchLimits()
    limits.progressMilliseconds = 100
    let harness = WatchHarness(limits: limits)
    let stream = harness.open()
    harness.create(stream, WatchCreateRequest("a", progress: true))
    for _ in 0..<3 { harness.store.put("a") }
    harness.fed = 5
    harness.create(stream, WatchCreateRequest("a", from: 2, progress: true))
    harness.feed()
    harness.fed = 2
    harness.machine.tick(nowMilliseconds: 0, &harness.world)
    harness.machine.tick(nowMilliseconds: 200, &harness.world)
    // The feed has brought nothing: the first watcher is at 1, and the second lags.
    #expect(harness.seen(stream).last == .progress(id: 0, revision: 1))
    harness.answerAll()
    harness.feed()
    harness.machine.tick(nowMilliseconds: 600, &harness.world)
    harness.machine.tick(nowMilliseconds: 1_000, &harness.world)
    #expect(harness.seen(stream).suffix(2) == [.progress(id: 0, revision: 4), .progress(id: 1, revision: 4)])
    #expect(revisions(harness, stream, id: 1) == [2, 3, 4])
    #expect(harness.world.checker.failures == [])
  }

  /// A watcher that had everything got old events again after the store was replaced: here the feed breaks off and begins
  /// anew further on, which is all that a new store means to watchers.
  @Test func noEventTwiceAfterRestore_15271() {
    let harness = WatchHarness()
    let stream = harness.open()
    harness.create(stream, WatchCreateRequest("a"))
    for _ in 0..<3 { harness.store.put("a") }
    harness.feed()
    for _ in 0..<3 { harness.store.put("a") }
    harness.fed = 8
    harness.machine.live(EventBatch(first: 8, last: 7), &harness.world)
    harness.store.put("a")
    harness.feed()
    harness.answerAll()
    #expect(revisions(harness, stream, id: 0) == [2, 3, 4, 5, 6, 7, 8])
    #expect(harness.world.checker.failures == [])
  }

  /// After a restore, watchers for a revision to come were lowered: old events, and notifications.
  @Test func futureWatchersKeepTheirRevision_20221() {
    let harness = WatchHarness()
    let stream = harness.open()
    harness.create(stream, WatchCreateRequest("a", from: 6))
    for _ in 0..<2 { harness.store.put("a") }
    harness.feed()
    harness.requestProgress(stream)
    #expect(harness.seen(stream).count == 1)
    // A gap in the feed, closed by history.
    harness.store.put("a")
    harness.feed(isComplete: false)
    harness.store.put("a")
    harness.feed()
    harness.requestProgress(stream)
    harness.answerAll()
    #expect(harness.seen(stream).count == 1)
    for _ in 0..<2 { harness.store.put("a") }
    harness.feed()
    #expect(revisions(harness, stream, id: 0) == [6, 7])
    harness.requestProgress(stream)
    #expect(progress(harness, stream) == [7])
    #expect(harness.world.checker.failures == [])
  }

  /// A watcher on a starved stream whose history was compacted lost the events silently.
  @Test func starvedWatcherHearsOfCompaction_17529() {
    let harness = WatchHarness()
    let stream = harness.open(room: 1)
    harness.create(stream, WatchCreateRequest("a"))
    harness.create(stream, WatchCreateRequest("a", "b"))
    for _ in 0..<5 {
      harness.store.put("a")
      harness.feed()
    }
    harness.store.compactRevision = 5
    harness.drain(stream)
    harness.answerAll()
    let cancelled = harness.seen(stream).suffix(2)
    #expect(
      Array(cancelled) == [
        .cancelled(id: 1, revision: 0, compactRevision: 5, reason: ""),
        .cancelled(id: 0, revision: 0, compactRevision: 5, reason: ""),
      ])
    // Nothing follows, and the client's own cancel is still answered, as in etcd.
    harness.store.put("a")
    harness.feed()
    harness.cancel(stream, 0)
    #expect(harness.seen(stream).last == .cancelled(id: 0, revision: 7, compactRevision: 0, reason: ""))
    #expect(revisions(harness, stream, id: 0) == [2])
    #expect(harness.machine.watcherCount == 0)
    #expect(harness.world.checker.failures == [])
  }

  /// The same for watchers at the front when the feed itself has a gap.
  @Test func liveWatchersHearOfCompactionInAGap_17529() {
    let harness = WatchHarness()
    let stream = harness.open()
    harness.create(stream, WatchCreateRequest("a"))
    harness.create(stream, WatchCreateRequest("a", from: 5))
    for _ in 0..<3 { harness.store.put("a") }
    harness.feed(isComplete: false)
    harness.store.compactRevision = 4
    harness.answerAll()
    #expect(harness.seen(stream).last == .cancelled(id: 0, revision: 0, compactRevision: 4, reason: ""))
    harness.store.put("a")
    harness.feed()
    #expect(revisions(harness, stream, id: 1) == [5])
    #expect(harness.world.checker.failures == [])
  }

  /// Watching may begin exactly at the compaction revision (18089, 19179), not below.
  @Test func watchFromTheCompactionRevision_18089() {
    let harness = WatchHarness()
    harness.store.put("a")
    harness.store.delete("a")
    harness.store.put("b")
    harness.store.compactRevision = 3
    harness.fed = 5
    let stream = harness.open()
    harness.create(stream, WatchCreateRequest("a", from: 3))
    harness.create(stream, WatchCreateRequest("a", from: 2))
    harness.answerAll()
    #expect(revisions(harness, stream, id: 0) == [3])
    #expect(harness.seen(stream).contains(.cancelled(id: 1, revision: 0, compactRevision: 3, reason: "")))
    #expect(harness.world.checker.failures == [])
  }

  /// Events came twice: a batch that overlaps what was delivered is skipped as far as it does.
  @Test func noDuplicatesFromOverlappingBatches_17247() {
    let harness = WatchHarness()
    let stream = harness.open()
    harness.create(stream, WatchCreateRequest("a"))
    for _ in 0..<4 { harness.store.put("a") }
    harness.machine.live(harness.store.batch(2, 3), &harness.world)
    harness.machine.live(harness.store.batch(2, 3), &harness.world)
    harness.machine.live(harness.store.batch(3, 5), &harness.world)
    #expect(revisions(harness, stream, id: 0) == [2, 3, 4, 5])
    #expect(harness.world.checker.failures == [])
  }

  /// A key put twice in one transaction, through nesting: both events, once each.
  @Test func noDuplicatesWithinATransaction_17247() {
    let harness = WatchHarness()
    let stream = harness.open()
    harness.create(stream, WatchCreateRequest("a", previous: true))
    harness.create(stream, WatchCreateRequest("a", "b"))
    harness.store.apply([
      .put([97], value: [1]), .put([98], value: [1]), .delete([97]), .put([97], value: [2]),
    ])
    harness.feed()
    #expect(revisions(harness, stream, id: 0) == [2, 2, 2])
    #expect(revisions(harness, stream, id: 1) == [2, 2, 2])
    #expect(harness.world.checker.failures == [])
  }

  /// A watch resumed after the last revision seen loses and repeats nothing, wherever it resumes.
  @Test(arguments: 2...7) func resumedWatchesMissNothing_8411(_ from: Int64) {
    let harness = WatchHarness()
    for _ in 0..<5 { harness.store.put("a") }
    let stream = harness.open()
    // The loop has seen less than the store holds: its first batch is still to come.
    harness.create(stream, WatchCreateRequest("a", from: from))
    harness.fed = 7
    harness.machine.live(EventBatch(first: 7, last: 6), &harness.world)
    harness.answerAll()
    harness.store.put("a")
    harness.feed()
    #expect(revisions(harness, stream, id: 0) == Array(from...7))
    #expect(harness.world.checker.failures == [])
  }

  /// Unsynced watchers, and those for the future, were forgotten when the store was replaced.
  @Test func nobodyIsForgottenAfterAGap_9281() {
    let harness = WatchHarness()
    for _ in 0..<2 { harness.store.put("a") }
    harness.fed = 4
    let stream = harness.open()
    harness.create(stream, WatchCreateRequest("a", from: 2))
    harness.create(stream, WatchCreateRequest("a", from: 8))
    harness.create(stream, WatchCreateRequest("a"))
    for _ in 0..<3 { harness.store.put("a") }
    harness.feed(isComplete: false)
    for _ in 0..<3 { harness.store.put("a") }
    harness.feed()
    harness.answerAll()
    #expect(revisions(harness, stream, id: 0) == Array(2...9))
    #expect(revisions(harness, stream, id: 1) == [8, 9])
    #expect(revisions(harness, stream, id: 2) == Array(4...9))
    #expect(harness.world.checker.failures == [])
  }

  /// A watch from revision -1 led to an endless resynchronisation; so may no other odd number.
  @Test func oddStartRevisions_20711() {
    let harness = WatchHarness()
    harness.store.put("a")
    harness.fed = 3
    let stream = harness.open()
    for revision in [-1, .min] as [Int64] { harness.create(stream, WatchCreateRequest("a", from: revision)) }
    for revision in [1, 2, 3, .max] as [Int64] {
      harness.create(stream, WatchCreateRequest("a", from: revision))
    }
    harness.answerAll()
    harness.store.put("a")
    harness.feed()
    harness.requestProgress(stream)
    let refused = harness.seen(stream).prefix(2)
    let reason = "etcdserver: mvcc: required revision has been compacted"
    #expect(Array(refused) == Array(repeating: .created(id: -1, revision: 2, refusal: reason), count: 2))
    #expect(revisions(harness, stream, id: 0) == [2, 3])
    #expect(revisions(harness, stream, id: 1) == [2, 3])
    #expect(revisions(harness, stream, id: 2) == [3])
    #expect(revisions(harness, stream, id: 3) == [])
    #expect(progress(harness, stream) == [])
    #expect(harness.world.reads.isEmpty)
    #expect(harness.world.checker.failures == [])
  }

  /// Events read for one group of watchers were used again for another, and some were missed: here watchers at different
  /// revisions share slices, and one joins while a slice is being read.
  @Test func sharedSlicesServeEachCursor_21443() {
    let harness = WatchHarness()
    for _ in 0..<6 { harness.store.put("a") }
    harness.fed = 8
    let stream = harness.open()
    harness.create(stream, WatchCreateRequest("a", "c", from: 4))
    harness.create(stream, WatchCreateRequest("a", "c", from: 2))
    harness.create(stream, WatchCreateRequest("a", "d", from: 3))
    #expect(harness.world.reads.count == 1)
    harness.answer(last: 5)
    harness.create(stream, WatchCreateRequest("a", "b", from: 5))
    harness.answer(last: 3)
    harness.answerAll()
    #expect(revisions(harness, stream, id: 0) == Array(4...7))
    #expect(revisions(harness, stream, id: 1) == Array(2...7))
    #expect(revisions(harness, stream, id: 2) == Array(3...7))
    #expect(revisions(harness, stream, id: 3) == Array(5...7))
    #expect(harness.world.checker.failures == [])
  }

  /// Watchers went while the store was being replaced, and the process crashed: answers may come for anybody.
  @Test func answersForThoseGoneAreNoHarm_13505() {
    let harness = WatchHarness()
    for _ in 0..<3 { harness.store.put("a") }
    harness.fed = 5
    let (first, second) = (harness.open(), harness.open())
    harness.create(first, WatchCreateRequest("a", from: 2))
    harness.create(second, WatchCreateRequest("a", "c", from: 2))
    harness.cancel(first, 0)
    harness.close(second)
    // The slots go to others, who must not take the answers for theirs.
    harness.create(first, WatchCreateRequest("b", from: 2))
    let third = harness.open()
    harness.create(third, WatchCreateRequest("b", "c", from: 2))
    harness.answerAll()
    harness.machine.drained(second, &harness.world)
    harness.cancel(third, 0)
    #expect(harness.seen(first).count == 3)
    #expect(harness.seen(third).count == 2)
    #expect(harness.world.checker.failures == [])
  }
}
