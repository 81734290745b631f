// swift-tools-version: 6.2
import PackageDescription

/// One settings array for every Swift target; the zones of the architecture add to it below.
let settings: [SwiftSetting] = [
  .swiftLanguageMode(.v6),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("MemberImportVisibility"),
  .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
  .treatAllWarnings(as: .error),
]
/// The pure zone also marks each unsafe use (SE-0458).
let pureSettings: [SwiftSetting] = settings + [.strictMemorySafety()]

/// Wire's objects are confined to one event loop, and its own tests run with the checks on (debug builds). The
/// dynamic exclusivity checks were 8.5 % of a unary call's CPU (perf, h2load 16 x 64); grep of beginAccess.
let wireSettings: [SwiftSetting] =
  settings + [.unsafeFlags(["-enforce-exclusivity=unchecked"], .when(configuration: .release))]

/// `CAIRN_CORE_ONLY=1 swift test` builds the pure and synchronous zones alone, without SwiftNIO:
/// the quick inner loop for work on Raft, the log and the store.
let coreOnly = Context.environment["CAIRN_CORE_ONLY"] != nil

func test(_ name: String, _ dependencies: [Target.Dependency], exclude: [String] = []) -> Target {
  .testTarget(name: name, dependencies: dependencies, exclude: exclude, swiftSettings: settings)
}

// Rows of the layer picture, bottom to top: a target depends only on targets above it in this file.
let pure: [Target] = [
  .target(name: "CPrimitives"),
  .target(name: "Primitives", dependencies: ["CPrimitives"], swiftSettings: pureSettings),
  .target(name: "Model", dependencies: ["Primitives"], swiftSettings: pureSettings),
  .target(name: "Raft", dependencies: ["Model", "Primitives"], swiftSettings: pureSettings),
  .target(name: "Replica", dependencies: ["Raft", "Model", "Primitives"], swiftSettings: pureSettings),
]

let synchronous: [Target] = [
  .target(name: "Metrics", swiftSettings: settings),
  .systemLibrary(name: "CLMDB", pkgConfig: "lmdb", providers: [.apt(["liblmdb-dev"])]),
  .systemLibrary(name: "CZstd", pkgConfig: "libzstd", providers: [.apt(["libzstd-dev"])]),
  .target(name: "Zstd", dependencies: ["CZstd", "Primitives"], swiftSettings: settings),
  .target(name: "LMDB", dependencies: ["CLMDB", "CPrimitives", "Primitives"], swiftSettings: settings),
  .target(name: "Disk", dependencies: ["CPrimitives", "Primitives"], swiftSettings: settings),
  .target(
    name: "Snapshot",
    dependencies: ["Disk", "Zstd", "Model", "Primitives", .product(name: "Crypto", package: "swift-crypto")],
    swiftSettings: settings),
  .target(
    name: "WriteAheadLog", dependencies: ["Disk", "Zstd", "Model", "Primitives"], swiftSettings: settings),
  .target(
    name: "Store",
    dependencies: ["LMDB", "Snapshot", "Disk", "Metrics", "Model", "Primitives", "CPrimitives"],
    swiftSettings: settings),
  .target(
    name: "Node",
    dependencies: [
      "Store", "Snapshot", "WriteAheadLog", "Disk", "Metrics", "Replica", "Raft", "Model", "Primitives",
      .product(name: "Crypto", package: "swift-crypto"),
    ],
    swiftSettings: settings),
  .target(
    name: "Offline",
    dependencies: ["Node", "Store", "Snapshot", "WriteAheadLog", "Disk", "Model", "Primitives"],
    swiftSettings: settings),
]

let edge: [Target] = [
  .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
  .systemLibrary(name: "CNGHTTP2", pkgConfig: "libnghttp2", providers: [.apt(["libnghttp2-dev"])]),
  .target(
    name: "EtcdAPI",
    dependencies: [.product(name: "SwiftProtobuf", package: "swift-protobuf")],
    exclude: ["Protos"],
    swiftSettings: [.swiftLanguageMode(.v6)]),
  .target(
    name: "Wire",
    dependencies: [
      "CNGHTTP2", "CZlib", "Metrics", "Model", "Primitives",
      .product(name: "NIOCore", package: "swift-nio"),
      .product(name: "NIOPosix", package: "swift-nio"),
      .product(name: "NIOHTTP1", package: "swift-nio"),
      .product(name: "NIOWebSocket", package: "swift-nio"),
    ],
    swiftSettings: wireSettings),
  .target(
    name: "PeerTransport",
    dependencies: [
      "Model", "Primitives",
      .product(name: "NIOCore", package: "swift-nio"),
      .product(name: "NIOPosix", package: "swift-nio"),
      .product(name: "NIOHTTP1", package: "swift-nio"),
    ],
    swiftSettings: settings),
  .target(
    name: "Client",
    dependencies: [
      "Wire", "EtcdAPI", "Model", "Primitives",
      .product(name: "NIOCore", package: "swift-nio"),
      .product(name: "NIOPosix", package: "swift-nio"),
      .product(name: "SwiftProtobuf", package: "swift-protobuf"),
    ],
    swiftSettings: settings),
  .target(
    name: "Frontend",
    dependencies: [
      "Wire", "EtcdAPI", "Node", "Store", "Snapshot", "Disk", "Metrics", "Replica", "Raft", "Model",
      "Primitives",
      .product(name: "NIOCore", package: "swift-nio"),
      .product(name: "SwiftProtobuf", package: "swift-protobuf"),
    ],
    swiftSettings: settings),
  .target(
    name: "Server",
    dependencies: [
      "Frontend", "PeerTransport", "Wire", "EtcdAPI", "Node", "Store", "WriteAheadLog", "Disk", "Metrics",
      "Replica", "Raft", "Model", "Primitives", "CPrimitives", "CZlib",
      .product(name: "NIOCore", package: "swift-nio"),
      .product(name: "NIOPosix", package: "swift-nio"),
      .product(name: "Crypto", package: "swift-crypto"),
      .product(name: "Yams", package: "Yams"),
    ],
    swiftSettings: settings),
]

let executables: [Target] = [
  .executableTarget(name: "cairn", dependencies: ["Server"], swiftSettings: settings),
  .executableTarget(
    name: "cairn-bench",
    dependencies: [
      "Client", "Wire", "EtcdAPI", "Model", "Primitives",
      .product(name: "NIOCore", package: "swift-nio"),
      .product(name: "NIOPosix", package: "swift-nio"),
      .product(name: "SwiftProtobuf", package: "swift-protobuf"),
      .product(name: "ArgumentParser", package: "swift-argument-parser"),
    ],
    path: "Benchmarks/cairn-bench", swiftSettings: settings),
  .executableTarget(
    name: "cairnutl",
    dependencies: [
      "Offline", "WriteAheadLog", "Disk", "Model",
      .product(name: "ArgumentParser", package: "swift-argument-parser"),
    ],
    path: "Tools/cairnutl", swiftSettings: settings),
]

let coreTests: [Target] = [
  test("PrimitivesTests", ["Primitives", "CPrimitives"]),
  test("RaftTests", ["Raft", "Model", "Primitives"], exclude: ["Scenarios"]),
  test("ReplicaTests", ["Replica", "Raft", "Model", "Primitives"]),
  test("MetricsTests", ["Metrics", "Primitives"]),
  test("ZstdTests", ["Zstd"]),
  test("LMDBTests", ["LMDB"]),
  test("DiskTests", ["Disk", "Primitives"]),
  test(
    "SnapshotTests",
    ["Snapshot", "Disk", "Model", "Primitives", .product(name: "Crypto", package: "swift-crypto")]),
  test("WriteAheadLogTests", ["WriteAheadLog", "Disk", "Model", "Primitives"]),
  test(
    "StoreTests", ["Store", "LMDB", "Snapshot", "Disk", "Model", "Primitives"], exclude: ["Scenarios"]),
  test(
    "NodeTests",
    ["Node", "Store", "Snapshot", "WriteAheadLog", "Disk", "Replica", "Raft", "Model", "Primitives"]),
  test(
    "OfflineTests",
    [
      "Offline", "Node", "Store", "Snapshot", "WriteAheadLog", "Disk", "Replica", "Raft", "Model",
      "Primitives",
    ]),
  test("TidyTests", []),
]

let edgeTests: [Target] = [
  test(
    "ModelTests",
    ["Model", "EtcdAPI", "Primitives", .product(name: "SwiftProtobuf", package: "swift-protobuf")]),
  test(
    "WireTests",
    [
      "Wire", "CNGHTTP2", "Model", "Primitives",
      .product(name: "NIOCore", package: "swift-nio"), .product(name: "NIOPosix", package: "swift-nio"),
    ]),
  test(
    "PeerTransportTests",
    [
      "PeerTransport", "Model", "Primitives",
      .product(name: "NIOCore", package: "swift-nio"), .product(name: "NIOPosix", package: "swift-nio"),
      .product(name: "NIOHTTP1", package: "swift-nio"),
    ]),
  test(
    "ClientTests",
    [
      "Client", "Wire", "EtcdAPI", "Model", "Primitives",
      .product(name: "NIOCore", package: "swift-nio"), .product(name: "NIOPosix", package: "swift-nio"),
      .product(name: "SwiftProtobuf", package: "swift-protobuf"),
    ]),
  test(
    "FrontendTests",
    [
      "Frontend", "EtcdAPI", "Model", "Primitives",
      .product(name: "SwiftProtobuf", package: "swift-protobuf"),
    ]),
  test(
    "ServerTests", ["Server", "Node", "Store", "Client", "EtcdAPI", "Disk", "Model", "Primitives", "Replica"]),
]

let coreDependencies: [Package.Dependency] = [
  .package(url: "https://github.com/apple/swift-crypto.git", from: "4.5.2")
]
let edgeDependencies: [Package.Dependency] = [
  .package(url: "https://github.com/apple/swift-nio.git", from: "2.101.2"),
  .package(url: "https://github.com/apple/swift-protobuf.git", from: "1.39.0"),
  .package(url: "https://github.com/apple/swift-argument-parser.git", from: "1.8.2"),
  .package(url: "https://github.com/jpsim/Yams.git", from: "6.2.2"),
]

let package = Package(
  name: "Cairn",
  products: coreOnly
    ? []
    : [
      .executable(name: "cairn", targets: ["cairn"]),
      .executable(name: "cairn-bench", targets: ["cairn-bench"]),
      .executable(name: "cairnutl", targets: ["cairnutl"]),
    ],
  dependencies: coreDependencies + (coreOnly ? [] : edgeDependencies),
  targets: pure + synchronous + coreTests + (coreOnly ? [] : edge + executables + edgeTests)
)
