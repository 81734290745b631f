public import Metrics
internal import NIOCore
internal import Wire

/// What the front of one event loop counts: written on the loop, read from any thread.
public final class LoopMetrics: Sendable {
  /// Ranges made on the loop, and transactions that only read.
  public let ranges = Counter()
  public let transactions = Counter()
  public let succeededRanges = Histogram(ServiceMetrics.rangeShape)
  public let failedRanges = Histogram(ServiceMetrics.rangeShape)
  /// Events handed to watch streams.
  public let events = Counter()
  /// Streams that the client's messages broke.
  public let brokenWatches = Counter()
  public let brokenKeepAlives = Counter()
}

/// Ranges of a batch, which are too short for a look at the clock each: they share the time of the batch.
struct RangeTally {
  private var succeeded: UInt64 = 0
  private var failed: UInt64 = 0

  var isEmpty: Bool { succeeded == 0 && failed == 0 }

  mutating func add(isSuccess: Bool) {
    if isSuccess { succeeded &+= 1 } else { failed &+= 1 }
  }

  mutating func settle(_ elapsed: TimeAmount, in metrics: LoopMetrics) {
    let count = succeeded &+ failed
    let share = UInt64(max(0, elapsed.nanoseconds)) / max(1, count)
    metrics.ranges.add(count)
    metrics.succeededRanges.observe(share, times: succeeded)
    metrics.failedRanges.observe(share, times: failed)
    self = RangeTally()
  }
}

/// What a loop is asked for when somebody reads the metrics.
public struct LoopFigures: Sendable {
  public var watchStreams = 0
  public var watchers = 0
  public var laggingWatchers = 0
  public var clientVersions = ClientVersions()

  public init() {}
}

/// Requests by the API version that clients name. A client may name anything, so only the first few versions are told
/// apart.
public struct ClientVersions: Sendable {
  public struct Entry: Sendable {
    public var version: String
    var bytes: [UInt8]
    public var unary: UInt64 = 0
    public var streams: UInt64 = 0
  }

  static let versionsMax = 32
  private static let bytesMax = 32
  /// The first one counts requests that name none, the second one versions beyond the limits.
  public private(set) var entries = [
    Entry(version: "unknown", bytes: []), Entry(version: "other", bytes: []),
  ]

  /// Counts one request; nil for no version. False if the version is no text.
  mutating func count(_ bytes: UnsafeRawBufferPointer?, isStream: Bool) -> Bool {
    guard let bytes else {
      add(0, isStream)
      return true
    }
    var index = 2
    while index < entries.count {
      if entries[index].bytes.elementsEqual(bytes) {
        add(index, isStream)
        return true
      }
      index += 1
    }
    guard let version = String(validating: bytes, as: UTF8.self) else { return false }
    guard entries.count < Self.versionsMax, bytes.count <= Self.bytesMax else {
      add(1, isStream)
      return true
    }
    entries.append(Entry(version: version, bytes: Array(bytes)))
    add(index, isStream)
    return true
  }

  private mutating func add(_ index: Int, _ isStream: Bool) {
    if isStream { entries[index].streams &+= 1 } else { entries[index].unary &+= 1 }
  }
}
