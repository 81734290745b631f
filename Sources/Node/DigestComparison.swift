internal import Model
internal import Raft
internal import Replica
internal import Store

/// Compares what members say about their data at equal applied indexes: this member's own digests, one for each
/// commit that others can compare, and those of its peers. Only the leader draws conclusions.
struct DigestComparison {
  private struct Said {
    var member: UInt64
    var digest: StateDigest
  }

  private let memberID: UInt64
  /// Newest last, bounded for each member.
  private var said: [Said] = []
  /// The greatest index at which a difference was reported.
  private var reportedIndex: UInt64 = 0
  private static let digestsMax = 32

  init(memberID: UInt64) { self.memberID = memberID }

  mutating func take(_ digest: StateDigest, from member: UInt64) {
    said.removeAll { $0.member == member && $0.digest.index == digest.index }
    if said.count(where: { $0.member == member }) >= Self.digestsMax,
      let oldest = said.firstIndex(where: { $0.member == member })
    {
      said.remove(at: oldest)
    }
    said.append(Said(member: member, digest: digest))
  }

  mutating func takeOwn(_ digest: StateDigest) { take(digest, from: memberID) }

  /// A difference that was not reported yet: the digest that this member has, and who differs from the majority of
  /// `members`. When there is none and everybody has spoken, nobody is named but 0, as etcd does it.
  mutating func verdict(members: [UInt64]) -> (digest: StateDigest, differing: [UInt64])? {
    for own in said where own.member == memberID && own.digest.index > reportedIndex {
      let peers = said.filter { $0.digest.index == own.digest.index && members.contains($0.member) }
      guard peers.contains(where: { $0.digest != own.digest }) else { continue }
      let majority = peers.first { candidate in
        peers.count { $0.digest == candidate.digest } > members.count / 2
      }
      if let majority {
        reportedIndex = own.digest.index
        let differing = peers.filter { $0.digest != majority.digest }.map(\.member)
        return (own.digest, differing.sorted())
      }
      guard peers.count == members.count else { continue }
      reportedIndex = own.digest.index
      return (own.digest, [0])
    }
    return nil
  }
}

extension Node {
  mutating func compareDigest(_ digest: StateDigest?, _ outputs: inout NodeOutputs) {
    guard let digest, apply.confState.members.count > 1 else { return }
    digests.takeOwn(digest)
    outputs.notices.append(.digest(digest))
    judgeDigests(&outputs)
  }

  mutating func judgeDigests(_ outputs: inout NodeOutputs) {
    guard replica.leadership.role == .leader,
      let (digest, differing) = digests.verdict(members: apply.confState.members)
    else { return }
    outputs.notices.append(.diverged(digest, members: differing))
    for member in differing {
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
