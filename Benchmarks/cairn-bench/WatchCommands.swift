import ArgumentParser
import Client
import Model
import Primitives

/// Flags of commands that watch what they put.
struct WatchedPutOptions: ParsableArguments {
  @Option(help: "Puts in total.")
  var putTotal = 1000

  func validate() throws {
    if putTotal < 1 { throw ValidationError("--put-total must be at least 1") }
  }
}

/// The report of watchers and what they watched.
private func report(_ outcome: WatchRun.Outcome, _ eventTitle: String, showsCreation: Bool) -> Report {
  var report = Report(result: outcome.events, title: eventTitle)
  if showsCreation {
    report.parts = [
      .init(name: "creation", title: "Watch creation summary:\n", result: outcome.creations)
    ]
  }
  report.parts.append(.init(name: "put", title: "Put summary:\n", result: outcome.load))
  return report
}

struct Watch: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Creates watchers, then puts what they watch.",
    discussion: """
      The watchers are spread over the watched keys, the streams over --conns connections; puts have --conns further \
      ones with --clients of them in flight. An event's latency counts from when its put was due.
      """)

  @Option(help: "Watch streams in total.")
  var streams = 10
  @Option(help: "Watchers of each stream.")
  var watchPerStream = 100
  @Option(help: "Keys that are watched.")
  var watchedKeyTotal = 1
  @Option(help: "Puts per second that fall due; 0 sends the next when one is answered.")
  var putRate = 0
  @OptionGroup var puts: WatchedPutOptions
  @Option(help: "Bytes of a key.")
  var keySize = 32
  @Option(help: "Keys to choose the watched ones from.")
  var keySpaceSize = 1
  @Flag(help: "Choose the watched keys in order, not at random.")
  var sequentialKeys = false
  @OptionGroup var common: CommonOptions

  func validate() throws {
    for (name, value) in [
      ("streams", streams), ("watch-per-stream", watchPerStream), ("watched-key-total", watchedKeyTotal),
      ("key-size", keySize), ("key-space-size", keySpaceSize),
    ] where value < 1 {
      throw ValidationError("--\(name) must be at least 1, not \(value)")
    }
    if putRate < 0 { throw ValidationError("--put-rate must not be negative") }
  }

  func run() throws {
    var random = common.random()
    let keys = (0..<watchedKeyTotal).map { index in
      Workload.key(
        sequentialKeys ? index % keySpaceSize : Int.random(in: 0..<keySpaceSize, using: &random),
        size: keySize)
    }
    var watchersOfKey: [[UInt8]: Int] = [:]
    let watches = (0..<streams).map { stream in
      (0..<watchPerStream).map { index in
        let key = keys[(index * streams + stream) % keys.count]
        watchersOfKey[key, default: 0] += 1
        return WatchOptions(key: key)
      }
    }
    var shape = try common.shape()
    shape.total = puts.putTotal
    shape.rate = putRate
    let expected = (0..<puts.putTotal).reduce(0) { $0 + (watchersOfKey[keys[$1 % keys.count]] ?? 0) }
    let run = WatchRun(shape: shape, streams: watches, connections: common.conns, expectedEvents: expected)
    var workload = Workload(.watchedPut(keys: keys))
    workload.seed = common.seed
    let outcome = try common.measured(total: expected) { try run.watchPuts(workload, progress: $0) }
    try common.print(
      report(outcome, "Watch events received summary:\n", showsCreation: true), "watch",
      [
        ("streams", "\(streams)"), ("watch_per_stream", "\(watchPerStream)"),
        ("watched_key_total", "\(watchedKeyTotal)"), ("put_rate", "\(putRate)"),
        ("put_total", "\(puts.putTotal)"),
      ])
  }
}

struct WatchLatency: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Measures the time from a put to its events.",
    discussion: """
      Each stream has a connection of its own, the puts have another. Puts fall due at fixed times, and an event's \
      latency counts from when its put was due: a server that stalls is charged for the puts that had to wait.
      """)

  @Option(help: "Watch streams in total.")
  var streams = 10
  @Option(help: "Watchers of each stream.")
  var watchersPerStream = 10
  @Flag(help: "Ask for the key-value before each event.")
  var prevkv = false
  @OptionGroup var puts: WatchedPutOptions
  @Option(help: "Puts per second that fall due.")
  var putRate = 100
  @Option(help: "Bytes of a key.")
  var keySize = 32
  @Option(help: "Bytes of a value, of which eight hold the time.")
  var valSize = 32
  @OptionGroup var common: CommonOptions

  func validate() throws {
    for (name, value, least) in [
      ("streams", streams, 1), ("watchers-per-stream", watchersPerStream, 1), ("put-rate", putRate, 1),
      ("key-size", keySize, 1), ("val-size", valSize, 8),
    ] where value < least {
      throw ValidationError("--\(name) must be at least \(least), not \(value)")
    }
  }

  func run() throws {
    var random = common.random()
    let key = (0..<keySize).map { _ in UInt8(truncatingIfNeeded: random.next()) }
    var options = WatchOptions(key: key)
    options.wantsPrevious = prevkv
    let watches = [[WatchOptions]](
      repeating: [WatchOptions](repeating: options, count: watchersPerStream), count: streams)
    var shape = try common.shape()
    shape.total = puts.putTotal
    shape.rate = putRate
    let expected = puts.putTotal * streams * watchersPerStream
    let run = WatchRun(shape: shape, streams: watches, connections: streams, expectedEvents: expected)
    var workload = Workload(.watchedPut(keys: [key]))
    workload.valueSize = valSize
    workload.seed = common.seed
    let outcome = try common.measured(total: expected) { try run.watchPuts(workload, progress: $0) }
    try common.print(
      report(outcome, "Watch events summary:\n", showsCreation: false), "watch-latency",
      [
        ("streams", "\(streams)"), ("watchers_per_stream", "\(watchersPerStream)"),
        ("put_rate", "\(putRate)"), ("put_total", "\(puts.putTotal)"), ("value_size", "\(valSize)"),
      ])
  }
}

struct WatchGet: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "watch-get", abstract: "Reads while watchers catch up on what is past.",
    discussion: """
      One serializable read after the other, until all watchers have got the events from before they were there.
      """)

  @Option(help: "Watchers in total.")
  var watchers = 10_000
  @Option(help: "Watch streams in total, each on a connection of its own.")
  var streams = 1
  @Option(help: "Events that each watcher catches up on.")
  var events = 8
  @OptionGroup var common: CommonOptions

  func validate() throws {
    for (name, value) in [("watchers", watchers), ("streams", streams), ("events", events)] where value < 1 {
      throw ValidationError("--\(name) must be at least 1, not \(value)")
    }
  }

  func run() throws {
    let key = Array("watchkey".utf8)
    var shape = try common.shape()
    shape.total = .max
    (shape.connections, shape.clients) = (1, 1)
    let first = try common.measured(total: events) { _ in try PutSequence.run(shape, key, count: events) }
    let watches = (0..<streams).map { stream in
      let count = watchers / streams + (stream < watchers % streams ? 1 : 0)
      return [WatchOptions](repeating: WatchOptions(key: key, startRevision: first), count: count)
    }
    var run = WatchRun(
      shape: shape, streams: watches, connections: streams, expectedEvents: watchers * events)
    run.valuesHoldTimes = false
    var workload = Workload(.range(key: Array("abc".utf8), end: []))
    workload.serializable = true
    let catchUp = run
    let outcome = try common.measured(total: watchers * events) {
      try catchUp.readDuringCatchUp(workload, progress: $0)
    }
    var report = Report(result: outcome.load, title: "Get during watch summary:\n")
    report.extra = [
      ("events", "\(outcome.events.all.count)"), ("event_seconds", "\(outcome.events.seconds)"),
    ]
    report.otherErrors = outcome.events.errors
    try common.print(
      report, "watch-get",
      [("watchers", "\(watchers)"), ("streams", "\(streams)"), ("events_each", "\(events)")])
  }
}
