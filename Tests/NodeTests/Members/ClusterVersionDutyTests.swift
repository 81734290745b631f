import Testing

@testable import Node

@Suite struct ClusterVersionDutyTests {
  private func due(
    _ heard: [(UInt64, String)], members: [UInt64] = [1, 2, 3], present: String?, own: String = "3.7.0"
  ) -> String? {
    var duty = ClusterVersionDuty(memberID: 1, version: own)
    duty.take(heard.map { MemberVersion(memberID: $0.0, version: $0.1) })
    #expect(duty.isDue)
    defer { #expect(!duty.isDue, "what was heard is judged once") }
    return duty.due(members: members, present: present)
  }

  @Test func theLeastMinorVersionCounts() {
    #expect(due([(2, "3.7.4"), (3, "3.7.1")], present: nil) == "3.7.0")
    #expect(due([(2, "3.6.9"), (3, "3.7.1")], present: nil) == "3.6.0")
    #expect(due([(2, "3.10.1"), (3, "4.0.0")], present: "3.6.0") == "3.7.0", "numbers, not texts")
    #expect(due([], members: [1], present: nil) == "3.7.0")
  }

  @Test func itOnlyRises() {
    #expect(due([(2, "3.6.0"), (3, "3.6.0")], present: "3.6.0") == nil)
    #expect(due([(2, "3.6.0"), (3, "3.6.0")], present: "3.7.0") == nil)
    #expect(due([(2, "3.7.0"), (3, "3.7.0")], present: "3.6.0") == "3.7.0")
  }

  @Test func aMemberThatSaysNothingHoldsItBack() {
    #expect(due([(2, "3.7.0")], present: nil) == nil)
    #expect(due([(2, "3.7.0")], present: "3.6.0") == nil)
    // One that is no member any more does not.
    #expect(due([(2, "3.7.0"), (3, "3.5.0")], members: [1, 2], present: "3.6.0") == "3.7.0")
  }

  @Test(arguments: ["", "3", "x.y.z", "3.", ".7", "3.-1", "99999999999.1", "3.99999999999", "３.7"])
  func whatIsNoVersionHoldsItBack(text: String) {
    #expect(due([(2, text), (3, "3.7.0")], present: nil) == nil)
  }

  @Test func whatOthersSayOfThisMemberDoesNotCount() {
    #expect(due([(1, "3.1.0"), (2, "3.7.0"), (3, "3.7.0")], present: nil) == "3.7.0")
  }

  @Test func nothingIsDueBeforeSomethingWasHeard() {
    var duty = ClusterVersionDuty(memberID: 1, version: "3.7.0")
    #expect(!duty.isDue)
    #expect(duty.due(members: [1], present: nil) == nil)
  }
}
