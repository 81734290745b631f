import Synchronization
import Testing

@testable import Server

/// Lines and figures about other members.
@Suite struct PeerLinesTests {
  private final class Clock: Sendable {
    let now = Atomic<UInt64>(1)
    func advance(seconds: UInt64) { now.add(seconds * 1_000_000_000, ordering: .relaxed) }
  }

  private let clock = Clock()

  private func limit() -> LineLimit { LineLimit { [clock] in clock.now.load(ordering: .relaxed) } }
  private let record = LogRecord(.warn, "refused", ["error": "wrong"])

  @Test func aFloodOfLinesIsBoundedAndCounted() {
    let limit = limit()
    let admitted = (0..<100_000).compactMap { _ in limit.admit(record, from: "1a") }
    #expect(admitted.count == 20)
    #expect(admitted.allSatisfy { $0 == record })
    #expect(limit.admit(record, from: "1a") == nil)
    // Another sender, and another text, have their own.
    #expect(limit.admit(record, from: "2b") == record)
    #expect(limit.admit(LogRecord(.warn, "other", [:]), from: "1a") != nil)
    clock.advance(seconds: 5)
    let next = limit.admit(record, from: "1a")
    #expect(next?.fields == ["error": "wrong", "lines-left-out": .unsigned(99_981)])
    #expect(limit.admit(record, from: "1a") == nil)
    clock.advance(seconds: 3_600)
    #expect((0..<100).compactMap { _ in limit.admit(record, from: "1a") }.count == 20)
  }

  @Test func sendersThatInventNamesShareOneAllowance() {
    let limit = limit()
    let admitted = (0..<50_000).compactMap { limit.admit(record, from: "\($0)") }
    #expect(admitted.count == LineLimit.allowancesMax + 20)
    clock.advance(seconds: 3_600)
    // Those who have been silent are forgotten.
    #expect(limit.admit(record, from: "new") == record)
  }

  @Test func lateHeartbeatsAreThoseAfterTwoIntervals() {
    var pace = HeartbeatPace(intervalNanoseconds: 100)
    #expect(pace.sent(to: 1, now: 1_000) == nil)
    #expect(pace.sent(to: 1, now: 1_200) == nil)
    #expect(pace.sent(to: 2, now: 9_000) == nil)
    #expect(pace.sent(to: 1, now: 1_450) == 50)
    #expect(pace.sent(to: 1, now: 1_400) == nil)
    pace.reset()
    #expect(pace.sent(to: 1, now: 99_000) == nil)
  }

  @Test func onlyClustersOfAKnownVersionAreJoined() {
    for versions in [["3.7.0"], ["3.5.0", "3.5.0"], ["not_decided", "3.6.0"], ["3.0.0"]] {
      #expect(RemoteCluster.refusal(ofVersions: versions) == nil, "\(versions)")
    }
    for versions in [
      [], ["not_decided"], ["3.8.0"], ["3.7.0", "4.0.0"], ["2.3.0"], ["3"], ["999999999999.1.1"],
    ] {
      let refusal = RemoteCluster.refusal(ofVersions: versions)
      #expect(refusal?.hasPrefix("incompatible with current running cluster") == true, "\(versions)")
    }
  }
}
