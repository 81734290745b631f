import Foundation
import Testing

/// The scenarios of etcd-io/raft's format: this repository's own, and every file below the directory that
/// CAIRN_RAFT_SCENARIOS names. Which kind a file is, its first command tells.
@Suite struct ScenarioTests {
  @Test func ownQuorumScenarios() throws { try report(ownScenarios("Quorum"), from: "own quorum") }

  @Test func ownConfChangeScenarios() throws {
    try report(ownScenarios("ConfChange"), from: "own configuration change")
  }

  @Test func ownInteractionScenarios() throws {
    try report(ownScenarios("Interaction"), from: "own interaction")
  }

  /// A command nobody uses is a command nobody knows to work.
  @Test func ownScenariosCoverEveryCommand() throws {
    let used = try ownScenarios("Interaction").flatMap(\.directives).map(\.command.name)
    for command in InteractionEnvironment.commands where command != "_breakpoint" {
      #expect(used.contains(command), "no scenario uses \(command)")
    }
  }

  @Test func namedScenarios() throws {
    guard let path = ProcessInfo.processInfo.environment["CAIRN_RAFT_SCENARIOS"] else { return }
    let files = try scenarioFiles(below: URL(fileURLWithPath: path, isDirectory: true))
    if files.isEmpty { Issue.record("CAIRN_RAFT_SCENARIOS names \(path), which holds no scenario") }
    try report(files, from: path)
  }

  private func report(_ files: [ScenarioFile], from source: String) throws {
    var directives = 0
    for file in files { directives += try run(file) }
    print("Raft scenarios from \(source): \(files.count) files, \(directives) directives")
    #expect(directives > 0)
  }

  private func run(_ file: ScenarioFile) throws -> Int {
    switch file.directives.first?.command.name {
    case "committed", "vote":
      return try runScenario(file) { try QuorumScenario($0).run() }
    case "simple", "enter-joint", "leave-joint":
      var scenario = ConfChangeScenario()
      return try runScenario(file) { scenario.run($0) }
    default:
      let environment = InteractionEnvironment()
      return try runScenario(file) { environment.run($0) }
    }
  }
}
