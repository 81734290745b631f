internal import Model
internal import Raft
internal import Replica
public import Store

/// What members say about their data at one applied index, where it is not the same.
public struct Divergence: Hashable, Sendable {
  /// In the order of member ids.
  public var digests: [Said]
  /// Who differs from the majority, in that order; 0 alone when there is no majority, as etcd does it.
  public var differing: [UInt64]

  public struct Said: Hashable, Sendable {
    public var member: UInt64
    public var digest: StateDigest
  }

  public var index: UInt64 { digests.first?.digest.index ?? 0 }
}

/// Compares what members say about their data at equal applied indexes, this one's own digests and those of its peers.
/// Only the leader draws conclusions.
struct DigestComparison {
  private let memberID: UInt64
  /// Newest last, bounded for each member.
  private var said: [Divergence.Said] = []
  /// The greatest index at which a difference was reported.
  private var reportedIndex: UInt64 = 0
  /// The greatest index at which all members have spoken, when a verdict was asked for last.
  private(set) var completeIndex: UInt64 = 0
  static let digestsMax = 32
  /// Members differ, and who is wrong is not known yet.
  private(set) var isDoubtful = false
  /// The silence of a member that is down hides no difference between the others for longer than this many digests.
  private static let patience = 6

  init(memberID: UInt64) { self.memberID = memberID }

  mutating func take(_ digest: StateDigest, from member: UInt64) {
    said.removeAll { $0.member == member && $0.digest.index == digest.index }
    if said.count(where: { $0.member == member }) >= Self.digestsMax,
      let oldest = said.firstIndex(where: { $0.member == member })
    {
      said.remove(at: oldest)
    }
    said.append(Divergence.Said(member: member, digest: digest))
  }

  mutating func takeOwn(_ digest: StateDigest) { take(digest, from: memberID) }

  /// Forgets what others than `members` said.
  mutating func keep(_ members: [UInt64]) { said.removeAll { !members.contains($0.member) } }

  /// A difference that was not reported yet, once it is known who differs from the majority of `members`, or that there
  /// is none: everybody has spoken, or the rest was silent while this member spoke some times again.
  mutating func verdict(members: [UInt64]) -> Divergence? {
    isDoubtful = false
    let own = said.filter { $0.member == memberID }.map(\.digest)
    for digest in own where digest.index > min(reportedIndex, completeIndex) {
      var peers = said.filter { $0.digest.index == digest.index && members.contains($0.member) }
      let isComplete = peers.count == members.count
      if isComplete { completeIndex = max(completeIndex, digest.index) }
      guard digest.index > reportedIndex, peers.contains(where: { $0.digest != digest }) else { continue }
      peers.sort { $0.member < $1.member }
      let majority = peers.first { candidate in
        peers.count { $0.digest == candidate.digest } > members.count / 2
      }
      let isLate = own.count { $0.index > digest.index } >= Self.patience
      guard majority != nil || isComplete || isLate else {
        isDoubtful = true
        continue
      }
      reportedIndex = digest.index
      return Divergence(
        digests: peers,
        differing: majority.map { majority in
          peers.filter { $0.digest != majority.digest }.map(\.member)
        } ?? [0])
    }
    return nil
  }
}

extension Node {
  /// Lets all members speak when that is due.
  mutating func proposeComparison(now: UInt64) {
    let isDue = comparison.isDue(
      leads: replica.leadership.role == .leader, appliedIndex: replica.appliedIndex,
      comparedIndex: apply.lastComparedIndex, completeIndex: digests.completeIndex,
      isDoubtful: digests.isDoubtful, now: now)
    if isDue, apply.confState.members.count > 1 { replica.handle(.proposeEmpty, &effects) }
  }

  mutating func compareDigest(_ digest: StateDigest, _ outputs: inout NodeOutputs) {
    guard apply.confState.members.count > 1 else { return }
    digests.keep(apply.confState.members)
    digests.takeOwn(digest)
    outputs.notices.append(.digest(digest))
    judgeDigests(&outputs)
  }

  mutating func judgeDigests(_ outputs: inout NodeOutputs) {
    guard replica.leadership.role == .leader,
      let divergence = digests.verdict(members: apply.confState.members)
    else { return }
    outputs.notices.append(.diverged(divergence))
    for member in divergence.differing {
      let alarm = AlarmMember(memberID: member, alarm: .corrupt)
      if apply.alarms.contains(alarm) { continue }
      // Lost, it is proposed again with the next difference.
      replica.handle(
        .proposeUnattended(.alarm(AlarmCommand(action: .activate, memberID: member, alarm: .corrupt))),
        &effects)
    }
  }
}

extension ConfState {
  /// Voters and learners.
  var members: [UInt64] {
    var ids = voters
    for id in learners + votersOutgoing + learnersNext where !ids.contains(id) { ids.append(id) }
    return ids
  }
}
