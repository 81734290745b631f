internal import Model
internal import Raft
internal import Replica
internal import Store

// Changes of members: the door before the log, and what an applied change means for this member's surroundings.
extension Node {
  /// etcd's interval for which a member must have been reachable to count as healthy.
  private static let healthMilliseconds = 5_000

  mutating func changeMembers(
    _ ticket: Ticket, _ request: MembershipRequest, _ outputs: inout NodeOutputs
  ) throws(NodeError) {
    let applier = apply.applier
    let memberID = memberID
    let members = try orStop { () throws(StoreError) in try applier.members() }
    let ticks = UInt64(Self.healthMilliseconds / max(1, options.replica.tickMilliseconds))
    let links = replica.linkAges
    let peers = replica.peerProgress
    let rules = MembershipRules(
      isStrict: options.isReconfigurationStrict, learnersMax: options.learnersMax, memberID: memberID,
      members: members,
      isHealthy: { id in links.contains { $0.peer == id && $0.ticks >= ticks } },
      isConnected: { id in links.contains { $0.peer == id } },
      progress: peers.isEmpty
        ? nil
        : { id in
          peers.first { $0.id == id }.map { peer in
            MembershipRules.Candidate(
              match: peer.match, isRecentlyActive: peer.isRecentlyActive || peer.id == memberID)
          }
        })
    if let refusal = rules.refusal(of: request) {
      if case .promote = request { promotions.refused(refusal) }
      return outputs.answers.append(.failed(ticket, refusal))
    }
    replica.handle(.proposeChange(ticket, MembershipRules.change(for: request)), &effects)
  }

  /// After a run of the apply stage.
  mutating func followMembers(_ outputs: inout NodeOutputs) throws(NodeError) {
    let news = apply.takeMemberNews()
    promotions.take(news)
    guard news.isChanged else { return }
    try reportMembers(removed: news.removed, &outputs)
    if news.removed.contains(memberID) { outputs.notices.append(.removedFromCluster) }
  }

  mutating func reportMembers(removed: [UInt64] = [], _ outputs: inout NodeOutputs) throws(NodeError) {
    _ = apply.takeMemberNews()
    let applier = apply.applier
    let members = try orStop { () throws(StoreError) in try applier.members() }
    outputs.notices.append(.membersChanged(members, removed: removed))
  }
}
