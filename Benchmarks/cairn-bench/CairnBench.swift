import ArgumentParser
import Client
import Primitives

@main
struct CairnBench: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "cairn-bench",
    abstract: "Measures throughput and latency of any server that speaks etcd's v3 API.",
    discussion: """
      Exit codes: 0 all requests succeeded; 1 no connection or no request succeeded; 3 some requests failed; \
      64 wrong usage.
      """,
    subcommands: [
      Put.self, Range.self, RangePrefix.self, TransactionPut.self, TransactionMixed.self, STM.self,
      LeaseKeepAlive.self, Watch.self, WatchLatency.self, WatchGet.self,
    ])
}

/// Flags of every command.
struct CommonOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp("Servers, separated by commas; connections are spread over them.", valueName: "list"))
  var endpoints = "127.0.0.1:2379"
  @Option(help: "Connections in total.")
  var conns = 1
  @Option(help: "Requests in flight in total, spread over the connections.")
  var clients = 1
  @Option(help: "Threads of the load generator.")
  var threads = 1
  @Option(help: "Seed of keys and values.")
  var seed: UInt64 = 1
  @Flag(help: "Print one JSON object instead of text.")
  var json = false
  @Flag(help: "Draw no progress bar.")
  var quiet = false

  func validate() throws {
    for (name, value) in [("conns", conns), ("clients", clients), ("threads", threads)] where value < 1 {
      throw ValidationError("--\(name) must be at least 1, not \(value)")
    }
    if clients > 1_000_000 { throw ValidationError("--clients must be at most 1000000") }
    _ = try parsedEndpoints()
  }

  func parsedEndpoints() throws -> [Endpoint] {
    do {
      let parsed = try endpoints.split(separator: ",").map { try Endpoint(String($0)) }
      guard !parsed.isEmpty else { throw ValidationError("--endpoints is empty") }
      return parsed
    } catch let error as Endpoint.Malformed {
      throw ValidationError(error.description)
    }
  }

  /// For what is drawn once, apart from the requests.
  func random() -> SeededRandom { SeededRandom(seed: seed &+ 0x5eed) }

  func shape() throws -> LoadShape {
    var shape = LoadShape(endpoints: try parsedEndpoints())
    shape.connections = conns
    shape.clients = clients
    shape.threads = threads
    return shape
  }

  /// What `run` gives, or the end of the process when nothing could be measured.
  func measured<Result>(
    total: Int, _ run: (@escaping @Sendable (Int) -> Void) throws -> Result
  ) throws -> Result {
    let bar = ProgressBar(total: total, isWanted: !quiet && !json)
    defer { bar.end() }
    do {
      return try run { bar.show($0) }
    } catch {
      standardError("cairn-bench: \(error)\n")
      throw ExitCode(1)
    }
  }

  /// Prints the report, and ends the process with a code when something failed.
  /// - Parameter parameters: of JSON, beside those of every command; values are JSON.
  func print(_ report: Report, _ name: String, _ parameters: [(String, String)]) throws {
    if json {
      let common = [("command", quoted(name)), ("conns", "\(conns)"), ("clients", "\(clients)")]
      Swift.print(report.json(common + parameters))
    } else {
      Swift.print(report.text(), terminator: "")
    }
    if report.result.all.count == 0 { throw ExitCode(1) }
    if report.errorCount > 0 { throw ExitCode(3) }
  }
}

/// Flags of commands that send a number of requests.
struct LoadOptions: ParsableArguments {
  @OptionGroup var common: CommonOptions
  @Option(help: "Requests in total.")
  var total = 10_000
  @Option(
    help: """
      Requests per second that fall due, spread evenly; latency counts from when a request was due. 0 sends the \
      next request when one is answered.
      """)
  var rate = 0

  func validate() throws {
    if total < 1 { throw ValidationError("--total must be at least 1, not \(total)") }
    if rate < 0 { throw ValidationError("--rate must not be negative") }
  }

  func run(_ name: String, _ workload: Workload) throws {
    var workload = workload
    workload.seed = common.seed
    var shape = try common.shape()
    shape.total = total
    shape.rate = rate
    let run = LoadRun(shape: shape, workload: workload)
    let result = try common.measured(total: total) { try run.run(progress: $0) }
    try common.print(
      Report(result: result), name,
      [
        ("total", "\(total)"), ("rate", "\(rate)"), ("key_size", "\(workload.keySize)"),
        ("value_size", "\(workload.valueSize)"), ("key_space_size", "\(workload.keySpaceSize)"),
      ])
  }
}

/// Flags of commands that make keys.
struct KeyOptions: ParsableArguments {
  @Option(help: "Bytes of a key.")
  var keySize = 8
  @Option(help: "Keys to choose from.")
  var keySpaceSize = 1
  @Flag(help: "Take the keys in order, not at random.")
  var sequentialKeys = false

  func validate() throws {
    if keySize < 1 { throw ValidationError("--key-size must be at least 1") }
    if keySpaceSize < 1 { throw ValidationError("--key-space-size must be at least 1") }
    // Seven bits a byte, one of them for the sign.
    if keySize < 9, keySpaceSize > 1 << (7 * keySize - 1) {
      throw ValidationError("--key-size \(keySize) has no room for \(keySpaceSize) different keys")
    }
  }

  func apply(to workload: inout Workload) {
    workload.keySize = keySize
    workload.keySpaceSize = keySpaceSize
    workload.sequentialKeys = sequentialKeys
  }
}

/// Flag of commands that write values.
struct ValueOptions: ParsableArguments {
  @Option(help: "Bytes of a value.")
  var valSize = 8

  func validate() throws {
    if valSize < 0 { throw ValidationError("--val-size must not be negative") }
  }
}

/// Flags of commands that read.
struct ReadOptions: ParsableArguments {
  @Option(help: "l: linearizable, s: serializable.")
  var consistency = "l"
  @Option(help: "Key-values a read returns at most; 0 is all.")
  var limit: Int64 = 0
  @Flag(help: "Ask for the number of keys only.")
  var countOnly = false
  @Flag(help: "Ask for keys without values.")
  var keysOnly = false

  func validate() throws {
    guard consistency == "l" || consistency == "s" else {
      throw ValidationError("--consistency must be l or s, not \(consistency)")
    }
    if limit < 0 { throw ValidationError("--limit must not be negative") }
  }

  func apply(to workload: inout Workload) {
    workload.serializable = consistency == "s"
    workload.limit = limit
    workload.countOnly = countOnly
    workload.keysOnly = keysOnly
  }
}
