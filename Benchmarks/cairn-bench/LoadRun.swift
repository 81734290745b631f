import Client
import EtcdAPI
import Model
import NIOCore
import NIOPosix
import Synchronization
import Wire

/// How hard to push, and for how long.
struct LoadShape: Sendable {
  var endpoints: [Endpoint]
  var connections = 1
  /// Requests in flight, over all connections.
  var clients = 1
  var total = 10_000
  /// Requests per second that are due, whether or not earlier ones were answered; 0 sends as fast as answers come.
  var rate = 0
  var threads = 1
  /// How long a lost connection is tried again before its driver gives up.
  var reconnectSeconds: Int64 = 10
}

/// What came of a run.
struct LoadResult: Sendable {
  var seconds = 0.0
  var all = LatencyHistogram()
  /// Where reads and writes are mixed.
  var reads = LatencyHistogram()
  var writes = LatencyHistogram()
  var errors: [String: Int] = [:]

  var errorCount: Int { errors.values.reduce(0, +) }

  mutating func merge(_ other: LoadResult) {
    all.merge(other.all)
    reads.merge(other.reads)
    writes.merge(other.writes)
    for (text, count) in other.errors { errors[text, default: 0] += count }
  }
}

/// The number of the next request, and how many are done: shared by all drivers.
final class LoadCounter: Sendable {
  let total: Int
  private let claimed = Atomic(0)
  private let completed = Atomic(0)

  init(total: Int) {
    self.total = total
  }

  var done: Int { completed.load(ordering: .relaxed) }

  func claim() -> Int? {
    let index = claimed.wrappingAdd(1, ordering: .relaxed).oldValue
    return index < total ? index : nil
  }

  func complete() { completed.wrappingAdd(1, ordering: .relaxed) }
}

/// Runs a workload: connects everything first, then starts all drivers together.
struct LoadRun {
  var shape: LoadShape
  var workload: Workload

  /// - Parameter progress: called every 100 ms with the number of requests done, on another thread.
  func run(progress: @escaping @Sendable (Int) -> Void) throws -> LoadResult {
    let group = MultiThreadedEventLoopGroup(numberOfThreads: shape.threads)
    defer { try? group.syncShutdownGracefully() }
    let counter = LoadCounter(total: shape.total)
    let workload = workload.prepared()
    let recorders = (0..<shape.threads).map { _ in Recorder() }
    let loops = group.makeIterator().map { $0 }
    var drivers: [LoadDriver] = []
    let connectionCount = min(shape.connections, shape.clients)
    for index in 0..<connectionCount {
      let loop = loops[index % loops.count]
      let window = shape.clients / connectionCount + (index < shape.clients % connectionCount ? 1 : 0)
      drivers.append(
        LoadDriver(
          index: index, of: connectionCount, window: window, shape: shape, workload: workload,
          counter: counter, recorder: recorders[index % loops.count], eventLoop: loop))
    }
    for driver in drivers { try driver.connect().wait() }
    let ticker = group.next().scheduleRepeatedTask(initialDelay: .zero, delay: .milliseconds(100)) { _ in
      progress(counter.done)
    }
    let start = NIODeadline.now()
    let finished = drivers.map { $0.start(at: start) }
    for future in finished { try future.wait() }
    let seconds = Double((NIODeadline.now() - start).nanoseconds) / 1e9
    ticker.cancel()
    var result = LoadResult()
    for (index, loop) in loops.enumerated() {
      result.merge(try loop.submit { recorders[index].result }.wait())
    }
    result.seconds = seconds
    progress(counter.done)
    return result
  }
}

/// Collects the results of one event loop's drivers; confined to that loop.
final class Recorder: @unchecked Sendable {
  var result = LoadResult()

  func record(_ nanoseconds: Int64, isWrite: Bool, mixed: Bool) {
    result.all.record(nanoseconds)
    guard mixed else { return }
    if isWrite { result.writes.record(nanoseconds) } else { result.reads.record(nanoseconds) }
  }

  func recordError(_ text: String) {
    result.errors[text, default: 0] += 1
  }
}
