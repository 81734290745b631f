import Primitives
import Raft
import Testing

@Suite struct QuorumTests {
  /// The definition: an index is committed if a majority acknowledged at least that much.
  private func naiveCommit(_ indexes: [UInt64]) -> UInt64 {
    let candidates = indexes.filter { index in
      indexes.filter { $0 >= index }.count >= indexes.count / 2 + 1
    }
    return candidates.max() ?? 0
  }

  @Test func majorityCommitEqualsItsDefinition() {
    var random = SeededRandom(seed: 1)
    for _ in 0..<100_000 {
      let size = Int.random(in: 1...9, using: &random)
      let scale = UInt64(1) << UInt64.random(in: 0...62, using: &random)
      let indexes = (0..<size).map { _ in UInt64.random(in: 0...scale, using: &random) }
      // Voter ids in another order than their indexes.
      let ids = (0..<size).map { _ in random.next() | 1 }
      let configuration = MajorityConfiguration(ids)
      guard configuration.voters.count == size else { continue }
      let result = configuration.committedIndex { id in
        ids.firstIndex(of: id).map { indexes[$0] } ?? 0
      }
      #expect(result == naiveCommit(indexes), "\(indexes)")
    }
  }

  @Test func voteResultIsFinalWhateverTheMissingSay() {
    var random = SeededRandom(seed: 2)
    for _ in 0..<20_000 {
      let size = Int.random(in: 1...7, using: &random)
      let configuration = MajorityConfiguration((1...UInt64(size)).map { $0 })
      var votes: [Bool?] = (0..<size).map { _ in [true, false, nil][Int.random(in: 0..<3, using: &random)] }
      let early = configuration.result { votes[Int($0) - 1] }
      for position in votes.indices where votes[position] == nil { votes[position] = random.chance(1, in: 2) }
      let late = configuration.result { votes[Int($0) - 1] }
      #expect(late != .pending)
      #expect(early == .pending || early == late)
    }
  }

  @Test func duplicateVotersCountOnce() {
    let configuration = MajorityConfiguration([3, 1, 3, 2, 1])
    #expect(configuration.voters == [1, 2, 3])
    #expect(configuration.quorum == 2)
  }

  @Test func scenarios() throws {
    try runScenarios(inFolder: "Quorum") { command in
      var environment = QuorumScenario(command)
      return try environment.run()
    }
  }
}

/// `committed cfg=(1,2) idx=(12,_)` and `vote cfg=(1,2) votes=(y,_)`, with etcd-io/raft's output.
private struct QuorumScenario {
  private let command: ScenarioCommand

  init(_ command: ScenarioCommand) { self.command = command }

  mutating func run() throws -> String {
    let ids = command.list("cfg").compactMap { UInt64($0) }
    let configuration = MajorityConfiguration(ids)
    switch command.name {
    case "committed":
      let indexes = command.list("idx").map { UInt64($0) }
      func index(_ id: UInt64) -> UInt64? { ids.firstIndex(of: id).flatMap { indexes[$0] } }
      let committed = configuration.committedIndex { index($0) ?? 0 }
      return describe(configuration, index) + (committed == .max ? "∞" : "\(committed)")
    case "vote":
      let votes = command.list("votes")
      let result = configuration.result { id in
        switch ids.firstIndex(of: id).map({ votes[$0] }) {
        case "y": true
        case "n": false
        default: nil
        }
      }
      return ["pending": "VotePending", "lost": "VoteLost", "won": "VoteWon"]["\(result)"] ?? "?"
    default: throw Violation(description: "unknown command \(command.name)")
    }
  }

  /// One bar per voter: the more voters are behind it, the longer.
  private func describe(_ configuration: MajorityConfiguration, _ index: (UInt64) -> UInt64?) -> String {
    let voters = configuration.voters
    if voters.isEmpty { return "<empty majority quorum>" }
    var text = String(repeating: " ", count: voters.count) + "    idx\n"
    for voter in voters {
      let bar = voters.filter { (index($0) ?? 0) < (index(voter) ?? 0) }.count
      text +=
        index(voter) == nil
        ? "?" + String(repeating: " ", count: voters.count)
        : String(repeating: "x", count: bar) + ">" + String(repeating: " ", count: voters.count - bar)
      let number = String(index(voter) ?? 0)
      text += " " + String(repeating: " ", count: max(0, 5 - number.count)) + number + "    (id=\(voter))\n"
    }
    return text
  }
}
