/// Flags of features beside the member and its cluster.
extension FlagTable {
  private static func tls(_ name: String, _ summary: String) -> FlagDefinition {
    .init(name, .text, "", .security, .notBuilt("TLS"), summary)
  }

  private static func tlsSwitch(_ name: String, _ summary: String) -> FlagDefinition {
    .init(name, .boolean, "false", .security, .notBuilt("TLS"), summary)
  }

  static let security: [FlagDefinition] = [
    tls("cert-file", "Certificate of the client listener."),
    tls("key-file", "Key of the client listener."),
    tlsSwitch("client-cert-auth", "Require certificates from clients."),
    tls("client-cert-file", "Certificate for this member's own client connections."),
    tls("client-key-file", "Key for this member's own client connections."),
    tls("client-crl-file", "Revocation list for client certificates."),
    tls("client-cert-allowed-hostname", "Comma-separated SAN hostnames allowed in client certificates."),
    tls("trusted-ca-file", "CA certificates that client certificates are checked against."),
    tlsSwitch("auto-tls", "Serve clients with generated certificates."),
    tls("peer-cert-file", "Certificate of the peer listener."),
    tls("peer-key-file", "Key of the peer listener."),
    tlsSwitch("peer-client-cert-auth", "Require certificates from peers."),
    tls("peer-client-cert-file", "Certificate for connections to peers."),
    tls("peer-client-key-file", "Key for connections to peers."),
    tls("peer-trusted-ca-file", "CA certificates that peer certificates are checked against."),
    tls("peer-cert-allowed-cn", "Comma-separated common names allowed in peer certificates."),
    tls("peer-cert-allowed-hostname", "Comma-separated SAN hostnames allowed in peer certificates."),
    tlsSwitch("peer-auto-tls", "Talk to peers with generated certificates."),
    tlsSwitch("peer-skip-client-san-verification", "Do not check the SAN of peer certificates."),
    tls("peer-crl-file", "Revocation list for peer certificates."),
    .init(
      "self-signed-cert-validity", .unsigned, "1", .security, .notBuilt("TLS"),
      "Years that generated certificates are valid."),
    tls("cipher-suites", "Comma-separated cipher suites, by Go's names."),
    .init("tls-min-version", .text, "TLS1.2", .security, .notBuilt("TLS"), "Lowest TLS version."),
    tls("tls-max-version", "Highest TLS version."),
    .init("cors", .origins, "*", .security, "Comma-separated origins allowed by CORS."),
    .init(
      "host-whitelist", .names, "*", .security, "Host names accepted in plain HTTP requests."),
  ]

  static let auth: [FlagDefinition] = [
    .init(
      "auth-token", .text, "simple", .auth, .notBuilt("authentication tokens"), "Token type and its options."),
    .init(
      "bcrypt-cost", .unsigned, "10", .auth, .notBuilt("authentication"),
      "Cost of hashing passwords, 4 to 31."),
    .init(
      "auth-token-ttl", .unsigned, "300", .auth, .notBuilt("authentication"),
      "Lifetime of a token in seconds."),
  ]

  static let monitoring: [FlagDefinition] = [
    .init(
      "enable-pprof", .boolean, "false", .monitoring, .notBuilt("runtime profiling"),
      "Serve profiling data over HTTP."),
    .init(
      "metrics", .text, "basic", .monitoring,
      "'basic' or 'extensive': whether the times of gRPC calls are counted in buckets for each method."),
    .init(
      "listen-metrics-urls", .urls, "", .monitoring,
      "URLs to listen on for /metrics, /health, /livez and /readyz alone."),
  ]

  static let logging: [FlagDefinition] = [
    .init("logger", .text, "zap", .logging, "Only 'zap', etcd's structured lines."),
    .init(
      "log-outputs", .names, "default", .logging,
      "'default' (the journal under systemd, else stderr), 'stderr', 'stdout', 'systemd/journal', file paths."
    ),
    .init("log-level", .text, "info", .logging, "debug, info, warn, error, panic or fatal."),
    .init("log-format", .text, "json", .logging, "'json' or 'console'."),
    .init(
      "enable-log-rotation", .boolean, "false", .logging, "Rotate the one file among the log outputs."),
    .init(
      "log-rotation-config-json", .text,
      #"{"maxsize": 100, "maxage": 0, "maxbackups": 0, "localtime": false, "compress": false}"#, .logging,
      "How the log file is rotated: size in MB, age in days, number kept (0: no limit), local time, gzip."),
    .init(
      "warning-unary-request-duration", .duration, "300ms", .logging,
      "Warn of requests that take longer than this."),
    .init(
      "warning-apply-duration", .duration, "100ms", .logging,
      "Warn of entries that take longer than this to apply."),
  ]

  static let tracing: [FlagDefinition] = [
    .init(
      "enable-distributed-tracing", .boolean, "false", .tracing, .notBuilt("distributed tracing"),
      "Send spans to a collector."),
    .init(
      "distributed-tracing-address", .text, "localhost:4317", .tracing, .notBuilt("distributed tracing"),
      "The collector."),
    .init(
      "distributed-tracing-service-name", .text, "etcd", .tracing, .notBuilt("distributed tracing"),
      "Service name of the spans."),
    .init(
      "distributed-tracing-instance-id", .text, "", .tracing, .notBuilt("distributed tracing"),
      "Instance id of the spans."),
    .init(
      "distributed-tracing-sampling-rate", .integer, "0", .tracing, .notBuilt("distributed tracing"),
      "Samples per million spans."),
  ]

  static let features: [FlagDefinition] = [
    .init("feature-gates", .featureGates, "", .features, "Name=bool,... for the gates of the API level."),
    .init(
      "corrupt-check-time", .duration, "0s", .features,
      "Time between comparisons of the members' data while it changes; 0s means 1m."),
    .init(
      "compact-hash-check-time", .duration, "1m", .features, .withoutEffect,
      "Time between comparisons of compaction hashes; here --corrupt-check-time covers all data."),
    .init(
      "compaction-batch-limit", .integer, "1000", .features, .withoutEffect,
      "Revisions deleted in each compaction batch; here batches adapt to the load."),
    .init(
      "compaction-sleep-interval", .duration, "10ms", .features, .withoutEffect,
      "Pause between compaction batches; here they ride on the background commits."),
    .init(
      "watch-progress-notify-interval", .duration, "10m", .features,
      "Time between progress notifications of a watch."),
    .init(
      "bootstrap-defrag-threshold-megabytes", .unsigned, "0", .features,
      "Defragment at the start when so many megabytes are free inside the file (0 disables)."),
    .init(
      "downgrade-check-time", .duration, "5s", .features, .notBuilt("downgrade"),
      "Time between checks of a running downgrade."),
  ]

  static let unsafe: [FlagDefinition] = [
    .init(
      "force-new-cluster", .boolean, "false", .unsafe,
      "Make a one-member cluster of this member's data."),
    .init(
      "unsafe-no-fsync", .boolean, "false", .unsafe,
      "Do not sync the log: a power cut loses what was acknowledged."),
  ]

  /// The general options, which the usage text explains, and what etcd has ignored since its 2.x days.
  static let hidden: [FlagDefinition] =
    [
      .init("config-file", .text, "", .hidden, ""),
      .init("version", .boolean, "false", .hidden, ""),
      .init("discovery-dial-timeout", .duration, "2s", .hidden, .notBuilt("discovery"), ""),
      .init("discovery-request-timeout", .duration, "5s", .hidden, .notBuilt("discovery"), ""),
      .init("discovery-keepalive-time", .duration, "2s", .hidden, .notBuilt("discovery"), ""),
      .init("discovery-keepalive-timeout", .duration, "6s", .hidden, .notBuilt("discovery"), ""),
      .init("discovery-insecure-transport", .boolean, "true", .hidden, .notBuilt("discovery"), ""),
      .init("discovery-insecure-skip-tls-verify", .boolean, "false", .hidden, .notBuilt("discovery"), ""),
      .init("discovery-cert", .text, "", .hidden, .notBuilt("discovery"), ""),
      .init("discovery-key", .text, "", .hidden, .notBuilt("discovery"), ""),
      .init("discovery-cacert", .text, "", .hidden, .notBuilt("discovery"), ""),
      .init("discovery-user", .text, "", .hidden, .notBuilt("discovery"), ""),
      .init("discovery-password", .text, "", .hidden, .notBuilt("discovery"), ""),
    ]
    + [
      "cluster-active-size", "cluster-remove-delay", "cluster-sync-interval", "config", "force",
      "max-result-buffer", "max-retry-attempts", "peer-heartbeat-interval", "peer-election-timeout",
      "retry-interval", "snapshot", "v", "vv", "test.coverprofile", "test.outputdir",
    ].map { FlagDefinition($0, .ignored, "", .hidden, .withoutEffect, "") }
}
