import Model
import Replica
import Testing

@testable import Frontend

/// Calls that wait for the member's thread, and what becomes of them when that is held up.
@Suite struct PendingCallsTests {
  @Test func callsAreOverdueAfterSoManyPeriodsAndGoneThen() {
    var calls = PendingCalls(loop: 3)
    let first = calls.add(nil, .command)
    #expect(calls.endPeriod(keeping: 2).isEmpty)
    let second = calls.add(nil, .command)
    #expect(calls.endPeriod(keeping: 2).isEmpty)
    #expect(calls.endPeriod(keeping: 2).isEmpty)
    #expect(calls.endPeriod(keeping: 2).count == 1)
    #expect(calls.take(first) == nil, "a late answer finds nothing")
    #expect(calls.take(second) != nil)
    #expect(calls.endPeriod(keeping: 2).isEmpty)
    // Its slot is used again, by a call of which no answer to the first may speak.
    let third = calls.add(nil, .command)
    #expect(calls.take(first) == nil && calls.take(third) != nil)
  }

  @Test func renewalsOfLeasesWaitAsLongAsItTakes() {
    var calls = PendingCalls(loop: 0)
    let renewal = calls.add(nil, .leaseRenewal(number: 1))
    for _ in 0..<100 { #expect(calls.endPeriod(keeping: 2).isEmpty) }
    #expect(calls.take(renewal) != nil)
  }
}
