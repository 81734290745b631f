internal import Model
internal import Store

/// The alarms that this member has reason to raise by itself: its disk is short of space, or its data is damaged.
/// Each goes through the log, and is proposed again until it is applied.
struct AlarmDuty {
  private let memberID: UInt64
  private var isDamaged = false
  /// When a proposal that came to nothing is repeated, in monotonic nanoseconds.
  private var nextProposal: UInt64 = 0
  private static let pauseNanoseconds: UInt64 = 1_000_000_000

  init(memberID: UInt64) { self.memberID = memberID }

  /// Damage was found; stays known until the alarm is raised. An operator may disarm it then, and the next finding
  /// raises it again.
  mutating func damaged() {
    isDamaged = true
    nextProposal = 0
  }

  /// The command to be proposed now, if any.
  mutating func due(_ raised: AlarmSet, isShortOfSpace: Bool, now: UInt64) -> RaftCommand.Operation? {
    guard isDamaged || isShortOfSpace else { return nil }
    if isDamaged, raised.contains(AlarmMember(memberID: memberID, alarm: .corrupt)) { isDamaged = false }
    let alarm: AlarmCommand.Alarm
    if isDamaged {
      alarm = .corrupt
    } else if isShortOfSpace, !raised.contains(AlarmMember(memberID: memberID, alarm: .noSpace)) {
      alarm = .noSpace
    } else {
      return nil
    }
    guard now >= nextProposal else { return nil }
    nextProposal = now + Self.pauseNanoseconds
    return .alarm(AlarmCommand(action: .activate, memberID: memberID, alarm: alarm))
  }
}
