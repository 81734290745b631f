import NIOCore
import NIOHTTP1

/// Asks a peer now and then whether it is there, and measures how long the answer takes. Confined to the peers' event
/// loop.
final class Prober {
  private let network: PeerNetwork
  weak var peer: Peer?
  private var task: RepeatedTask?
  private var isUnderWay = false

  init(network: PeerNetwork) {
    self.network = network
  }

  func start() {
    let pace = TimeAmount.nanoseconds(network.timeouts.probing)
    let me = NIOLoopBound(self, eventLoop: network.eventLoop)
    task = network.eventLoop.scheduleRepeatedTask(initialDelay: pace, delay: pace) { _ in me.value.probe() }
  }

  func stop() {
    task?.cancel()
    task = nil
  }

  private func probe() {
    guard !isUnderWay, let peer else { return }
    isUnderWay = true
    let begin = NIODeadline.now()
    let me = NIOLoopBound(self, eventLoop: network.eventLoop)
    network.dialer.exchange(
      peer.picker.current, .GET, ProbingAnswer.path, headers: HTTPHeaders(), body: nil,
      responseBytesMax: ProbingAnswer.bytesMax, timeout: network.timeouts.response
    ).whenComplete { result in
      me.value.isUnderWay = false
      // Whether the peer is active is the streams' business: etcd, too, only measures here.
      guard case .success(let answer) = result, answer.status == 200, ProbingAnswer.isFine(answer.body) else {
        return
      }
      let seconds = Double((NIODeadline.now() - begin).nanoseconds) / 1e9
      me.value.peer?.statistics.roundTrip.observe(seconds: seconds)
    }
  }
}
