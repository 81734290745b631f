import Foundation
import Server
import Testing

/// Every flag of the reference: there, with its default, taken from the command line, the environment and a file, and
/// refused in etcd's words when its value is wrong.
@Suite struct FlagTableTests {
  @Test func `the server has the reference's flags and no others`() {
    let expected = Set(FlagReference.all.map(\.name)).union(FlagReference.ignored)
    #expect(expected.count == FlagReference.all.count + FlagReference.ignored.count)
    let present = Set(FlagTable.all.map(\.name))
    #expect(expected.subtracting(present).sorted() == [], "missing")
    #expect(present.subtracting(expected).sorted() == [], "unknown to the reference")
  }

  @Test(arguments: FlagReference.all) func `the default is the reference's`(_ row: FlagRow) throws {
    let definition = try #require(FlagTable.byName[row.name])
    #expect(definition.defaultText == row.standard)
    if definition.section != .hidden {
      #expect(HelpText.flags.contains("  --\(row.name) '\(row.standard)'\n"))
    }
  }

  /// What a flag needs beside itself to be valid.
  private static func companions(_ row: FlagRow) -> [String: String] {
    row.name == "listen-client-urls" ? ["advertise-client-urls": "http://h:2"] : [:]
  }

  @Test(arguments: FlagReference.all) func `a flag is taken from the command line`(_ row: FlagRow) {
    for spelling in [["--\(row.name)=\(row.sample)"], ["-\(row.name)=\(row.sample)"]] {
      let arguments = spelling + Self.companions(row).map { "--\($0.key)=\($0.value)" }
      expectFate(row, LaunchPlan.make(arguments: arguments, environment: [:]))
    }
  }

  @Test(arguments: FlagReference.all) func `a flag is taken from the environment`(_ row: FlagRow) {
    var environment = [row.variable: row.sample]
    for (name, value) in Self.companions(row) {
      environment["ETCD_" + name.uppercased().replacing("-", with: "_")] = value
    }
    expectFate(row, LaunchPlan.make(arguments: [], environment: environment))
  }

  @Test(arguments: FlagReference.all.filter { $0.key != nil })
  func `a flag is taken from a file`(_ row: FlagRow) throws {
    let yaml = try #require(row.yaml())
    expectFate(row, try ConfigurationFileFixture.launch(yaml))
  }

  private func expectFate(_ row: FlagRow, _ plan: LaunchPlan) {
    switch (row.fate, plan) {
    case (.effective(let shows), .start(let configuration, _)):
      #expect(shows(configuration), "\(row.name) shows nowhere")
    case (.accepted, .start): break
    case (.refused, .stop(let stop)):
      #expect(stop.exitCode == 1)
      let text = Outcome.verifyError(stop) ?? ""
      let isRotation = row.name == "enable-log-rotation"
      #expect(
        isRotation
          ? text == "--log-outputs requires a single file path when --log-rotate-config-json is defined"
          : text.hasPrefix("--\(row.name): ") && text.hasSuffix(" is not supported by this version of cairn"),
        "\(text)")
    case (_, .start): Issue.record("\(row.name)=\(row.sample) should have been refused")
    case (_, .stop(let stop)): Issue.record("\(row.name)=\(row.sample) was refused: \(stop)")
    }
  }

  /// A wrong value of each type, and Go's words for it.
  private static func wrong(_ form: FlagRow.Form) -> (value: String, reason: String)? {
    switch form {
    case .text, .names, .list: nil
    case .boolean, .int, .int64, .uint, .uint64, .duration: ("foo", "parse error")
    case .uint32: ("foo", "strconv.ParseUint: parsing \"foo\": invalid syntax")
    case .urls: ("foo", "URL scheme must be http, https, unix, or unixs: foo")
    case .gates: ("foo=true", "unrecognized feature gate: foo")
    case .choice(let failure): ("foo", failure)
    }
  }

  @Test(arguments: FlagReference.all)
  func `a wrong value is refused in etcd's words, by flag with 2, by variable with 1`(_ row: FlagRow) {
    guard let (value, reason) = Self.wrong(row.form) else { return }
    let stop = Outcome.stop(["--\(row.name)=\(value)"])
    #expect(stop?.exitCode == 2)
    let what =
      if case .boolean = row.form { "boolean value \"\(value)\" for -\(row.name)" } else {
        "value \"\(value)\" for flag -\(row.name)"
      }
    #expect(stop?.standardError == "invalid \(what): \(reason)\n\(HelpText.usage)")
    // Which file and whether to start at all is decided before the environment is read.
    guard row.name != "version" else { return }
    let environment = [row.variable: value]
    #expect(Outcome.stop([], environment)?.exitCode == 1)
    #expect(
      Outcome.verifyError([], environment) == "invalid value \"\(value)\" for \(row.variable): \(reason)")
  }

  @Test(arguments: FlagReference.all.filter { $0.key != nil })
  func `a wrong type in a file is refused with its key`(_ row: FlagRow) throws {
    let goType: String
    switch row.form {
    case .text, .names, .urls, .gates, .choice: goType = "string"
    case .boolean: goType = "bool"
    case .int: goType = "int"
    case .int64: goType = "int64"
    case .uint: goType = "uint"
    case .uint64: goType = "uint64"
    case .uint32: goType = "uint32"
    case .duration: goType = "time.Duration"
    case .list: goType = "[]string"
    }
    let yaml = try #require(row.yaml("{a: 1}"))
    let stop = try #require(try ConfigurationFileFixture.stop(yaml))
    #expect(stop.exitCode == 1)
    #expect(
      Outcome.verifyError(stop)
        == "error unmarshaling JSON: while decoding JSON: json: cannot unmarshal object into Go struct field "
        + "configYAML.\(try #require(row.key)) of type \(goType)")
  }

  @Test(arguments: FlagReference.all)
  func `a flag and its variable conflict`(_ row: FlagRow) {
    guard row.name != "version", row.name != "config-file" else { return }
    let stop = Outcome.stop(["--\(row.name)=\(row.sample)"], [row.variable: ""])
    #expect(stop?.exitCode == 1)
    #expect(stop?.notices.last?.level == .fatal)
    #expect(stop?.notices.last?.fields == ["environment-variable": .text(row.variable)])
  }

  @Test(arguments: FlagReference.ignored) func `flags of etcd 2 are ignored`(_ name: String) {
    for spelling in ["--\(name)", "--\(name)=x"] {
      #expect(Outcome.configuration([spelling]) != nil)
      #expect(Outcome.notices([spelling]).contains { $0.message == "flag is no longer supported - ignoring" })
    }
  }
}
