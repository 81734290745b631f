import Model
import Raft
import Testing

/// Whole clusters driven batch by batch, as the member's stages do it; the files under Scenarios/Batch say what each
/// proves.
@Suite struct BatchScenarioTests {
  @Test func scenarios() throws {
    for file in try ownScenarios("Batch") {
      var environment = BatchScenario()
      _ = try runScenario(file) { command in try environment.run(command) }
    }
  }
}

/// Commands:
///
///     add-nodes N voters=(..) index=I   members 1...N; everything up to I is applied and compacted away; lease=true
///                                       lets the leader's lease answer reads; inflight=N bounds unanswered appends;
///                                       step-down=true has a leader that is removed step down
///     campaign ID | tick ID count=N | propose ID DATA | read ID CONTEXT
///     change ID transition=T            a change of the configuration (auto, implicit, explicit), as input
///     flush ID                          ends a batch and prints its effects
///     written ID count=N                N writes of the member become durable
///     deliver ID                        messages for the member arrive
///     drop from=A to=B                  messages under way are lost
///     apply ID                          everything handed out is applied
///     compact ID index=I                entries up to I are no longer in memory
///     read-disk ID                      from now on they can be read back from its disk
///     crash ID                          starts again from the disk; unfinished writes are lost
///     stabilize                         all of it, until nothing is left to do
///     status ID | log ID                printing
private struct BatchScenario {
  private var members: [SimulatedMember] = []
  private var network: [Message] = []

  mutating func run(_ command: ScenarioCommand) throws -> String {
    var lines: [String] = []
    switch command.name {
    case "add-nodes":
      let voters = command.list("voters").compactMap { UInt64($0) }
      var limits = RaftLimits()
      if let inflight = command.number("inflight") { limits.inflightMessages = Int(inflight) }
      for id in 1...command.id {
        members.append(
          SimulatedMember(
            id: id, voters: voters, baseIndex: command.number("index") ?? 0, electionTicks: 3, limits: limits
          ) {
            $0.checkQuorum = command.value("lease") == "true"
            $0.readMode = command.value("lease") == "true" ? .lease : .safe
            $0.stepDownOnRemoval = command.value("step-down") == "true"
          })
      }
    case "campaign": member(command).handle(.campaign)
    case "tick": for _ in 0..<(command.number("count") ?? 1) { member(command).handle(.tick) }
    case "propose": lines.append("\(member(command).propose(Array(command.positional[1].utf8)))")
    case "change":
      let change = ConfChangeV2(
        transition: try command.transition, changes: try confChanges(command.input))
      lines.append("\(member(command).propose(change))")
    case "read": member(command).handle(.readIndex(context: UInt64(command.positional[1]) ?? 0))
    case "flush": flush(member(command), &lines)
    case "written": member(command).completeWrites(Int(command.number("count") ?? 1))
    case "deliver": deliver(to: member(command), &lines)
    case "drop": drop(command, &lines)
    case "apply": apply(member(command), &lines)
    case "compact": member(command).machine.compact(through: command.number("index") ?? 0)
    case "read-disk": member(command).readsDisk = true
    case "crash": member(command).crash(survivingWrites: 0, seed: 1)
    case "stabilize": try stabilize(&lines)
    case "status": lines.append(status(member(command)))
    case "log": log(member(command), &lines)
    default: throw Violation(description: "unknown command \(command.name)")
    }
    return lines.isEmpty ? "ok" : lines.joined(separator: "\n")
  }

  private func member(_ command: ScenarioCommand) -> SimulatedMember { members[Int(command.id) - 1] }

  private mutating func flush(_ member: SimulatedMember, _ lines: inout [String]) {
    let effects = member.flush()
    if effects.isEmpty { return }
    lines.append("> \(member.id) flush")
    for effect in effects {
      lines.append("  " + describe(effect))
      if case .send(let message) = effect { network.append(message) }
    }
  }

  private mutating func deliver(to member: SimulatedMember, _ lines: inout [String]) {
    let arriving = network.filter { $0.to == member.id }
    if arriving.isEmpty { return }
    network.removeAll { $0.to == member.id }
    lines.append("> \(member.id) receives")
    for message in arriving {
      lines.append("  " + describe(message))
      member.handle(.message(message))
    }
  }

  private mutating func drop(_ command: ScenarioCommand, _ lines: inout [String]) {
    let lost = network.filter { $0.from == command.number("from") && $0.to == command.number("to") }
    network.removeAll { lost.contains($0) }
    lines += lost.map { "lost " + describe($0) }
  }

  private func apply(_ member: SimulatedMember, _ lines: inout [String]) {
    let applied = member.apply(member.toApply.count)
    if let last = applied.last { lines.append("> \(member.id) applied \(last.index)") }
  }

  private mutating func stabilize(_ lines: inout [String]) throws {
    for _ in 0..<100 {
      let before = lines.count
      for member in members { flush(member, &lines) }
      for member in members { deliver(to: member, &lines) }
      for member in members where !member.writes.isEmpty {
        lines.append("> \(member.id) wrote \(member.writes.map(\.sequence))")
        member.completeWrites(member.writes.count)
      }
      for member in members { apply(member, &lines) }
      if lines.count == before { return }
    }
    throw Violation(description: "does not come to rest")
  }

  private func status(_ member: SimulatedMember) -> String {
    let machine = member.machine.leadership
    let indexes =
      "commit \(member.machine.commitIndex) stable \(member.machine.stableIndex) last \(member.machine.lastIndex)"
    return
      "\(machine.role) term \(machine.term) leader \(machine.leader) \(indexes) applied \(member.appliedIndex)"
  }

  private func log(_ member: SimulatedMember, _ lines: inout [String]) {
    let entries = member.machine.entries(from: member.machine.firstIndex, maxCount: Int.max)
    lines += entries.map(describe)
  }

  private func describe(_ effect: RaftEffect) -> String {
    switch effect {
    case .append(let append):
      let state = append.hardState
      let hard = "term \(state.term) vote \(state.vote) commit \(state.commit)"
      return "append #\(append.sequence) \(hard)" + describe(append.entries)
    case .send(let message): return "send " + describe(message)
    case .committed(let entries): return "committed" + describe(entries)
    case .readLog(let read): return "read log behind \(read.previous) through \(read.last) for \(read.peer)"
    case .readReady(let context, let index): return "read \(context) ready at \(index)"
    case .readDropped(let context): return "read \(context) dropped"
    case .leadershipChanged(let state): return "\(state.role) term \(state.term) leader \(state.leader)"
    case .messageRefused(let from, let kind, let fault): return "refused \(kind) of \(from): \(fault)"
    }
  }

  private func describe(_ entries: [Entry]) -> String {
    entries.isEmpty ? "" : " [" + entries.map(describe).joined(separator: ", ") + "]"
  }

  private func describe(_ entry: Entry) -> String {
    let isText = entry.data.allSatisfy { (0x20..<0x7f).contains($0) }
    let data = isText ? String(decoding: entry.data, as: UTF8.self) : "\(entry.data)"
    return "\(entry.term)/\(entry.index)" + (data.isEmpty ? "" : " \(data)")
  }

  private func describe(_ message: Message) -> String {
    var text = "\(message.from)->\(message.to) \(message.kind) term \(message.term)"
    if message.logTerm != 0 || message.index != 0 { text += " log \(message.logTerm)/\(message.index)" }
    if message.commit != 0 { text += " commit \(message.commit)" }
    if message.reject { text += " reject hint \(message.rejectHint)" }
    if let round = message.context.last { text += " round \(round)" }
    return text + describe(message.entries)
  }
}
