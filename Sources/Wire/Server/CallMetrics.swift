public import Metrics
internal import Model
internal import NIOCore
internal import Synchronization

/// The gRPC calls of one event loop, counted by method. Written on the loop, read from any thread.
public final class CallMetrics: Sendable {
  /// In the order of the server's table.
  public let methods: [MethodMetrics]
  /// Bytes of messages, as gRPC's codec sees them: without prefixes, headers and frames.
  public let receivedBytes = Counter()
  public let sentBytes = Counter()

  init(_ table: MethodTable, timesHandling: Bool) {
    methods = table.methods.map { _ in MethodMetrics(timesHandling: timesHandling) }
  }
}

/// The calls of one method.
public final class MethodMetrics: Sendable {
  /// gRPC's codes, 0 to 16.
  public static let codes = 17
  public static let durationShape = HistogramShape.seconds(from: 0.001, count: 14)
  /// The buckets of Go's Prometheus library where none are named.
  public static let handlingShape = HistogramShape(
    bounds: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10], unitsPerOne: 1_000_000_000)

  public let started = Counter()
  public let received = Counter()
  public let sent = Counter()
  /// From the arrival of the request's bytes until it was answered.
  public let succeeded = Histogram(durationShape)
  public let failed = Histogram(durationShape)
  /// The same of all calls; only with `--metrics extensive`.
  public let handling: Histogram?
  private let ended = InlineArray<17, Atomic<UInt64>> { _ in Atomic(0) }

  init(timesHandling: Bool) {
    handling = timesHandling ? Histogram(Self.handlingShape) : nil
  }

  public func ended(_ code: Int) -> UInt64 { ended[code].load(ordering: .relaxed) }

  func end(_ code: StatusCode) {
    let cell = Int(code.rawValue)
    ended[cell].store(ended[cell].load(ordering: .relaxed) &+ 1, ordering: .relaxed)
  }
}

/// Calls that ended and whose time is taken when the batch that they belong to has been dealt with: one look at the
/// clock serves all answers that leave together.
struct EndedCalls {
  private struct Ended {
    var method: MethodMetrics
    var isSuccess: Bool
    var began: NIODeadline
  }

  private var ended: [Ended] = []

  var isEmpty: Bool { ended.isEmpty }

  mutating func add(_ method: MethodMetrics, isSuccess: Bool, began: NIODeadline) {
    ended.append(Ended(method: method, isSuccess: isSuccess, began: began))
  }

  mutating func settle(now: NIODeadline) {
    for call in ended {
      let nanoseconds = UInt64(max(0, (now - call.began).nanoseconds))
      (call.isSuccess ? call.method.succeeded : call.method.failed).observe(nanoseconds)
      call.method.handling?.observe(nanoseconds)
    }
    ended.removeAll(keepingCapacity: true)
  }
}

// Where calls are counted: as go-grpc-middleware's interceptors do, which see a call once its method is known and its
// first message, if it has to have one, is there.
extension ServerConnection {
  @inline(__always)
  func countStart(_ call: RPCCall) {
    call.began = batchTime
    loop.metrics.methods[call.method].started.add()
  }

  @inline(__always)
  func countReceived(_ call: RPCCall, _ bytes: Int) {
    loop.metrics.methods[call.method].received.add()
    loop.metrics.receivedBytes.add(UInt64(bytes))
  }

  @inline(__always)
  func countSent(_ call: RPCCall, _ bytes: Int) {
    loop.metrics.methods[call.method].sent.add()
    loop.metrics.sentBytes.add(UInt64(bytes &- RPCCall.messageHeadroom))
  }

  /// Calls that the handler never heard of are not counted.
  @inline(__always)
  func countEnd(_ call: RPCCall, _ code: StatusCode) {
    guard call.announced else { return }
    let method = loop.metrics.methods[call.method]
    method.end(code)
    loop.endedCalls.add(method, isSuccess: code == .ok, began: call.began)
  }
}
