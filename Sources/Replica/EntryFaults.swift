internal import Model
internal import Raft

// What a peer could put into entries. Raft looks at their numbers, and takes any content.
extension Message {
  /// Why nobody should execute the entries that another member proposes or appends; nil if they are all right.
  var faultOfEntries: MessageFault? {
    guard kind == .propose || kind == .append else { return nil }
    for entry in entries {
      if let fault = entry.faultOfContent { return fault }
    }
    return nil
  }
}

extension Entry {
  /// The lease that a command which can be executed asks for.
  var grantedLease: Int64? {
    guard kind == .normal, case .leaseGrant(let grant)? = (try? RaftCommand(entry: data))?.operation else {
      return nil
    }
    return grant.id
  }

  fileprivate var faultOfContent: MessageFault? {
    switch kind {
    case .normal: data.isEmpty || RaftCommand.isExecutable(entry: data) ? nil : .malformedCommand
    case .confChange: isKnownChange ? nil : .malformedChange
    // No member proposes one: changes come one at a time here, as in etcd.
    case .confChangeV2: .malformedChange
    }
  }

  /// A change that says of the member, in its context, what its kind is about; the record of members follows that.
  private var isKnownChange: Bool {
    guard let change = try? ConfChange(decoding: data), change.nodeID != 0 else { return false }
    switch change.kind {
    case .addNode, .addLearnerNode:
      return ConfigChangeContext(json: change.context)?.member.id == change.nodeID
    case .updateNode: return Member(json: change.context)?.id == change.nodeID
    case .removeNode: return true
    }
  }
}
