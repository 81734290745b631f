public import NIOCore

/// Everything a server bounds or times. The defaults are etcd's where etcd has one.
public struct ServerOptions: Sendable {
  /// Other processes may listen on the same ports (SO_REUSEPORT); etcd: `--socket-reuse-port`.
  public var reusesPort = false
  /// A longer message is answered with ResourceExhausted; etcd: `--max-request-bytes` plus 512 KiB.
  public var requestBytesMax = 1_572_864 + 524_288
  /// Streams a connection may have open. etcd's default is no limit; a finite one makes clients wait their turn.
  public var concurrentStreamsMax: UInt32 = 10_000
  /// Names, values and 32 bytes for each field of one request's headers.
  public var headerBytesMax = 65_536
  /// Receive window of a stream, in bytes.
  public var streamWindowBytes: Int32 = 1 << 20
  /// Receive window of a connection, in bytes.
  public var connectionWindowBytes: Int32 = 8 << 20
  /// Request bytes a connection may make us hold: headers of open calls, unfinished messages, and messages that
  /// wait for queued responses to drain. The call that goes over is refused.
  public var heldRequestBytesMax = 64 << 20
  /// Response bytes queued on one call at which `send` says stop, and at which it may go on.
  public var callQueueHighBytes = 1 << 20
  public var callQueueLowBytes = 256 << 10
  /// Response bytes queued on a connection at which further requests are left unread, and then taken up again.
  public var connectionQueueHighBytes = 16 << 20
  public var connectionQueueLowBytes = 4 << 20
  /// Bytes given to the socket at a time; more wait in the queues until it is writable.
  public var outputChunkBytes = 256 << 10
  /// Until the first 24 bytes have told the protocol.
  public var prefaceTimeout = TimeAmount.seconds(30)
  /// For the headers of an HTTP/1.1 request, also between two requests.
  public var http1HeaderTimeout = TimeAmount.minutes(5)
  /// Body of an HTTP/1.1 request.
  public var http1BodyBytesMax = 1_572_864 + 524_288
  /// What an HTTP/1.1 client may send ahead of the answer to an earlier request before no more is read.
  public var http1AheadBytesMax = 64 << 10
  /// Client pings closer together than this count as strikes; etcd: `--grpc-keepalive-min-time`.
  public var keepaliveMinTime = TimeAmount.seconds(5)
  /// Silence after which the server pings; etcd: `--grpc-keepalive-interval`.
  public var keepaliveInterval = TimeAmount.hours(2)
  /// How long its answer may take; etcd: `--grpc-keepalive-timeout`.
  public var keepaliveTimeout = TimeAmount.seconds(20)
  /// Streams a client may reset: a burst, and the sustained rate per second. Cancelled calls are normal, so
  /// both are generous; beyond them the connection is a flood.
  public var resetBurst: UInt64 = 20_000
  public var resetsPerSecond: UInt64 = 2_000
  /// SETTINGS frames a client may send on one connection.
  public var settingsFramesMax = 1_000
  /// DATA frames without content that a client may send on one connection.
  public var emptyDataFramesMax = 10_000
  /// Count how long each method's calls take, in buckets; etcd: `--metrics extensive`.
  public var timesHandling = false

  public init() {}

  /// A sentence on the first setting that makes no sense, or nil.
  public func validate() -> String? {
    if requestBytesMax <= 0 { return "requestBytesMax must be positive" }
    if streamWindowBytes < 1 || connectionWindowBytes < 65_535 { return "receive windows are too small" }
    if callQueueLowBytes > callQueueHighBytes || connectionQueueLowBytes > connectionQueueHighBytes {
      return "a low mark lies above its high mark"
    }
    if outputChunkBytes < 16_384 { return "outputChunkBytes must hold a frame" }
    return nil
  }
}
