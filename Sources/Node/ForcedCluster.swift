internal import Model
internal import Raft
internal import WriteAheadLog

/// `--force-new-cluster`: a member goes on alone when the others are lost for good. Changes at the end of the log take all
/// others out, so that the members there are follow from the log as ever.
///
/// The whole log counts as committed: this member may not have heard yet that its last entries were, and what was
/// acknowledged must not be dropped. etcd drops what its log does not say to be committed; it records that sooner.
enum ForcedCluster {
  /// Durable when it returns. A log that names no other member is left as it is.
  ///
  /// - Parameters:
  ///   - confState: the members at `appliedIndex`.
  ///   - term: of the entry at `appliedIndex`.
  static func begin(
    _ recovered: inout RecoveredLog, _ log: WriteAheadLog, confState: ConfState, appliedIndex: UInt64,
    term: UInt64, memberID: UInt64
  ) throws(NodeError) {
    let last = max(recovered.lastIndex, appliedIndex)
    var present = confState
    for entry in recovered.entries where entry.index > appliedIndex && entry.kind == .confChange {
      guard let change = try? ConfChange(decoding: entry.data) else { continue }
      present = present.applying(change) ?? present
    }
    let changes = changes(present, memberID)
    if changes.isEmpty { return }
    let lastTerm = max(recovered.hardState.term, recovered.entries.last?.term ?? term)
    let entries = changes.enumerated().map { offset, change in
      Entry(term: lastTerm, index: last + 1 + UInt64(offset), kind: .confChange, data: change.encoded())
    }
    recovered.entries += entries
    recovered.lastIndex = last + UInt64(entries.count)
    recovered.hardState.term = lastTerm
    recovered.hardState.commit = recovered.lastIndex
    let hardState = recovered.hardState
    try orStop { () throws(LogError) in
      try log.append(entries: entries, hardState: hardState)
      _ = try log.flush()
    }
  }

  /// First the vote of this member, then the others: a configuration without voters is none.
  private static func changes(_ present: ConfState, _ memberID: UInt64) -> [ConfChange] {
    var changes: [ConfChange] = []
    if present.learners.contains(memberID) {
      let context = ConfigChangeContext(member: Member(id: memberID, peerURLs: []), isPromote: true)
      changes.append(ConfChange(kind: .addNode, nodeID: memberID, context: context.json))
    }
    guard present.members.contains(memberID) else { return [] }
    let others = present.members.filter { $0 != memberID }
    return changes + others.map { ConfChange(kind: .removeNode, nodeID: $0) }
  }
}
