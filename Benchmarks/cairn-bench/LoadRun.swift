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
  private let stopped = Atomic(false)

  init(total: Int) {
    self.total = total
  }

  var done: Int { completed.load(ordering: .relaxed) }

  /// Hands out no more.
  func stop() {
    stopped.store(true, ordering: .relaxed)
  }

  var isStopped: Bool { stopped.load(ordering: .relaxed) }

  func claim() -> Int? {
    guard !isStopped else { return nil }
    let index = claimed.wrappingAdd(1, ordering: .relaxed).oldValue
    return index < total ? index : nil
  }

  func complete() { completed.wrappingAdd(1, ordering: .relaxed) }
}

/// Event loops, what each has recorded, and who shows how far it is.
final class LoadThreads {
  let loops: [any EventLoop]
  let recorders: [Recorder]
  private let group: MultiThreadedEventLoopGroup
  private var ticker: RepeatedTask?

  /// - Parameter progress: called every 100 ms with the number of things done, on another thread.
  init(count: Int, counter: LoadCounter, progress: @escaping @Sendable (Int) -> Void) {
    group = MultiThreadedEventLoopGroup(numberOfThreads: count)
    loops = group.makeIterator().map { $0 }
    recorders = (0..<count).map { _ in Recorder() }
    ticker = group.next().scheduleRepeatedTask(initialDelay: .zero, delay: .milliseconds(100)) { _ in
      progress(counter.done)
    }
  }

  /// Everything recorded, by `part` of what a recorder keeps.
  func result(_ part: any KeyPath<Recorder, LoadResult> & Sendable = \.result) throws -> LoadResult {
    var result = LoadResult()
    for (loop, recorder) in zip(loops, recorders) {
      result.merge(try loop.submit { recorder[keyPath: part] }.wait())
    }
    return result
  }

  func stop() {
    ticker?.cancel()
    try? group.syncShutdownGracefully()
  }
}

/// Runs a workload: connects everything first, then starts all drivers together.
struct LoadRun {
  var shape: LoadShape
  var workload: Workload

  func run(progress: @escaping @Sendable (Int) -> Void) throws -> LoadResult {
    let counter = LoadCounter(total: shape.total)
    let threads = LoadThreads(
      count: min(shape.threads, shape.connections), counter: counter, progress: progress)
    defer { threads.stop() }
    let drivers = try makeDrivers(threads, counter)
    let start = NIODeadline.now()
    let finished = drivers.map { $0.start(at: start) }
    for future in finished { try future.wait() }
    let seconds = Double((NIODeadline.now() - start).nanoseconds) / 1e9
    var result = try threads.result()
    result.seconds = seconds
    progress(counter.done)
    return result
  }

  /// Drivers that are connected and ready.
  func makeDrivers(_ threads: LoadThreads, _ counter: LoadCounter) throws -> [LoadDriver] {
    let workload = workload.prepared()
    let connectionCount = min(shape.connections, shape.clients)
    let drivers = (0..<connectionCount).map { index in
      let thread = index % threads.loops.count
      return LoadDriver(
        index: index, of: connectionCount,
        window: shape.clients / connectionCount + (index < shape.clients % connectionCount ? 1 : 0),
        shape: shape, workload: workload, counter: counter, recorder: threads.recorders[thread],
        eventLoop: threads.loops[thread])
    }
    for driver in drivers { try driver.connect().wait() }
    for driver in drivers { try driver.prepare().wait() }
    return drivers
  }
}

/// Collects the results of one event loop's drivers; confined to that loop.
final class Recorder: @unchecked Sendable {
  var result = LoadResult()
  /// Of watchers: their creation, and the events they got.
  var creations = LoadResult()
  var events = LoadResult()

  func record(_ nanoseconds: Int64, isWrite: Bool, mixed: Bool) {
    result.all.record(nanoseconds)
    guard mixed else { return }
    if isWrite { result.writes.record(nanoseconds) } else { result.reads.record(nanoseconds) }
  }

  func recordError(_ text: String) {
    result.errors[text, default: 0] += 1
  }
}
