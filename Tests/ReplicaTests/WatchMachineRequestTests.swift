import Model
import Replica
import Testing

/// What clients ask of a Watch stream, one rule at a time, as etcd answers.
@Suite struct WatchMachineRequestTests {
  private let put = Event.Kind.put

  @Test func `ids count from 0 and skip those in use`() {
    let harness = WatchHarness()
    let stream = harness.open()
    harness.create(stream, WatchCreateRequest("a", id: 1))
    for _ in 0..<3 { harness.create(stream, WatchCreateRequest("a")) }
    // An id is free again after its cancellation, but the count goes on.
    harness.cancel(stream, 2)
    harness.create(stream, WatchCreateRequest("a"))
    harness.create(stream, WatchCreateRequest("a", id: 2))
    let ids = harness.seen(stream).compactMap { response in
      if case .created(let id, _, nil) = response { id } else { nil }
    }
    #expect(ids == [1, 0, 2, 3, 4, 2])
    #expect(harness.world.checker.failures == [])
  }

  @Test func `ids of one stream mean nothing on another`() {
    let harness = WatchHarness()
    let (first, second) = (harness.open(), harness.open())
    harness.create(first, WatchCreateRequest("a", id: 5))
    harness.create(second, WatchCreateRequest("b", id: 5))
    harness.store.put("a")
    harness.feed()
    #expect(harness.seen(first).count == 2)
    harness.cancel(first, 5)
    #expect(harness.seen(second) == [.created(id: 5, revision: 1, refusal: nil)])
    #expect(harness.machine.watcherCount == 1)
  }

  @Test func `refusals carry etcd's reasons and come in etcd's order`() {
    let harness = WatchHarness()
    let stream = harness.open()
    harness.create(stream, WatchCreateRequest("a", id: 7))
    harness.create(stream, WatchCreateRequest("a", id: 7))
    harness.create(stream, WatchCreateRequest("b", "a", id: 7))
    harness.create(stream, WatchCreateRequest("a", "a"))
    // An empty key is the least one, and still greater than no end can be.
    harness.create(stream, WatchCreateRequest("", "\u{0}"))
    harness.create(stream, WatchCreateRequest("b", "a"), refusal: "denied")
    harness.create(stream, WatchCreateRequest("b", "a", from: -1), refusal: "denied")
    func refused(_ text: String) -> Seen { .created(id: -1, revision: 1, refusal: text) }
    #expect(
      harness.seen(stream) == [
        .created(id: 7, revision: 1, refusal: nil),
        refused("mvcc: duplicate watch ID provided on the WatchStream"),
        refused("mvcc: watcher range is empty"), refused("mvcc: watcher range is empty"),
        .created(id: 0, revision: 1, refusal: nil),
        refused("denied"), refused("etcdserver: mvcc: required revision has been compacted"),
      ])
    #expect(harness.machine.watcherCount == 2)
  }

  @Test func `limits are refusals, and room comes back`() {
    var limits = WatchLimits()
    limits.streams = 1
    limits.watchersPerStream = 2
    let harness = WatchHarness(limits: limits)
    let stream = harness.open()
    #expect(harness.machine.streamOpened() == nil)
    for _ in 0..<3 { harness.create(stream, WatchCreateRequest("a")) }
    #expect(
      harness.seen(stream).last == .created(id: -1, revision: 1, refusal: "etcdserver: too many requests"))
    harness.cancel(stream, 0)
    harness.create(stream, WatchCreateRequest("a"))
    #expect(harness.seen(stream).last == .created(id: 2, revision: 1, refusal: nil))
    harness.close(stream)
    #expect(harness.machine.watcherCount == 0)
    #expect(harness.machine.streamOpened() != nil)
  }

  @Test func `a cancel is answered once, and of an unknown watcher not at all`() {
    let harness = WatchHarness()
    let stream = harness.open()
    harness.create(stream, WatchCreateRequest("a"))
    harness.cancel(stream, 0)
    harness.cancel(stream, 0)
    harness.cancel(stream, 9)
    harness.store.put("a")
    harness.feed()
    #expect(
      harness.seen(stream) == [
        .created(id: 0, revision: 1, refusal: nil),
        .cancelled(id: 0, revision: 1, compactRevision: 0, reason: ""),
      ])
  }

  @Test func `a watch from now gets what comes, whole transactions at once`() {
    let harness = WatchHarness()
    harness.store.put("a", "old")
    harness.fed = 3
    let stream = harness.open()
    harness.create(stream, WatchCreateRequest("a", "c"))
    harness.store.apply([
      .put([97], value: [1]), .delete([97]), .put([98], value: [2]), .put([99], value: [3]),
    ])
    harness.feed()
    #expect(
      harness.seen(stream) == [
        .created(id: 0, revision: 2, refusal: nil),
        .events(
          id: 0, revision: 3, fragment: false,
          [
            Event(
              kind: .put,
              keyValue: KeyValue(
                key: [97], createRevision: 2, modRevision: 3, version: 2, value: [1])),
            Event(kind: .delete, keyValue: KeyValue(key: [97], modRevision: 3)),
            Event(
              kind: .put,
              keyValue: KeyValue(key: [98], createRevision: 3, modRevision: 3, version: 1, value: [2])),
          ]),
      ])
  }

  @Test func `history comes in slices and joins the live events`() {
    let harness = WatchHarness()
    for value in ["1", "2", "3", "4"] { harness.store.put("a", value) }
    harness.fed = 6
    let stream = harness.open()
    harness.create(stream, WatchCreateRequest("a", from: 2))
    #expect(harness.world.reads.map(\.from) == [2])
    harness.store.put("a", "5")
    harness.feed()
    harness.answer(last: 3)
    #expect(harness.world.reads.map(\.from) == [4])
    harness.answer()
    harness.store.put("a", "6")
    harness.feed()
    let values = harness.seen(stream).map { response -> [UInt8] in
      if case .events(_, _, _, let events) = response { events.flatMap(\.keyValue.value) } else { [] }
    }
    #expect(values == [[], Array("12".utf8), Array("345".utf8), Array("6".utf8)])
    #expect(harness.machine.laggingCount == 0)
    #expect(harness.world.checker.failures == [])
  }

  @Test func `filters drop events, and a response of none is not sent`() {
    let harness = WatchHarness()
    let stream = harness.open()
    harness.create(stream, WatchCreateRequest("a", filters: [.noPut]))
    harness.create(stream, WatchCreateRequest("a", filters: [.noDelete]))
    harness.create(stream, WatchCreateRequest("a", filters: [.noPut, .noDelete]))
    harness.store.put("a")
    harness.feed()
    harness.store.delete("a")
    harness.feed()
    let received = harness.seen(stream).compactMap { response -> [String]? in
      if case .events(let id, _, _, let events) = response {
        events.map { "\(id) \($0.kind)" }
      } else {
        nil
      }
    }
    #expect(received == [["1 put"], ["0 delete"]])
  }

  @Test func `prev_kv is read once for all watchers, and not for a new key`() {
    let harness = WatchHarness()
    harness.store.put("a", "1")
    harness.fed = 3
    let stream = harness.open()
    for _ in 0..<10 { harness.create(stream, WatchCreateRequest("a", "z", previous: true)) }
    for _ in 0..<10 { harness.create(stream, WatchCreateRequest("a")) }
    harness.store.put("a", "2")
    harness.store.put("b", "1")
    harness.store.delete("b")
    harness.feed()
    #expect(harness.world.previousAsked == 2)
    #expect(harness.world.checker.previousChecked == 20)
    #expect(harness.world.checker.failures == [])
  }

  @Test func `prev_kv that is compacted is missing`() {
    let harness = WatchHarness()
    for value in ["1", "2", "3"] { harness.store.put("a", value) }
    harness.store.compactRevision = 3
    harness.fed = 5
    let stream = harness.open()
    harness.create(stream, WatchCreateRequest("a", from: 3, previous: true))
    harness.answerAll()
    guard case .events(0, 4, false, let events) = harness.seen(stream).last else {
      Issue.record("\(harness.seen(stream))")
      return
    }
    #expect(events.map { $0.previous?.value } == [nil, Array("2".utf8)])
  }

  @Test func `one event is encoded once for a thousand watchers`() {
    let harness = WatchHarness()
    let streams = (0..<10).map { _ in harness.open() }
    for stream in streams {
      for _ in 0..<100 { harness.create(stream, WatchCreateRequest("a")) }
    }
    harness.store.put("a", "value")
    harness.feed()
    #expect(harness.world.bodies.count == 1_000)
    // The same memory, not only the same bytes.
    let places = harness.world.bodies.map { body in
      body.bytes.withUnsafeBufferPointer { UInt(bitPattern: $0.baseAddress) + UInt(body.range.lowerBound) }
    }
    #expect(Set(places).count == 1)
  }

  @Test func `fragments split one revision between events, the last unmarked`() {
    var limits = WatchLimits()
    limits.fragmentBytes = 64 + 120
    let harness = WatchHarness(limits: limits)
    // Full after its first response; the rest of the fragments still belong to that.
    let stream = harness.open(room: 1)
    harness.create(stream, WatchCreateRequest("a", "z", fragment: true))
    harness.create(stream, WatchCreateRequest("a", "z"))
    let value = [UInt8](repeating: 1, count: 30)
    harness.store.apply((0..<5).map { .put([UInt8(98 + $0)], value: value) })
    harness.store.put("a", "big" + String(repeating: "x", count: 500))
    harness.feed()
    harness.drain(stream)
    harness.answerAll()
    let pieces = harness.seen(stream).compactMap { response -> String? in
      if case .events(let id, _, let fragment, let events) = response {
        "\(id): \(events.count)\(fragment ? "+" : "")"
      } else {
        nil
      }
    }
    // 45 bytes an event: two in a piece. Revision 3 is a piece of its own, larger than the limit.
    #expect(pieces == ["0: 2+", "0: 2+", "0: 1", "0: 1", "1: 6"])
    #expect(harness.world.checker.failures == [])
  }

  @Test func `responses end between revisions at their size`() {
    var limits = WatchLimits()
    limits.responseBytes = 100
    let harness = WatchHarness(limits: limits)
    let stream = harness.open()
    harness.create(stream, WatchCreateRequest("a"))
    for _ in 0..<5 { harness.store.put("a", String(repeating: "x", count: 30)) }
    harness.feed()
    let parts = harness.seen(stream).compactMap { response -> [Int64]? in
      if case .events(_, let revision, _, let events) = response {
        [revision] + events.map(\.keyValue.modRevision)
      } else {
        nil
      }
    }
    #expect(parts == [[3, 2, 3], [5, 4, 5], [6, 6]])
  }

  @Test func `manual progress needs a watcher`() {
    let harness = WatchHarness()
    let stream = harness.open()
    harness.requestProgress(stream)
    harness.create(stream, WatchCreateRequest("a"))
    #expect(harness.seen(stream).count == 1)
    harness.requestProgress(stream)
    #expect(harness.seen(stream).last == .progress(id: -1, revision: 1))
  }

  @Test func `manual progress waits for the feed to reach the revision at the request`() {
    let harness = WatchHarness()
    let stream = harness.open()
    harness.create(stream, WatchCreateRequest("a"))
    harness.store.put("b")
    harness.requestProgress(stream)
    #expect(harness.seen(stream).count == 1)
    harness.feed()
    #expect(harness.seen(stream).last == .progress(id: -1, revision: 2))
  }

  @Test func `periodic progress comes to those who asked and heard nothing`() {
    var limits = WatchLimits()
    limits.progressMilliseconds = 1_000
    let harness = WatchHarness(limits: limits)
    let stream = harness.open()
    harness.create(stream, WatchCreateRequest("a", progress: true))
    harness.create(stream, WatchCreateRequest("b", progress: true))
    harness.create(stream, WatchCreateRequest("c"))
    harness.machine.tick(nowMilliseconds: 50_000, &harness.world)
    harness.machine.tick(nowMilliseconds: 50_999, &harness.world)
    #expect(harness.seen(stream).count == 3)
    harness.store.put("a")
    harness.feed()
    harness.machine.tick(nowMilliseconds: 51_101, &harness.world)
    #expect(harness.seen(stream).suffix(1) == [.progress(id: 1, revision: 2)])
    harness.machine.tick(nowMilliseconds: 52_300, &harness.world)
    #expect(
      harness.seen(stream).suffix(2) == [.progress(id: 0, revision: 2), .progress(id: 1, revision: 2)])
  }

  @Test func `streams opened together do not report together`() {
    var limits = WatchLimits()
    limits.progressMilliseconds = 1_000
    let harness = WatchHarness(limits: limits)
    let streams = (0..<50).map { _ in harness.open() }
    for stream in streams { harness.create(stream, WatchCreateRequest("a", progress: true)) }
    harness.machine.tick(nowMilliseconds: 0, &harness.world)
    harness.machine.tick(nowMilliseconds: 1_050, &harness.world)
    let reported = streams.count { harness.seen($0).count == 2 }
    #expect(10..<40 ~= reported)
    harness.machine.tick(nowMilliseconds: 1_100, &harness.world)
    #expect(streams.allSatisfy { harness.seen($0).count == 2 })
  }
}
