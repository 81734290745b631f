internal import Model
internal import Primitives

/// The responses that a batch gives the watchers of one target, made once for each form and place to begin, and kept
/// while the target is served.
struct WatchResponses {
  struct Response {
    var body: WatchBody
    /// Main revisions of the first and last event.
    var first: Int64
    var last: Int64
    /// A fragment that another one follows.
    var goesOn: Bool
  }
  private struct Made {
    var form: WatchForm
    var match: Int32
    var range: Range<Int>
  }
  /// Consecutive positions of `picked` that make one response.
  private struct Cut {
    var range: Range<Int>
    var goesOn: Bool
  }

  private(set) var list: [Response] = []
  private var made: [Made] = []
  /// Of each item of the batch, once asked for: where its encoding with prev_kv is, or that it has none.
  private var withPrevious: [Int32] = []
  private var encodings: [[UInt8]] = []
  /// Reused between calls.
  private var picked: [Int32] = []
  private var cuts: [Cut] = []

  private static let unasked: Int32 = -2
  private static let none: Int32 = -1
  private static let madeMax = 32
  /// More than header, id and flags of a response ever take.
  private static let overheadBytes = 64

  mutating func beginBatch() {
    withPrevious.removeAll(keepingCapacity: true)
    encodings.removeAll(keepingCapacity: true)
  }

  mutating func beginTarget() {
    list.removeAll(keepingCapacity: true)
    made.removeAll(keepingCapacity: true)
  }

  /// The responses for a watcher of this form whose first match is `match`, as places in `list`.
  mutating func obtain(
    _ form: WatchForm, match: Int32, of matches: [WatchTargets.Match], _ batch: EventBatch,
    _ limits: WatchLimits, _ sink: inout some WatchSink
  ) -> Range<Int> {
    for each in made where each.form == form && each.match == match { return each.range }
    // Watchers that all begin elsewhere share nothing: what they got is not kept for each of them.
    if made.count == Self.madeMax { beginTarget() }
    pick(form, match, matches, batch, &sink)
    cut(fragments: form.contains(.fragment), batch, limits)
    let start = list.count
    for cut in cuts { list.append(response(cut, batch)) }
    made.append(Made(form: form, match: match, range: start..<list.count))
    return start..<list.count
  }

  /// The items that pass the form's filter, their encodings made.
  private mutating func pick(
    _ form: WatchForm, _ match: Int32, _ matches: [WatchTargets.Match], _ batch: EventBatch,
    _ sink: inout some WatchSink
  ) {
    picked.removeAll(keepingCapacity: true)
    if withPrevious.isEmpty, form.contains(.previous) {
      withPrevious = [Int32](repeating: Self.unasked, count: batch.items.count)
    }
    var match = match
    while match >= 0 {
      let item = matches[Int(match)].item
      match = matches[Int(match)].next
      switch batch.items[Int(item)].kind {
      case .put where form.contains(.noPut): continue
      case .delete where form.contains(.noDelete): continue
      case .put, .delete: break
      }
      picked.append(item)
      if form.contains(.previous), withPrevious[Int(item)] == Self.unasked {
        encodeWithPrevious(Int(item), batch, &sink)
      }
    }
    usesPrevious = form.contains(.previous)
  }

  /// Whether what is picked is sent with prev_kv.
  private var usesPrevious = false

  private mutating func encodeWithPrevious(_ item: Int, _ batch: EventBatch, _ sink: inout some WatchSink) {
    let event = batch.items[item]
    guard !event.isCreate,
      let previous = sink.previous(batch.bytes[event.key], at: event.mainRevision - 1)
    else {
      withPrevious[item] = Self.none
      return
    }
    withPrevious[item] = Int32(encodings.count)
    encodings.append(batch.encoded(event, previous: previous))
  }

  /// The place of the item's encoding with prev_kv in `encodings`; nil: the batch's own bytes are right.
  private func encoding(of item: Int32) -> Int? {
    guard usesPrevious, withPrevious[Int(item)] >= 0 else { return nil }
    return Int(withPrevious[Int(item)])
  }

  private func size(of item: Int32, _ batch: EventBatch) -> Int {
    if let encoding = encoding(of: item) { return encodings[encoding].count }
    return batch.items[Int(item)].event.count
  }

  /// Divides what is picked: between revisions at `responseBytes`, and inside a revision only into fragments.
  private mutating func cut(fragments: Bool, _ batch: EventBatch, _ limits: WatchLimits) {
    cuts.removeAll(keepingCapacity: true)
    let responseBytes =
      fragments
      ? min(limits.responseBytes, limits.fragmentBytes - Self.overheadBytes - 1) : limits.responseBytes
    var start = 0
    var bytes = 0
    var position = 0
    while position < picked.count {
      let revision = batch.items[Int(picked[position])].mainRevision
      var end = position
      var revisionBytes = 0
      while end < picked.count, batch.items[Int(picked[end])].mainRevision == revision {
        revisionBytes += size(of: picked[end], batch)
        end += 1
      }
      if bytes > 0, bytes + revisionBytes > responseBytes {
        cuts.append(Cut(range: start..<position, goesOn: false))
        start = position
        bytes = 0
      }
      bytes += revisionBytes
      if fragments, start == position, bytes + Self.overheadBytes >= limits.fragmentBytes {
        cutFragments(position..<end, batch, limits.fragmentBytes)
        start = end
        bytes = 0
      }
      position = end
    }
    if start < picked.count { cuts.append(Cut(range: start..<picked.count, goesOn: false)) }
  }

  /// Pieces below the limit, or of a single event (etcd: sendFragments).
  private mutating func cutFragments(_ revision: Range<Int>, _ batch: EventBatch, _ fragmentBytes: Int) {
    var start = revision.lowerBound
    var bytes = Self.overheadBytes
    for position in revision {
      let size = size(of: picked[position], batch)
      if position > start, bytes + size >= fragmentBytes {
        cuts.append(Cut(range: start..<position, goesOn: true))
        start = position
        bytes = Self.overheadBytes
      }
      bytes += size
    }
    cuts.append(Cut(range: start..<revision.upperBound, goesOn: false))
  }

  private func response(_ cut: Cut, _ batch: EventBatch) -> Response {
    let first = picked[cut.range.lowerBound]
    let last = picked[cut.range.upperBound - 1]
    return Response(
      body: body(cut.range, first: first, last: last, batch), first: batch.items[Int(first)].mainRevision,
      last: batch.items[Int(last)].mainRevision, goesOn: cut.goesOn)
  }

  /// Neighbours in the batch are sent from where they stand; anything else is put together, once.
  private func body(_ range: Range<Int>, first: Int32, last: Int32, _ batch: EventBatch) -> WatchBody {
    if range.count == 1, let encoding = encoding(of: first) {
      let bytes = encodings[encoding]
      return WatchBody(bytes: bytes, range: 0..<bytes.count, eventCount: 1)
    }
    let areNeighbours = Int(last - first) == range.count - 1
    if areNeighbours, !range.contains(where: { encoding(of: picked[$0]) != nil }) {
      let start = batch.items[Int(first)].event.lowerBound
      return WatchBody(
        bytes: batch.bytes, range: start..<batch.items[Int(last)].event.upperBound, eventCount: range.count)
    }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(range.reduce(0) { $0 + size(of: picked[$1], batch) })
    for position in range {
      if let encoding = encoding(of: picked[position]) {
        bytes += encodings[encoding]
      } else {
        bytes += batch.bytes[batch.items[Int(picked[position])].event]
      }
    }
    return WatchBody(bytes: bytes, range: 0..<bytes.count, eventCount: range.count)
  }
}
