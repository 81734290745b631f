import Model
import Replica
import Server
import Testing

/// A flag as etcd's reference describes it, written down apart from the table that the server uses.
struct FlagRow: Sendable, CustomTestStringConvertible {
  /// The Go type behind the flag: what is a wrong value, and how a file spells the right one.
  enum Form: Sendable {
    case text, boolean, int, int64, uint, uint64, uint32, urls, names, gates
    /// In a file: nanoseconds.
    case duration(nanoseconds: Int64)
    /// In a file: a list of texts.
    case list
    case choice(failure: String)
  }

  /// What becomes of a value that is not the default.
  enum Fate: Sendable {
    /// The configuration shows it.
    case effective(@Sendable (ServerConfiguration) -> Bool)
    /// Taken and without a meaning here.
    case accepted
    /// The start is refused, by name.
    case refused
  }

  let name: String
  let form: Form
  let standard: String
  /// A valid value other than the default.
  let sample: String
  /// Where a file has it: `name`, or the path through its maps. Nil: nowhere.
  let key: String?
  let fate: Fate

  var testDescription: String { name }
  var variable: String { "ETCD_" + name.uppercased().replacing("-", with: "_") }

  /// The sample in a configuration file.
  func yaml(_ value: String? = nil) -> String? {
    guard let key else { return nil }
    let parts = key.split(separator: ".")
    var text = ""
    for (depth, part) in parts.enumerated() {
      text += String(repeating: "  ", count: depth) + part + ":"
      text += depth == parts.count - 1 ? " \(value ?? yamlValue)\n" : "\n"
    }
    return text
  }

  private var yamlValue: String {
    switch form {
    case .text, .urls, .names, .gates, .choice: "'\(sample)'"
    case .boolean, .int, .int64, .uint, .uint64, .uint32: sample
    case .duration(let nanoseconds): "\(nanoseconds)"
    case .list: "[" + sample.split(separator: ",").map { "\"\($0)\"" }.joined(separator: ", ") + "]"
    }
  }
}

enum FlagReference {
  static let all = member + clustering + security + features

  /// Taken in any form since etcd 2, and without effect.
  static let ignored = [
    "cluster-active-size", "cluster-remove-delay", "cluster-sync-interval", "config", "force",
    "max-result-buffer", "max-retry-attempts", "peer-heartbeat-interval", "peer-election-timeout",
    "retry-interval", "snapshot", "v", "vv", "test.coverprofile", "test.outputdir",
  ]

  static func effective(
    _ name: String, _ form: FlagRow.Form, _ standard: String, _ sample: String, key: String? = nil,
    _ shows: @escaping @Sendable (ServerConfiguration) -> Bool
  ) -> FlagRow {
    FlagRow(
      name: name, form: form, standard: standard, sample: sample, key: key ?? name, fate: .effective(shows))
  }

  static func accepted(
    _ name: String, _ form: FlagRow.Form, _ standard: String, _ sample: String, hasKey: Bool = true
  ) -> FlagRow {
    FlagRow(
      name: name, form: form, standard: standard, sample: sample, key: hasKey ? name : nil, fate: .accepted)
  }

  static func refused(
    _ name: String, _ form: FlagRow.Form, _ standard: String, _ sample: String, key: String? = nil
  ) -> FlagRow {
    FlagRow(
      name: name, form: form, standard: standard, sample: sample, key: key == "" ? nil : key ?? name,
      fate: .refused)
  }

  private static func seconds(_ count: Int64) -> FlagRow.Form {
    .duration(nanoseconds: count * 1_000_000_000)
  }

  private static let member: [FlagRow] = [
    effective("name", .text, "default", "m1") { $0.name == "m1" && $0.dataDirectory == "m1.etcd" },
    effective("data-dir", .text, "", "/d") { $0.dataDirectory == "/d" },
    effective("wal-dir", .text, "", "/w") { $0.walDirectory == "/w" },
    accepted("snapshot-count", .uint64, "10000", "5"),
    effective("snapshot-catchup-entries", .uint64, "5000", "7") { $0.snapshotCatchUpEntries == 7 },
    effective("heartbeat-interval", .uint, "100", "50") { $0.heartbeatMilliseconds == 50 },
    effective("election-timeout", .uint, "1000", "2000") { $0.electionMilliseconds == 2000 },
    accepted("initial-election-tick-advance", .boolean, "true", "false"),
    effective("listen-peer-urls", .urls, "http://localhost:2380", "http://127.0.0.1:1") {
      $0.listenPeerURLs.map(\.description) == ["http://127.0.0.1:1"]
    },
    effective("listen-client-urls", .urls, "http://localhost:2379", "http://127.0.0.1:1") {
      $0.listenClientURLs.map(\.description) == ["http://127.0.0.1:1"]
    },
    effective("listen-client-http-urls", .urls, "", "http://127.0.0.1:1") {
      $0.listenClientHTTPURLs.map(\.description) == ["http://127.0.0.1:1"]
    },
    accepted("max-snapshots", .uint, "5", "6"),
    accepted("max-wals", .uint, "5", "6"),
    effective("quota-backend-bytes", .int64, "0", "1000") { $0.effectiveQuotaBytes == 1000 },
    accepted("backend-bbolt-freelist-type", .text, "map", "array"),
    effective("backend-batch-interval", seconds(2), "0s", "2s") { $0.effectiveBatchInterval == .seconds(2) },
    accepted("backend-batch-limit", .int, "0", "9"),
    effective("max-txn-ops", .uint, "128", "9") { $0.maxTransactionOperations == 9 },
    effective("max-request-bytes", .uint, "1572864", "9") { $0.maxRequestBytes == 9 },
    effective("max-concurrent-streams", .uint32, "4294967295", "9") { $0.maxConcurrentStreams == 9 },
    effective("grpc-keepalive-min-time", seconds(6), "5s", "6s") { $0.keepaliveMinTime == .seconds(6) },
    effective("grpc-keepalive-interval", seconds(60), "2h", "1m") { $0.keepaliveInterval == .seconds(60) },
    effective("grpc-keepalive-timeout", seconds(9), "20s", "9s") { $0.keepaliveTimeout == .seconds(9) },
    effective("socket-reuse-port", .boolean, "false", "true", key: "socket-options.reuse-port") {
      $0.reusesPort
    },
    FlagRow(
      name: "socket-reuse-address", form: .boolean, standard: "false", sample: "true",
      key: "socket-options.reuse-address", fate: .accepted),
    effective("enable-grpc-gateway", .boolean, "true", "false") { !$0.servesGateway },
    FlagRow(
      name: "raft-read-timeout", form: seconds(6), standard: "5s", sample: "6s", key: nil,
      fate: .effective { $0.raftReadTimeout == .seconds(6) }),
    FlagRow(
      name: "raft-write-timeout", form: seconds(6), standard: "5s", sample: "6s", key: nil,
      fate: .effective { $0.raftWriteTimeout == .seconds(6) }),
    effective("memory-mlock", .boolean, "false", "true") { $0.locksMemory },
  ]

  private static let clustering: [FlagRow] = [
    effective("initial-advertise-peer-urls", .urls, "http://localhost:2380", "http://127.0.0.1:1") {
      $0.advertisePeerURLs.map(\.description) == ["http://127.0.0.1:1"]
    },
    effective("initial-cluster", .text, "default=http://localhost:2380", "a=http://h:1") {
      $0.initialCluster == "a=http://h:1"
    },
    effective("initial-cluster-state", .choice(failure: "invalid value"), "new", "existing") {
      $0.initialClusterState == .existing
    },
    effective("initial-cluster-token", .text, "etcd-cluster", "t") { $0.initialClusterToken == "t" },
    effective("advertise-client-urls", .urls, "http://localhost:2379", "http://h:1") {
      $0.advertiseClientURLs?.map(\.description) == ["http://h:1"]
    },
    FlagRow(
      name: "discovery-fallback", form: .choice(failure: "invalid value"), standard: "exit", sample: "exit",
      key: nil, fate: .accepted),
    refused("discovery-token", .text, "", "x", key: "discovery-config.token"),
    FlagRow(
      name: "discovery-endpoints", form: .list, standard: "", sample: "a,b",
      key: "discovery-config.client.endpoints", fate: .refused),
    refused(
      "discovery-dial-timeout", seconds(3), "2s", "3s", key: "discovery-config.client.dial-timeout"),
    refused(
      "discovery-request-timeout", seconds(3), "5s", "3s", key: "discovery-config.client.request-timeout"),
    refused(
      "discovery-keepalive-time", seconds(3), "2s", "3s", key: "discovery-config.client.keepalive-time"),
    refused(
      "discovery-keepalive-timeout", seconds(3), "6s", "3s",
      key: "discovery-config.client.keepalive-timeout"),
    refused(
      "discovery-insecure-transport", .boolean, "true", "false",
      key: "discovery-config.client.secure.insecure-transport"),
    refused(
      "discovery-insecure-skip-tls-verify", .boolean, "false", "true",
      key: "discovery-config.client.secure.insecure-skip-tls-verify"),
    refused("discovery-cert", .text, "", "x", key: "discovery-config.client.secure.cert"),
    refused("discovery-key", .text, "", "x", key: "discovery-config.client.secure.key"),
    refused("discovery-cacert", .text, "", "x", key: "discovery-config.client.secure.cacert"),
    refused("discovery-user", .text, "", "x", key: "discovery-config.client.auth.username"),
    refused("discovery-password", .text, "", "x", key: "discovery-config.client.auth.password"),
    refused("discovery-srv", .text, "", "x"),
    refused("discovery-srv-name", .text, "", "x"),
    effective("strict-reconfig-check", .boolean, "true", "false") { !$0.isReconfigurationStrict },
    effective("pre-vote", .boolean, "true", "false") { !$0.preVotes },
    effective("auto-compaction-retention", .text, "0", "2") {
      $0.autoCompaction == .periodic(milliseconds: 7_200_000)
    },
    accepted("auto-compaction-mode", .text, "periodic", "revision"),
    accepted("v2-deprecation", .choice(failure: "invalid value \"foo\""), "write-only", "gone"),
    effective("max-learners", .int, "1", "2") { $0.learnersMax == 2 },
    effective("force-new-cluster", .boolean, "false", "true") { $0.forcesNewCluster },
  ]
}
