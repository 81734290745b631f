import Model
import Raft

/// Collects what machines log and what the commands print.
final class InteractionOutput: RaftTrace, @unchecked Sendable {
  static let levels = ["DEBUG", "INFO", "WARN", "ERROR", "FATAL", "NONE"]

  private(set) var text = ""
  var level = 0

  /// The highest level silences the commands, too.
  var isQuiet: Bool { level == Self.levels.count - 1 }

  func log(_ level: RaftTraceLevel, _ line: String) {
    if self.level <= level.rawValue { write("\(Self.levels[level.rawValue]) \(line)\n") }
  }

  func write(_ more: String) { if !isQuiet { text += more } }

  func take() -> String {
    defer { text = "" }
    return text
  }

  /// Indents what `body` prints, and ends its last line.
  func indented<Failure: Error>(_ body: () throws(Failure) -> Void) throws(Failure) {
    let before = take()
    defer {
      var lines = take().split(separator: "\n", omittingEmptySubsequences: false)
      if lines.last == "" { lines.removeLast() }
      text = before + lines.map { "  \($0)\n" }.joined()
    }
    try body()
  }
}

/// A cluster under the commands of etcd-io/raft's interaction scenarios.
final class InteractionEnvironment {
  let output = InteractionOutput()
  var nodes: [InteractionNode] = []
  /// Under way, in the order of sending.
  var messages: [Message] = []

  /// The output of a command, errors included; `ok` if there is none.
  func run(_ command: ScenarioCommand) -> String {
    do {
      try carryOut(command)
      if command.name != "propose-conf-change" {
        for line in command.input {
          if let further = ScenarioCommand(line) { try carryOut(further) }
        }
      }
    } catch {
      if output.isQuiet { return "\(error)" }
      output.write("\(error)")
    }
    let text = output.take()
    return text.isEmpty ? "ok" : text
  }

  static let commands = [
    "_breakpoint", "add-nodes", "campaign", "propose", "propose-conf-change", "process-ready",
    "process-append-thread", "process-apply-thread", "deliver-msgs", "stabilize", "tick-election",
    "tick-heartbeat", "set-randomized-election-timeout", "transfer-leadership", "forget-leader",
    "report-unreachable", "send-snapshot", "compact", "status", "raft-log", "raft-state", "log-level",
  ]

  private func carryOut(_ command: ScenarioCommand) throws {
    switch command.name {
    case "_breakpoint": break
    case "add-nodes": try addNodes(command)
    case "campaign": try node(command).machine.take(.campaign)
    case "propose": try propose(command)
    case "propose-conf-change": try proposeChange(command)
    case "process-ready": try each(command, "handling Ready") { try processReady($0) }
    case "process-append-thread":
      try each(command, "processing append thread") { processAppend($0) }
    case "process-apply-thread":
      try each(command, "processing apply thread") { try processApply($0) }
    case "deliver-msgs": try deliver(command)
    case "stabilize": try stabilize(command)
    case "tick-election": try tick(node(command), node(command).configuration.electionTicks)
    case "tick-heartbeat": try tick(node(command), node(command).configuration.heartbeatTicks)
    case "set-randomized-election-timeout":
      try node(command).machine.setElectionTimeout(ticks: Int(command.number("timeout") ?? 0))
    case "transfer-leadership":
      let from = try node(command.number("from") ?? 0)
      from.machine.take(.transferLeadership(to: command.number("to") ?? 0))
    case "forget-leader": try node(command).machine.take(.forgetLeader)
    case "report-unreachable":
      try node(command).machine.take(.unreachable(peer: UInt64(command.positional[1]) ?? 0))
    case "send-snapshot": try sendSnapshot(command)
    case "compact": try node(command).compact(through: UInt64(command.positional[1]) ?? 0)
    case "status": for line in try node(command).status { output.write(line + "\n") }
    case "raft-log": try printLog(node(command))
    case "raft-state": printState()
    case "log-level": try setLevel(command.positional.first ?? "")
    default: throw Violation(description: "unknown command")
    }
  }

  func node(_ id: UInt64) throws -> InteractionNode {
    guard id >= 1, id <= nodes.count else { throw Violation(description: "no node \(id)") }
    return nodes[Int(id) - 1]
  }

  private func node(_ command: ScenarioCommand) throws -> InteractionNode { try node(command.id) }

  /// One node's output stands alone, those of several under headings.
  private func each(
    _ command: ScenarioCommand, _ heading: String, _ body: (InteractionNode) throws -> Void
  ) throws {
    let ids = command.positional
    for id in ids {
      let node = try node(UInt64(id) ?? 0)
      if ids.count == 1 {
        try body(node)
      } else {
        output.write("> \(id) \(heading)\n")
        try output.indented { try body(node) }
      }
    }
  }

  private func setLevel(_ name: String) throws {
    guard let level = InteractionOutput.levels.firstIndex(of: name.uppercased()) else {
      throw Violation(description: "log levels must be either of \(InteractionOutput.levels)")
    }
    output.level = level
  }

  private func stabilize(_ command: ScenarioCommand) throws {
    let level = output.level
    defer { output.level = level }
    if let name = command.value("log-level") { try setLevel(name) }
    let ids = command.positional.compactMap { UInt64($0) }
    let chosen = ids.isEmpty ? nodes : try ids.map { try node($0) }
    var isDone = false
    while !isDone {
      isDone = true
      for node in chosen where node.machine.hasReady {
        output.write("> \(node.id) handling Ready\n")
        try output.indented { try processReady(node) }
        isDone = false
      }
      for node in chosen where messages.contains(where: { $0.to == node.id }) {
        output.write("> \(node.id) receiving messages\n")
        output.indented { _ = deliver(to: node.id, kind: nil, drops: false) }
        isDone = false
      }
      for node in chosen where !node.appendWork.isEmpty {
        output.write("> \(node.id) processing append thread\n")
        while !node.appendWork.isEmpty { output.indented { processAppend(node) } }
        isDone = false
      }
      for node in chosen where !node.applyWork.isEmpty {
        output.write("> \(node.id) processing apply thread\n")
        while !node.applyWork.isEmpty { try output.indented { try processApply(node) } }
        isDone = false
      }
    }
  }
}
