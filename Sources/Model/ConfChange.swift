/// raftpb.ConfChange: the content of an entry of kind `confChange`.
public struct ConfChange: Hashable, Sendable {
  public enum Kind: Int32, CaseIterable, Sendable {
    case addNode = 0, removeNode, updateNode, addLearnerNode
  }

  public var id: UInt64
  public var kind: Kind
  public var nodeID: UInt64
  /// etcd's member as JSON.
  public var context: [UInt8]

  public init(id: UInt64 = 0, kind: Kind = .addNode, nodeID: UInt64 = 0, context: [UInt8] = []) {
    self.id = id
    self.kind = kind
    self.nodeID = nodeID
    self.context = context
  }
}

/// raftpb.ConfChangeSingle.
public struct ConfChangeSingle: Hashable, Sendable {
  public var kind: ConfChange.Kind
  public var nodeID: UInt64

  public init(kind: ConfChange.Kind = .addNode, nodeID: UInt64 = 0) {
    self.kind = kind
    self.nodeID = nodeID
  }
}

/// raftpb.ConfChangeV2: the content of an entry of kind `confChangeV2`; an empty entry is the one without
/// changes, which leaves a joint configuration.
public struct ConfChangeV2: Hashable, Sendable {
  public enum Transition: Int32, CaseIterable, Sendable { case auto = 0, jointImplicit, jointExplicit }

  public var transition: Transition
  public var changes: [ConfChangeSingle]
  public var context: [UInt8]

  public init(transition: Transition = .auto, changes: [ConfChangeSingle] = [], context: [UInt8] = []) {
    self.transition = transition
    self.changes = changes
    self.context = context
  }
}
