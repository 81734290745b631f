/// How much may be on its way to one peer.
struct InflightLimits: Equatable {
  var messages: Int
  var bytes: Int
}

/// The appends sent to a replicating peer and not acknowledged yet, oldest first: what bounds the pipeline.
struct Inflights: Equatable {
  private struct Append: Equatable {
    /// The last index the message carries.
    var index: UInt64
    var bytes: Int
  }

  let limits: InflightLimits
  private var appends: [Append] = []
  /// Elements before this position are acknowledged; they are removed when they are many.
  private var start = 0
  private(set) var bytes = 0

  init(limits: InflightLimits) { self.limits = limits }

  var count: Int { appends.count - start }

  /// Checked before a message is added, so that one of any size passes.
  var isFull: Bool { count >= limits.messages || bytes >= limits.bytes }

  mutating func add(index: UInt64, bytes: Int) {
    precondition(!isFull, "sent beyond the limit of messages in flight")
    appends.append(Append(index: index, bytes: bytes))
    self.bytes += bytes
  }

  /// Everything up to `index` arrived.
  mutating func acknowledge(through index: UInt64) {
    while start < appends.count, appends[start].index <= index {
      bytes -= appends[start].bytes
      start += 1
    }
    if start == appends.count || start >= 64 {
      appends.removeFirst(start)
      start = 0
    }
  }

  mutating func reset() {
    appends.removeAll(keepingCapacity: true)
    start = 0
    bytes = 0
  }
}
