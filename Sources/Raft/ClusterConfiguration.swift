public import Model

/// Who votes and who learns: the configuration that a member uses at the moment.
///
/// In a joint configuration `voters.outgoing` holds the voters that were there before; `learnersNext` are those of
/// them that become learners when it is left.
public struct ClusterConfiguration: Equatable, Sendable {
  public var voters = JointConfiguration()
  /// Ascending.
  public var learners: [UInt64] = []
  public var learnersNext: [UInt64] = []
  /// The leader leaves the joint configuration by itself, once entering it is applied.
  public var autoLeave = false

  public init() {}

  /// What a replicated configuration says, unchecked.
  public init(_ state: ConfState) {
    voters = JointConfiguration(
      incoming: MajorityConfiguration(state.voters), outgoing: MajorityConfiguration(state.votersOutgoing))
    learners = MajorityConfiguration(state.learners).voters
    learnersNext = MajorityConfiguration(state.learnersNext).voters
    autoLeave = state.autoLeave
  }

  public var isJoint: Bool { !voters.outgoing.isEmpty }

  /// Everyone, ascending.
  public var ids: [UInt64] { MajorityConfiguration(voters.ids + learners + learnersNext).voters }

  public var confState: ConfState {
    var state = ConfState(voters: voters.incoming.voters)
    state.votersOutgoing = voters.outgoing.voters
    state.learners = learners
    state.learnersNext = learnersNext
    state.autoLeave = autoLeave
    return state
  }
}

extension ClusterConfiguration: CustomStringConvertible {
  /// As etcd's logs write it: `voters=(1 2 3)&&(1 2) learners=(4) autoleave`.
  public var description: String {
    func list(_ ids: [UInt64]) -> String { "(" + ids.map { "\($0)" }.joined(separator: " ") + ")" }
    var text = "voters=" + list(voters.incoming.voters)
    if isJoint { text += "&&" + list(voters.outgoing.voters) }
    if !learners.isEmpty { text += " learners=" + list(learners) }
    if !learnersNext.isEmpty { text += " learners_next=" + list(learnersNext) }
    if autoLeave { text += " autoleave" }
    return text
  }
}

extension ConfChange {
  /// The same change in the second form.
  public var asV2: ConfChangeV2 {
    ConfChangeV2(changes: [ConfChangeSingle(kind: kind, nodeID: nodeID)], context: context)
  }
}

extension ConfChangeV2 {
  /// Whether the change asks to leave a joint configuration.
  public var leavesJoint: Bool { transition == .auto && changes.isEmpty }

  /// Whether the change goes through a joint configuration. A single one with the automatic transition does without.
  public var usesJoint: Bool { transition != .auto || changes.count > 1 }

  /// Whether the leader is to leave the joint configuration by itself.
  public var autoLeave: Bool { transition != .jointExplicit }
}
