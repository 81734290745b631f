public import Model
public import NIOCore
import NIOPosix
import Synchronization

/// A member's links to the others, in the form of etcd's raft-http: message streams, posted messages and snapshots, and
/// the listener that other members talk to.
///
/// All connections live on one event loop of its own, so that nothing a client does delays a heartbeat. Every method
/// may be called from any thread; none blocks. Callbacks come on that loop. Nothing here is durable, and nothing is
/// promised: a message is delivered once or is lost, in which case the peer is reported unreachable. Messages of one
/// stream keep their order; those posted while a stream is down may arrive in any.
public final class PeerTransport: Sendable {
  public struct Configuration: Sendable {
    public var identity: PeerIdentity
    public var limits = PeerLimits()
    public var timeouts = PeerTimeouts()
    /// Members that the log removed, this far: they are told so.
    public var removedMembers: Set<UInt64> = []
    /// Handlers between the socket and HTTP of an accepted connection, outermost first: the place for TLS.
    public var makeServerHandlers: (@Sendable (any Channel) throws -> [any ChannelHandler])?
    /// The same for a connection to an https URL; without it such URLs are not dialled.
    public var makeClientHandlers: (@Sendable (any Channel, PeerURL) throws -> [any ChannelHandler])?

    public init(identity: PeerIdentity) { self.identity = identity }
  }

  private struct Outbox {
    var messages: [Message] = []
    var bytes = 0
    var isScheduled = false
  }

  private let group: MultiThreadedEventLoopGroup
  private let network: PeerNetwork
  private let listener: PeerListener
  private let outbox = Mutex(Outbox())
  /// The member-to-member calls that are not about Raft; on the same event loop.
  public let client: PeerClient

  /// Starts the peers' thread; nothing is dialled or accepted yet.
  public init(_ configuration: Configuration, callbacks: PeerCallbacks) {
    group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    let eventLoop = group.next()
    let dialer = PeerDialer(
      eventLoop: eventLoop, dialTimeout: configuration.timeouts.dial,
      writeBufferBytes: configuration.limits.writeBufferBytes,
      makeTransportHandlers: configuration.makeClientHandlers)
    let network = PeerNetwork(
      eventLoop: eventLoop, identity: configuration.identity, limits: configuration.limits,
      timeouts: configuration.timeouts, removed: configuration.removedMembers, callbacks: callbacks,
      dialer: dialer)
    self.network = network
    listener = PeerListener(network: network, makeTransportHandlers: configuration.makeServerHandlers)
    client = PeerClient(dialer: dialer, identity: configuration.identity, limits: configuration.limits)
  }

  public var eventLoop: any EventLoop { network.eventLoop }

  /// Accepts peers on an address; port 0 picks a free one.
  /// - Returns: the address bound.
  public func listen(host: String, port: Int) -> EventLoopFuture<SocketAddress?> {
    eventLoop.flatSubmit { [listener] in listener.listen(host: host, port: port) }
  }

  // MARK: Members

  /// A member of the cluster: its streams are dialled from now on, and may be dialled by it. Adding one again changes
  /// nothing.
  public func add(_ id: UInt64, urls: [PeerURL]) {
    eventLoop.execute { [network] in network.add(id, urls: urls) }
  }

  /// New URLs, tried from the next attempt on.
  public func update(_ id: UInt64, urls: [PeerURL]) {
    eventLoop.execute { [network] in network.update(id, urls: urls) }
  }

  /// The log removed the member: its connections end, and from now on it is told that it was removed.
  public func remove(_ id: UInt64) {
    eventLoop.execute { [network] in network.remove(id) }
  }

  // MARK: Messages

  /// Hands messages to the peers they are addressed to, in their order; those to nobody known are dropped. One hop to
  /// the event loop, however many messages and calls came before it runs.
  ///
  /// Snapshot messages go through `sendSnapshot`.
  public func send(_ messages: [Message]) {
    if messages.isEmpty { return }
    let bytes = messages.reduce(0) { $0 + $1.encodedSize }
    let (isFull, mustSchedule) = outbox.withLock { outbox in
      if outbox.bytes + bytes > network.limits.outboxBytes { return (true, false) }
      outbox.bytes += bytes
      if outbox.messages.isEmpty {
        outbox.messages = messages
      } else {
        outbox.messages.append(contentsOf: messages)
      }
      defer { outbox.isScheduled = true }
      return (false, !outbox.isScheduled)
    }
    if isFull {
      let lost = Set(messages.map(\.to)).sorted()
      eventLoop.execute { [network] in for id in lost { network.callbacks.unreachable(id) } }
    } else if mustSchedule {
      eventLoop.execute { self.drainOutbox() }
    }
  }

  private func drainOutbox() {
    let messages = outbox.withLock { outbox in
      defer { outbox = Outbox() }
      return outbox.messages
    }
    network.send(messages)
  }

  /// Posts a snapshot: the message, then what `source` gives, at the peer's pace. The outcome comes as
  /// `snapshotFinished`, also if the peer is not known.
  public func sendSnapshot(_ message: Message, from source: any SnapshotSource) {
    eventLoop.execute { [network] in network.sendSnapshot(message, from: source) }
  }

  /// The member processed received messages of so many bytes (`ReceivedMessages.bytes`). Who does not say so is not
  /// read from any more once `PeerLimits.receivedBytes` are outstanding.
  public func consumed(bytes: Int) { network.consumed(bytes: bytes) }

  // MARK: Views

  /// The members that were added, in order of their ids.
  public var statuses: [PeerStatus] { network.allStatuses() }

  /// A member's status; nil if it was not added.
  public func status(of id: UInt64) -> PeerStatus? { network.status(id) }

  /// The counters of all members that were added, in order of their ids.
  public func statistics() -> EventLoopFuture<[PeerStatistics]> {
    eventLoop.submit { [network] in network.statistics() }
  }

  /// Closes every accepted connection, as a network does now and then. For tests, on the event loop.
  func cutConnections() { listener.closeConnections() }

  // MARK: The end

  /// Closes all connections and ends the thread. No callback comes once the future has completed, which it does on
  /// another thread. To be called once, not from a callback's thread with a wait.
  public func stop() -> EventLoopFuture<Void> {
    let done = MultiThreadedEventLoopGroup.singleton.next().makePromise(of: Void.self)
    eventLoop.execute { [network, listener, group] in
      // The peers first: what ends now is no loss to be reported.
      network.stop()
      listener.stop()
      group.shutdownGracefully { error in
        if let error { done.fail(error) } else { done.succeed(()) }
      }
    }
    return done.futureResult
  }
}
