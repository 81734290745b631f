internal import Model
internal import Replica

/// From flag values to a validated configuration.
extension ServerConfiguration {
  /// Builds and validates; warnings of valid but questionable settings go to `notices`.
  public init(flags: FlagValues, notices: inout [LogRecord]) throws(ConfigurationError) {
    let (level, format, outputs, rotation) = try Self.logging(flags)
    let values = TypedFlags(flags: flags)
    let name = flags.text("name")
    let advertisePeerURLs = values.urls("initial-advertise-peer-urls")
    var initialCluster = flags.text("initial-cluster")
    if name != "default", initialCluster == FlagTable.byName["initial-cluster"]?.defaultText {
      initialCluster = advertisePeerURLs.map { "\(name)=\($0)" }.joined(separator: ",")
    }
    let clientURLsNeedAdvertising =
      flags.source == .commandLine && flags.isSet("listen-client-urls")
      && !flags.isSet("advertise-client-urls")
    self.init(
      name: name, dataDirectory: flags.text("data-dir"),
      walDirectory: flags.text("wal-dir").isEmpty ? nil : flags.text("wal-dir"),
      listenClientURLs: values.urls("listen-client-urls"),
      advertiseClientURLs: clientURLsNeedAdvertising ? nil : values.urls("advertise-client-urls"),
      listenPeerURLs: values.urls("listen-peer-urls"),
      advertisePeerURLs: advertisePeerURLs,
      initialCluster: initialCluster,
      initialClusterState: flags.text("initial-cluster-state") == "existing" ? .existing : .new,
      initialClusterToken: flags.text("initial-cluster-token"),
      heartbeatMilliseconds: values.unsigned("heartbeat-interval"),
      electionMilliseconds: values.unsigned("election-timeout"),
      snapshotCatchUpEntries: values.unsigned("snapshot-catchup-entries"),
      maxTransactionOperations: values.unsigned("max-txn-ops"),
      maxRequestBytes: values.unsigned("max-request-bytes"),
      maxConcurrentStreams: values.unsigned32("max-concurrent-streams"),
      keepaliveMinTime: values.duration("grpc-keepalive-min-time"),
      keepaliveInterval: values.duration("grpc-keepalive-interval"),
      keepaliveTimeout: values.duration("grpc-keepalive-timeout"),
      quotaBackendBytes: values.integer("quota-backend-bytes"),
      backendBatchInterval: values.duration("backend-batch-interval"),
      corruptCheckTime: values.duration("corrupt-check-time"),
      watchProgressInterval: values.duration("watch-progress-notify-interval"),
      autoCompaction: nil,
      bootstrapDefragmentMegabytes: values.unsigned("bootstrap-defrag-threshold-megabytes"),
      warningUnaryRequestDuration: values.duration("warning-unary-request-duration"),
      warningApplyDuration: values.duration("warning-apply-duration"),
      featureGates: values.featureGates("feature-gates"),
      locksMemory: values.boolean("memory-mlock"), reusesPort: values.boolean("socket-reuse-port"),
      skipsSync: values.boolean("unsafe-no-fsync"),
      logLevel: level, logFormat: format, logOutputs: outputs, logRotation: rotation)
    listenClientHTTPURLs = values.urls("listen-client-http-urls")
    listenMetricsURLs = values.urls("listen-metrics-urls")
    isReconfigurationStrict = values.boolean("strict-reconfig-check")
    learnersMax = values.integer("max-learners")
    forcesNewCluster = values.boolean("force-new-cluster")
    preVotes = values.boolean("pre-vote")
    raftReadTimeout = values.duration("raft-read-timeout")
    raftWriteTimeout = values.duration("raft-write-timeout")
    servesGateway = values.boolean("enable-grpc-gateway")
    corsOrigins = flags.text("cors").split(separator: ",").map(String.init)
    admittedHosts = flags.text("host-whitelist").split(separator: ",").map(String.init)
    hasExtensiveMetrics = flags.text("metrics") == "extensive"
    try Self.refuseUnbuilt(flags)
    try featureGates.check()
    if flags.text("discovery-fallback") == "proxy" {
      throw .invalid(#"v2 proxy is deprecated, and --discovery-fallback can't be configured as "proxy""#)
    }
    try validate()
    autoCompaction = try AutoCompactionPolicy(
      mode: flags.text("auto-compaction-mode"), retention: flags.text("auto-compaction-retention"))
    notices += warnings(flags)
    if dataDirectory.isEmpty {
      dataDirectory = "\(name).etcd"
      notices.append(
        LogRecord(.warn, "'data-dir' was empty; using default", ["data-dir": .text(dataDirectory)]))
    }
  }

  /// etcd sets its logger up before it checks anything else.
  private static func logging(
    _ flags: FlagValues
  ) throws(ConfigurationError) -> (LogLevel, LogFormat, [String], LogRotation?) {
    switch flags.text("logger") {
    case "zap": break
    case "capnslog": throw .invalid("--logger=capnslog is removed in v3.5")
    default: throw .invalid("unknown logger option \(GoValueSyntax.quoted(flags.text("logger")))")
    }
    let outputs = try logOutputs(flags.text("log-outputs"))
    var rotation: LogRotation?
    if TypedFlags(flags: flags).boolean("enable-log-rotation") {
      try LogRotation.check(outputs)
      rotation = try LogRotation(parsing: flags.text("log-rotation-config-json"))
    }
    try checkJournal(outputs)
    guard let level = LogLevel(parsing: flags.text("log-level")) else {
      throw .unrecognizedLogLevel(flags.text("log-level"))
    }
    guard let format = LogFormat(rawValue: flags.text("log-format")) else {
      throw .invalid("unknown log format \(GoValueSyntax.quoted(flags.text("log-format")))")
    }
    return (level, format, outputs, rotation)
  }

  /// Sorted and without repetitions, as etcd keeps them.
  private static func logOutputs(_ text: String) throws(ConfigurationError) -> [String] {
    let outputs = Set(text.split(separator: ",").map(String.init)).sorted()
    if outputs.count > 1, outputs.contains("default") {
      throw .invalid(#"multi logoutput for "default" is not supported yet"#)
    }
    return outputs.isEmpty ? ["default"] : outputs
  }

  private static func checkJournal(_ outputs: [String]) throws(ConfigurationError) {
    guard outputs.contains("systemd/journal"), outputs.count > 1 else { return }
    let list = outputs.map(GoValueSyntax.quoted).joined(separator: " ")
    throw .invalid(
      "running with systemd/journal but other '--log-outputs' values ([\(list)]) are configured with 'default'; "
        + "override 'default' value with something else")
  }

  /// Nothing that was asked for is silently left out.
  private static func refuseUnbuilt(_ flags: FlagValues) throws(ConfigurationError) {
    for definition in FlagTable.all {
      guard case .notBuilt(let feature) = definition.support else { continue }
      let text = flags.text(definition.name)
      guard !definition.sameValue(text, definition.defaultText) else { continue }
      throw .notBuilt(flag: "--\(definition.name)", feature: feature)
    }
  }

  private func warnings(_ flags: FlagValues) -> [LogRecord] {
    var records: [LogRecord] = []
    if listenClientHTTPURLs.isEmpty {
      records.append(
        LogRecord(
          .warn, "Running http and grpc server on single port. This is not recommended for production.", [:]))
    }
    if flags.isSet("max-snapshots") {
      records.append(
        LogRecord(
          .warn, "--max-snapshots is deprecated in 3.6 and will be decommissioned in 3.8.", [:]))
    }
    if flags.isSet("v2-deprecation") {
      records.append(
        LogRecord(
          .warn,
          "--v2-deprecation is deprecated and scheduled for removal in v3.8. "
            + "The default value is enforced, ignoring user input.", [:]))
    }
    if skipsSync {
      records.append(
        LogRecord(
          .warn, "--unsafe-no-fsync: what is acknowledged is not on disk; a power cut loses it", [:]))
    }
    if maxRequestBytes > 10 * 1024 * 1024 {
      records.append(
        LogRecord(
          .warn, "exceeded recommended request limit",
          [
            "max-request-bytes": .unsigned(maxRequestBytes),
            "recommended-request-bytes": .integer(10_485_760),
          ]
        ))
    }
    if watchProgressInterval > .zero, watchProgressInterval < effectiveWatchProgressInterval {
      records.append(
        LogRecord(
          .warn, "adjusting watch progress notify interval to minimum period",
          [
            "watch-progress-notify-interval": .text(watchProgressInterval.description),
            "min-watch-progress-interval": .text(effectiveWatchProgressInterval.description),
          ]))
    }
    if quotaBackendBytes > 8 * 1024 * 1024 * 1024 {
      records.append(
        LogRecord(
          .info, "quota exceeds etcd's recommended maximum; the store has no such limit",
          ["quota-size-bytes": .integer(quotaBackendBytes)]))
    }
    return records
  }
}

/// Typed reads of flags whose form was checked when they were set.
private struct TypedFlags {
  let flags: FlagValues

  func boolean(_ name: String) -> Bool { converted(name, GoValueSyntax.boolean) }
  func integer(_ name: String) -> Int64 { converted(name, GoValueSyntax.integer) }
  func unsigned(_ name: String) -> UInt64 { converted(name, GoValueSyntax.unsigned) }
  func unsigned32(_ name: String) -> UInt32 { converted(name, FlagDefinition.unsigned32) }
  func duration(_ name: String) -> GoDuration { converted(name, GoDuration.init(parsing:)) }

  func featureGates(_ name: String) -> FeatureGates { converted(name, FeatureGates.init(parsing:)) }

  func urls(_ name: String) -> [EndpointURL] {
    if flags.text(name).isEmpty {
      // etcd keeps the default when the list is given as an empty text.
      let text = FlagTable.byName[name]?.defaultText ?? ""
      return text.isEmpty ? [] : (try? EndpointURL.list(parsing: text)) ?? []
    }
    return converted(name, EndpointURL.list(parsing:))
  }

  private func converted<Value>(
    _ name: String, _ parse: (String) throws(ValueSyntaxError) -> Value
  ) -> Value {
    do {
      return try parse(flags.text(name))
    } catch {
      preconditionFailure("--\(name) was set without a check of its form: \(error.text)")
    }
  }
}
