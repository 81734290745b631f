public import Model

/// Receives what a `RaftMachine` does, in the words of etcd's raft library, which name the branch taken. For tests:
/// scenario files compare these lines byte for byte. In production there is none, and no text is made.
public protocol RaftTrace: AnyObject, Sendable {
  func log(_ level: RaftTraceLevel, _ text: String)
}

public enum RaftTraceLevel: Int, Comparable, Sendable {
  case debug, info, warning, error

  public static func < (one: Self, other: Self) -> Bool { one.rawValue < other.rawValue }
}

/// The optional trace, at the cost of one comparison where there is none.
struct Tracer {
  let trace: (any RaftTrace)?

  func debug(_ text: @autoclosure () -> String) { trace?.log(.debug, text()) }
  func info(_ text: @autoclosure () -> String) { trace?.log(.info, text()) }
  func warning(_ text: @autoclosure () -> String) { trace?.log(.warning, text()) }
  func error(_ text: @autoclosure () -> String) { trace?.log(.error, text()) }
}

extension UInt64 {
  /// As etcd's logs write member ids.
  var hex: String { String(self, radix: 16) }
}

extension Message.Kind {
  /// raftpb's name.
  public var name: String {
    switch self {
    case .hup: "MsgHup"
    case .beat: "MsgBeat"
    case .propose: "MsgProp"
    case .append: "MsgApp"
    case .appendResponse: "MsgAppResp"
    case .vote: "MsgVote"
    case .voteResponse: "MsgVoteResp"
    case .snapshot: "MsgSnap"
    case .heartbeat: "MsgHeartbeat"
    case .heartbeatResponse: "MsgHeartbeatResp"
    case .unreachable: "MsgUnreachable"
    case .snapshotStatus: "MsgSnapStatus"
    case .checkQuorum: "MsgCheckQuorum"
    case .transferLeader: "MsgTransferLeader"
    case .timeoutNow: "MsgTimeoutNow"
    case .readIndex: "MsgReadIndex"
    case .readIndexResponse: "MsgReadIndexResp"
    case .preVote: "MsgPreVote"
    case .preVoteResponse: "MsgPreVoteResp"
    case .storageAppend: "MsgStorageAppend"
    case .storageAppendResponse: "MsgStorageAppendResp"
    case .storageApply: "MsgStorageApply"
    case .storageApplyResponse: "MsgStorageApplyResp"
    case .forgetLeader: "MsgForgetLeader"
    }
  }
}

extension ConfChange.Kind {
  /// raftpb's name.
  var name: String {
    switch self {
    case .addNode: "ConfChangeAddNode"
    case .removeNode: "ConfChangeRemoveNode"
    case .updateNode: "ConfChangeUpdateNode"
    case .addLearnerNode: "ConfChangeAddLearnerNode"
    }
  }
}

extension Entry {
  /// A configuration change's content as protocol buffer text, as etcd's log lines have it.
  var changeText: String {
    switch kind {
    case .normal: return ""
    case .confChange:
      guard let change = try? ConfChange(decoding: data) else { return "" }
      let id = change.id == 0 ? "" : "id:\(change.id) "
      return "\(id)type:\(change.kind.name) node_id:\(change.nodeID)"
    case .confChangeV2:
      guard !data.isEmpty, let change = try? ConfChangeV2(decoding: data) else { return "" }
      let transition =
        switch change.transition {
        case .auto: "ConfChangeTransitionAuto"
        case .jointImplicit: "ConfChangeTransitionJointImplicit"
        case .jointExplicit: "ConfChangeTransitionJointExplicit"
        }
      let changes = change.changes.map { " changes:{type:\($0.kind.name) node_id:\($0.nodeID)}" }
      return "transition:\(transition)" + changes.joined()
    }
  }
}
