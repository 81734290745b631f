public import Model

extension Message {
  /// What keeps an idle stream alive. Raft never sends a message without sender and receiver.
  public static let linkHeartbeat = Message(kind: .heartbeat)

  public var isLinkHeartbeat: Bool { kind == .heartbeat && from == 0 && to == 0 }
}
