import Model
import Primitives
import Raft
import Replica
import Testing

/// What a leader, or who takes itself for one, puts into entries: none that a member could not execute gets into its log.
@Suite final class HostileEntryTests {
  private static let memberID: UInt64 = 0x1122_3344_5566_7788
  private var machine: ReplicaMachine
  private var effects: [ReplicaEffect] = []

  /// A follower of member 2 at term 3, with an empty log behind index 9.
  init() {
    machine = ReplicaMachine(
      configuration: ReplicaHarness.configuration(memberID: Self.memberID),
      recovery: RaftRecovery(
        hardState: HardState(term: 3, vote: 0, commit: 9), compactedIndex: 9, compactedTerm: 3, entries: [],
        confState: ConfState(voters: [Self.memberID, 2, 3]), appliedIndex: 9),
      clusterVersion: "3.7.0")
    machine.flush(&effects)
  }

  private func faults(_ entries: [(Entry.Kind, [UInt8])]) -> [MessageFault] {
    let next = machine.lastIndex
    let numbered = entries.enumerated().map { offset, entry in
      Entry(term: 3, index: next + 1 + UInt64(offset), kind: entry.0, data: entry.1)
    }
    let message = Message(
      kind: .append, to: Self.memberID, from: 2, term: 3, logTerm: 3, index: next, entries: numbered,
      commit: 9)
    machine.handle(.message(message), &effects)
    machine.flush(&effects)
    defer { effects.removeAll() }
    return effects.compactMap { effect in
      if case .messageRefused(2, .append, let fault) = effect { fault } else { nil }
    }
  }

  private var appended: [Entry] {
    effects.flatMap { effect in
      if case .append(let append) = effect { append.entries } else { [Entry]() }
    }
  }

  private static let put = RaftCommand(id: 5, operation: .put(PutRequest(key: [1], value: [2]))).encoded()

  private static func change(
    _ kind: ConfChange.Kind, _ id: UInt64, context: [UInt8]? = nil
  ) -> [UInt8] {
    let member = Member(id: id, peerURLs: ["http://127.0.0.1:2380"])
    return ConfChange(kind: kind, nodeID: id, context: context ?? member.json).encoded()
  }

  @Test func whatCannotBeExecutedIsRefusedByName() {
    let refused: [([(Entry.Kind, [UInt8])], MessageFault)] = [
      ([(.normal, [0xff, 0x20, 0xff])], .malformedCommand),
      ([(.normal, Array(Self.put.dropLast()))], .malformedCommand),
      // Behind a good one.
      ([(.normal, Self.put), (.normal, Array("garbage".utf8))], .malformedCommand),
      // A change taken for a command would be passed over by some members and not by others.
      ([(.normal, Self.change(.removeNode, 3, context: []))], .malformedCommand),
      ([(.confChange, [0xff])], .malformedChange),
      ([(.confChange, Self.put)], .malformedChange),
      ([(.confChange, Self.change(.addNode, 0))], .malformedChange),
      ([(.confChange, Self.change(.addNode, 4, context: Array("{".utf8)))], .malformedChange),
      (
        [(.confChange, Self.change(.addLearnerNode, 4, context: Member(id: 5, peerURLs: []).json))],
        .malformedChange
      ),
      ([(.confChange, Self.change(.updateNode, 3, context: []))], .malformedChange),
      ([(.confChangeV2, ConfChangeV2().encoded())], .malformedChange),
    ]
    for (entries, fault) in refused {
      #expect(faults(entries) == [fault], "\(entries)")
      #expect(machine.lastIndex == 9)
    }
    let taken: [(Entry.Kind, [UInt8])] = [
      (.normal, []), (.normal, Self.put), (.confChange, Self.change(.addLearnerNode, 4)),
      (.confChange, Self.change(.removeNode, 4, context: [])),
    ]
    #expect(faults(taken) == [])
    #expect(machine.lastIndex == 13)
  }

  /// Whatever becomes of an append's entries on the way, those that get into the log can be executed.
  @Test func mutatedEntriesNeverStopAMember() {
    var random = SeededRandom(seed: 3)
    var counts = (taken: 0, refused: 0)
    for _ in 0..<20_000 {
      var data = random.chance(1, in: 3) ? Self.change(.addNode, 3) : Self.put
      for _ in 0..<Int.random(in: 1...3, using: &random) {
        data[Int.random(in: 0..<data.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
      }
      let next = machine.lastIndex
      let entry = Entry(
        term: 3, index: next + 1, kind: random.chance(1, in: 3) ? .confChange : .normal, data: data)
      let message = Message(
        kind: .append, to: Self.memberID, from: 2, term: 3, logTerm: 3, index: next, entries: [entry],
        commit: 9)
      machine.handle(.message(message), &effects)
      machine.flush(&effects)
      let isTaken = !appended.isEmpty
      #expect(isTaken == (machine.lastIndex == next + 1))
      if isTaken {
        counts.taken += 1
        switch entry.kind {
        case .normal: #expect(throws: Never.self) { try RaftCommand(entry: data) }
        case .confChange: #expect(throws: Never.self) { try ConfChange(decoding: data) }
        case .confChangeV2: Issue.record("not made here")
        }
      } else {
        counts.refused += 1
        #expect(effects.contains { if case .messageRefused(2, .append, _) = $0 { true } else { false } })
      }
      effects.removeAll()
    }
    #expect(counts.taken > 1_000 && counts.refused > 1_000)
  }
}
