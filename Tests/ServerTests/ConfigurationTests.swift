import Model
import Replica
import Server
import Testing

/// Defaults, etcd's validation in etcd's words, and the refusal of what is not built.
@Suite struct ConfigurationTests {
  @Test func `defaults are etcd's`() throws {
    let configuration = try #require(Outcome.configuration([]))
    #expect(configuration.name == "default")
    #expect(configuration.dataDirectory == "default.etcd")
    #expect(configuration.effectiveWALDirectory == "default.etcd/member/wal")
    #expect(configuration.listenClientURLs.map(\.description) == ["http://localhost:2379"])
    #expect(configuration.advertiseClientURLs?.map(\.description) == ["http://localhost:2379"])
    #expect(configuration.listenPeerURLs.map(\.description) == ["http://localhost:2380"])
    #expect(configuration.initialCluster == "default=http://localhost:2380")
    #expect(configuration.initialClusterToken == "etcd-cluster")
    #expect(configuration.heartbeatMilliseconds == 100)
    #expect(configuration.electionMilliseconds == 1000)
    #expect(configuration.snapshotCatchUpEntries == 5_000)
    #expect(configuration.maxTransactionOperations == 128)
    #expect(configuration.maxRequestBytes == 1_572_864)
    #expect(configuration.maxConcurrentStreams == .max)
    #expect(configuration.keepaliveMinTime == .seconds(5))
    #expect(configuration.keepaliveInterval == .seconds(7200))
    #expect(configuration.keepaliveTimeout == .seconds(20))
    #expect(configuration.effectiveQuotaBytes == 2_147_483_648)
    #expect(configuration.effectiveBatchInterval == .milliseconds(1_000))
    #expect(configuration.logLevel == .info)
    #expect(configuration.logOutputs == ["default"])
    #expect(try configuration.bootstrapMembers().map(\.name) == ["default"])
  }

  @Test func `names and directories`() throws {
    let named = try #require(Outcome.configuration(["--name", "m1"]))
    #expect(named.dataDirectory == "m1.etcd")
    #expect(named.initialCluster == "m1=http://localhost:2380")
    let placed = try #require(Outcome.configuration(["--data-dir=/d", "--wal-dir=/w"]))
    #expect(placed.dataDirectory == "/d")
    #expect(placed.effectiveWALDirectory == "/w")
    let cluster = try #require(
      Outcome.configuration([
        "--name=a", "--initial-advertise-peer-urls=http://10.0.0.2:2380,http://10.0.0.1:2380",
      ]))
    #expect(cluster.initialCluster == "a=http://10.0.0.1:2380,a=http://10.0.0.2:2380")
    #expect(try cluster.bootstrapMembers().first?.peerURLs.count == 2)
  }

  @Test func `quota spellings`() {
    #expect(Outcome.configuration(["--quota-backend-bytes=-1"])?.effectiveQuotaBytes == nil)
    #expect(Outcome.configuration(["--quota-backend-bytes=1_000"])?.effectiveQuotaBytes == 1000)
    #expect(Outcome.configuration(["--quota-backend-bytes=010"])?.effectiveQuotaBytes == 8)
  }

  @Test(arguments: [
    (
      ["--election-timeout=400"],
      "--election-timeout[400ms] should be at least as 5 times as --heartbeat-interval[100ms]"
    ),
    (
      ["--election-timeout=60000"],
      "--election-timeout[60000ms] is too long, and should be set less than 50000ms"
    ),
    (["--election-timeout=0"], "--election-timeout must be >0 (set to 0ms)"),
    (["--heartbeat-interval=0"], "--heartbeat-interval must be >0 (set to 0ms)"),
    (["--corrupt-check-time=-1s"], "--corrupt-check-time must be >=0 (set to -1s)"),
    (
      ["--heartbeat-interval=18446744073709551615"],
      "--election-timeout[1000ms] should be at least as 5 times as --heartbeat-interval[18446744073709551615ms]"
    ),
    (
      ["--listen-client-urls=http://127.0.0.1:1"],
      "--advertise-client-urls is required when --listen-client-urls is set explicitly"
    ),
    (
      ["--listen-client-urls=http://localhost.example:2379", "--advertise-client-urls=http://x:1"],
      "expected IP in URL for binding (http://localhost.example:2379)"
    ),
    (
      ["--listen-client-urls=http://:2399", "--advertise-client-urls=http://x:1"],
      "expected IP in URL for binding (http://:2399)"
    ),
    (["--listen-peer-urls=http://peer:2380"], "expected IP in URL for binding (http://peer:2380)"),
    (
      ["--advertise-client-urls=http://:1"],
      "--advertise-client-urls \"http://:1\" must be \"host:port\" (unexpected empty host (http://:1))"
    ),
    (
      ["--initial-advertise-peer-urls=http://:1"],
      "--initial-advertise-peer-urls \"http://:1\" must be \"host:port\" (unexpected empty host (http://:1))"
    ),
    (["--logger=foo"], "unknown logger option \"foo\""),
    (["--logger=capnslog"], "--logger=capnslog is removed in v3.5"),
    (["--log-outputs=default,stderr"], "multi logoutput for \"default\" is not supported yet"),
    (["--log-format=xml"], "unknown log format \"xml\""),
    (
      ["--discovery-fallback=proxy"],
      "v2 proxy is deprecated, and --discovery-fallback can't be configured as \"proxy\""
    ),
    (
      ["--feature-gates=LeaseCheckpointPersist=true"],
      "enabling feature gate LeaseCheckpointPersist requires enabling feature gate LeaseCheckpoint"
    ),
    (
      ["--feature-gates=AllAlpha=true,LeaseCheckpoint=false,LeaseCheckpointPersist=false"],
      "--feature-gates=PriorityRequest=true: priority of requests is not supported by this version of cairn"
    ),
    (["--auto-compaction-mode="], "undefined auto-compaction-mode"),
    (["--auto-compaction-mode=hourly"], "unknown auto-compaction-mode \"hourly\""),
    (
      ["--auto-compaction-retention=5x"],
      "error parsing CompactionRetention: time: invalid duration \"5x\""
    ),
    (
      ["--auto-compaction-retention=-1h"],
      "--auto-compaction-retention must not be negative (set to -1h0m0s)"
    ),
  ])
  func `broken rules end with 1 and etcd's words`(_ arguments: [String], _ text: String) {
    #expect(Outcome.stop(arguments)?.exitCode == 1)
    #expect(Outcome.verifyError(arguments) == text)
  }

  @Test func `an unset advertised URL is logged twice`() {
    let messages = Outcome.notices(["--listen-client-urls=http://127.0.0.1:1"]).map(\.message)
    #expect(messages.suffix(2) == ["failed to verify flags", "advertise client URLs are not set"])
  }

  @Test func `an unknown level ends with 2`() {
    #expect(Outcome.stop(["--log-level=foo"])?.exitCode == 2)
    #expect(Outcome.stop(["--log-level=foo"])?.standardError == "panic: unrecognized level: \"foo\"\n")
    #expect(Outcome.stop([], ["ETCD_LOG_LEVEL": "foo"])?.exitCode == 2)
  }

  @Test(
    arguments: [
      ([], nil), (["--auto-compaction-mode=revision"], nil), (["--auto-compaction-retention=0s"], nil),
      (["--auto-compaction-retention="], nil),
      (["--auto-compaction-retention=2"], .periodic(milliseconds: 7_200_000)),
      (["--auto-compaction-retention=10m"], .periodic(milliseconds: 600_000)),
      (["--auto-compaction-retention=1500ms"], .periodic(milliseconds: 1500)),
      (["--auto-compaction-retention=1us"], .periodic(milliseconds: 1)),
      (["--auto-compaction-mode=revision", "--auto-compaction-retention=1000"], .revision(1000)),
      (["--auto-compaction-mode=revision", "--auto-compaction-retention=1s"], .revision(1_000_000_000)),
    ] as [([String], AutoCompactionPolicy?)])
  func `automatic compaction counts hours, durations or revisions`(
    _ arguments: [String], _ policy: AutoCompactionPolicy?
  ) throws {
    #expect(try #require(Outcome.configuration(arguments)).autoCompaction == policy)
  }

  @Test func `the gate of the health service during defragmentation`() {
    let gate = "--feature-gates=StopGRPCServiceOnDefrag="
    #expect(Outcome.configuration([gate + "true"])?.featureGates.stopServiceOnDefragment == true)
    #expect(Outcome.configuration([gate + "false"])?.featureGates.stopServiceOnDefragment == false)
    #expect(Outcome.configuration([])?.featureGates.stopServiceOnDefragment == false)
    // Named twice, the values count together; the last word on a gate is its own.
    let twice = [gate + "true", "--feature-gates=TxnModeWriteWithSharedBuffer=false,FastLeaseKeepAlive=1"]
    #expect(Outcome.configuration(twice)?.featureGates.stopServiceOnDefragment == true)
  }

  @Test func `what compares the data of members`() {
    let given = Outcome.configuration(["--feature-gates=InitialCorruptCheck=true,CompactHashCheck=true"])
    #expect(given?.featureGates.checksBeforeStart == true)
    #expect(given?.effectiveCorruptCheckTime == .seconds(60), "on by default, unlike in etcd")
    #expect(Outcome.configuration([])?.featureGates.checksBeforeStart == false)
  }

  @Test func `every flag that is not built refuses through its variable too`() {
    for flag in FlagTable.all {
      guard case .notBuilt = flag.support else { continue }
      let value =
        switch flag.kind {
        case .boolean: flag.defaultText == "true" ? "false" : "true"
        case .integer, .unsigned, .unsigned32: "77"
        case .duration: "77m"
        case .urls: "http://127.0.0.1:7777"
        case .featureGates: "LeaseCheckpoint=true"
        case .text, .names, .choice, .origins, .ignored: "77"
        }
      #expect(Outcome.stop([], [flag.variableName: value])?.exitCode == 1, "\(flag.name)")
      #expect(
        Outcome.verifyError([], [flag.variableName: value])?.contains("not supported") == true, "\(flag.name)"
      )
    }
  }

  @Test func `every flag may be given its default`() {
    for flag in FlagTable.all where flag.section != .hidden {
      // An empty text is as good as nothing in a variable, and the two client URL flags go together.
      let arguments = ["--\(flag.name)=\(flag.defaultText)", "--advertise-client-urls=http://localhost:2379"]
      #expect(Outcome.configuration(arguments) != nil, "\(flag.name)")
    }
    #expect(
      Outcome.configuration(["--compact-hash-check-time=60s", "--cors=*", "--auth-token=simple"]) != nil)
    #expect(Outcome.configuration(["--feature-gates=FastLeaseKeepAlive=true,AllAlpha=false"]) != nil)
    #expect(Outcome.configuration(["--feature-gates=AllAlpha=true"]) == nil)
  }

  @Test(arguments: [
    "--listen-client-urls=https://127.0.0.1:2379", "--listen-peer-urls=https://127.0.0.1:2380",
    "--advertise-client-urls=https://127.0.0.1:2379", "--initial-advertise-peer-urls=https://127.0.0.1:2380",
    "--listen-client-urls=unixs://a:1", "--listen-client-urls=http://127.0.0.1:1,unixs://a:1",
  ])
  func `a secure or unix URL stops the start and is named`(_ argument: String) {
    let arguments =
      argument.contains("advertise-client") ? [argument] : [argument, "--advertise-client-urls=http://a:1"]
    #expect(Outcome.stop(arguments)?.exitCode == 1)
    #expect(Outcome.verifyError(arguments)?.contains("not supported by this version of cairn") == true)
    #expect(Outcome.verifyError(arguments)?.hasPrefix(String(argument.prefix { $0 != "=" })) == true)
  }

  @Test(arguments: [
    (
      ["--initial-cluster=b=http://localhost:2380"],
      "couldn't find local name \"default\" in the initial cluster configuration"
    ),
    (["--initial-cluster="], "couldn't find local name \"default\" in the initial cluster configuration"),
    (
      ["--initial-cluster==http://localhost:2380"],
      "couldn't find local name \"default\" in the initial cluster configuration"
    ),
    (
      ["--initial-cluster=default"],
      "error setting up initial cluster: URL scheme must be http, https, unix, or unixs: "
    ),
    (
      ["--initial-cluster=default=http://localhost:2390"],
      "--initial-cluster has default=http://localhost:2390 but missing from --initial-advertise-peer-urls="
        + "http://localhost:2380 (\"http://localhost:2380\"(resolved from \"http://localhost:2380\") != "
        + "\"http://localhost:2390\"(resolved from \"http://localhost:2390\"))"
    ),
    (
      ["--initial-cluster=default=http://localhost:2380,default=http://localhost:2381"],
      "--initial-cluster has default=http://localhost:2381 but missing from --initial-advertise-peer-urls="
        + "http://localhost:2380 (len([\"http://localhost:2380\"]) != "
        + "len([\"http://localhost:2380\" \"http://localhost:2381\"]))"
    ),
    (
      ["--initial-cluster=default=http://localhost:2380,b=http://localhost:2380"],
      "initial cluster b=http://localhost:2380,default=http://localhost:2380 has duplicate url"
    ),
  ])
  func `bootstrap checks the cluster in etcd's words`(_ arguments: [String], _ text: String) throws {
    let configuration = try #require(Outcome.configuration(arguments))
    #expect {
      try configuration.bootstrapMembers()
    } throws: { error in
      "\(error)" == text
    }
  }
}
