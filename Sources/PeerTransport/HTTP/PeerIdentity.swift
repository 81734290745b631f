import NIOHTTP1

/// Who this member is to its peers.
public struct PeerIdentity: Sendable {
  public var memberID: UInt64
  public var clusterID: UInt64
  /// The advertised peer URLs, for members that do not know this one yet.
  public var peerURLs: [String]
  /// The etcd release whose peer protocol is spoken.
  public var version: String

  public init(memberID: UInt64, clusterID: UInt64, peerURLs: [String], version: String) {
    self.memberID = memberID
    self.clusterID = clusterID
    self.peerURLs = peerURLs
    self.version = version
  }

  /// The oldest release whose members are talked to; etcd's constant.
  static let minimumClusterVersion = "3.0.0"

  var clusterText: String { MemberText.hexadecimal(clusterID) }

  /// The headers of every request about Raft.
  var headers: HTTPHeaders {
    var headers = HTTPHeaders()
    headers.add(name: PeerHeader.from, value: MemberText.hexadecimal(memberID))
    headers.add(name: PeerHeader.version, value: version)
    headers.add(name: PeerHeader.minimumVersion, value: Self.minimumClusterVersion)
    headers.add(name: PeerHeader.cluster, value: clusterText)
    if !peerURLs.isEmpty {
      headers.add(name: PeerHeader.peerURLs, value: peerURLs.joined(separator: ","))
    }
    return headers
  }

  /// Why a request is not for this member, in etcd's words; nil if it may be.
  ///
  /// A member without version headers is taken for 2.0, as etcd does. A version that cannot be read is refused,
  /// where etcd drops the connection.
  func incompatibility(_ headers: HTTPHeaders) -> String? {
    let oldest = "2.0.0"
    guard let remote = ServerVersion(headers.value(PeerHeader.version, ifMissing: oldest)),
      let remoteMinimum = ServerVersion(headers.value(PeerHeader.minimumVersion, ifMissing: oldest)),
      let local = ServerVersion(version), let localMinimum = ServerVersion(Self.minimumClusterVersion),
      remote >= localMinimum, remoteMinimum <= local
    else { return PeerRefusal.incompatibleVersion }
    return headers.first(name: PeerHeader.cluster) == clusterText ? nil : PeerRefusal.clusterMismatch
  }
}

enum PeerHeader {
  static let from = "X-Server-From"
  static let version = "X-Server-Version"
  static let minimumVersion = "X-Min-Cluster-Version"
  static let cluster = "X-Etcd-Cluster-ID"
  static let to = "X-Raft-To"
  static let peerURLs = "X-PeerURLs"
}

/// etcd's words for what it refuses; its members compare them.
enum PeerRefusal {
  static let incompatibleVersion = "incompatible version"
  static let clusterMismatch = "cluster ID mismatch"
  static let toMismatch = "to field mismatch"
  static let removed = "removed member"
  static let unknownSender = "error sender not found"
  static let invalidPath = "invalid path"
  static let invalidSender = "invalid from"
  static let methodNotAllowed = "Method Not Allowed"
  static let notFound = "404 page not found"
  static let wrongKind = "wrong raft message type"
  static let unreadable = "error reading raft message"
  static let malformed = "error unmarshalling raft message"
  static let unprocessed = "error processing raft message"
}

extension HTTPHeaders {
  fileprivate func value(_ name: String, ifMissing other: String) -> String {
    guard let value = first(name: name), !value.isEmpty else { return other }
    return value
  }
}
