/// What the peer listener answers, and how much of a body each takes.
enum PeerRoute: Equatable {
  case pipeline
  case snapshot
  case stream(directory: String, name: String)
  case probing
  /// Answered by the composition: of the form of `PeerRequest`.
  case other(bodyBytesMax: Int)

  /// A path's route; nil is a 404.
  init?(path: String) {
    switch path {
    case "/raft": self = .pipeline
    case "/raft/snapshot": self = .snapshot
    case "/raft/probing": self = .probing
    case "/members", "/downgrade/enabled", "/version": self = .other(bodyBytesMax: 4 << 10)
    case "/members/hashkv", "/leases", "/leases/internal": self = .other(bodyBytesMax: 64 << 10)
    // No route of etcd's, which answers 404: what a member says of its data, to be compared.
    case "/cairn/digest": self = .other(bodyBytesMax: 1 << 10)
    // Nor is this: whether a member can read the snapshots that this one sends.
    case "/cairn/snapshot": self = .other(bodyBytesMax: 0)
    case _ where path.hasPrefix("/members/promote/"): self = .other(bodyBytesMax: 4 << 10)
    case _ where path.hasPrefix("/raft/stream/"):
      let parts = path.dropFirst("/raft/stream/".count).split(
        separator: "/", omittingEmptySubsequences: false)
      let name = parts.last.map(String.init) ?? ""
      self = .stream(directory: parts.dropLast().joined(separator: "/"), name: name)
    default: return nil
    }
  }

  /// The only method of the path; nil where the answerer decides.
  static func method(of path: String) -> (name: String, isNamedInAnswer: Bool)? {
    switch path {
    case "/raft", "/raft/snapshot", "/cairn/digest": ("POST", true)
    case "/members", "/members/hashkv", "/downgrade/enabled", "/version", "/cairn/snapshot": ("GET", true)
    // etcd names no method here.
    case "/leases", "/leases/internal": ("POST", false)
    case _ where path.hasPrefix("/members/promote/"): ("POST", true)
    case _ where path.hasPrefix("/raft/stream/"): ("GET", true)
    default: nil
    }
  }
}

/// The two streams a member opens to each of its peers.
public enum StreamKind: String, Sendable, CaseIterable {
  /// Appends alone, in msgappv2's form.
  case append = "msgapp"
  /// Everything else.
  case message

  /// The name in etcd's log lines and failures.
  public var description: String {
    switch self {
    case .append: "stream MsgApp v2"
    case .message: "stream Message"
    }
  }
}
