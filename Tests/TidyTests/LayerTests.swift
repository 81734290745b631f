import Testing

/// The layers of the architecture: what each module may import, and what the lower zones may never call.
@Suite struct LayerTests {
  enum Zone: Sendable { case pure, synchronous, edge, executable }

  struct Module: Sendable {
    let name: String
    let zone: Zone
    let imports: Set<String>

    init(_ name: String, _ zone: Zone, _ imports: Set<String>) {
      self.name = name
      self.zone = zone
      self.imports = imports
    }
  }

  private static let network: Set<String> = ["NIOCore", "NIOPosix", "NIOHTTP1"]
  private static let domain: Set<String> = ["Model", "Primitives"]

  /// Bottom to top; a module imports only what stands above its own line, and system modules where listed.
  static let modules: [Module] = [
    Module("Primitives", .pure, ["CPrimitives"]),
    Module("Model", .pure, ["Primitives"]),
    Module("Raft", .pure, domain),
    Module("Replica", .pure, domain.union(["Raft"])),
    Module("Metrics", .synchronous, ["Synchronization"]),
    Module("Zstd", .synchronous, ["CZstd", "Primitives"]),
    Module("LMDB", .synchronous, ["CLMDB", "CPrimitives", "Primitives", "Synchronization"]),
    Module("Disk", .synchronous, ["CPrimitives", "Glibc", "Synchronization", "Primitives"]),
    Module("Snapshot", .synchronous, domain.union(["Disk", "Zstd", "Crypto"])),
    Module("WriteAheadLog", .synchronous, domain.union(["Disk", "Zstd", "Synchronization"])),
    Module(
      "Store", .synchronous,
      domain.union(["LMDB", "Snapshot", "Disk", "Metrics", "CPrimitives", "Synchronization"])),
    Module(
      "Node", .synchronous,
      domain.union([
        "Store", "Snapshot", "WriteAheadLog", "Disk", "Metrics", "Replica", "Raft", "Crypto",
        "Synchronization",
      ])),
    Module(
      "Offline", .synchronous,
      domain.union(["Node", "Store", "Snapshot", "WriteAheadLog", "Disk", "Glibc"])),
    Module("EtcdAPI", .edge, ["SwiftProtobuf", "FoundationEssentials"]),
    Module(
      "Wire", .edge,
      domain.union(network).union([
        "NIOWebSocket", "CNGHTTP2", "CZlib", "Metrics", "Synchronization", "Glibc",
      ])),
    Module("PeerTransport", .edge, domain.union(network).union(["Synchronization", "Glibc"])),
    Module(
      "Client", .edge,
      domain.union(network).union(["Wire", "EtcdAPI", "SwiftProtobuf", "Synchronization"])),
    Module(
      "Frontend", .edge,
      domain.union(network).union([
        "Wire", "EtcdAPI", "Node", "Store", "Snapshot", "Disk", "Metrics", "Replica", "SwiftProtobuf",
        "Synchronization", "Glibc",
      ])),
    Module(
      "Server", .edge,
      domain.union(network).union([
        "Frontend", "PeerTransport", "Wire", "EtcdAPI", "Node", "Store", "WriteAheadLog", "Snapshot", "Disk",
        "Metrics",
        "Replica", "Raft",
        "Crypto", "CPrimitives", "CZlib", "Synchronization", "Glibc", "Yams",
      ])),
    Module("cairn", .executable, ["Server", "Foundation"]),
  ]

  static let modulesInC = ["CPrimitives", "CLMDB", "CZstd", "CNGHTTP2", "CZlib"]

  @Test(arguments: modules) func `a module imports only what its layer allows`(_ module: Module) {
    let files = Repository.swiftFiles(below: "Sources/\(module.name)")
    #expect(!files.isEmpty)
    for file in files {
      for name in SwiftSource(file.text).imports where !module.imports.contains(name) {
        Issue.record("\(file): imports \(name)")
      }
    }
  }

  @Test func `every module has its place in the layers`() {
    let listed = Self.modules.map(\.name) + Self.modulesInC
    #expect(Repository.folders(in: "Sources").sorted() == listed.sorted())
    for (position, module) in Self.modules.enumerated() {
      let above = Set(Self.modules[position...].map(\.name))
      #expect(module.imports.isDisjoint(with: above), "\(module.name) would import upwards")
    }
  }

  struct Ban: Sendable {
    let pattern: String
    let reason: String
  }

  /// What no pure or synchronous module calls; time, randomness and threads come in from the edge.
  static let bans = [
    Ban(pattern: #"\b(Date|UUID)\("#, reason: "the wall clock and system randomness do not replay"),
    Ban(
      pattern: #"\b(ContinuousClock|SuspendingClock|ProcessInfo|SystemRandomNumberGenerator)\b"#,
      reason: "the clock, the environment and randomness are given by the caller"),
    Ban(
      pattern: #"\b(clock_gettime|gettimeofday|getenv|usleep|nanosleep|pthread_\w+)\("#,
      reason: "no clock, environment or threads below the edge"),
    Ban(
      pattern: #"\.(random|randomElement|shuffled|shuffle)\((?!.*using:)"#,
      reason: "randomness is drawn from a seeded generator"),
    Ban(pattern: #"\b(async|await|actor)\b"#, reason: "the core runs to completion"),
    Ban(pattern: #"\b(Task|DispatchQueue|Thread|OperationQueue)\b\s*[.({]"#, reason: "the edge owns threads"),
    Ban(pattern: #"\b(print|debugPrint|dump|NSLog)\("#, reason: "the core reports by effects and errors"),
    Ban(pattern: #"\btry!|\bfatalError\(\)"#, reason: "errors are typed and traps carry a sentence"),
    Ban(
      pattern: #"\bObjectIdentifier\b|\.hashValue\b"#, reason: "addresses and hashes differ from run to run"),
  ]

  @Test(arguments: modules.filter { $0.zone == .pure || $0.zone == .synchronous })
  func `the core calls nothing that would keep a seed from replaying`(_ module: Module) throws {
    for ban in Self.bans {
      let pattern = try Regex(ban.pattern)
      for file in Repository.swiftFiles(below: "Sources/\(module.name)") {
        for (number, line) in SwiftSource(file.text).lines.enumerated()
        where try pattern.firstMatch(in: line) != nil {
          Issue.record("\(file):\(number + 1): \(ban.reason): \(line.drop { $0 == " " })")
        }
      }
    }
  }

  /// Locks belong to code that several threads enter; a pure machine has one owner.
  @Test(arguments: modules.filter { $0.zone == .pure })
  func `the pure zone has no locks`(_ module: Module) throws {
    let pattern = try Regex(#"\b(Mutex|Atomic|NSLock)\b"#)
    for file in Repository.swiftFiles(below: "Sources/\(module.name)") {
      for line in SwiftSource(file.text).lines where try pattern.firstMatch(in: line) != nil {
        Issue.record("\(file): \(line)")
      }
    }
  }
}
