import Model
import Server
import Testing

/// Go's flag syntax and etcd's rules for variables, compared with what etcd 3.5.1 prints.
@Suite struct FlagSyntaxTests {
  @Test(arguments: [
    ["--max-txn-ops=7"], ["--max-txn-ops", "7"], ["-max-txn-ops=7"], ["-max-txn-ops", "7"],
    ["--max-txn-ops=0x7"], ["--max-txn-ops=007"], ["--max-txn-ops=0b1_11"], ["--max-txn-ops", "0o7"],
    ["--max-txn-ops=9", "--max-txn-ops=7"], ["--max-txn-ops=7", "--"],
  ])
  func `all spellings of a number`(_ arguments: [String]) {
    #expect(Outcome.configuration(arguments)?.maxTransactionOperations == 7)
  }

  @Test(arguments: [
    (["--pre-vote"], true), (["-pre-vote"], true), (["--pre-vote=true"], true), (["--pre-vote=1"], true),
    (["--pre-vote=T"], true), (["--pre-vote=false"], false), (["-pre-vote=F"], false),
    (["--pre-vote=0"], false), (["--pre-vote=False"], false),
  ])
  func `all spellings of a boolean`(_ arguments: [String], _ expected: Bool) throws {
    let values = try FlagParser(arguments: arguments).values
    #expect(values.isSet("pre-vote"))
    #expect(try GoValueSyntax.boolean(values.text("pre-vote")) == expected)
  }

  @Test(arguments: [
    (["--nosuch"], "flag provided but not defined: -nosuch"),
    (["-nosuch=3"], "flag provided but not defined: -nosuch"),
    (
      ["--experimental-corrupt-check-time=1s"],
      "flag provided but not defined: -experimental-corrupt-check-time"
    ),
    (["---x"], "bad flag syntax: ---x"), (["--=x"], "bad flag syntax: --=x"),
    (["-=x"], "bad flag syntax: -=x"),
    (["--snapshot-count"], "flag needs an argument: -snapshot-count"),
    (["-name"], "flag needs an argument: -name"),
    (["--heartbeat-interval=abc"], "invalid value \"abc\" for flag -heartbeat-interval: parse error"),
    (["--max-txn-ops=-1"], "invalid value \"-1\" for flag -max-txn-ops: parse error"),
    (["--max-txn-ops", "1.5"], "invalid value \"1.5\" for flag -max-txn-ops: parse error"),
    (["--max-txn-ops="], "invalid value \"\" for flag -max-txn-ops: parse error"),
    (["--backend-batch-limit=x"], "invalid value \"x\" for flag -backend-batch-limit: parse error"),
    (
      ["--quota-backend-bytes=99999999999999999999"],
      "invalid value \"99999999999999999999\" for flag -quota-backend-bytes: value out of range"
    ),
    (["--pre-vote=maybe"], "invalid boolean value \"maybe\" for -pre-vote: parse error"),
    (["--grpc-keepalive-interval=5"], "invalid value \"5\" for flag -grpc-keepalive-interval: parse error"),
    (
      ["--initial-cluster-state", "foo"],
      "invalid value \"foo\" for flag -initial-cluster-state: invalid value"
    ),
    (["--discovery-fallback=x"], "invalid value \"x\" for flag -discovery-fallback: invalid value"),
    (["--v2-deprecation=foo"], "invalid value \"foo\" for flag -v2-deprecation: invalid value \"foo\""),
    (
      ["--max-concurrent-streams=x"],
      "invalid value \"x\" for flag -max-concurrent-streams: strconv.ParseUint: parsing \"x\": invalid syntax"
    ),
  ])
  func `a flag that does not parse ends with 2 and Go's words`(_ arguments: [String], _ line: String) {
    let stop = Outcome.stop(arguments)
    #expect(stop?.exitCode == 2)
    #expect(stop?.standardError == "\(line)\n\(HelpText.usage)")
    #expect(stop?.standardOutput == "")
  }

  @Test(arguments: [
    (["foo"], "\"foo\" is not a valid flag"), (["--name", "a", "foo", "--x"], "\"foo\" is not a valid flag"),
    (["-"], "\"-\" is not a valid flag"), (["--pre-vote", "false"], "\"false\" is not a valid flag"),
    (["--", "--name"], "\"--name\" is not a valid flag"), (["gateway"], "\"gateway\" is not a valid flag"),
    (["foo", "--version"], "\"foo\" is not a valid flag"),
  ])
  func `leftovers end with 1`(_ arguments: [String], _ text: String) {
    #expect(Outcome.stop(arguments)?.exitCode == 1)
    #expect(Outcome.verifyError(arguments) == text)
  }

  @Test(arguments: [["-h"], ["--help"], ["-help"], ["--h"], ["--name", "x", "--help"], ["-h=3"]])
  func `help prints the usage and all flags and ends with 0`(_ arguments: [String]) {
    let stop = Outcome.stop(arguments)
    #expect(stop?.exitCode == 0)
    #expect(stop?.standardError == HelpText.usage)
    for flag in FlagTable.all where flag.section != .hidden {
      #expect(stop?.standardOutput.contains("  --\(flag.name) '\(flag.defaultText)'\n    ") == true)
    }
  }

  @Test func `help names the file of settings and ends with etcd's warning`() {
    #expect(HelpText.usage.contains("  cairn --config-file\n    Path to the server configuration file."))
    #expect(
      HelpText.flags.hasSuffix(
        "\n\nCAUTIOUS with unsafe flag! It may break the guarantees given by the consensus protocol!\n"))
  }

  @Test func `one port for HTTP and gRPC is warned of`() {
    let text = "Running http and grpc server on single port. This is not recommended for production."
    #expect(Outcome.notices([]).contains(LogRecord(.warn, text, [:])))
    let apart = Outcome.notices(["--listen-client-http-urls=http://127.0.0.1:1"])
    #expect(!apart.contains { $0.message == text })
  }

  @Test func `version prints Cairn's line and etcd's four`() {
    let stop = Outcome.stop(["--version", "--listen-client-urls=http://127.0.0.1:1"])
    #expect(stop?.exitCode == 0)
    let names = stop?.standardOutput.split(separator: "\n").map { $0.prefix { $0 != ":" } }
    #expect(names == ["cairn Version", "etcd Version", "Git SHA", "Go Version", "Go OS/Arch"])
    #expect(stop?.standardOutput.contains("cairn Version: 0.1.0\netcd Version: 3.7.1\n") == true)
  }

  @Test func `every variable sets its flag`() {
    let environment = [
      "ETCD_NAME": "n", "ETCD_MAX_TXN_OPS": "9", "ETCD_SNAPSHOT_CATCHUP_ENTRIES": "3", "ETCD_WAL_DIR": "",
    ]
    let configuration = Outcome.configuration([], environment)
    #expect(configuration?.name == "n")
    #expect(configuration?.maxTransactionOperations == 9)
    #expect(configuration?.snapshotCatchUpEntries == 3)
    #expect(configuration?.walDirectory == nil)
    let used = Outcome.notices([], environment).filter {
      $0.message == "recognized and used environment variable"
    }
    #expect(used.count == 3)
  }

  @Test(arguments: [["ETCD_NAME": "x"], ["ETCD_NAME": ""]])
  func `a flag and its variable conflict, even an empty one`(_ environment: [String: String]) {
    let stop = Outcome.stop(["--name", "x"], environment)
    #expect(stop?.exitCode == 1)
    #expect(
      stop?.notices.last
        == LogRecord(
          .fatal,
          "conflicting environment variable is shadowed by corresponding command-line flag "
            + "(either unset environment variable or disable flag))", ["environment-variable": "ETCD_NAME"]))
  }

  @Test(arguments: [
    (["ETCD_SNAPSHOT_COUNT": "abc"], "invalid value \"abc\" for ETCD_SNAPSHOT_COUNT: parse error"),
    (["ETCD_PRE_VOTE": "maybe"], "invalid value \"maybe\" for ETCD_PRE_VOTE: parse error"),
    (
      ["ETCD_INITIAL_CLUSTER_STATE": "foo"],
      "invalid value \"foo\" for ETCD_INITIAL_CLUSTER_STATE: invalid value"
    ),
    (
      ["ETCD_LISTEN_CLIENT_URLS": "foo"],
      "invalid value \"foo\" for ETCD_LISTEN_CLIENT_URLS: URL scheme must be http, https, unix, or unixs: foo"
    ),
    (["ETCD_CONFIG_FILE": "/no/such"], "open /no/such: no such file or directory"),
  ])
  func `a variable that does not parse ends with 1`(_ environment: [String: String], _ text: String) {
    #expect(Outcome.stop([], environment)?.exitCode == 1)
    #expect(Outcome.verifyError([], environment) == text)
  }

  @Test func `unknown and special variables only warn`() {
    let environment = [
      "ETCD_FOO": "bar", "ETCD_VERSION": "3", "ETCD_UNSUPPORTED_ARCH": "arm64", "PATH": "/bin",
    ]
    let warnings = Outcome.notices([], environment).filter { $0.level == .warn }
    #expect(
      warnings.contains(
        LogRecord(.warn, "unrecognized environment variable", ["environment-variable": "ETCD_FOO=bar"])))
    #expect(
      warnings.contains(
        LogRecord(.warn, "cannot set special environment variable", ["key": "ETCD_VERSION", "value": "3"])))
    // And the one about one port for HTTP and gRPC.
    #expect(warnings.count == 4)  // and the default data directory
    #expect(Outcome.configuration([], environment) != nil)
  }

  @Test func `flags ignored since etcd 2 are accepted in any form and warned of`() {
    let arguments = ["--force", "--v=3", "--snapshot", "--config=x"]
    #expect(Outcome.configuration(arguments) != nil)
    let ignored = Outcome.notices(arguments).filter { $0.message == "flag is no longer supported - ignoring" }
    #expect(ignored.count == 4)
  }

  @Test func `secrets do not reach the log`() {
    for arguments in [["--discovery-password=hunter2"], ["--discovery-password", "hunter2"]] {
      let notices = Outcome.notices(arguments)
      #expect(notices.contains { $0.message == "Running: " })
      #expect(!"\(notices)".contains("hunter2"))
    }
    let fromEnvironment = Outcome.notices(
      [], ["ETCD_DISCOVERY_PASSWORD": "hunter2", "ETCD_MY_SECRET": "hunter2"])
    #expect(fromEnvironment.count > 1)
    #expect(!"\(fromEnvironment)".contains("hunter2"))
  }
}
