import Model
import Replica

/// Holds every response, when it is sent, against the watch rules and the whole history: ordered, unique, reliable,
/// atomic, filtered, prev_kv exact, and progress that no event may follow. The naive model of a watcher is the first
/// revision it has not seen all of.
struct WatchChecker {
  struct Watcher {
    var request: WatchCreateRequest
    /// Everything below was delivered.
    var next: Int64
    /// Events of revision `next` that came in fragments so far.
    var pieces = 0
    var isCompacted = false
    /// Of the last response.
    var headerRevision: Int64 = 0
  }
  struct Stream {
    var id: WatchStreamID
    var watchers: [Int64: Watcher] = [:]
    var lastRequest = WatchCreateRequest()
    var cancelRequested: Int64?
    /// The watcher whose fragments are not complete.
    var openFragment: Int64?
    var lastProgress: Int64 = 0
  }

  private(set) var failures: [String] = []
  private(set) var streams: [Stream?] = []
  private(set) var eventsChecked = 0
  private(set) var progressChecked = 0
  private(set) var compactionsChecked = 0
  private(set) var fragmentsChecked = 0
  private(set) var previousChecked = 0

  mutating func opened(_ stream: WatchStreamID) {
    while streams.count <= Int(stream.slot) { streams.append(nil) }
    streams[Int(stream.slot)] = Stream(id: stream)
  }

  mutating func closed(_ stream: WatchStreamID) { streams[Int(stream.slot)] = nil }

  mutating func requested(_ request: WatchCreateRequest, on stream: WatchStreamID) {
    streams[Int(stream.slot)]?.lastRequest = request
  }

  mutating func cancelRequested(_ watchID: Int64, on stream: WatchStreamID) {
    streams[Int(stream.slot)]?.cancelRequested = watchID
  }

  mutating func check(isFull: Bool, _ stream: WatchStreamID) {
    if isFull, streams[Int(stream.slot)]?.openFragment == nil { fail("events for a full stream") }
  }

  mutating func check(
    bytes: Int, events: Int, _ limits: WatchLimits, _ watchID: Int64, _ stream: WatchStreamID
  ) {
    guard let watcher = streams[Int(stream.slot)]?.watchers[watchID], watcher.request.fragment else { return }
    if events > 1, bytes >= limits.fragmentBytes { fail("\(bytes) bytes in a fragment of \(events) events") }
  }

  mutating func check(_ response: Seen, on id: WatchStreamID, _ store: NaiveStore) {
    guard var stream = streams[Int(id.slot)], stream.id == id else { return fail("a response after the end") }
    if let open = stream.openFragment {
      guard case .events(let watchID, _, _, _) = response, watchID == open else {
        return fail("\(response) between fragments")
      }
    }
    switch response {
    case .created(let watchID, let revision, let refusal):
      if revision < store.compactRevision || revision > store.revision { fail("header of \(response)") }
      guard refusal == nil else {
        if watchID != -1 { fail("a refused watcher has no id") }
        return
      }
      if stream.watchers[watchID] != nil { fail("id \(watchID) is taken") }
      let start = stream.lastRequest.startRevision
      stream.watchers[watchID] = Watcher(
        request: stream.lastRequest, next: start == 0 ? revision + 1 : start)
    case .cancelled(let watchID, _, let compactRevision, let reason):
      checkCancelled(watchID, compactRevision: compactRevision, reason: reason, &stream, store)
    case .progress(let watchID, let revision):
      checkProgress(watchID, revision, &stream, store)
    case .events(let watchID, let revision, let fragment, let events):
      checkEvents(watchID, revision, fragment: fragment, events, &stream, store)
    }
    streams[Int(id.slot)] = stream
  }

  mutating func fail(_ text: String) { failures.append(text) }

  private mutating func checkCancelled(
    _ watchID: Int64, compactRevision: Int64, reason: String, _ stream: inout Stream, _ store: NaiveStore
  ) {
    guard let watcher = stream.watchers[watchID] else { return fail("unknown \(watchID) is cancelled") }
    guard compactRevision != 0 else {
      if stream.cancelRequested != watchID || reason != "" { fail("nobody cancelled \(watchID)") }
      stream.watchers[watchID] = nil
      return
    }
    compactionsChecked += 1
    if watcher.isCompacted { fail("\(watchID) is compacted twice") }
    // Only what can not be had any more is a reason.
    if compactRevision > store.compactRevision || watcher.next >= compactRevision {
      fail("\(watchID) at \(watcher.next) is cancelled for \(compactRevision)")
    }
    stream.watchers[watchID]?.isCompacted = true
  }

  private mutating func checkProgress(
    _ watchID: Int64, _ revision: Int64, _ stream: inout Stream, _ store: NaiveStore
  ) {
    progressChecked += 1
    let active = stream.watchers.filter { !$0.value.isCompacted }
    let concerned = watchID == -1 ? active : active.filter { $0.key == watchID }
    if concerned.isEmpty { fail("progress for nobody") }
    if revision > store.revision { fail("progress \(revision) of \(store.revision)") }
    if watchID == -1, revision < stream.lastProgress { fail("progress goes back to \(revision)") }
    if watchID == -1 { stream.lastProgress = revision }
    for (id, watcher) in concerned {
      if watcher.request.startRevision > revision {
        fail("progress \(revision) before the start of \(id)")
      }
      if let missed = Self.wanted(watcher, store, through: revision).first {
        fail("progress \(revision) overtakes \(missed.revision) of \(id)")
      }
    }
  }

  private mutating func checkEvents(
    _ watchID: Int64, _ revision: Int64, fragment: Bool, _ events: [Event], _ stream: inout Stream,
    _ store: NaiveStore
  ) {
    guard var watcher = stream.watchers[watchID], !watcher.isCompacted else {
      return fail("events for \(watchID), which does not watch")
    }
    guard let last = events.last?.keyValue.modRevision else { return fail("a response without events") }
    eventsChecked += events.count
    let wanted = Array(Self.wanted(watcher, store, through: last).dropFirst(watcher.pieces))
    if wanted.count < events.count { return fail("\(watchID) got \(events.count) of \(wanted.count)") }
    for (event, change) in zip(events, wanted) { check(event, change, watcher, store) }
    if revision < last || revision > store.revision || revision < watcher.headerRevision {
      fail("header \(revision) of events up to \(last) after \(watcher.headerRevision)")
    }
    watcher.headerRevision = revision
    if fragment {
      fragmentsChecked += 1
      if !watcher.request.fragment { fail("\(watchID) did not ask for fragments") }
      if events[0].keyValue.modRevision != last { fail("a fragment of several revisions") }
      watcher.pieces += events.count
      watcher.next = last
    } else {
      if wanted.count != events.count { fail("\(watchID): revision \(last) is split") }
      watcher.pieces = 0
      watcher.next = last + 1
      if let missed = Self.wanted(watcher, store, through: revision).first {
        fail("header \(revision) is ahead of \(missed.revision)")
      }
      watcher.next = max(watcher.next, revision + 1)
    }
    stream.openFragment = fragment ? watchID : nil
    stream.watchers[watchID] = watcher
  }

  private mutating func check(
    _ event: Event, _ change: NaiveStore.Change, _ watcher: Watcher, _ store: NaiveStore
  ) {
    var expected = change.event
    if watcher.request.previousKeyValue, !change.isCreate {
      expected.previous = store.previous(expected.keyValue.key, at: change.revision.main - 1)
      if expected.previous != nil { previousChecked += 1 }
    }
    if event != expected { fail("got \(event), not \(expected)") }
  }

  /// What the watcher must get next, in order.
  private static func wanted(
    _ watcher: Watcher, _ store: NaiveStore, through last: Int64
  ) -> [NaiveStore.Change] {
    store.changes.filter { change in
      change.revision.main >= watcher.next && change.revision.main <= last
        && watcher.request.wants(change.event)
    }
  }

  /// When everything was fed, answered and drained: everybody has everything.
  mutating func checkQuiet(_ store: NaiveStore) {
    for case let stream? in streams {
      for (id, watcher) in stream.watchers where !watcher.isCompacted {
        if let missed = Self.wanted(watcher, store, through: store.revision).first {
          fail("\(id) never got \(missed.revision)")
        }
      }
    }
  }
}

extension WatchCreateRequest {
  func wants(_ event: Event) -> Bool {
    let first = key.isEmpty ? [0] : key
    let eventKey = event.keyValue.key
    let isInRange =
      if rangeEnd.isEmpty {
        eventKey == first
      } else if rangeEnd == [0] {
        !eventKey.lexicographicallyPrecedes(first)
      } else {
        !eventKey.lexicographicallyPrecedes(first) && eventKey.lexicographicallyPrecedes(rangeEnd)
      }
    return isInRange
      && !filters.contains(event.kind == .put ? Filter.noPut.rawValue : Filter.noDelete.rawValue)
  }
}
