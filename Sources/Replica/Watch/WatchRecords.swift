/// One watcher: a cursor over history.
struct Watcher {
  enum State: UInt8 {
    case free
    /// Takes what the feed brings, from `cursor` on. Whatever the feed brought before and `cursor` allows is delivered.
    case live
    /// Behind the feed: waits for a read of history, in a queue.
    case ready
    /// Behind the feed: history is being read for it.
    case reading
    /// Behind the feed, and its stream is full: waits in the stream's list.
    case blocked
    /// Cancelled by a compaction. The client may still cancel it, and until then the id is taken, as in etcd.
    case compacted
  }

  var stream: UInt32
  var target: UInt32
  var watchID: Int64
  /// Everything below was delivered or is not wanted. A live watcher's true cursor is the feed's if that is higher, so
  /// that a batch costs nothing for watchers it does not concern.
  var cursor: Int64
  /// `cursor` is still the revision that the client named. Until that exists, progress is not for this watcher (20221).
  var awaitsStart: Bool
  /// The read under way that serves it.
  var read: UInt64 = 0
  var state: State
  var form: WatchForm
  var progressNotify: Bool
  /// No event was sent since the stream's last tick.
  var isProgressDue = true

  var isLagging: Bool {
    switch state {
    case .ready, .reading, .blocked: true
    case .free, .live, .compacted: false
    }
  }
}

/// What decides, beside its target and cursor, which bytes a watcher gets.
struct WatchForm: OptionSet, Hashable {
  let rawValue: UInt8

  static let noPut = WatchForm(rawValue: 1)
  static let noDelete = WatchForm(rawValue: 2)
  static let previous = WatchForm(rawValue: 4)
  static let fragment = WatchForm(rawValue: 8)
}

/// One Watch call.
struct WatchStreamRecord {
  var generation: UInt32 = 0
  var isOpen = false
  /// The sink takes no events until `drained`.
  var isFull = false
  var awaitsProgress = false
  var timerRuns = false
  /// The next id to try for a watcher without an id of its own.
  var nextWatchID: Int64 = 0
  /// All watchers, in order of creation.
  var watchers = SlotList()
  var blocked = SlotList()
  var watcherCount: Int32 = 0
  var laggingCount: Int32 = 0
  var compactedCount: Int32 = 0
  var progressCount: Int32 = 0
  /// No watcher's cursor is above this, nor does one await a start above that.
  var cursorMax: Int64 = 0
  var startMax: Int64 = 0
  /// Not after a watcher went: it may have been the one.
  var areMaximaExact = true
  /// Progress that was asked for is sent when everything below this was delivered.
  var progressFrom: Int64 = 0
  var progressPeriod: UInt64 = 0

  mutating func raiseMaxima(_ watcher: Watcher) {
    cursorMax = max(cursorMax, watcher.cursor)
    if watcher.awaitsStart { startMax = max(startMax, watcher.cursor) }
  }
}

/// A read of history under way.
struct WatchRead {
  enum Purpose {
    /// The feed itself has a gap.
    case feed
    /// One key, for some of its watchers.
    case key(target: UInt32)
    /// All rows, for many ranges.
    case scan
  }

  var id: UInt64
  var from: Int64
  var purpose: Purpose
  /// Slots; those whose watcher still names this read are served.
  var members: [UInt32]
}

/// Streams by the time of their next periodic progress: a binary heap.
struct WatchTimers {
  struct Timer {
    var due: UInt64
    var stream: WatchStreamID
  }

  private var heap: [Timer] = []

  mutating func insert(_ timer: Timer) {
    heap.append(timer)
    var child = heap.count - 1
    while child > 0, precedes(child, (child - 1) / 2) {
      heap.swapAt(child, (child - 1) / 2)
      child = (child - 1) / 2
    }
  }

  var count: Int { heap.count }

  /// Drops the timers of streams that are gone.
  mutating func keep(where isWanted: (WatchStreamID) -> Bool) {
    let old = heap
    heap = []
    for timer in old where isWanted(timer.stream) { insert(timer) }
  }

  /// The earliest timer, if it is due.
  mutating func take(dueBy now: UInt64) -> Timer? {
    guard let first = heap.first, first.due <= now else { return nil }
    let last = heap.removeLast()
    guard !heap.isEmpty else { return first }
    heap[0] = last
    var parent = 0
    while true {
      var least = parent
      for child in [2 * parent + 1, 2 * parent + 2] where child < heap.count && precedes(child, least) {
        least = child
      }
      if least == parent { return first }
      heap.swapAt(parent, least)
      parent = least
    }
  }

  /// Equal times go by stream, so that the order does not hang on the heap's past.
  private func precedes(_ a: Int, _ b: Int) -> Bool {
    (heap[a].due, heap[a].stream.slot) < (heap[b].due, heap[b].stream.slot)
  }
}
