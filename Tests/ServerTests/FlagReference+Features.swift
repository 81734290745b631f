import Model
import Server

/// Security, logging, monitoring and features.
extension FlagReference {
  private static func tls(_ name: String, _ key: String?) -> FlagRow {
    FlagRow(name: name, form: .text, standard: "", sample: "x", key: key, fate: .refused)
  }

  private static func tlsSwitch(_ name: String, _ key: String) -> FlagRow {
    FlagRow(name: name, form: .boolean, standard: "false", sample: "true", key: key, fate: .refused)
  }

  private static func tlsList(_ name: String, _ key: String) -> FlagRow {
    FlagRow(name: name, form: .list, standard: "", sample: "x,y", key: key, fate: .refused)
  }

  static let security: [FlagRow] = [
    tls("cert-file", "client-transport-security.cert-file"),
    tls("key-file", "client-transport-security.key-file"),
    tls("client-cert-file", "client-transport-security.client-cert-file"),
    tls("client-key-file", "client-transport-security.client-key-file"),
    tls("trusted-ca-file", "client-transport-security.trusted-ca-file"),
    tls("client-crl-file", nil),
    tlsSwitch("client-cert-auth", "client-transport-security.client-cert-auth"),
    tlsSwitch("auto-tls", "client-transport-security.auto-tls"),
    tlsList("client-cert-allowed-hostname", "client-transport-security.allowed-hostname"),
    tls("peer-cert-file", "peer-transport-security.cert-file"),
    tls("peer-key-file", "peer-transport-security.key-file"),
    tls("peer-client-cert-file", "peer-transport-security.client-cert-file"),
    tls("peer-client-key-file", "peer-transport-security.client-key-file"),
    tls("peer-trusted-ca-file", "peer-transport-security.trusted-ca-file"),
    tls("peer-crl-file", nil),
    tlsSwitch("peer-client-cert-auth", "peer-transport-security.client-cert-auth"),
    tlsSwitch("peer-auto-tls", "peer-transport-security.auto-tls"),
    tlsSwitch(
      "peer-skip-client-san-verification", "peer-transport-security.skip-client-san-verification"),
    tlsList("peer-cert-allowed-cn", "peer-transport-security.allowed-cn"),
    tlsList("peer-cert-allowed-hostname", "peer-transport-security.allowed-hostname"),
    refused("self-signed-cert-validity", .uint, "1", "2"),
    FlagRow(
      name: "cipher-suites", form: .list, standard: "", sample: "a,b", key: "cipher-suites", fate: .refused),
    refused("tls-min-version", .text, "TLS1.2", "TLS1.3"),
    refused("tls-max-version", .text, "", "TLS1.3"),
    effective("cors", .names, "*", "http://a:1,http://b:2") {
      $0.corsOrigins == ["http://a:1", "http://b:2"]
    },
    effective("host-whitelist", .names, "*", "a,b") { $0.admittedHosts == ["a", "b"] },
    refused("auth-token", .text, "simple", "jwt,sign-method=RS256"),
    refused("auth-token-ttl", .uint, "300", "5"),
    refused("bcrypt-cost", .uint, "10", "12"),
  ]

  static let features: [FlagRow] = [
    refused("enable-pprof", .boolean, "false", "true"),
    effective("metrics", .text, "basic", "extensive") { $0.hasExtensiveMetrics },
    effective("listen-metrics-urls", .urls, "", "http://127.0.0.1:1") {
      $0.listenMetricsURLs.map(\.description) == ["http://127.0.0.1:1"]
    },
    accepted("logger", .text, "zap", "zap"),
    FlagRow(
      name: "log-outputs", form: .list, standard: "default", sample: "stdout,/l", key: "log-outputs",
      fate: .effective { $0.logOutputs == ["/l", "stdout"] }),
    effective("log-level", .text, "info", "warn") { $0.logLevel == .warn },
    effective("log-format", .text, "json", "console") { $0.logFormat == .console },
    // Alone it is refused, like etcd does; RotationTests has it with a file.
    refused("enable-log-rotation", .boolean, "false", "true"),
    accepted(
      "log-rotation-config-json", .text,
      #"{"maxsize": 100, "maxage": 0, "maxbackups": 0, "localtime": false, "compress": false}"#,
      #"{"maxsize": 1}"#),
    effective("warning-unary-request-duration", .duration(nanoseconds: 5_000_000), "300ms", "5ms") {
      $0.warningUnaryRequestDuration == .milliseconds(5)
    },
    effective("warning-apply-duration", .duration(nanoseconds: 5_000_000), "100ms", "5ms") {
      $0.warningApplyDuration == .milliseconds(5)
    },
    refused("enable-distributed-tracing", .boolean, "false", "true"),
    refused("distributed-tracing-address", .text, "localhost:4317", "h:1"),
    refused("distributed-tracing-service-name", .text, "etcd", "x"),
    refused("distributed-tracing-instance-id", .text, "", "x"),
    refused("distributed-tracing-sampling-rate", .int, "0", "1"),
    effective("corrupt-check-time", .duration(nanoseconds: 1_000_000_000), "0s", "1s") {
      $0.effectiveCorruptCheckTime == .seconds(1)
    },
    accepted("compact-hash-check-time", .duration(nanoseconds: 1_000_000_000), "1m", "1s"),
    accepted("compaction-batch-limit", .int, "1000", "9"),
    accepted("compaction-sleep-interval", .duration(nanoseconds: 1_000_000), "10ms", "1ms"),
    effective("watch-progress-notify-interval", .duration(nanoseconds: 1_000_000_000), "10m", "1s") {
      $0.effectiveWatchProgressInterval == .seconds(1)
    },
    effective("bootstrap-defrag-threshold-megabytes", .uint, "0", "9") {
      $0.bootstrapDefragmentMegabytes == 9
    },
    refused("downgrade-check-time", .duration(nanoseconds: 1_000_000_000), "5s", "1s"),
    effective("unsafe-no-fsync", .boolean, "false", "true") { $0.skipsSync },
    effective("feature-gates", .gates, "", "StopGRPCServiceOnDefrag=true") {
      $0.featureGates.stopServiceOnDefragment
    },
    // These two are about the launch itself; no file has them.
    FlagRow(name: "config-file", form: .text, standard: "", sample: "", key: nil, fate: .accepted),
    FlagRow(name: "version", form: .boolean, standard: "false", sample: "false", key: nil, fate: .accepted),
  ]
}
