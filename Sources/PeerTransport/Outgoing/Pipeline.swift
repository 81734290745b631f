import Model
import NIOCore
import NIOHTTP1

/// Posts single messages to a peer that has not opened its streams. Confined to the peers' event loop.
final class Pipeline {
  private let network: PeerNetwork
  weak var peer: Peer?
  private var waiting = CircularBuffer<Message>()
  private var underWay = 0
  private var isStopped = false

  init(network: PeerNetwork) {
    self.network = network
  }

  /// Takes a message; false if too many wait.
  func enqueue(_ message: Message) -> Bool {
    guard !isStopped, waiting.count < network.limits.pipelineMessages else { return false }
    waiting.append(message)
    next()
    return true
  }

  func stop() {
    isStopped = true
    waiting.removeAll()
  }

  private func next() {
    while underWay < network.limits.pipelineConnections, !isStopped, let message = waiting.popFirst() {
      post(message)
    }
  }

  private func post(_ message: Message) {
    guard let peer else { return }
    underWay += 1
    let url = peer.picker.current
    var headers = network.identity.headers
    headers.add(name: "Content-Type", value: "application/protobuf")
    let body = ByteBuffer(bytes: message.encoded())
    let me = NIOLoopBound(self, eventLoop: network.eventLoop)
    network.dialer.exchange(
      url, .POST, "/raft", headers: headers, body: body, responseBytesMax: Self.responseBytesMax,
      timeout: network.timeouts.response
    ).whenComplete { result in
      let failure: (any Error)? =
        switch result {
        case .success(let answer): answer.postError
        case .failure(let error): error
        }
      me.value.posted(failure, bytes: body.readableBytes, to: url)
    }
  }

  private static let responseBytesMax = 4096

  private func posted(_ failure: (any Error)?, bytes: Int, to url: PeerURL) {
    underWay -= 1
    guard !isStopped, let peer else { return }
    if let failure {
      peer.picker.unreachable(url)
      if failure as? PeerHTTPError == .removed { network.callbacks.notice(.removedFromCluster(by: peer.id)) }
      peer.deactivate("failed to write \(peer.idText) on pipeline (\(failure))")
      peer.lost()
    } else {
      peer.statistics.sentBytes += UInt64(bytes)
      peer.activate()
    }
    next()
  }
}
