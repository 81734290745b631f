internal import Model
internal import Node
internal import PeerTransport

/// Log lines about the links to other members, in etcd's words where it has some.
struct PeerLog: Sendable {
  let logger: Logger
  let localID: UInt64
  /// Another member says that this one was removed.
  let removed: @Sendable () -> Void

  func take(_ notice: PeerNotice) {
    switch notice {
    case .active(let peer):
      logger.info("peer became active", ["peer-id": .id(peer)])
    case .inactive(let peer, let reason):
      logger.warn(
        "peer became inactive (message send to peer failed)",
        ["peer-id": .id(peer), "error": .text(reason)])
    case .streamOpened(let peer, let kind, let direction):
      logger.debug(
        direction == .incoming
          ? "established TCP streaming connection with remote peer" : "set message encoder",
        fields(peer, kind))
    case .streamLost(let peer, let kind, let direction, let reason):
      var lost = fields(peer, kind)
      lost.append("error", .text(reason))
      logger.warn(
        direction == .incoming
          ? "lost TCP streaming connection with remote peer" : "lost TCP streaming connection to remote peer",
        lost)
    case .refused(let from, let path, let status, let reason):
      logger.warn(
        "refused a request of another member",
        [
          "local-member-id": .id(localID), "from": .text(from), "path": .text(path),
          "status": .integer(Int64(status)), "error": .text(reason),
        ])
    case .malformed(let peer, let error):
      logger.error(
        "a peer sent what is no message", ["peer-id": .id(peer), "error": .text(error.description)])
    case .dropped(let peer, let count):
      logger.warn(
        "dropped internal Raft message since sending buffer is full",
        ["peer-id": .id(peer), "count": .integer(Int64(count))])
    case .remoteAdded(let peer, let urls):
      logger.info(
        "added remote peer that is no member yet", ["peer-id": .id(peer), "peer-urls": .list(urls)])
    case .removedFromCluster(let peer):
      logger.warn("another member says that this one was removed", ["peer-id": .id(peer)])
      removed()
    case .snapshotSent, .snapshotFailed, .snapshotReceived, .snapshotReceiptFailed: snapshot(notice)
    case .tooManyConnections:
      logger.warn("too many connections to the peer listener; one was closed")
    }
  }

  private func snapshot(_ notice: PeerNotice) {
    func fields(_ peer: UInt64, _ index: UInt64) -> LogFields {
      ["peer-id": .id(peer), "snapshot-index": .unsigned(index)]
    }
    switch notice {
    case .snapshotSent(let peer, let index, let bytes):
      var line = fields(peer, index)
      line.append("bytes", .integer(Int64(bytes)))
      logger.info("sent database snapshot", line)
    case .snapshotReceived(let peer, let index, let bytes):
      var line = fields(peer, index)
      line.append("bytes", .integer(Int64(bytes)))
      logger.info("received and saved database snapshot", line)
    case .snapshotFailed(let peer, let index, let reason):
      var line = fields(peer, index)
      line.append("error", .text(reason))
      logger.warn("failed to send database snapshot", line)
    case .snapshotReceiptFailed(let peer, let index, let reason):
      var line = fields(peer, index)
      line.append("error", .text(reason))
      logger.warn("failed to save incoming database snapshot", line)
    default: break
    }
  }

  private func fields(_ peer: UInt64, _ kind: StreamKind) -> LogFields {
    ["stream-type": .text(kind.description), "local-member-id": .id(localID), "remote-peer-id": .id(peer)]
  }
}
