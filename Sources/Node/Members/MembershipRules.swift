public import Model
internal import Store

/// A change of the cluster's members that a client asks for.
public enum MembershipRequest: Hashable, Sendable {
  /// The id is the asker's to compute; name and client URLs are not known before the member starts.
  case add(Member)
  case remove(id: UInt64)
  case update(id: UInt64, peerURLs: [String])
  /// Makes a voter of a learner. Only the leader can tell whether it is ready: others answer `not leader`, and the edge
  /// asks the leader.
  case promote(id: UInt64)
}

/// What is asked before a change of members is proposed, so that nobody loses the quorum by it: etcd's
/// `--strict-reconfig-check` and `--max-learners`.
struct MembershipRules {
  /// A voter, or the learner that is about to be one.
  struct Candidate {
    var match: UInt64
    var isRecentlyActive: Bool
  }

  var isStrict: Bool
  var learnersMax: Int
  var memberID: UInt64
  var members: [MemberRecord]
  /// Whether a member has been reachable for etcd's health interval of 5 s.
  var isHealthy: (UInt64) -> Bool
  /// Whether a member is reachable at all.
  var isConnected: (UInt64) -> Bool
  /// What the leader knows of a member's log; nil on others.
  var progress: ((UInt64) -> Candidate?)?

  /// Why a request is not to be proposed; nil if it may be.
  func refusal(of request: MembershipRequest) -> ClientError? {
    switch request {
    case .add(let member): refusalToAdd(member)
    case .remove(let id): refusalToRemove(id)
    case .update: nil
    case .promote(let id): refusalToPromote(id)
    }
  }

  /// The entry's content for a request that may be proposed. Its id is set where it is proposed.
  static func change(for request: MembershipRequest) -> ConfChange {
    switch request {
    case .add(let member):
      ConfChange(
        kind: member.isLearner ? .addLearnerNode : .addNode, nodeID: member.id,
        context: ConfigChangeContext(member: member, isPromote: false).json)
    case .remove(let id): ConfChange(kind: .removeNode, nodeID: id)
    case .update(let id, let peerURLs):
      ConfChange(kind: .updateNode, nodeID: id, context: Member(id: id, peerURLs: peerURLs).json)
    case .promote(let id):
      ConfChange(
        nodeID: id, context: ConfigChangeContext(member: Member(id: id, peerURLs: []), isPromote: true).json)
    }
  }

  private var voters: [MemberRecord] { members.filter { !$0.isLearner } }
  private func quorum(_ count: Int) -> Int { count / 2 + 1 }
  private func started(_ members: [MemberRecord]) -> Int { members.count { !$0.name.isEmpty } }
  private var healthyVoters: Int { voters.count { $0.id == memberID || isHealthy($0.id) } }

  private func refusalToAdd(_ member: Member) -> ClientError? {
    // Before it is in the log: what is applied must not follow from this member's settings.
    if member.isLearner, members.count(where: \.isLearner) >= learnersMax { return .tooManyLearners }
    guard isStrict else { return nil }
    if !member.isLearner {
      // The new one counts for the quorum and has not started. A cluster of one grows all the same.
      let isSecond = voters.count == 1 && started(voters) == 1
      if !isSecond, started(voters) < quorum(voters.count + 1) { return .notEnoughStartedMembers }
    }
    return healthyVoters < quorum(voters.count) ? .unhealthyCluster : nil
  }

  private func refusalToRemove(_ id: UInt64) -> ClientError? {
    guard isStrict, members.first(where: { $0.id == id })?.isLearner != true else { return nil }
    let rest = voters.filter { $0.id != id }
    if rest.isEmpty || started(rest) < quorum(rest.count) { return .notEnoughStartedMembers }
    // One that is down is no part of the quorum that works now.
    if id != memberID && !isConnected(id) { return nil }
    return healthyVoters - 1 < 1 + (voters.count - 1) / 2 ? .unhealthyCluster : nil
  }

  private func refusalToPromote(_ id: UInt64) -> ClientError? {
    guard let progress, let own = progress(memberID) else { return .notLeader }
    guard let learner = progress(id) else { return .memberNotFound }
    // One that never started is not ready, however short the leader's log is (etcd 15096). 90 %, in whole numbers.
    guard learner.isRecentlyActive, learner.match >= own.match - own.match / 10 else {
      return .learnerNotReady
    }
    guard isStrict else { return nil }
    // The learner counts, as a member and as one that has started.
    return started(voters) + 1 < quorum(voters.count + 1) ? .notEnoughStartedMembers : nil
  }
}
