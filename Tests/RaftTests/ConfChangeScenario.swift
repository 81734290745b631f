import Model
import Raft

/// `simple`, `enter-joint autoleave=true` and `leave-joint` on one configuration; the changes follow as input:
/// `v1` voter, `l2` learner, `r3` removed, `u4` updated.
struct ConfChangeScenario {
  private var changer = ConfigurationChanger(lastIndex: 0)

  mutating func run(_ command: ScenarioCommand) -> String {
    defer { changer.lastIndex += 1 }
    do {
      let changes = try confChanges(command.input)
      switch command.name {
      case "simple": try changer.simple(changes)
      case "enter-joint":
        try changer.enterJoint(autoLeave: command.value("autoleave") == "true", changes)
      case "leave-joint":
        if !changes.isEmpty { return "this command takes no input" }
        try changer.leaveJoint()
      default: return "unknown command"
      }
      return "\(changer.configuration)\n\(changer.progressDescription)"
    } catch {
      return "\(error)"
    }
  }
}

func confChanges(_ input: [String]) throws -> [ConfChangeSingle] {
  try input.flatMap { $0.split(separator: " ") }.map { word in
    guard let id = UInt64(word.dropFirst()) else { throw Violation(description: "unknown token \(word)") }
    switch word.first {
    case "v": return ConfChangeSingle(kind: .addNode, nodeID: id)
    case "l": return ConfChangeSingle(kind: .addLearnerNode, nodeID: id)
    case "r": return ConfChangeSingle(kind: .removeNode, nodeID: id)
    case "u": return ConfChangeSingle(kind: .updateNode, nodeID: id)
    default: throw Violation(description: "unknown input: \(word)")
    }
  }
}

extension ScenarioCommand {
  var transition: ConfChangeV2.Transition {
    get throws {
      switch value("transition") {
      case nil, "auto": .auto
      case "implicit": .jointImplicit
      case "explicit": .jointExplicit
      case let other?: throw Violation(description: "unknown transition \(other)")
      }
    }
  }
}
