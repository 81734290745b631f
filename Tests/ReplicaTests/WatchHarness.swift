import Model
import Primitives
import Replica

/// A store as simple as can be: every event that ever was, in order.
struct NaiveStore {
  struct Change {
    var revision: Revision
    var event: Event
    var isCreate: Bool {
      event.kind == .put && event.keyValue.createRevision == event.keyValue.modRevision
    }
  }
  enum Operation {
    case put([UInt8], value: [UInt8])
    case delete([UInt8])
  }

  private(set) var changes: [Change] = []
  private(set) var revision: Int64 = 1
  var compactRevision: Int64 = -1

  /// One transaction; nothing if it changes nothing.
  mutating func apply(_ operations: [Operation]) {
    let main = revision + 1
    var sub: Int64 = 0
    for operation in operations {
      var event: Event
      switch operation {
      case .put(let key, let value):
        let old = state(of: key, at: main)
        event = Event(
          kind: .put,
          keyValue: KeyValue(
            key: key, createRevision: old?.createRevision ?? main, modRevision: main,
            version: (old?.version ?? 0) + 1, value: value))
      case .delete(let key):
        if state(of: key, at: main) == nil { continue }
        event = Event(kind: .delete, keyValue: KeyValue(key: key, modRevision: main))
      }
      changes.append(Change(revision: Revision(main: main, sub: sub), event: event))
      sub += 1
    }
    if sub > 0 { revision = main }
  }

  mutating func put(_ key: String, _ value: String = "v") {
    apply([.put(Array(key.utf8), value: Array(value.utf8))])
  }

  mutating func delete(_ key: String) { apply([.delete(Array(key.utf8))]) }

  /// Without regard to compaction.
  func state(of key: [UInt8], at revision: Int64) -> KeyValue? {
    let last = changes.last { $0.revision.main <= revision && $0.event.keyValue.key == key }
    guard let last, last.event.kind == .put else { return nil }
    return last.event.keyValue
  }

  /// What a client may learn of the state before an event.
  func previous(_ key: [UInt8], at revision: Int64) -> KeyValue? {
    revision < compactRevision ? nil : state(of: key, at: revision)
  }

  func batch(_ first: Int64, _ last: Int64, where isWanted: ([UInt8]) -> Bool = { _ in true }) -> EventBatch {
    var builder = EventBatchBuilder()
    for change in changes where change.revision.main >= first && change.revision.main <= last {
      if isWanted(change.event.keyValue.key) { builder.add(change) }
    }
    return builder.finish(first: first, last: last)
  }
}

extension EventBatchBuilder {
  mutating func add(_ change: NaiveStore.Change) {
    let event = change.event
    switch event.kind {
    case .put:
      event.keyValue.encoded().withUnsafeBytes { bytes in
        do { try addPut(change.revision, keyValue: bytes) } catch { preconditionFailure("our own encoding") }
      }
    case .delete:
      event.keyValue.key.withUnsafeBytes { addDelete(change.revision, key: $0) }
    }
  }
}

/// A response as a client would see it.
enum Seen: Equatable {
  case created(id: Int64, revision: Int64, refusal: String?)
  case cancelled(id: Int64, revision: Int64, compactRevision: Int64, reason: String)
  case progress(id: Int64, revision: Int64)
  case events(id: Int64, revision: Int64, fragment: Bool, [Event])
}

/// The fields `events` of a WatchResponse.
func decodeEvents(_ body: WatchBody) -> [Event] {
  var events: [Event] = []
  body.bytes[body.range].withUnsafeBytes { bytes in
    var reader = ProtoReader(bytes)
    do {
      while let tag = try reader.nextTag() {
        precondition(tag.field == EventBatch.field, "only events")
        events.append(try Event(decoding: try reader.readBuffer()))
      }
    } catch {
      preconditionFailure("not a list of events: \(error)")
    }
  }
  precondition(events.count == body.eventCount)
  return events
}

/// The world of a machine: a store, streams that remember what came, reads that wait. Every response is held against
/// the store at once by `WatchChecker`.
final class WatchHarness {
  struct World: WatchSink {
    var store = NaiveStore()
    var seen: [[Seen]] = []
    /// Responses with events that a stream takes before it is full; absent: any number.
    var room: [Int?] = []
    var reads: [HistoryRead] = []
    var bodies: [WatchBody] = []
    var previousAsked = 0
    var limits = WatchLimits()
    var checker = WatchChecker()

    private mutating func note(_ stream: WatchStreamID, _ response: Seen) {
      seen[Int(stream.slot)].append(response)
      checker.check(response, on: stream, store)
    }

    mutating func created(_ stream: WatchStreamID, watchID: Int64, revision: Int64, refusal: String?) {
      note(stream, .created(id: watchID, revision: revision, refusal: refusal))
    }

    mutating func cancelled(
      _ stream: WatchStreamID, watchID: Int64, revision: Int64, compactRevision: Int64, reason: String
    ) {
      note(
        stream,
        .cancelled(id: watchID, revision: revision, compactRevision: compactRevision, reason: reason))
    }

    mutating func progress(_ stream: WatchStreamID, watchID: Int64, revision: Int64) {
      note(stream, .progress(id: watchID, revision: revision))
    }

    mutating func events(
      _ stream: WatchStreamID, watchID: Int64, revision: Int64, fragment: Bool, _ body: WatchBody
    ) -> Bool {
      bodies.append(body)
      checker.check(bytes: body.range.count, events: body.eventCount, limits, watchID, stream)
      let slot = Int(stream.slot)
      checker.check(isFull: room[slot].map { $0 <= 0 } ?? false, stream)
      note(stream, .events(id: watchID, revision: revision, fragment: fragment, decodeEvents(body)))
      if let left = room[slot] { room[slot] = left - 1 }
      return room[slot].map { $0 > 0 } ?? true
    }

    mutating func previous(_ key: ArraySlice<UInt8>, at revision: Int64) -> [UInt8]? {
      previousAsked += 1
      return store.previous(Array(key), at: revision)?.encoded()
    }

    mutating func readHistory(_ read: HistoryRead) {
      precondition(read.from <= store.revision, "a read of what is not there yet")
      reads.append(read)
    }
  }

  var machine: WatchMachine
  var world = World()
  /// The first revision that the feed has not brought.
  var fed: Int64 = 2

  init(limits: WatchLimits = WatchLimits(), seed: UInt64 = 1) {
    machine = WatchMachine(limits: limits, seed: seed)
    world.limits = limits
  }

  var store: NaiveStore {
    get { world.store }
    _modify { yield &world.store }
  }

  func open(room: Int? = nil) -> WatchStreamID {
    guard let stream = machine.streamOpened() else { preconditionFailure("too many streams") }
    while world.seen.count <= Int(stream.slot) {
      world.seen.append([])
      world.room.append(nil)
    }
    world.seen[Int(stream.slot)] = []
    world.room[Int(stream.slot)] = room
    world.checker.opened(stream)
    return stream
  }

  func close(_ stream: WatchStreamID) {
    machine.streamClosed(stream)
    world.checker.closed(stream)
  }

  func seen(_ stream: WatchStreamID) -> [Seen] { world.seen[Int(stream.slot)] }

  func create(_ stream: WatchStreamID, _ request: WatchCreateRequest, refusal: String? = nil) {
    world.checker.requested(request, on: stream)
    machine.create(
      stream, WatchCreate(request, refusal: refusal), currentRevision: store.revision,
      compactRevision: store.compactRevision, &world)
  }

  func cancel(_ stream: WatchStreamID, _ watchID: Int64) {
    world.checker.cancelRequested(watchID, on: stream)
    machine.cancel(stream, watchID: watchID, currentRevision: store.revision, &world)
  }

  func requestProgress(_ stream: WatchStreamID) {
    machine.requestProgress(stream, currentRevision: store.revision, &world)
  }

  /// Brings everything new in one batch.
  func feed(isComplete: Bool = true) {
    guard fed <= store.revision else { return }
    let batch =
      isComplete
      ? store.batch(fed, store.revision) : EventBatch(first: fed, last: store.revision, isComplete: false)
    fed = store.revision + 1
    machine.live(batch, &world)
  }

  /// Answers the oldest read, or another, with a slice that ends at `last` or where the store does.
  func answer(_ position: Int = 0, last: Int64? = nil) {
    let read = world.reads.remove(at: position)
    guard read.from >= store.compactRevision else {
      return machine.history(
        HistoryAnswer(id: read.id, result: .compacted(revision: store.compactRevision)), &world)
    }
    let batch =
      switch read.wanted {
      case .key(let key):
        store.batch(read.from, min(last ?? store.revision, store.revision)) { $0 == key }
      case .keys(let keys):
        store.batch(read.from, min(last ?? store.revision, store.revision)) { keys.contains($0) }
      }
    machine.history(HistoryAnswer(id: read.id, result: .events(batch)), &world)
  }

  func answerAll() {
    while !world.reads.isEmpty { answer() }
  }

  func drain(_ stream: WatchStreamID, room: Int? = nil) {
    world.room[Int(stream.slot)] = room
    machine.drained(stream, &world)
  }
}

extension WatchCreateRequest {
  init(
    _ key: String, _ rangeEnd: String = "", from startRevision: Int64 = 0, id: Int64 = 0,
    filters: [Filter] = [], previous: Bool = false, fragment: Bool = false, progress: Bool = false
  ) {
    self.init()
    self.key = Array(key.utf8)
    self.rangeEnd = Array(rangeEnd.utf8)
    self.startRevision = startRevision
    watchID = id
    self.filters = filters.map(\.rawValue)
    previousKeyValue = previous
    self.fragment = fragment
    progressNotify = progress
  }
}
