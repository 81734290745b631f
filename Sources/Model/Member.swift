/// membership.Member of etcd: what the cluster knows about one of its members.
public struct Member: Hashable, Sendable {
  public var id: UInt64
  public var peerURLs: [String]
  public var isLearner: Bool
  /// Empty until the member has started and told it.
  public var name: String
  public var clientURLs: [String]

  public init(
    id: UInt64, peerURLs: [String], isLearner: Bool = false, name: String = "", clientURLs: [String] = []
  ) {
    self.id = id
    self.peerURLs = peerURLs
    self.isLearner = isLearner
    self.name = name
    self.clientURLs = clientURLs
  }
}
