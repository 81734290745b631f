internal import Model
internal import Node
internal import PeerTransport

/// Log lines about the links to other members, in etcd's words where it has some. Whatever another member does, the lines
/// it causes are bounded in number and length.
struct PeerLog: Sendable {
  let logger: Logger
  let localID: UInt64
  let limit: LineLimit
  /// Another member says that this one was removed.
  let removed: @Sendable () -> Void

  func take(_ notice: PeerNotice) {
    let (record, sender) = line(notice)
    if logger.level <= record.level, let admitted = limit.admit(record, from: sender) { logger.log(admitted) }
    if case .removedFromCluster = notice { removed() }
  }

  /// A heartbeat left too late; times in nanoseconds.
  func take(late peer: UInt64, interval: UInt64, expected: UInt64, exceeded: UInt64) {
    func duration(_ nanoseconds: UInt64) -> LogValue {
      .duration(GoDuration(nanoseconds: Int64(clamping: nanoseconds)))
    }
    let record = LogRecord(
      .warn,
      "leader failed to send out heartbeat on time; took too long, leader is overloaded likely from slow disk",
      [
        "to": .id(peer), "heartbeat-interval": duration(interval), "expected-duration": duration(expected),
        "exceeded-duration": duration(exceeded),
      ])
    if let admitted = limit.admit(record, from: name(peer)) { logger.log(admitted) }
  }

  /// The line, and whose it is.
  private func line(_ notice: PeerNotice) -> (LogRecord, sender: String) {
    switch notice {
    case .active(let peer):
      return (LogRecord(.info, "peer became active", ["peer-id": .id(peer)]), name(peer))
    case .inactive(let peer, let reason):
      let fields: LogFields = ["peer-id": .id(peer), "error": text(reason)]
      return (LogRecord(.warn, "peer became inactive (message send to peer failed)", fields), name(peer))
    case .streamOpened(let peer, let kind, let direction):
      let message =
        direction == .incoming
        ? "established TCP streaming connection with remote peer" : "set message encoder"
      return (LogRecord(.debug, message, fields(peer, kind)), name(peer))
    case .streamLost(let peer, let kind, let direction, let reason):
      var lost = fields(peer, kind)
      lost.append("error", text(reason))
      let message =
        direction == .incoming
        ? "lost TCP streaming connection with remote peer" : "lost TCP streaming connection to remote peer"
      return (LogRecord(.warn, message, lost), name(peer))
    case .refused(let from, let path, let status, let reason):
      let fields: LogFields = [
        "local-member-id": .id(localID), "from": text(from), "path": text(path),
        "status": .integer(Int64(status)), "error": text(reason),
      ]
      return (LogRecord(.warn, "refused a request of another member", fields), String(from.prefix(64)))
    case .malformed(let peer, let error):
      let fields: LogFields = ["peer-id": .id(peer), "error": text(error.description)]
      return (LogRecord(.error, "a peer sent what is no message", fields), name(peer))
    case .dropped(let peer, let count):
      let fields: LogFields = ["peer-id": .id(peer), "count": .integer(Int64(count))]
      let message = "dropped internal Raft message since sending buffer is full"
      return (LogRecord(.warn, message, fields), name(peer))
    case .remoteAdded(let peer, let urls):
      let fields: LogFields = ["peer-id": .id(peer), "peer-urls": .list(urls)]
      return (LogRecord(.info, "added remote peer that is no member yet", fields), name(peer))
    case .removedFromCluster(let peer):
      let message = "another member says that this one was removed"
      return (LogRecord(.warn, message, ["peer-id": .id(peer)]), name(peer))
    case .snapshotSent(let peer, let index, let bytes):
      let fields = fields(peer, index, ("bytes", .integer(Int64(bytes))))
      return (LogRecord(.info, "sent database snapshot", fields), name(peer))
    case .snapshotReceived(let peer, let index, let bytes):
      let fields = fields(peer, index, ("bytes", .integer(Int64(bytes))))
      return (LogRecord(.info, "received and saved database snapshot", fields), name(peer))
    case .snapshotFailed(let peer, let index, let reason):
      let fields = fields(peer, index, ("error", text(reason)))
      return (LogRecord(.warn, "failed to send database snapshot", fields), name(peer))
    case .snapshotReceiptFailed(let peer, let index, let reason):
      let fields = fields(peer, index, ("error", text(reason)))
      return (LogRecord(.warn, "failed to save incoming database snapshot", fields), name(peer))
    case .tooManyConnections:
      return (LogRecord(.warn, "too many connections to the peer listener; one was closed", [:]), "")
    }
  }

  private func fields(_ peer: UInt64, _ kind: StreamKind) -> LogFields {
    ["stream-type": .text(kind.description), "local-member-id": .id(localID), "remote-peer-id": .id(peer)]
  }

  private func fields(_ peer: UInt64, _ index: UInt64, _ last: (String, LogValue)) -> LogFields {
    var fields: LogFields = ["peer-id": .id(peer), "snapshot-index": .unsigned(index)]
    fields.append(last.0, last.1)
    return fields
  }

  private func name(_ peer: UInt64) -> String { ClusterIdentity.hexadecimal(peer) }

  /// What may have come from outside.
  private func text(_ text: String) -> LogValue {
    text.utf8.count <= Self.textBytesMax
      ? .text(text) : .text(String(text.prefix(Self.textBytesMax / 4)) + "…")
  }

  private static let textBytesMax = 1024
}
