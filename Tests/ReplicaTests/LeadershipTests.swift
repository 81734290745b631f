import Model
import Raft
import Replica
import Testing

/// A member of three that leads no one, follows, and loses leaders.
@Suite struct LeadershipTests {
  private func member() -> ReplicaHarness {
    let replica = ReplicaHarness(others: [2, 3])
    replica.write()
    replica.apply()
    return replica
  }

  @Test func proposalsWaitForALeader() {
    let replica = member()
    replica.put(1)
    replica.put(2)
    replica.flush()
    #expect(replica.sent.isEmpty)
    replica.follow(2, term: 5)
    let forwarded = replica.sent.filter { $0.kind == .propose }
    // The member's own publication among them.
    #expect(forwarded.count == 3)
    #expect(forwarded.allSatisfy { $0.to == 2 && $0.term == 0 })
    #expect(replica.replies.isEmpty)
  }

  @Test func withoutALeaderRequestsTimeOut() {
    let replica = member()
    replica.ticks(1)
    replica.put(1)
    replica.read(2)
    replica.flush()
    replica.ticks(70)
    #expect(replica.replies == [Ticket(1): .requestTimedOut, Ticket(2): .requestTimedOut])
    #expect(replica.machine.waitingCount == 0)
  }

  @Test func timeOutsNameALeaderThatFailed() {
    let replica = member()
    replica.handle(.connectivity(peer: 3, isConnected: true))
    replica.follow(2, term: 5)
    replica.ticks(30)
    replica.put(1)
    replica.flush()
    replica.ticks(10)
    // Within two election timeouts before the new leader; this member has campaigned meanwhile.
    replica.follow(3, term: 60)
    replica.put(2)
    replica.flush()
    replica.ticks(70)
    #expect(replica.replies == [Ticket(1): .timedOutByLeaderFailure, Ticket(2): .requestTimedOut])
  }

  @Test func readsUnderWayFailWhenTheLeaderChanges() {
    let replica = member()
    replica.follow(2, term: 5)
    replica.read(1)
    replica.flush()
    #expect(replica.sent.filter { $0.kind == .readIndex }.count == 1)
    replica.follow(3, term: 6)
    #expect(replica.replies == [Ticket(1): .leaderChanged])
    replica.read(2)
    replica.flush()
    #expect(replica.sent.last { $0.kind == .readIndex }?.to == 3)
  }

  @Test func aFollowersReadIsAskedAgainWithANewContext() {
    let replica = member()
    replica.follow(2, term: 5)
    replica.read(1)
    replica.flush()
    wait(replica, ticks: 5)
    replica.read(2)
    replica.flush()
    wait(replica, ticks: 5)
    let questions = questions(replica)
    #expect(questions.count == 4)
    #expect(Set(questions).count == 4)
    // Each answer is for the reads that were there when it was asked for, however late it comes.
    answer(replica, questions[1], index: 3)
    #expect(replica.readsReady == [Ticket(1): 3])
    answer(replica, questions[0], index: 3)
    #expect(replica.readsReady == [Ticket(1): 3], "asked for before the second read came")
    answer(replica, questions[3], index: 3)
    #expect(replica.readsReady == [Ticket(1): 3, Ticket(2): 3])
    answer(replica, questions[2], index: 3)
    #expect(replica.readsReady.count == 2)
    wait(replica, ticks: 10)
    #expect(self.questions(replica).count == 4, "nothing is left to ask for")
  }

  /// Answers that take longer than the time between two questions are answers still.
  @Test func aSlowLeaderIsNotAskedInVain() {
    let replica = member()
    replica.follow(2, term: 5)
    replica.read(1)
    replica.flush()
    for _ in 0..<20 {
      replica.handle(.tick)
      replica.follow(2, term: 5)
    }
    #expect(questions(replica).count == 5)
    answer(replica, questions(replica)[0], index: 3)
    #expect(replica.readsReady == [Ticket(1): 3])
  }

  private func questions(_ replica: ReplicaHarness) -> [[UInt8]] {
    replica.sent.filter { $0.kind == .readIndex }.map { $0.entries[0].data }
  }

  private func wait(_ replica: ReplicaHarness, ticks: Int) {
    for _ in 0..<ticks {
      replica.handle(.tick)
      replica.flush()
    }
  }

  private func answer(_ replica: ReplicaHarness, _ context: [UInt8], index: UInt64) {
    let entry = Entry(term: 0, index: 0, data: context)
    replica.handle(
      .message(
        Message(
          kind: .readIndexResponse, to: replica.memberID, from: 2, term: 5, index: index, entries: [entry])))
    replica.flush()
  }

  /// Committed, it would end every member that executes it.
  @Test func aCommandThatCannotBeReadDoesNotReachTheLog() {
    let replica = member()
    replica.follow(2, term: 5)
    let own = replica.sent.count { $0.kind == .propose }
    func proposals(after data: [[UInt8]]) -> Int {
      let entries = data.map { Entry(term: 0, index: 0, data: $0) }
      replica.handle(.message(Message(kind: .propose, to: replica.memberID, from: 3, entries: entries)))
      replica.flush()
      return replica.sent.count { $0.kind == .propose } - own
    }
    let command = RaftCommand(id: 99, operation: .put(PutRequest(key: [1], value: []))).encoded()
    #expect(proposals(after: [Array(repeating: 0xff, count: 40)]) == 0)
    #expect(proposals(after: [command, command.dropLast() + [0xff]]) == 0)
    #expect(proposals(after: [command, []]) == 1)
  }

  @Test func parkedBytesAreBounded() {
    var limits = ReplicaLimits()
    limits.waitingProposalBytes = 1_000
    let replica = ReplicaHarness(others: [2, 3], limits: limits)
    replica.put(1, bytes: 600)
    replica.put(2, bytes: 600)
    #expect(replica.replies == [Ticket(2): .tooManyRequests])
    replica.ticks(70)
    replica.put(3, bytes: 600)
    #expect(replica.replies[Ticket(3)] == nil, "the first one timed out and made room")
  }

  @Test func aLaterCommittedEntryAnswersTheMemberThatProposedIt() {
    let replica = member()
    replica.follow(2, term: 5)
    replica.put(1)
    replica.flush()
    guard let command = replica.sent.last(where: { $0.kind == .propose })?.entries.first?.data else {
      Issue.record("nothing forwarded")
      return
    }
    let other = RaftCommand(id: 99, operation: .put(PutRequest(key: [1], value: []))).encoded()
    let entries = [Entry(term: 5, index: 4, data: other), Entry(term: 5, index: 5, data: command)]
    replica.handle(
      .message(
        Message(
          kind: .append, to: replica.memberID, from: 2, term: 5, logTerm: 1, index: 3, entries: entries,
          commit: 5)))
    replica.flush()
    #expect(replica.batches.isEmpty, "not durable here yet")
    replica.write()
    #expect(replica.batches.map(\.tickets) == [[nil, Ticket(1)]])
  }

  @Test func timeOutsNameALostConnection() {
    let replica = member()
    replica.follow(2, term: 5)
    replica.handle(.connectivity(peer: 2, isConnected: true))
    replica.put(1)
    replica.flush()
    replica.ticks(3)
    replica.handle(.connectivity(peer: 2, isConnected: false))
    replica.ticks(3)
    // It is open again, but was not all the time.
    replica.handle(.connectivity(peer: 2, isConnected: true))
    for _ in 0..<64 {
      replica.handle(.tick)
      replica.follow(2, term: 5)
    }
    #expect(replica.replies == [Ticket(1): .timedOutByConnection])
  }

  @Test func aReadThatIsConfirmedAndNotAppliedSaysSo() {
    let replica = member()
    replica.follow(2, term: 5)
    replica.read(1)
    replica.flush()
    let question = replica.sent.last { $0.kind == .readIndex }?.entries[0].data ?? []
    answer(replica, question, index: 300)
    for _ in 0..<75 {
      replica.handle(.tick)
      replica.follow(2, term: 5)
    }
    #expect(replica.replies == [Ticket(1): .timedOutByApply])
  }

  @Test func questionsAboutLeasesGoToTheLeader() {
    let replica = member()
    replica.renew(1, 7)
    replica.flush()
    #expect(replica.asked.isEmpty, "nobody to ask yet")
    replica.follow(2, term: 5)
    replica.timeToLive(2, 8)
    replica.flush()
    #expect(replica.asked[Ticket(1)]?.question == .renew(7) && replica.asked[Ticket(1)]?.leader == 2)
    #expect(replica.asked[Ticket(2)]?.question == .timeToLive(8))
    // Asked by another member that took this one for the leader: not passed on.
    replica.handle(.leaseAsked(Ticket(3), .renew(7)))
    replica.flush()
    #expect(replica.asked[Ticket(3)] == nil)
    #expect(replica.replies == [Ticket(3): .noLeader])
    #expect(replica.machine.waitingCount == 0)
  }

  @Test func leadershipMovesToTheBestFollower() {
    let replica = member()
    replica.handle(.transferLeadership(Ticket(1), to: 2))
    #expect(replica.replies == [Ticket(1): .notLeader])
    replica.win()
    replica.handle(.transferLeadership(Ticket(2), to: 9))
    #expect(replica.replies[Ticket(2)] == .badLeaderTransferee)
    replica.handle(.transferLeadership(Ticket(3), to: replica.memberID))
    #expect(replica.transferred == [Ticket(3)])
    // Only 2 has answered anything: it is the one.
    replica.handle(.transferLeadership(Ticket(4), to: 0))
    replica.flush()
    #expect(replica.sent.last { $0.kind == .timeoutNow }?.to == 2)
    replica.follow(2, term: replica.machine.leadership.term + 1)
    #expect(replica.transferred == [Ticket(3), Ticket(4)])
  }

  @Test func aTransferThatComesToNothingTimesOut() {
    let replica = member()
    replica.win()
    replica.handle(.transferLeadership(Ticket(1), to: 3))
    for _ in 0..<71 {
      replica.handle(.tick)
      replica.workTogether()
    }
    #expect(replica.replies == [Ticket(1): .timedOutByTransfer])
    #expect(replica.machine.waitingCount == 0)
  }
}
