import Model
import NIOCore
import Synchronization

/// The peers and what they share. Confined to the peers' event loop, but for `consumed` and the published status.
final class PeerNetwork: @unchecked Sendable {
  // Sendable by proof: variables are touched on `eventLoop` alone; the rest is constant, atomic or behind a mutex.
  let eventLoop: any EventLoop
  let identity: PeerIdentity
  let limits: PeerLimits
  let timeouts: PeerTimeouts
  let callbacks: PeerCallbacks
  let dialer: PeerDialer
  private var peers: [UInt64: Peer] = [:]
  private var removed: Set<UInt64>
  private var isStopped = false
  /// Bodies of requests that are being collected, all connections together.
  var collectedBytes = 0
  var incomingSnapshots = 0
  private let statuses = Mutex<[UInt64: PeerStatus]>([:])
  private let received: ReceiveBudget

  init(
    eventLoop: any EventLoop, identity: PeerIdentity, limits: PeerLimits, timeouts: PeerTimeouts,
    removed: Set<UInt64>, callbacks: PeerCallbacks, dialer: PeerDialer
  ) {
    self.eventLoop = eventLoop
    self.identity = identity
    self.limits = limits
    self.timeouts = timeouts
    self.removed = removed
    self.callbacks = callbacks
    self.dialer = dialer
    received = ReceiveBudget(limits)
  }

  func makeWriter(_ kind: StreamKind) -> StreamWriter {
    StreamWriter(kind: kind, limits: limits, timeouts: timeouts, eventLoop: eventLoop)
  }

  // MARK: Members

  func add(_ id: UInt64, urls: [PeerURL]) {
    guard !isStopped, id != identity.memberID, id != 0, !urls.isEmpty, !removed.contains(id) else { return }
    if let known = peers[id] {
      if known.isMember { return }
      known.stop()
    }
    let peer = Peer(id: id, urls: urls, isMember: true, network: self)
    peers[id] = peer
    peer.start()
  }

  func update(_ id: UInt64, urls: [PeerURL]) {
    guard !urls.isEmpty else { return }
    peers[id]?.update(urls)
  }

  /// The log removed the member: it is told so from now on.
  func remove(_ id: UInt64) {
    removed.insert(id)
    peers.removeValue(forKey: id)?.stop()
    statuses.withLock { _ = $0.removeValue(forKey: id) }
  }

  func isRemoved(_ id: UInt64) -> Bool { removed.contains(id) }

  func member(_ id: UInt64) -> Peer? { peers[id].flatMap { $0.isMember ? $0 : nil } }

  /// Remembers the sender of a request that no member is known by, so that it can be answered. Requests can say
  /// anything, so there are few of these.
  func addRemote(_ id: UInt64, urls: String?) {
    guard !isStopped, id != 0, id != identity.memberID, peers[id] == nil, !removed.contains(id),
      let urls, urls.utf8.count <= Self.remoteURLBytesMax
    else { return }
    let texts = urls.split(separator: ",").map(String.init)
    let parsed = texts.compactMap { PeerURL($0) }
    guard !parsed.isEmpty, parsed.count == texts.count,
      peers.values.count(where: { !$0.isMember }) < limits.remotes
    else { return }
    let peer = Peer(id: id, urls: parsed, isMember: false, network: self)
    peers[id] = peer
    peer.start()
    callbacks.notice(.remoteAdded(peer: id, urls: texts))
  }

  private static let remoteURLBytesMax = 2048

  func stop() {
    isStopped = true
    for peer in peers.values { peer.stop() }
    peers = [:]
    statuses.withLock { $0 = [:] }
  }

  // MARK: Sending

  func send(_ messages: [Message]) {
    var touched: Set<UInt64> = []
    for message in messages where message.to != 0 {
      guard let peer = peers[message.to] else { continue }
      peer.send(message)
      touched.insert(message.to)
    }
    for id in touched { peers[id]?.flush() }
  }

  func sendSnapshot(_ message: Message, from source: any SnapshotSource) {
    guard !isStopped, message.kind == .snapshot, let peer = member(message.to) else {
      source.close()
      callbacks.snapshotFinished(message.to, false)
      return
    }
    peer.sendSnapshot(message, from: source)
  }

  // MARK: Receiving

  /// What a peer sends over its own connection is from it and for this member. The exception is etcd's: who asks to
  /// become the leader is named as the sender, whoever passes the wish on.
  static func checkAddress(of message: Message, local: UInt64, remote: UInt64) throws(PeerCodecError) {
    guard message.to == local, message.from == remote || message.kind == .transferLeader else {
      throw .wrongAddress(from: message.from, to: message.to)
    }
  }

  func mayRead(_ kind: StreamKind) -> Bool { received.mayRead(kind) }

  /// Hands messages over; then nothing more is read of what may wait, if the member has enough.
  func deliver(_ messages: [Message], from peer: Peer, bytes: Int) {
    peer.statistics.receivedBytes += UInt64(bytes)
    deliver(messages, from: peer.id, bytes: bytes)
  }

  func deliver(_ messages: [Message], from id: UInt64, bytes: Int) {
    if messages.isEmpty { return }
    let stopped = received.take(bytes)
    callbacks.received(ReceivedMessages(from: id, messages: messages, bytes: bytes))
    for kind in stopped { setReading(kind, received.mayRead(kind)) }
  }

  /// From any thread.
  func consumed(bytes: Int) {
    guard received.giveBack(bytes) else { return }
    eventLoop.execute { [self] in
      for kind in received.reopen() { setReading(kind, true) }
    }
  }

  private func setReading(_ kind: StreamKind, _ isReading: Bool) {
    for peer in peers.values { peer.setReading(kind, isReading) }
  }

  // MARK: Views

  func publish(_ status: PeerStatus) {
    if isStopped { return }
    statuses.withLock { $0[status.id] = status }
  }

  /// From any thread, in order of the ids.
  func allStatuses() -> [PeerStatus] {
    statuses.withLock { Array($0.values) }.sorted { $0.id < $1.id }
  }

  /// From any thread.
  func status(_ id: UInt64) -> PeerStatus? { statuses.withLock { $0[id] } }

  func statistics() -> [PeerStatistics] {
    peers.values.filter(\.isMember).map(\.statistics).sorted { $0.id < $1.id }
  }
}
