internal import Frontend
internal import Metrics
internal import Model
internal import Node
internal import Replica
internal import Store
internal import Synchronization

extension MemberMetrics {
  /// The member in its cluster.
  func serverFamilies() -> [MetricFamily] {
    let leader = gauge.leader.load(ordering: .relaxed)
    let counters = gauge.counters
    return [
      .gauge(
        "etcd_server_has_leader", "Whether or not a leader exists. 1 is existence, 0 is not.",
        leader == 0 ? 0 : 1),
      .gauge(
        "etcd_server_is_leader", "Whether or not this member is a leader. 1 if is, 0 otherwise.",
        gauge.leads.load(ordering: .relaxed) ? 1 : 0),
      .gauge(
        "etcd_server_is_learner", "Whether or not this member is a learner. 1 if is, 0 otherwise.",
        gauge.isLearner.load(ordering: .relaxed) ? 1 : 0),
      .counter(
        "etcd_server_leader_changes_seen_total", "The number of leader changes seen.",
        counters.leaderChanges),
      .gauge(
        "etcd_server_proposals_committed_total", "The total number of consensus proposals committed.",
        Double(gauge.commitIndex.load(ordering: .relaxed))),
      .gauge(
        "etcd_server_proposals_applied_total", "The total number of consensus proposals applied.",
        Double(gauge.appliedIndex.load(ordering: .relaxed))),
      .gauge(
        "etcd_server_proposals_pending", "The current number of pending proposals to commit.",
        Double(gauge.pendingProposals.load(ordering: .relaxed))),
      .counter(
        "etcd_server_proposals_failed_total", "The total number of failed proposals seen.",
        counters.failedProposals),
      .counter(
        "etcd_server_read_indexes_failed_total", "The total number of failed read indexes seen.",
        counters.failedReadIndexes),
      .counter(
        "etcd_server_slow_read_indexes_total",
        "The total number of pending read indexes not in sync with leader's or timed out read index requests.",
        counters.slowReadIndexes),
      .counter(
        "etcd_server_slow_apply_total",
        "The total number of slow apply requests (likely overloaded from slow disk).", apply.slow.value),
      .gauge(
        "etcd_server_quota_backend_bytes", "Current backend storage quota size in bytes.",
        Double(quotaBytes ?? 0)),
      .counter(
        "etcd_debugging_server_lease_expired_total", "The total number of expired leases.",
        counters.leasesExpired),
      .counter(
        "etcd_debugging_lease_renewed_total", "The number of renewed leases seen by the leader.",
        counters.leasesRenewed),
    ] + named() + applied()
  }

  /// Series that say something by their labels.
  private func named() -> [MetricFamily] {
    var version = MetricFamily(
      "etcd_server_version", .gauge,
      "Which version is running. 1 for 'server_version' label with current version.")
    version.add([("server_version", FrontendContext.apiVersion)], 1)
    var cluster = MetricFamily(
      "etcd_cluster_version", .gauge,
      "Which version is running. 1 for 'cluster_version' label with current cluster version")
    if let decided = decidedVersion() {
      let parts = decided.split(separator: ".").prefix(2)
      cluster.add([("cluster_version", parts.joined(separator: "."))], 1)
    }
    var id = MetricFamily(
      "etcd_server_id", .gauge,
      "Server or member ID in hexadecimal format. 1 for 'server_id' label with current ID.")
    id.add([("server_id", ClusterIdentity.hexadecimal(memberID))], 1)
    var features = MetricFamily(
      "etcd_server_feature_enabled", .gauge, "Whether or not a feature is enabled. 1 is enabled, 0 is not.")
    for gate in gates.states {
      features.add([("name", gate.name), ("stage", gate.stage)], gate.isEnabled ? 1 : 0)
    }
    return [version, cluster, id, features, alarms()]
  }

  /// Nil while the cluster has not settled on one.
  private func decidedVersion() -> String? {
    guard let view = try? store.view() else { return nil }
    defer { view.end() }
    return (try? view.clusterVersion()) ?? nil
  }

  private func alarms() -> MetricFamily {
    var family = MetricFamily(
      "etcd_debugging_server_alarms", .gauge,
      "Alarms for every member in cluster. 1 for 'server_id' label with current ID. "
        + "2 for 'alarm_type' label with type of this alarm")
    let history = gauge.alarmHistory.sorted { first, second in
      (first.key.memberID, first.key.alarm) < (second.key.memberID, second.key.alarm)
    }
    for (alarm, isRaised) in history {
      let name =
        switch AlarmCommand.Alarm(rawValue: alarm.alarm) {
        case .noSpace: "NOSPACE"
        case .corrupt: "CORRUPT"
        default: "\(alarm.alarm)"
        }
      family.add(
        [("server_id", ClusterIdentity.hexadecimal(alarm.memberID)), ("alarm_type", name)], isRaised ? 1 : 0)
    }
    return family
  }

  private func applied() -> [MetricFamily] {
    var durations = MetricFamily(
      "etcd_server_apply_duration_seconds", .histogram,
      "The latency distributions of v2 apply called by backend.")
    for operation in AppliedOperation.allCases {
      for success in [true, false] {
        let reading = apply.durations(of: operation, success: success).reading
        guard reading.count > 0 else { continue }
        durations.add(
          [("version", "v3"), ("op", operation.name), ("success", success ? "true" : "false")], reading)
      }
    }
    return [
      durations,
      .counter(
        "etcd_debugging_lease_granted_total", "The total number of granted leases.",
        apply.leasesGranted.value),
      .counter(
        "etcd_debugging_lease_revoked_total", "The total number of revoked leases.",
        apply.leasesRevoked.value),
      .histogram(
        "etcd_debugging_lease_ttl_total", "Bucketed histogram of lease TTLs.", apply.leaseSeconds.reading),
    ]
  }

  /// What the health endpoints found. Kinds and checks that nobody asked for are not shown.
  func healthFamilies() -> [MetricFamily] {
    let http = services.http
    var gauges = MetricFamily(
      "etcd_server_healthcheck", .gauge, "The result of each kind of healthcheck.")
    var counts = MetricFamily(
      "etcd_server_healthchecks_total", .counter, "The total number of each kind of healthcheck.")
    for kind in HealthCheck.Kind.allCases {
      for check in kind.checks {
        let outcomes = http.outcomes(check, of: kind)
        let labels = [(name: "type", value: kind.rawValue), (name: "name", value: check.rawValue)]
        let (successes, errors) = (outcomes.successes.value, outcomes.errors.value)
        if successes + errors > 0 { gauges.add(labels, Double(outcomes.lastOutcome.value)) }
        if successes > 0 { counts.add(labels + [("status", "success")], Double(successes)) }
        if errors > 0 { counts.add(labels + [("status", "error")], Double(errors)) }
      }
    }
    return [
      gauges, counts,
      .counter(
        "etcd_server_health_success", "The total number of successful health checks", http.healthSuccess.value
      ),
      .counter(
        "etcd_server_health_failures", "The total number of failed health checks", http.healthFailures.value),
    ]
  }
}
