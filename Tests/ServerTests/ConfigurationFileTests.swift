import Foundation
import Model
import Replica
import Server
import Testing

/// Launches with a configuration file.
enum ConfigurationFileFixture {
  static func launch(
    _ yaml: String, _ arguments: [String] = [], _ environment: [String: String] = [:]
  ) throws -> LaunchPlan {
    let path = NSTemporaryDirectory() + "cairn-\(UUID().uuidString).yml"
    defer { try? FileManager.default.removeItem(atPath: path) }
    try Data(yaml.utf8).write(to: URL(fileURLWithPath: path))
    return LaunchPlan.make(arguments: ["--config-file", path] + arguments, environment: environment)
  }

  static func stop(_ yaml: String) throws -> LaunchPlan.Stop? {
    guard case .stop(let stop) = try launch(yaml) else { return nil }
    return stop
  }

  static func configuration(_ yaml: String) throws -> ServerConfiguration? {
    guard case .start(let configuration, _) = try launch(yaml) else { return nil }
    return configuration
  }
}

/// etcd's file with its peculiarities, and files that nobody would write. Texts as etcd 3.5.1 prints them.
@Suite struct ConfigurationFileTests {
  private typealias File = ConfigurationFileFixture

  @Test func `everything else is ignored beside a file`() throws {
    let plan = try File.launch("name: f", ["--max-txn-ops=9"], ["ETCD_NAME": "e", "ETCD_MAX_TXN_OPS": "8"])
    guard case .start(let configuration, let notices) = plan else {
      Issue.record("\(plan)")
      return
    }
    #expect(configuration.name == "f")
    #expect(configuration.dataDirectory == "f.etcd")
    #expect(configuration.initialCluster == "f=http://localhost:2380")
    #expect(configuration.maxTransactionOperations == 128)
    #expect(
      notices.first?.message
        == "loaded server configuration, other configuration command line flags and environment variables will "
        + "be ignored if provided")
  }

  @Test func `the variable names a file, too`() throws {
    let path = NSTemporaryDirectory() + "cairn-\(UUID().uuidString).yml"
    defer { try? FileManager.default.removeItem(atPath: path) }
    try Data("name: v".utf8).write(to: URL(fileURLWithPath: path))
    #expect(Outcome.configuration([], ["ETCD_CONFIG_FILE": path])?.name == "v")
    #expect(Outcome.configuration(["--name=x"], ["ETCD_CONFIG_FILE": path])?.name == "v")
  }

  @Test func `a whole file in YAML and in JSON`() throws {
    let yaml = """
      # This is the configuration file of one member.
      name: 'm1'
      data-dir: "/var/lib/m1"   # beside other things
      heartbeat-interval: 200
      election-timeout: 2_000
      listen-client-urls: http://127.0.0.1:1,http://127.0.0.1:2
      quota-backend-bytes: -1
      pre-vote: off
      watch-progress-notify-interval: 600000000000
      max-request-bytes: 0x10
      log-outputs: [stdout]
      auto-compaction-retention: "1"
      initial-cluster-state:
      unknown: {a: [b, {c: d}]}
      client-transport-security:
        cert-file: ""
        auto-tls: false
        allowed-hostname: []
      socket-options: {reuse-port: yes}
      """
    let json = """
      {"name": "m1", "Data-Dir": "/var/lib/m1", "heartbeat-interval": 200, "election-timeout": 2000,
       "listen-client-urls": "http://127.0.0.1:1,http://127.0.0.1:2", "quota-backend-bytes": -1, "pre-vote": false,
       "watch-progress-notify-interval": 600000000000, "max-request-bytes": 16, "log-outputs": ["stdout"],
       "auto-compaction-retention": "1", "initial-cluster-state": null, "unknown": {"a": 1},
       "client-transport-security": {"cert-file": "", "auto-tls": false}, "socket-options": {"reuse-port": true}}
      """
    let fromYAML = try #require(try File.configuration(yaml))
    #expect(fromYAML.name == "m1")
    #expect(fromYAML.dataDirectory == "/var/lib/m1")
    #expect(fromYAML.heartbeatMilliseconds == 200)
    #expect(fromYAML.electionMilliseconds == 2000)
    #expect(fromYAML.listenClientURLs.map(\.description) == ["http://127.0.0.1:1", "http://127.0.0.1:2"])
    // Unlike on the command line, nothing has to be advertised then.
    #expect(fromYAML.advertiseClientURLs?.map(\.description) == ["http://localhost:2379"])
    #expect(fromYAML.effectiveQuotaBytes == nil)
    #expect(fromYAML.effectiveWatchProgressInterval == .seconds(600))
    #expect(fromYAML.maxRequestBytes == 16)
    #expect(fromYAML.logOutputs == ["stdout"])
    #expect(fromYAML.autoCompaction == .periodic(milliseconds: 3_600_000))
    #expect(fromYAML.initialClusterState == .new)
    #expect(fromYAML.reusesPort)
    #expect(try File.configuration(json) == fromYAML)
  }

  @Test(arguments: ["", "# nothing\n", "---\n", "null\n", "{}", "name: ~\n", "\u{feff}name: default"])
  func `an empty file means the defaults`(_ yaml: String) throws {
    #expect(try File.configuration(yaml)?.name == "default")
  }

  @Test func `an anchor is what it stands for`() throws {
    let configuration = try File.configuration("x: &h http://127.0.0.1:7\nlisten-client-urls: *h\n")
    #expect(configuration?.listenClientURLs.map(\.description) == ["http://127.0.0.1:7"])
  }

  static let goField = "error unmarshaling JSON: while decoding JSON: json: cannot unmarshal "
  @Test(arguments: [
    (
      "heartbeat-interval: abc",
      goField + "string into Go struct field configYAML.heartbeat-interval of type uint"
    ),
    ("pre-vote: \"true\"", goField + "string into Go struct field configYAML.pre-vote of type bool"),
    ("name: [a]", goField + "array into Go struct field configYAML.name of type string"),
    ("name: 007", goField + "number into Go struct field configYAML.name of type string"),
    ("name: on", goField + "bool into Go struct field configYAML.name of type string"),
    ("log-outputs: stderr", goField + "string into Go struct field configYAML.log-outputs of type []string"),
    ("log-outputs: [1]", goField + "number into Go struct field configYAML.log-outputs of type string"),
    ("- a", goField + "array into Go value of type embed.configYAML"),
    ("5", goField + "number into Go value of type embed.configYAML"),
    (
      "watch-progress-notify-interval: 10m",
      goField + "string into Go struct field configYAML.watch-progress-notify-interval of type time.Duration"
    ),
    (
      "client-transport-security: 5",
      goField
        + "number into Go struct field configYAML.client-transport-security of type embed.securityConfig"
    ),
    (
      "election-timeout: -5",
      goField + "number -5 into Go struct field configYAML.election-timeout of type uint"
    ),
    ("max-txn-ops: 1.5", goField + "number 1.5 into Go struct field configYAML.max-txn-ops of type uint"),
    (
      "max-concurrent-streams: 4294967296",
      goField + "number 4294967296 into Go struct field configYAML.max-concurrent-streams of type uint32"
    ),
    ("a: [", "error converting YAML to JSON: yaml: line 1: did not find expected node content"),
    (
      "a: b: c", "error converting YAML to JSON: yaml: line 1: mapping values are not allowed in this context"
    ),
    ("name: *x", "error converting YAML to JSON: yaml: line 1: found undefined alias"),
    ("name: a\nname: b", "error converting YAML to JSON: yaml: line 1: key \"name\" already set in map"),
    ("initial-cluster-state: foo", "unexpected clusterState \"foo\""),
    ("auto-compaction-mode: foo", "unknown auto-compaction-mode \"foo\""),
    ("feature-gates: foo", "missing bool value for foo"),
    (
      "client-transport-security: {allowed-cn: [a]}",
      "client-transport-security.allowed-cn: TLS is not supported by this version of cairn"
    ),
    (
      "client-transport-security: {skip-client-san-verification: true}",
      "client-transport-security.skip-client-san-verification: TLS is not supported by this version of cairn"
    ),
  ])
  func `what is wrong is named`(_ yaml: String, _ text: String) throws {
    let stop = try #require(try File.stop(yaml))
    #expect(stop.exitCode == 1)
    #expect(Outcome.verifyError(stop) == text)
  }

  @Test(arguments: [
    ("listen-client-urls: foo", "unexpected error setting up listen-client-urls: "),
    ("advertise-client-urls: foo", "unexpected error setting up advertise-peer-urls: "),
    ("listen-metrics-urls: foo", "unexpected error setting up listen-metrics-urls: "),
  ])
  func `an address that is none ends without a log line`(_ yaml: String, _ text: String) throws {
    let stop = try #require(try File.stop(yaml))
    #expect(stop.exitCode == 1)
    #expect(stop.standardError == text + "URL scheme must be http, https, unix, or unixs: foo\n")
    #expect(stop.notices.isEmpty)
  }

  @Test func `a file that cannot be read is named`() {
    #expect(
      Outcome.verifyError(["--config-file=/no/such.yml"]) == "open /no/such.yml: no such file or directory")
    #expect(Outcome.verifyError(["--config-file=/tmp"]) == "read /tmp: is a directory")
    #expect(Outcome.stop(["--config-file=/no/such.yml"])?.exitCode == 1)
  }

  @Test(arguments: hostile) func `a hostile file is refused or harmless, quickly`(_ yaml: String) throws {
    let started = ContinuousClock.now
    switch try File.launch(yaml) {
    case .start: break
    case .stop(let stop): #expect(stop.exitCode == 1)
    }
    #expect(ContinuousClock.now - started < .seconds(20))
  }

  static let hostile: [String] = {
    // A billion laughs, as values and as a key that has to be compared.
    var laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
    for level in 1..<10 {
      let before = "*a\(level - 1)"
      laughs += "a\(level): &a\(level) [\(Array(repeating: before, count: 9).joined(separator: ", "))]\n"
    }
    var pairs = "a0: &a0 [x, x]\n"
    for level in 1...8 { pairs += "a\(level): &a\(level) [*a\(level - 1), *a\(level - 1)]\n" }
    return [
      laughs, laughs + "? *a9\n: 1\n", pairs + "name: *a8\n", "a: &a [*a]\n", "&a *a", "? *\n: 1",
      String(repeating: "[", count: 100_000), String(repeating: "{a: ", count: 50_000),
      String(repeating: "- ", count: 50_000), String(repeating: "? ", count: 50_000),
      String(repeating: "a", count: 300_000), "name: \"\\uD800\"", "name: \"\\x00\"", "\u{0}",
      "name: !!int x",
      "!!binary name: x", "name: !!binary x", "%YAML 9.9\n---\nname: a", "a\n---\nb\n---\n", "\"a", "'",
      "name: |\n",
      "<<: *x", "<<: {name: b}", "? [a]\n: b\n", "name: @", "\t", "---\n...\n---",
      "heartbeat-interval: 1e400",
      "heartbeat-interval: .inf", "heartbeat-interval: -.nan", "heartbeat-interval: 0x",
      "quota-backend-bytes: 1e19",
    ]
  }()

  @Test func `bytes that are no text are refused`() throws {
    let path = NSTemporaryDirectory() + "cairn-\(UUID().uuidString).yml"
    defer { try? FileManager.default.removeItem(atPath: path) }
    var random = SystemRandomNumberGenerator()
    for length in [1, 2, 3, 10, 1000] {
      let bytes = (0..<length).map { _ in UInt8.random(in: 0x80...0xff, using: &random) }
      try Data(bytes).write(to: URL(fileURLWithPath: path))
      let text = Outcome.verifyError(["--config-file", path]) ?? ""
      let isText = String(validating: bytes, as: UTF8.self) != nil
      #expect(isText || text == "error converting YAML to JSON: yaml: invalid Unicode character")
    }
  }
}
