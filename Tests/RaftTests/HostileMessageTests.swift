import Model
import Primitives
import Raft
import Testing

/// Whatever a peer sends, the member neither traps nor loses what it committed.
@Suite struct HostileMessageTests {
  /// A follower of 2 at term 2 with entries 1...3, of which 2 are committed and applied.
  private func follower() -> SimulatedMember {
    let member = SimulatedMember(id: 1, voters: [1, 2, 3])
    let entries = (1...3).map { Entry(term: 2, index: UInt64($0), data: [UInt8($0)]) }
    member.handle(.message(Message(kind: .append, to: 1, from: 2, term: 2, entries: entries, commit: 2)))
    _ = member.flush()
    member.completeWrites(9)
    _ = member.flush()
    _ = member.apply(9)
    return member
  }

  private func leader() -> SimulatedMember {
    let member = follower()
    member.handle(.campaign)
    _ = member.flush()
    member.completeWrites(9)
    member.handle(.message(Message(kind: .voteResponse, to: 1, from: 2, term: member.machine.term)))
    _ = member.flush()
    return member
  }

  private func faults(_ member: SimulatedMember, _ message: Message) -> [MessageFault] {
    member.handle(.message(message))
    return member.flush().compactMap { effect in
      if case .messageRefused(_, _, let fault) = effect { fault } else { nil }
    }
  }

  /// Member 1 sent it to 2, which led; by the time it arrived there, 1 led, and 2 passed it on.
  @Test func aProposalMayComeBackToItsAuthor() {
    let member = leader()
    let last = member.machine.lastIndex
    let proposal = Message(kind: .propose, to: 1, from: 1, entries: [Entry(term: 0, index: 0, data: [7])])
    #expect(faults(member, proposal).isEmpty)
    #expect(member.machine.lastIndex == last + 1)
  }

  @Test func malformedMessagesAreRefusedByName() {
    let member = follower()
    let entry = Entry(term: 2, index: 4)
    let cases: [(Message, MessageFault)] = [
      (Message(kind: .hup, to: 1, from: 2, term: 2), .localOnlyKind),
      (Message(kind: .storageAppendResponse, to: 1, from: 2, term: 2), .localOnlyKind),
      (Message(kind: .snapshot, to: 1, from: 2, term: 2), .unsupported),
      (Message(kind: .heartbeat, to: 1, from: 1, term: 2), .fromSelf),
      (Message(kind: .heartbeat, to: 1, from: 0, term: 2), .wrongAddress),
      (Message(kind: .heartbeat, to: 7, from: 2, term: 2), .wrongAddress),
      (Message(kind: .heartbeat, to: 1, from: 2, term: 0), .termOutOfRange),
      (Message(kind: .heartbeat, to: 1, from: 2, term: .max), .termOutOfRange),
      (Message(kind: .heartbeat, to: 1, from: 2, term: 2, commit: 4), .indexOutOfRange),
      (Message(kind: .heartbeat, to: 1, from: 2, term: 2, commit: .max), .indexOutOfRange),
      (Message(kind: .heartbeat, to: 1, from: 3, term: 2), .secondLeaderInTerm),
      (
        Message(kind: .append, to: 1, from: 2, term: 2, logTerm: 2, index: .max, entries: [entry]),
        .indexOutOfRange
      ),
      (
        Message(kind: .append, to: 1, from: 2, term: 2, logTerm: 2, index: 4, entries: [entry]),
        .entriesNotContiguous
      ),
      (
        Message(
          kind: .append, to: 1, from: 2, term: 2, logTerm: 2, index: 3, entries: [Entry(term: 3, index: 4)]),
        .entryTermOutOfRange
      ),
      (
        Message(
          kind: .append, to: 1, from: 2, term: 2, logTerm: 2, index: 3, entries: [Entry(term: 1, index: 4)]),
        .entryTermOutOfRange
      ),
      (Message(kind: .append, to: 1, from: 2, term: 2, logTerm: 9, index: 3), .termOutOfRange),
      (Message(kind: .readIndex, to: 1, from: 2), .entriesNotContiguous),
      (
        Message(
          kind: .propose, to: 1, from: 2, entries: [Entry(term: 0, index: 0, kind: .confChange, data: [8])]),
        .malformedChange
      ),
    ]
    for (message, fault) in cases { #expect(faults(member, message) == [fault], "\(message)") }
    #expect(member.machine.commitIndex == 2)
    #expect(member.machine.lastIndex == 3)
  }

  /// The log of a member names the fault: each has words of its own.
  @Test func faultsHaveNames() {
    let texts = MessageFault.allCases.map(\.description)
    #expect(Set(texts).count == texts.count)
    #expect(texts.allSatisfy { $0.count > 10 })
  }

  @Test func committedEntriesAreNotReplaced() {
    let member = follower()
    let message = Message(
      kind: .append, to: 1, from: 2, term: 9, logTerm: 2, index: 2, entries: [Entry(term: 9, index: 3)],
      commit: 3)
    #expect(faults(member, message) == [])
    #expect(member.machine.commitIndex == 3)
    // Now 3 is committed: the same position with another term is a lie.
    let lie = Message(
      kind: .append, to: 1, from: 2, term: 9, logTerm: 9, index: 3, entries: [Entry(term: 9, index: 4)],
      commit: 4)
    #expect(faults(member, lie) == [])
    let contradiction = Message(
      kind: .append, to: 1, from: 3, term: 10, logTerm: 9, index: 4, entries: [Entry(term: 10, index: 5)])
    #expect(faults(member, contradiction) == [])
    #expect(member.machine.term(at: 4) == 9)
    #expect(member.machine.commitIndex == 4)
  }

  @Test func acknowledgementBeyondTheLogIsRefused() {
    let member = leader()
    let last = member.machine.lastIndex
    let message = Message(kind: .appendResponse, to: 1, from: 2, term: member.machine.term, index: last + 1)
    #expect(faults(member, message) == [.indexOutOfRange])
    #expect(member.machine.commitIndex == 2)
  }

  /// Random messages, mostly near the present state, where the edges are.
  @Test func randomMessagesNeverTrap() {
    var random = SeededRandom(seed: 7)
    for round in 0..<300 {
      let member = round.isMultiple(of: 2) ? leader() : follower()
      var committed: [Entry] = []
      for _ in 0..<200 {
        member.handle(.message(message(&random, near: member)))
        if random.chance(1, in: 8) { member.handle(.tick) }
        if random.chance(1, in: 8) { _ = member.propose([1]) }
        if random.chance(1, in: 4) { member.completeWrites(Int.random(in: 0...2, using: &random)) }
        for effect in member.flush() {
          if case .committed(let entries) = effect { committed += entries }
        }
        _ = member.apply(Int.random(in: 0...2, using: &random))
      }
      let indexes = committed.map(\.index)
      #expect(indexes == indexes.indices.map { UInt64($0) + 3 }, "handed out once each, in order")
    }
  }

  private func message(_ random: inout SeededRandom, near member: SimulatedMember) -> Message {
    func number(_ base: UInt64) -> UInt64 {
      switch Int.random(in: 0..<20, using: &random) {
      case 0: return .max
      case 1: return 1 << 62
      case 2: return 0
      default: return base &+ UInt64.random(in: 0...4, using: &random) &- 2
      }
    }
    func data() -> [UInt8] { Array(repeating: 1, count: Int.random(in: 0...9, using: &random)) }
    let kinds = Message.Kind.allCases
    let index = number(member.machine.lastIndex)
    let term = number(member.machine.term)
    var entryTerm = term
    var entries: [Entry] = []
    for offset in 0..<UInt64.random(in: 0...3, using: &random) {
      entryTerm = random.chance(9, in: 10) ? entryTerm : number(term)
      let isNext = random.chance(19, in: 20)
      entries.append(
        Entry(term: entryTerm, index: isNext ? index &+ offset &+ 1 : number(index), data: data()))
    }
    return Message(
      kind: kinds[Int.random(in: 0..<kinds.count, using: &random)],
      to: random.chance(19, in: 20) ? 1 : number(1),
      from: UInt64.random(in: 0...4, using: &random), term: term, logTerm: number(member.machine.term),
      index: index,
      entries: entries, commit: number(member.machine.commitIndex), vote: number(1),
      reject: random.chance(1, in: 3),
      rejectHint: number(index), context: data())
  }
}
