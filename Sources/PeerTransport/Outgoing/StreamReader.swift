import Model
import NIOCore
import NIOHTTP1

/// Keeps one stream from a peer open: dials it, reads its messages, and dials again. Confined to the peers' event loop.
///
/// The receiver opens the stream: a member that wants a peer's messages asks for them.
final class StreamReader {
  let kind: StreamKind
  private unowned let peer: Peer
  private let network: PeerNetwork
  private var channel: (any Channel)?
  private var handler: StreamReaderHandler?
  private var retry: Scheduled<Void>?
  private var retryDelay: Int64
  private var isStopped = false

  init(kind: StreamKind, peer: Peer, network: PeerNetwork) {
    self.kind = kind
    self.peer = peer
    self.network = network
    retryDelay = network.timeouts.retry
  }

  func start() { dial() }

  func stop() {
    isStopped = true
    retry?.cancel()
    retry = nil
    handler?.abandon()
    handler = nil
    channel?.close(promise: nil)
    channel = nil
  }

  /// Stops or goes on reading: the member has more messages than it processes.
  func setReading(_ isReading: Bool) { handler?.setReading(isReading) }

  private func dial() {
    guard !isStopped else { return }
    let url = peer.picker.current
    var head = HTTPRequestHead(
      version: .http1_1, method: .GET,
      uri: "/raft/stream/\(kind.rawValue)/\(MemberText.hexadecimal(network.identity.memberID))",
      headers: network.identity.headers)
    head.headers.add(name: "Host", value: url.authority)
    head.headers.add(name: PeerHeader.to, value: MemberText.hexadecimal(peer.id))
    let handler = StreamReaderHandler(
      head, kind: kind, local: network.identity.memberID, remote: peer.id, limits: network.limits,
      timeouts: network.timeouts)
    handler.isReading = network.mayRead(kind)
    handler.onOpen = { [weak self] in self?.opened() }
    handler.onMessages = { [weak self] messages, bytes in
      guard let self else { return }
      self.network.deliver(messages, from: self.peer, bytes: bytes)
    }
    handler.onEnd = { [weak self] end in self?.ended(end, url) }
    self.handler = handler
    let bound = NIOLoopBound(handler, eventLoop: network.eventLoop)
    let me = NIOLoopBound(self, eventLoop: network.eventLoop)
    network.dialer.connect(to: url) { bound.value }.whenComplete { result in
      switch result {
      case .success(let channel):
        if me.value.isStopped || me.value.handler !== bound.value {
          channel.close(promise: nil)
        } else if bound.value.hasEnded {
          // Refused before the connection was reported here.
        } else {
          me.value.channel = channel
        }
      case .failure(let error):
        bound.value.abandon()
        me.value.ended(.failed("\(error)"), url)
      }
    }
  }

  private func opened() {
    retryDelay = network.timeouts.retry
    network.callbacks.notice(.streamOpened(peer: peer.id, kind, .incoming))
    peer.activate()
  }

  private func ended(_ end: StreamReaderHandler.End, _ url: PeerURL) {
    guard !isStopped else { return }
    channel = nil
    handler = nil
    switch end {
    case .closed(let reason):
      network.callbacks.notice(.streamLost(peer: peer.id, kind, .incoming, reason: reason))
    // etcd: the peer has gone away in order; whether it is gone shows when it is dialled.
    case .timedOut:
      network.callbacks.notice(.streamLost(peer: peer.id, kind, .incoming, reason: "i/o timeout"))
      peer.deactivate("failed to read \(peer.idText) on \(kind.description) (i/o timeout)")
    case .malformed(let error):
      network.callbacks.notice(.malformed(peer: peer.id, error))
      peer.statistics.receiveFailures += 1
      peer.deactivate("failed to read \(peer.idText) on \(kind.description) (\(error))")
    case .failed(let reason):
      peer.picker.unreachable(url)
      peer.deactivate("failed to dial \(peer.idText) on \(kind.description) (\(reason))")
    case .removed:
      peer.picker.unreachable(url)
      network.callbacks.notice(.removedFromCluster(by: peer.id))
      peer.deactivate("failed to dial \(peer.idText) on \(kind.description) (\(PeerHTTPError.removed))")
    }
    let delay = retryDelay
    retryDelay = min(retryDelay * 2, network.timeouts.retryMax)
    let me = NIOLoopBound(self, eventLoop: network.eventLoop)
    retry = network.eventLoop.scheduleTask(in: .nanoseconds(delay)) { me.value.dial() }
  }
}
