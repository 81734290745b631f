internal import Frontend
internal import Metrics
internal import Node
internal import PeerTransport
internal import Replica
internal import Synchronization

extension MemberMetrics {
  /// The links to the other members. A member that is alone has no series of these, as in etcd.
  func peerFamilies(_ peers: [PeerStatistics]) -> [MetricFamily] {
    let local = ClusterIdentity.hexadecimal(memberID)
    func family(
      _ name: String, _ kind: MetricFamily.Kind, _ help: String, _ label: String?,
      _ value: (PeerStatistics) -> Double
    ) -> MetricFamily {
      var family = MetricFamily(name, kind, help)
      for peer in peers {
        let remote = ClusterIdentity.hexadecimal(peer.id)
        family.add(label.map { [($0, remote)] } ?? [("Local", local), ("Remote", remote)], value(peer))
      }
      return family
    }
    return [
      family(
        "etcd_network_active_peers", .gauge, "The current number of active peer connections.", nil
      ) { $0.isActive ? 1 : 0 },
      family("etcd_network_known_peers", .gauge, "The current number of known peers.", nil) { _ in 1 },
      family(
        "etcd_network_disconnected_peers_total", .counter, "The total number of disconnected peers.", nil
      ) { Double($0.disconnections) },
      family(
        "etcd_network_peer_sent_bytes_total", .counter, "The total number of bytes sent to peers.", "To"
      ) { Double($0.sentBytes) },
      family(
        "etcd_network_peer_sent_failures_total", .counter, "The total number of send failures from peers.",
        "To"
      ) { Double($0.sendFailures) },
      family(
        "etcd_network_peer_received_bytes_total", .counter, "The total number of bytes received from peers.",
        "From"
      ) { Double($0.receivedBytes) },
      family(
        "etcd_network_peer_received_failures_total", .counter,
        "The total number of receive failures from peers.", "From"
      ) { Double($0.receiveFailures) },
      histogram(
        "etcd_network_peer_round_trip_time_seconds", "Round-Trip-Time histogram between peers", "To", peers
      ) { $0.roundTrip },
    ] + snapshotFamilies(peers)
  }

  /// What this member did for its cluster.
  func clusterFamilies() -> [MetricFamily] {
    let counters = gauge.counters
    var refused = MetricFamily(
      "etcd_server_learner_promote_failures", .counter,
      "The total number of failed learner promotions (likely learner not ready) while this member is leader.")
    // The words of etcd's errors, as they are inside of its server.
    for (reason, count) in [
      (
        "etcdserver: can only promote a learner member which is in sync with leader",
        counters.promotionsTooEarly
      ),
      ("membership: ID not found", counters.promotionsOfUnknown),
      ("membership: can only promote a learner member", counters.promotionsOfVoters),
    ] where count > 0 {
      refused.add([("Reason", reason)], Double(count))
    }
    return [
      .counter(
        "etcd_server_heartbeat_send_failures_total",
        "The total number of leader heartbeat send failures (likely overloaded from slow disk).",
        links.lateHeartbeats.load(ordering: .relaxed)),
      .counter(
        "etcd_server_learner_promote_successes",
        "The total number of successful learner promotions while this member is leader.", counters.promotions),
      refused,
      .gauge(
        "etcd_server_snapshot_apply_in_progress_total",
        "1 if the server is applying the incoming snapshot. 0 if none.",
        links.isInstallingSnapshot.load(ordering: .relaxed) ? 1 : 0),
    ]
  }

  /// Shown for a peer once a snapshot went to it or came from it.
  private func snapshotFamilies(_ peers: [PeerStatistics]) -> [MetricFamily] {
    let sent = peers.filter { $0.snapshotsSent + $0.snapshotSendFailures > 0 || $0.snapshotsSending > 0 }
    let received = peers.filter {
      $0.snapshotsReceived + $0.snapshotReceiveFailures > 0 || $0.snapshotsReceiving > 0
    }
    func family(
      _ name: String, _ kind: MetricFamily.Kind, _ help: String, _ label: String, _ peers: [PeerStatistics],
      _ value: (PeerStatistics) -> Double
    ) -> MetricFamily {
      var family = MetricFamily(name, kind, help)
      for peer in peers { family.add([(label, ClusterIdentity.hexadecimal(peer.id))], value(peer)) }
      return family
    }
    return [
      family(
        "etcd_network_snapshot_send_success", .counter, "Total number of successful snapshot sends", "To",
        sent
      ) { Double($0.snapshotsSent) },
      family(
        "etcd_network_snapshot_send_failures", .counter, "Total number of snapshot send failures", "To", sent
      ) { Double($0.snapshotSendFailures) },
      family(
        "etcd_network_snapshot_send_inflights_total", .gauge, "Total number of inflight snapshot sends", "To",
        sent
      ) { Double($0.snapshotsSending) },
      histogram(
        "etcd_network_snapshot_send_total_duration_seconds",
        "Total latency distributions of v3 snapshot sends",
        "To", sent
      ) { $0.snapshotSendDuration },
      family(
        "etcd_network_snapshot_receive_success", .counter, "Total number of successful snapshot receives",
        "From", received
      ) { Double($0.snapshotsReceived) },
      family(
        "etcd_network_snapshot_receive_failures", .counter, "Total number of snapshot receive failures",
        "From",
        received
      ) { Double($0.snapshotReceiveFailures) },
      family(
        "etcd_network_snapshot_receive_inflights_total", .gauge, "Total number of inflight snapshot receives",
        "From", received
      ) { Double($0.snapshotsReceiving) },
      histogram(
        "etcd_network_snapshot_receive_total_duration_seconds",
        "Total latency distributions of v3 snapshot receives", "From", received
      ) { $0.snapshotReceiveDuration },
    ]
  }

  private func histogram(
    _ name: String, _ help: String, _ label: String, _ peers: [PeerStatistics],
    _ value: (PeerStatistics) -> DurationHistogram
  ) -> MetricFamily {
    var family = MetricFamily(name, .histogram, help)
    for peer in peers {
      let durations = value(peer)
      family.add(
        [(label, ClusterIdentity.hexadecimal(peer.id))],
        HistogramReading(bounds: durations.bounds, counts: durations.counts, sum: durations.sumSeconds))
    }
    return family
  }
}
