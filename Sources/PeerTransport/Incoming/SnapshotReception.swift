import Model
import NIOCore
import NIOHTTP1

/// Takes one posted snapshot: the message first, then the data into the sink, no faster than the sink takes it.
///
/// Holds what one turn of the event loop read; nothing more is read until the sink has taken it.
final class SnapshotReception {
  private enum State {
    case message
    case data(any SnapshotSink, Message)
    case finishing
    case ended
  }

  /// Gone when the sink is heard of only after the connection was lost; then the state is `ended`.
  private unowned let connection: PeerConnection
  private let network: PeerNetwork
  private let head: HTTPRequestHead
  private let path: String
  private let begin = NIODeadline.now()
  private var decoder: SnapshotBodyDecoder
  private var state = State.message
  private var isWriting = false
  private var bodyHasEnded = false
  private var bytes = 0
  private var isCounted = false

  init(connection: PeerConnection, head: HTTPRequestHead, path: String) {
    self.connection = connection
    self.network = connection.network
    self.head = head
    self.path = path
    decoder = SnapshotBodyDecoder(messageBytesMax: connection.network.limits.snapshotMessageBytes)
  }

  /// Whether the sender has done its part.
  var isComplete: Bool { bodyHasEnded }

  func received(_ part: ByteBuffer) {
    if case .ended = state { return }
    bytes += part.readableBytes
    decoder.append(part)
    advance()
  }

  func receivedEnd() {
    if case .ended = state { return }
    bodyHasEnded = true
    advance()
  }

  func connectionLost() {
    if case .finishing = state {
      // The sink goes on; nobody is there to be told.
      release()
      state = .ended
      return
    }
    fail(nil, "the connection was lost")
  }

  // MARK: Steps

  private func advance() {
    guard !isWriting else { return }
    do throws(PeerCodecError) {
      switch state {
      case .message:
        guard let part = try decoder.next() else {
          if bodyHasEnded { throw .truncated }
          return
        }
        if case .message(let message) = part { start(message) }
      case .data(let sink, let message):
        if let part = try decoder.next() {
          if case .data(let piece) = part { write(piece, to: sink) }
        } else if bodyHasEnded {
          finish(sink, message)
        }
      case .finishing, .ended:
        break
      }
    } catch {
      let text =
        error == .wrongKind ? PeerRefusal.wrongKind : "failed to decode raft message (\(goText(error)))"
      noteMalformed(error)
      fail(PeerResponse(status: 400, error: text, headers: clusterHeader), text)
    }
  }

  /// The words of etcd's decoder.
  private func goText(_ error: PeerCodecError) -> String {
    switch error {
    case .truncated: bytes == 0 ? "EOF" : "unexpected EOF"
    case .tooLarge: "rafthttp: error limit exceeded"
    default: error.description
    }
  }

  private func start(_ message: Message) {
    if let reason = connection.refusal(of: message) {
      fail(connection.forbidden(reason), reason)
      return
    }
    guard network.incomingSnapshots < network.limits.incomingSnapshots,
      let sink = network.callbacks.receiveSnapshot(message)
    else {
      let text = "failed to save KV snapshot (no snapshot is taken now)"
      fail(PeerResponse(status: 500, error: text, headers: clusterHeader), text)
      return
    }
    network.incomingSnapshots += 1
    isCounted = true
    network.member(message.from)?.statistics.snapshotsReceiving += 1
    state = .data(sink, message)
    advance()
  }

  private func write(_ piece: ByteBuffer, to sink: any SnapshotSink) {
    isWriting = true
    connection.setReading(false)
    let me = NIOLoopBound(self, eventLoop: network.eventLoop)
    sink.write(piece).hop(to: network.eventLoop).whenComplete { result in
      me.value.isWriting = false
      switch result {
      case .success:
        me.value.advance()
        if !me.value.isWriting { me.value.resumeReading() }
      case .failure(let error):
        let text = "failed to save KV snapshot (\(error))"
        me.value.fail(
          PeerResponse(status: 500, error: text, headers: me.value.clusterHeader), text)
      }
    }
  }

  private func resumeReading() {
    if case .ended = state { return }
    connection.setReading(true)
  }

  private func finish(_ sink: any SnapshotSink, _ message: Message) {
    state = .finishing
    let me = NIOLoopBound(self, eventLoop: network.eventLoop)
    sink.finish().hop(to: network.eventLoop).whenComplete { result in me.value.finished(result, message) }
  }

  private func finished(_ result: Result<Void, any Error>, _ message: Message) {
    let sender = network.member(message.from)
    sender?.statistics.snapshotsReceiving -= 1
    switch result {
    case .success:
      sender?.statistics.snapshotsReceived += 1
      sender?.statistics.receivedBytes += UInt64(bytes)
      sender?.statistics.snapshotReceiveDuration.observe(
        seconds: Double((NIODeadline.now() - begin).nanoseconds) / 1e9)
      network.callbacks.notice(
        .snapshotReceived(peer: message.from, index: message.snapshot?.index ?? 0, bytes: bytes))
      network.deliver([message], from: message.from, bytes: message.encodedSize)
      answer(PeerResponse(status: 204, headers: clusterHeader))
    case .failure(let error):
      sender?.statistics.snapshotReceiveFailures += 1
      let text = "failed to save KV snapshot (\(error))"
      network.callbacks.notice(
        .snapshotReceiptFailed(peer: message.from, index: message.snapshot?.index ?? 0, reason: text))
      answer(PeerResponse(status: 500, error: text, headers: clusterHeader))
    }
  }

  private var clusterHeader: [(name: String, value: String)] {
    [(PeerHeader.cluster, network.identity.clusterText)]
  }

  private func answer(_ response: PeerResponse) {
    guard case .finishing = state else { return }
    state = .ended
    release()
    connection.respond(response, closes: !head.isKeepAlive || response.status != 204)
  }

  // MARK: The end

  /// - Parameter response: nil when the connection has gone.
  private func fail(_ response: PeerResponse?, _ reason: String) {
    if case .ended = state { return }
    let last = state
    state = .ended
    if case .data(let sink, let message) = last {
      sink.abort()
      network.member(message.from)?.statistics.snapshotsReceiving -= 1
      network.member(message.from)?.statistics.snapshotReceiveFailures += 1
      network.callbacks.notice(
        .snapshotReceiptFailed(peer: message.from, index: message.snapshot?.index ?? 0, reason: reason))
    }
    release()
    guard let response else { return }
    connection.setReading(true)
    connection.refuse(response, path, head, isComplete: bodyHasEnded)
  }

  private func noteMalformed(_ error: PeerCodecError) {
    guard let id = head.headers.first(name: PeerHeader.from).flatMap({ MemberText.id($0) }) else { return }
    network.callbacks.notice(.malformed(peer: id, error))
    network.member(id)?.statistics.receiveFailures += 1
  }

  private func release() {
    guard isCounted else { return }
    isCounted = false
    network.incomingSnapshots -= 1
  }
}
