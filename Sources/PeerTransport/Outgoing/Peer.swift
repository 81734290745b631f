import Model
import NIOCore

/// Everything towards one other member. Confined to the peers' event loop.
///
/// A member proper has two streams each way; a remote, known by its requests alone, gets posted messages only: it
/// answers a leader that this member's log does not name yet.
final class Peer {
  let id: UInt64
  let isMember: Bool
  var picker: URLPicker
  var statistics: PeerStatistics
  private(set) var status: PeerStatus
  private let network: PeerNetwork
  private let appendWriter: StreamWriter
  private let messageWriter: StreamWriter
  private var readers: [StreamReader] = []
  private let pipeline: Pipeline
  private let prober: Prober
  private var snapshots: [SnapshotSender] = []
  private var dropped = 0
  private var droppedNotice: Scheduled<Void>?

  init(id: UInt64, urls: [PeerURL], isMember: Bool, network: PeerNetwork) {
    self.id = id
    self.isMember = isMember
    self.network = network
    picker = URLPicker(urls)
    statistics = PeerStatistics(id: id)
    status = PeerStatus(id: id, urls: urls)
    appendWriter = network.makeWriter(.append)
    messageWriter = network.makeWriter(.message)
    pipeline = Pipeline(network: network)
    prober = Prober(network: network)
  }

  var idText: String { MemberText.hexadecimal(id) }

  func start() {
    pipeline.peer = self
    prober.peer = self
    guard isMember else { return }
    connect(appendWriter, .append)
    connect(messageWriter, .message)
    readers = StreamKind.allCases.map { StreamReader(kind: $0, peer: self, network: network) }
    for reader in readers { reader.start() }
    prober.start()
    network.publish(status)
  }

  func stop() {
    appendWriter.stop()
    messageWriter.stop()
    for reader in readers { reader.stop() }
    readers = []
    pipeline.stop()
    prober.stop()
    for sender in snapshots { sender.stop() }
    droppedNotice?.cancel()
  }

  func update(_ urls: [PeerURL]) {
    picker.update(urls)
    status.urls = urls
    network.publish(status)
  }

  func setReading(_ kind: StreamKind, _ isReading: Bool) {
    for reader in readers where reader.kind == kind { reader.setReading(isReading) }
  }

  // MARK: Sending

  /// Takes a message for the way that fits it; `flush` sends what was taken.
  func send(_ message: Message) {
    if message.kind == .snapshot {
      // It has to come with its data: `sendSnapshot`.
      network.callbacks.snapshotFinished(id, false)
      return
    }
    let isTaken: Bool
    if message.kind == .append && appendWriter.isAttached {
      isTaken = appendWriter.enqueue(message)
    } else if messageWriter.isAttached {
      isTaken = messageWriter.enqueue(message)
    } else {
      isTaken = pipeline.enqueue(message)
    }
    if !isTaken { drop() }
  }

  func flush() {
    appendWriter.pump()
    messageWriter.pump()
  }

  func sendSnapshot(_ message: Message, from source: any SnapshotSource) {
    let sender = SnapshotSender(message, source: source, peer: self, network: network)
    snapshots.append(sender)
    statistics.snapshotsSending += 1
    sender.onEnd = { [weak self, unowned sender] failure in
      guard let self else { return }
      self.snapshots.removeAll { $0 === sender }
      self.snapshotEnded(sender, failure)
    }
    sender.start()
  }

  /// The peer asked for one of its streams.
  func attach(_ stream: OutgoingStream, _ kind: StreamKind) {
    let writer = kind == .append ? appendWriter : messageWriter
    writer.attach(stream)
    network.callbacks.notice(.streamOpened(peer: id, kind, .outgoing))
    activate()
  }

  /// A message was not sent, or what was sent may not have arrived.
  func lost() {
    statistics.sendFailures += 1
    network.callbacks.unreachable(id)
  }

  private func drop() {
    lost()
    dropped += 1
    guard droppedNotice == nil else { return }
    let me = NIOLoopBound(self, eventLoop: network.eventLoop)
    droppedNotice = network.eventLoop.scheduleTask(in: .seconds(1)) {
      me.value.network.callbacks.notice(.dropped(peer: me.value.id, count: me.value.dropped))
      me.value.dropped = 0
      me.value.droppedNotice = nil
    }
  }

  private func connect(_ writer: StreamWriter, _ kind: StreamKind) {
    writer.onSent = { [weak self] bytes in self?.statistics.sentBytes += UInt64(bytes) }
    writer.onLost = { [weak self] reason in
      guard let self else { return }
      self.network.callbacks.notice(.streamLost(peer: self.id, kind, .outgoing, reason: reason))
      if reason == StreamWriter.timeoutReason {
        self.deactivate("failed to write \(self.idText) on \(kind.description) (\(reason))")
      }
      self.lost()
    }
  }

  private func snapshotEnded(_ sender: SnapshotSender, _ failure: String?) {
    statistics.snapshotsSending -= 1
    let index = sender.message.snapshot?.index ?? 0
    if let failure {
      statistics.snapshotSendFailures += 1
      deactivate("failed to post \(idText) on sendMsgSnap (\(failure))")
      lost()
      network.callbacks.notice(.snapshotFailed(peer: id, index: index, reason: failure))
    } else {
      statistics.snapshotsSent += 1
      statistics.sentBytes += UInt64(sender.sentBytes)
      statistics.snapshotSendDuration.observe(seconds: sender.seconds)
      activate()
      network.callbacks.notice(.snapshotSent(peer: id, index: index, bytes: sender.sentBytes))
    }
    network.callbacks.snapshotFinished(id, failure == nil)
  }

  // MARK: Status

  func activate() {
    guard isMember, status.activeSince == nil else { return }
    status.activeSince = NIODeadline.now().uptimeNanoseconds
    status.failure = nil
    statistics.isActive = true
    network.publish(status)
    network.callbacks.notice(.active(peer: id))
  }

  func deactivate(_ reason: String) {
    guard isMember else { return }
    let wasActive = status.activeSince != nil
    let isNews = wasActive || status.failure == nil
    status.activeSince = nil
    status.failure = reason
    statistics.isActive = false
    if wasActive { statistics.disconnections += 1 }
    network.publish(status)
    if isNews { network.callbacks.notice(.inactive(peer: id, reason: reason)) }
  }
}
