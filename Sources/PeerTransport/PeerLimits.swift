/// What a peer may make this member hold. Everything that comes from the network or waits for it has a bound here.
public struct PeerLimits: Sendable {
  /// One raft message, whatever way it comes, in bytes. An append of one entry may be as large as the largest request.
  public var messageBytes = 64 << 20
  /// The message in front of a snapshot's data, in bytes: etcd's bound since 3.7.1.
  public var snapshotMessageBytes = 64 << 20
  /// Messages waiting for one stream or for the requests to one peer; beyond that they are dropped.
  public var queuedMessages = 4096
  /// Bytes of messages waiting for one stream.
  public var queuedBytes = 64 << 20
  /// Messages waiting to be posted to one peer.
  public var pipelineMessages = 64
  /// Posts to one peer under way at once.
  public var pipelineConnections = 4
  /// Bytes of messages handed to `send` that the peers' event loop has not taken yet.
  public var outboxBytes = 128 << 20
  /// Bytes of received messages that were not reported as consumed: from here on appends are no longer read.
  public var receivedBytes = 64 << 20
  /// The same for all other messages, which must get through while appends wait.
  public var receivedUrgentBytes = 96 << 20
  /// Connections to the peer listener.
  public var connections = 256
  /// Peers known by their requests alone, before the log made them members.
  public var remotes = 16
  /// Snapshots received at the same time.
  public var incomingSnapshots = 2
  /// An answer of another member to a request of this one, in bytes.
  public var responseBytes = 16 << 20
  /// Output that a connection may hold before more is fetched, in bytes.
  public var writeBufferBytes = 256 << 10

  public init() {}
}

/// Times of the peers' connections, in nanoseconds.
public struct PeerTimeouts: Sendable {
  /// Nothing read for so long: the connection is given up. A third of it is the pace of link heartbeats.
  public private(set) var read: Int64 = 5_000_000_000
  /// Nothing of what waits was taken for so long: the connection is given up.
  public private(set) var write: Int64 = 5_000_000_000
  /// Until a connection is established.
  public var dial: Int64 = 1_000_000_000
  /// Between two attempts at first, doubling up to `retryMax`.
  public var retry: Int64 = 100_000_000
  public var retryMax: Int64 = 1_000_000_000
  /// From the end of a posted message to its answer.
  public var response: Int64 = 5_000_000_000
  /// From the end of a snapshot's data to its answer: the receiver syncs it first.
  public var snapshotResponse: Int64 = 300_000_000_000

  /// etcd's least `--raft-read-timeout` and `--raft-write-timeout`; lower values are raised to it.
  public static let least: Int64 = 5_000_000_000

  public init() {}

  /// - Parameters: nanoseconds; less than `least` is raised to it.
  public init(read: Int64, write: Int64) {
    self.read = max(read, Self.least)
    self.write = max(write, Self.least)
  }

  /// Shorter times than etcd allows, for tests of what happens when they pass.
  init(unchecked milliseconds: Int64) {
    read = milliseconds * 1_000_000
    write = milliseconds * 1_000_000
    response = milliseconds * 1_000_000
    dial = milliseconds * 1_000_000
  }

  var linkHeartbeat: Int64 { max(read / 3, 1) }
  var probing: Int64 { max(read - 1_000_000_000, read / 2) }
}
