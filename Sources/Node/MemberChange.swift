internal import Model
internal import Store

/// What a change of configuration does to the stored members.
enum MemberChange {
  /// Why a change does not fit the members there are; decided from replicated state alone. The changes that start a
  /// cluster fit by construction.
  static func refusal(of change: ConfChange, in applier: Applier) throws(StoreError) -> ClientError? {
    switch change.kind {
    case .addNode, .addLearnerNode: return nil
    case .removeNode: return try applier.member(change.nodeID) == nil ? .memberNotFound : nil
    case .updateNode:
      guard try applier.member(change.nodeID) != nil else { return .memberNotFound }
      guard let update = Member(json: change.context) else { return nil }
      for other in try applier.members() where other.id != change.nodeID {
        if other.peerURLs.contains(where: update.peerURLs.contains) { return .peerURLExists }
      }
      return nil
    }
  }

  static func record(_ change: ConfChange, in applier: Applier) throws(StoreError) {
    let known = try applier.member(change.nodeID)
    switch change.kind {
    case .removeNode: try applier.removeMember(change.nodeID)
    case .updateNode:
      // Only what an update carries changes. Replacing the record would make a voter of a learner (etcd 21736).
      guard var record = known, let member = Member(json: change.context) else { return }
      record.peerURLs = member.peerURLs
      try applier.putMember(record)
    case .addNode, .addLearnerNode:
      guard let member = Member(json: change.context) else { return }
      try applier.putMember(
        MemberRecord(
          id: change.nodeID, peerURLs: member.peerURLs, isLearner: member.isLearner,
          name: known?.name ?? member.name, clientURLs: known?.clientURLs ?? member.clientURLs))
    }
  }
}
