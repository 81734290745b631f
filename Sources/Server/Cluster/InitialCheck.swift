internal import Model
internal import NIOCore
internal import Node
internal import PeerTransport
internal import Store

/// etcd's check of a member that ran before, ahead of taking part (the gate InitialCorruptCheck): what it holds up to its own
/// revision is what the others hold there, by HashKV. Who cannot tell is no reason to stay away.
struct InitialCheck {
  private let store: Store
  private let logger: Logger
  private var memberID: UInt64 { store.recovery.identity.memberID }
  private static let timeoutNanoseconds: Int64 = 7_000_000_000

  init(_ store: Store, _ logger: Logger) {
    self.store = store
    self.logger = logger
  }

  private struct Own {
    var revision: Int64
    var compactRevision: Int64
    var hash: UInt64
  }

  /// Asks all others at once, and throws if one has other data.
  func run() throws {
    let local = ClusterIdentity.hexadecimal(memberID)
    logger.info(
      "starting initial corruption check",
      [
        "local-member-id": .text(local),
        "timeout": .duration(GoDuration(nanoseconds: Self.timeoutNanoseconds)),
      ])
    let view = try store.view()
    defer { view.end() }
    let own = try hash(view)
    let peers = try view.members().filter { $0.id != memberID }
    let nobody = PeerIdentity(memberID: 0, clusterID: 0, peerURLs: [], version: "")
    let transport = PeerTransport(PeerTransport.Configuration(identity: nobody), callbacks: .none)
    defer { try? transport.stop().wait() }
    let headers = [
      (name: "X-Etcd-Cluster-ID", value: ClusterIdentity.hexadecimal(store.recovery.identity.clusterID))
    ]
    let asked = peers.map { peer in
      let urls = peer.peerURLs.compactMap { PeerURL($0) }
      let answer = transport.client.firstAnswer(
        "GET", urls, path: "/members/hashkv", headers: headers,
        body: Array(#"{"revision":\#(own.revision)}"#.utf8), timeout: Self.timeoutNanoseconds)
      return (peer, answer)
    }
    var mismatches = 0
    for (peer, answer) in asked where differs(peer, Result { try answer.wait() }, from: own) {
      mismatches += 1
    }
    if mismatches > 0 {
      throw ConfigurationError.invalid("\(local) found data inconsistency with peers")
    }
    logger.info("initial corruption checking passed; no corruption", ["local-member-id": .text(local)])
  }

  private func hash(_ view: ReadView) throws -> Own {
    var cursor = try KeyValueHash.start(0, in: view).get()
    while true {
      guard case .done(let hash) = try cursor.advance(rows: 100_000) else { continue }
      return Own(
        revision: cursor.hashRevision, compactRevision: cursor.compactRevision, hash: UInt64(hash))
    }
  }

  /// Logs what is found, in etcd's words.
  private func differs(_ peer: MemberRecord, _ answer: Result<PeerResponse, any Error>, from own: Own) -> Bool
  {
    var fields: LogFields = [
      "local-member-id": .text(ClusterIdentity.hexadecimal(memberID)),
      "local-member-revision": .integer(own.revision),
      "local-member-compact-revision": .integer(own.compactRevision),
      "local-member-hash": .unsigned(own.hash),
      "remote-peer-id": .text(ClusterIdentity.hexadecimal(peer.id)),
      "remote-peer-endpoints": .list(peer.peerURLs),
    ]
    let response: PeerResponse
    do { response = try answer.get() } catch {
      fields.append("error", .text("\(error)"))
      logger.warn("cannot fetch hash from remote peer", fields)
      return false
    }
    guard let other = HashAnswer(json: response.body) else {
      logger.warn("cannot read the hash of a remote peer", fields)
      return false
    }
    if other.hash == own.hash { return false }
    fields.append("remote-peer-revision", .integer(other.revision))
    fields.append("remote-peer-compact-revision", .integer(other.compactRevision))
    fields.append("remote-peer-hash", .unsigned(other.hash))
    guard other.compactRevision == own.compactRevision else {
      logger.warn("found different compact revision values from remote peer", fields)
      return false
    }
    logger.warn("found different hash values from remote peer", fields)
    return true
  }
}
