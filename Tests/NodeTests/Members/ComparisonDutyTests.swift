import Testing

@testable import Node

/// A leader's clock in seconds, with an interval of a minute.
private struct Leader {
  var duty = ComparisonDuty(intervalNanoseconds: 60 * second)
  /// The term's empty entry.
  var comparedIndex: UInt64 = 10
  var appliedIndex: UInt64 = 10
  var completeIndex: UInt64 = 0

  /// The seconds of a time span at which an empty entry is proposed and at once applied; `answered` says whether
  /// everybody speaks there.
  mutating func proposals(
    _ times: ClosedRange<UInt64>, isBusy: Bool, answered: Bool, leads: Bool = true, isDoubtful: Bool = false
  ) -> [UInt64] {
    times.filter { time in
      if isBusy { appliedIndex += 1 }
      let isDue = duty.isDue(
        leads: leads, appliedIndex: appliedIndex, comparedIndex: comparedIndex, completeIndex: completeIndex,
        isDoubtful: isDoubtful, now: time * second)
      guard isDue else { return false }
      appliedIndex += 1
      comparedIndex = appliedIndex
      if answered { completeIndex = comparedIndex }
      return true
    }
  }
}

@Suite struct ComparisonDutyTests {
  @Test func aBusyClusterIsComparedOnceAnInterval() {
    var leader = Leader()
    let found = leader.proposals(100...400, isBusy: true, answered: true)
    #expect(found == [105, 166, 227, 288, 349], "the minute begins when all have spoken, a second later")
  }

  @Test func anIdleClusterStaysIdle() {
    var leader = Leader(completeIndex: 10)
    #expect(leader.proposals(100...10_000, isBusy: false, answered: true).isEmpty)
    leader.appliedIndex += 1
    #expect(leader.proposals(10_001...20_000, isBusy: false, answered: true) == [10_001])
  }

  @Test func whoIsSilentIsAskedAgainAFewTimes() {
    var idle = Leader()
    #expect(idle.proposals(100...10_000, isBusy: false, answered: false) == [105, 110])
    var busy = Leader()
    #expect(
      busy.proposals(100...250, isBusy: true, answered: false) == [105, 110, 170, 175, 180, 240, 245, 250])
  }

  @Test func aDifferenceIsPursued() {
    var leader = Leader()
    let found = leader.proposals(100...130, isBusy: false, answered: false, isDoubtful: true)
    #expect(found == [105, 110, 115, 120, 125, 130])
  }

  @Test func onlyTheLeaderProposes() {
    var leader = Leader()
    #expect(leader.proposals(100...300, isBusy: true, answered: true, leads: false).isEmpty)
    let found = leader.proposals(301...310, isBusy: true, answered: true)
    #expect(found == [306], "its term begins with an empty entry")
  }

  @Test func anIntervalBelowThePauseIsKept() {
    var leader = Leader(duty: ComparisonDuty(intervalNanoseconds: 2 * second))
    #expect(leader.proposals(100...110, isBusy: true, answered: false) == [102, 104, 106, 108, 110])
  }
}
