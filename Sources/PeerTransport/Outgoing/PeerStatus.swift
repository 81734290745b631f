/// Whether messages get through to a peer, and since when.
public struct PeerStatus: Hashable, Sendable {
  public let id: UInt64
  public internal(set) var urls: [PeerURL]
  /// Monotonic nanoseconds since when the peer answers; nil while it does not.
  public internal(set) var activeSince: UInt64?
  /// Why it does not, in the words of the last failure.
  public internal(set) var failure: String?

  public var isActive: Bool { activeSince != nil }
}

/// Counters of one peer for the `etcd_network_*` metrics.
public struct PeerStatistics: Hashable, Sendable {
  public let id: UInt64
  public var isActive = false
  /// `etcd_network_disconnected_peers_total`
  public var disconnections: UInt64 = 0
  /// `etcd_network_peer_sent_bytes_total`
  public var sentBytes: UInt64 = 0
  /// `etcd_network_peer_sent_failures_total`
  public var sendFailures: UInt64 = 0
  /// `etcd_network_peer_received_bytes_total`
  public var receivedBytes: UInt64 = 0
  /// `etcd_network_peer_received_failures_total`
  public var receiveFailures: UInt64 = 0
  /// `etcd_network_peer_round_trip_time_seconds`
  public var roundTrip = DurationHistogram(firstSeconds: 0.0001, bucketCount: 16)
  /// `etcd_network_snapshot_send_success`, `_failures`, `_inflights_total`, `_total_duration_seconds`
  public var snapshotsSent: UInt64 = 0
  public var snapshotSendFailures: UInt64 = 0
  public var snapshotsSending = 0
  public var snapshotSendDuration = DurationHistogram(firstSeconds: 0.1, bucketCount: 10)
  /// `etcd_network_snapshot_receive_success`, `_failures`, `_inflights_total`, `_total_duration_seconds`
  public var snapshotsReceived: UInt64 = 0
  public var snapshotReceiveFailures: UInt64 = 0
  public var snapshotsReceiving = 0
  public var snapshotReceiveDuration = DurationHistogram(firstSeconds: 0.1, bucketCount: 10)

  init(id: UInt64) { self.id = id }
}

/// Durations in buckets whose upper bounds double, as etcd's histograms have them.
public struct DurationHistogram: Hashable, Sendable {
  /// Upper bounds in seconds, without the last, infinite one.
  public let bounds: [Double]
  /// Observations in each bucket, not cumulated; one more than bounds.
  public private(set) var counts: [UInt64]
  public private(set) var sumSeconds = 0.0

  init(firstSeconds: Double, bucketCount: Int) {
    bounds = (0..<bucketCount).map { firstSeconds * Double(1 << $0) }
    counts = Array(repeating: 0, count: bucketCount + 1)
  }

  mutating func observe(seconds: Double) {
    counts[bounds.firstIndex { seconds <= $0 } ?? bounds.count] += 1
    sumSeconds += seconds
  }
}
