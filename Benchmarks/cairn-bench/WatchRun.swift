import Client
import EtcdAPI
import Model
import NIOCore
import NIOPosix
import Wire

/// Events did not come.
struct EventsMissing: Error, CustomStringConvertible {
  var description: String
}

/// Opens streams of watchers, then lets something happen that they hear of.
struct WatchRun {
  var shape: LoadShape
  /// The watchers of each stream.
  var streams: [[WatchOptions]]
  /// Connections that the streams are spread over.
  var connections: Int
  /// Events that are to come, over all watchers.
  var expectedEvents: Int
  /// Without any event for so long, the run is given up.
  var patienceSeconds: Int64 = 30
  var valuesHoldTimes = true

  struct Outcome {
    var creations = LoadResult()
    var events = LoadResult()
    /// Of the load that ran meanwhile.
    var load = LoadResult()
  }

  /// First the watchers, then the puts of `workload`, each heard of by the watchers of its key.
  func watchPuts(_ workload: Workload, progress: @escaping @Sendable (Int) -> Void) throws -> Outcome {
    let counter = LoadCounter(total: expectedEvents)
    let threads = LoadThreads(count: shape.threads, counter: counter, progress: progress)
    defer { threads.stop() }
    let receivers = try makeReceivers(threads, counter)
    let creationStart = NIODeadline.now()
    for created in try receivers.map({ try open($0) }) { try created.wait() }
    let creationSeconds = seconds(since: creationStart)
    let drivers = try LoadRun(shape: shape, workload: workload)
      .makeDrivers(threads, LoadCounter(total: shape.total))
    let start = NIODeadline.now()
    let finished = drivers.map { $0.start(at: start) }
    for future in finished { try future.wait() }
    let putSeconds = seconds(since: start)
    try waitForEvents(counter)
    let eventSeconds = seconds(since: start)
    var outcome = Outcome()
    try collect(threads, &outcome)
    outcome.load.seconds = putSeconds
    outcome.creations.seconds = creationSeconds
    outcome.events.seconds = eventSeconds
    return outcome
  }

  /// The requests of `workload` go on until all watchers have got the events of the past that they asked for.
  func readDuringCatchUp(
    _ workload: Workload, progress: @escaping @Sendable (Int) -> Void
  ) throws -> Outcome {
    let counter = LoadCounter(total: expectedEvents)
    let threads = LoadThreads(count: shape.threads, counter: counter, progress: progress)
    defer { threads.stop() }
    let receivers = try makeReceivers(threads, counter)
    let requests = LoadCounter(total: shape.total)
    let drivers = try LoadRun(shape: shape, workload: workload).makeDrivers(threads, requests)
    let start = NIODeadline.now()
    let finished = drivers.map { $0.start(at: start) }
    for created in try receivers.map({ try open($0) }) { try created.wait() }
    let creationSeconds = seconds(since: start)
    try waitForEvents(counter)
    let eventSeconds = seconds(since: start)
    requests.stop()
    for future in finished { try future.wait() }
    var outcome = Outcome()
    try collect(threads, &outcome)
    outcome.load.seconds = seconds(since: start)
    outcome.creations.seconds = creationSeconds
    outcome.events.seconds = eventSeconds
    return outcome
  }

  // MARK: Parts of a run

  private struct Opening {
    var receiver: WatchReceiver
    var connection: ClientConnection
    var method: ClientMethod
  }

  private func makeReceivers(_ threads: LoadThreads, _ counter: LoadCounter) throws -> [Opening] {
    let connected = try (0..<min(connections, streams.count)).map { index in
      let endpoint = shape.endpoints[index % shape.endpoints.count]
      let loop = threads.loops[index % threads.loops.count]
      return (
        thread: index % threads.loops.count, endpoint: endpoint,
        connection: try LoadDriver.connect(to: endpoint, on: loop).wait()
      )
    }
    return streams.enumerated().map { index, watches in
      let place = connected[index % connected.count]
      let receiver = WatchReceiver(
        watches: watches, counter: counter, recorder: threads.recorders[place.thread],
        eventLoop: threads.loops[place.thread], valuesHoldTimes: valuesHoldTimes)
      let method = ClientMethod("\(EtcdMethod.watch.path)", authority: place.endpoint.description)
      return Opening(receiver: receiver, connection: place.connection, method: method)
    }
  }

  private func open(_ opening: Opening) throws -> EventLoopFuture<Void> {
    opening.receiver.start(on: opening.connection, opening.method)
  }

  private func waitForEvents(_ counter: LoadCounter) throws {
    var last = counter.done
    var patience = NIODeadline.now() + .seconds(patienceSeconds)
    while counter.done < expectedEvents {
      if counter.isStopped || NIODeadline.now() > patience {
        throw EventsMissing(
          description: "of \(expectedEvents) events \(expectedEvents - counter.done) did not arrive")
      }
      pauseBriefly()
      guard counter.done != last else { continue }
      last = counter.done
      patience = .now() + .seconds(patienceSeconds)
    }
  }

  private func collect(_ threads: LoadThreads, _ outcome: inout Outcome) throws {
    outcome.load = try threads.result()
    outcome.creations = try threads.result(\.creations)
    outcome.events = try threads.result(\.events)
  }

  private func seconds(since start: NIODeadline) -> Double {
    Double((NIODeadline.now() - start).nanoseconds) / 1e9
  }
}
