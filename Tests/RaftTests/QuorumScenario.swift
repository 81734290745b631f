import Raft

/// `committed cfg=(1,2) cfgj=(2,3) idx=(12,_,5)` and `vote cfg=(1,2) votes=(y,_)`. Inputs belong to the voters in the
/// order in which they are first named. A second half given as `zero` is empty, and still makes the quorum a joint one.
struct QuorumScenario {
  private let command: ScenarioCommand
  private let incoming: [UInt64]
  private let outgoing: [UInt64]

  init(_ command: ScenarioCommand) {
    self.command = command
    incoming = command.list("cfg").compactMap { UInt64($0) }
    outgoing = command.list("cfgj").compactMap { UInt64($0) }
  }

  func run() throws -> String {
    let isJoint = command.has("cfgj")
    let majority = MajorityConfiguration(incoming)
    let joint = JointConfiguration(incoming: majority, outgoing: MajorityConfiguration(outgoing))
    let swapped = JointConfiguration(incoming: joint.outgoing, outgoing: majority)
    let inputs = command.list(command.name == "vote" ? "votes" : "idx")
    guard joint.ids.count == inputs.count else {
      return "error: mismatched input (explicit or _) for voters \(joint.ids): \(inputs)"
    }
    switch command.name {
    case "committed":
      let index = { (id: UInt64) in input(id, inputs).flatMap { UInt64($0) } }
      let known = { (id: UInt64) in index(id) ?? 0 }
      var text = describe(isJoint ? MajorityConfiguration(joint.ids) : majority, index)
      let result = isJoint ? joint.committedIndex(known) : majority.committedIndex(known)
      for (other, way) in isJoint ? [(swapped, "symmetry")] : alternatives(majority) {
        let alternative = other.committedIndex(known)
        if alternative != result { text += "\(alternative) <-- via \(way)\n" }
      }
      return text + (result == .max ? "∞" : "\(result)")
    case "vote":
      let vote = { (id: UInt64) -> Bool? in
        switch input(id, inputs) {
        case "y": true
        case "n": false
        default: nil
        }
      }
      let result = isJoint ? joint.result(vote) : majority.result(vote)
      var text = ""
      for (other, way) in isJoint ? [(swapped, "symmetry")] : alternatives(majority)
      where other.result(vote) != result {
        text += "\(name(of: other.result(vote))) <-- via \(way)\n"
      }
      return text + name(of: result)
    default: throw Violation(description: "unknown command \(command.name)")
    }
  }

  /// Joined with nothing, or with itself, a majority decides the same.
  private func alternatives(_ majority: MajorityConfiguration) -> [(JointConfiguration, String)] {
    [
      (JointConfiguration(incoming: majority), "zero-joint quorum"),
      (JointConfiguration(incoming: majority, outgoing: majority), "self-joint quorum"),
    ]
  }

  private func input(_ id: UInt64, _ inputs: [String]) -> String? {
    var named: [UInt64] = []
    for id in incoming + outgoing where !named.contains(id) { named.append(id) }
    return named.firstIndex(of: id).map { inputs[$0] }
  }

  private func name(of result: VoteResult) -> String {
    switch result {
    case .pending: "VotePending"
    case .lost: "VoteLost"
    case .won: "VoteWon"
    }
  }

  /// One bar per voter: the more voters are behind it, the longer.
  private func describe(_ configuration: MajorityConfiguration, _ index: (UInt64) -> UInt64?) -> String {
    let voters = configuration.voters
    if voters.isEmpty { return "<empty majority quorum>" }
    func spaces(_ count: Int) -> String { String(repeating: " ", count: max(0, count)) }
    var text = spaces(voters.count) + "    idx\n"
    for voter in voters {
      let bar = voters.filter { (index($0) ?? 0) < (index(voter) ?? 0) }.count
      text +=
        index(voter) == nil
        ? "?" + spaces(voters.count) : String(repeating: "x", count: bar) + ">" + spaces(voters.count - bar)
      let number = String(index(voter) ?? 0)
      text += " " + spaces(5 - number.count) + number + "    (id=\(voter))\n"
    }
    return text
  }
}
