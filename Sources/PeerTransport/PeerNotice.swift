public import Model
public import NIOCore

/// What a log should know of the peers' connections.
public enum PeerNotice: Sendable {
  public enum Direction: Sendable { case incoming, outgoing }

  case streamOpened(peer: UInt64, StreamKind, Direction)
  case streamLost(peer: UInt64, StreamKind, Direction, reason: String)
  case active(peer: UInt64)
  case inactive(peer: UInt64, reason: String)
  /// A request was refused; `from` is what it says of its sender.
  case refused(from: String, path: String, status: Int, reason: String)
  /// A peer sent bytes that are no messages, or messages that are not its own; none of them was delivered.
  case malformed(peer: UInt64, PeerCodecError)
  /// Messages to a peer were dropped because too many wait; at most one notice a second for each peer.
  case dropped(peer: UInt64, count: Int)
  case remoteAdded(peer: UInt64, urls: [String])
  /// Another member says that this one was removed from the cluster.
  case removedFromCluster(by: UInt64)
  case snapshotSent(peer: UInt64, index: UInt64, bytes: Int)
  case snapshotFailed(peer: UInt64, index: UInt64, reason: String)
  case snapshotReceived(peer: UInt64, index: UInt64, bytes: Int)
  case snapshotReceiptFailed(peer: UInt64, index: UInt64, reason: String)
  case tooManyConnections
}

/// Messages that arrived together, of one peer and in its order.
public struct ReceivedMessages: Sendable {
  public let from: UInt64
  public let messages: [Message]
  /// Report these with `PeerTransport.consumed(bytes:)` once the messages were processed.
  public let bytes: Int
}

/// How the composition hears of the peers. All are called on the peers' event loop and must not block it.
public struct PeerCallbacks: Sendable {
  /// Messages of other members, link heartbeats left out. Their addresses were checked, their content was not.
  public var received: @Sendable (ReceivedMessages) -> Void
  /// Messages to this member may be lost: Raft should probe.
  public var unreachable: @Sendable (UInt64) -> Void
  /// A snapshot given to `sendSnapshot` was received and processed by the peer, or was not.
  public var snapshotFinished: @Sendable (_ to: UInt64, _ succeeded: Bool) -> Void
  /// Where the state goes that follows this message; nil if no snapshot can be taken now.
  public var receiveSnapshot: @Sendable (Message) -> (any SnapshotSink)?
  /// Answers requests of other members that are not about Raft. A failed future is a 500.
  public var answer: @Sendable (PeerRequest, any EventLoop) -> EventLoopFuture<PeerResponse>
  public var notice: @Sendable (PeerNotice) -> Void

  public init(
    received: @escaping @Sendable (ReceivedMessages) -> Void,
    unreachable: @escaping @Sendable (UInt64) -> Void,
    snapshotFinished: @escaping @Sendable (_ to: UInt64, _ succeeded: Bool) -> Void,
    receiveSnapshot: @escaping @Sendable (Message) -> (any SnapshotSink)?,
    answer: @escaping @Sendable (PeerRequest, any EventLoop) -> EventLoopFuture<PeerResponse>,
    notice: @escaping @Sendable (PeerNotice) -> Void
  ) {
    self.received = received
    self.unreachable = unreachable
    self.snapshotFinished = snapshotFinished
    self.receiveSnapshot = receiveSnapshot
    self.answer = answer
    self.notice = notice
  }
}

/// Takes the bytes of a snapshot as they arrive. Called on the peers' event loop, one call at a time; its futures
/// may be completed on any.
public protocol SnapshotSink: Sendable {
  /// Takes a piece. Until the future completes no more is read from the sender; a failure ends the transfer.
  func write(_ piece: ByteBuffer) -> EventLoopFuture<Void>
  /// All bytes have come. Once the future completes they are durable, and the snapshot's message is delivered.
  func finish() -> EventLoopFuture<Void>
  /// The transfer ended early: what was written is to be removed. Not called after `finish`, but perhaps while a piece
  /// is being written.
  func abort()
}

/// Gives the bytes of a snapshot as the network takes them. Called on the peers' event loop, one call at a time; its
/// futures may be completed on any.
public protocol SnapshotSource: Sendable {
  /// The next piece, not empty; nil at the end.
  func next() -> EventLoopFuture<ByteBuffer?>
  /// Nothing more is asked for: the transfer is over or failed.
  func close()
}
