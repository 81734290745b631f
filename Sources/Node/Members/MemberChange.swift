internal import Model
internal import Store

/// What a change of configuration does to the stored members. All of it is decided from replicated state alone, so
/// every member refuses and records the same.
enum MemberChange {
  /// Why a change does not fit the members there are; etcd's checks in etcd's order. The changes that start a cluster
  /// fit by construction.
  static func refusal(of change: ConfChange, in applier: Applier) throws(StoreError) -> ClientError? {
    if try applier.isRemoved(change.nodeID) { return .memberNotFound }
    let known = try applier.member(change.nodeID)
    switch change.kind {
    case .addNode, .addLearnerNode:
      guard let context = ConfigChangeContext(json: change.context) else { return nil }
      if context.isPromote {
        guard let known else { return .memberNotFound }
        return known.isLearner ? nil : .memberNotLearner
      }
      if known != nil { return .memberExists }
      return try taken(context.member.peerURLs, by: change.nodeID, in: applier)
    case .removeNode: return known == nil ? .memberNotFound : nil
    case .updateNode:
      guard known != nil else { return .memberNotFound }
      guard let update = Member(json: change.context) else { return nil }
      return try taken(update.peerURLs, by: change.nodeID, in: applier)
    }
  }

  /// Whether another member has one of the URLs.
  private static func taken(
    _ urls: [String], by id: UInt64, in applier: Applier
  ) throws(StoreError) -> ClientError? {
    for other in try applier.members() where other.id != id {
      if other.peerURLs.contains(where: urls.contains) { return .peerURLExists }
    }
    return nil
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
      guard let context = ConfigChangeContext(json: change.context) else { return }
      if context.isPromote {
        guard var record = known else { return }
        record.isLearner = false
        return try applier.putMember(record)
      }
      let member = context.member
      try applier.putMember(
        MemberRecord(
          id: change.nodeID, peerURLs: member.peerURLs, isLearner: change.kind == .addLearnerNode,
          name: known?.name ?? member.name, clientURLs: known?.clientURLs ?? member.clientURLs))
    }
  }
}
