"""What a scrape of a single member holds: names, types, labels and buckets, as etcd 3.7 registers them."""

from __future__ import annotations

INFINITY = float("inf")


def doubling(start: float, count: int) -> list[float]:
    return [start * 2 ** number for number in range(count)] + [INFINITY]


GRPC = {"grpc_method", "grpc_service", "grpc_type"}
DEFAULT_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, INFINITY]

# name: (type, labels, buckets)
TABLE: dict[str, tuple[str, set[str], list[float]]] = {
    "etcd_cluster_version": ("gauge", {"cluster_version"}, []),
    "etcd_debugging_lease_granted_total": ("counter", set(), []),
    "etcd_debugging_lease_renewed_total": ("counter", set(), []),
    "etcd_debugging_lease_revoked_total": ("counter", set(), []),
    "etcd_debugging_lease_ttl_total": ("histogram", set(), doubling(1, 24)),
    "etcd_debugging_mvcc_compact_revision": ("gauge", set(), []),
    "etcd_debugging_mvcc_current_revision": ("gauge", set(), []),
    "etcd_debugging_mvcc_db_compaction_keys_total": ("counter", set(), []),
    "etcd_debugging_mvcc_db_compaction_last": ("gauge", set(), []),
    "etcd_debugging_mvcc_db_compaction_pause_duration_milliseconds": ("histogram", set(), doubling(1, 13)),
    "etcd_debugging_mvcc_db_compaction_total_duration_milliseconds": ("histogram", set(), doubling(100, 14)),
    "etcd_debugging_mvcc_events_total": ("counter", set(), []),
    "etcd_debugging_mvcc_keys_total": ("gauge", set(), []),
    "etcd_debugging_mvcc_slow_watcher_total": ("gauge", set(), []),
    "etcd_debugging_mvcc_total_put_size_in_bytes": ("gauge", set(), []),
    "etcd_debugging_mvcc_watch_stream_total": ("gauge", set(), []),
    "etcd_debugging_mvcc_watcher_total": ("gauge", set(), []),
    "etcd_debugging_server_alarms": ("gauge", {"server_id", "alarm_type"}, []),
    "etcd_debugging_server_lease_expired_total": ("counter", set(), []),
    "etcd_disk_backend_commit_duration_seconds": ("histogram", set(), doubling(0.001, 14)),
    "etcd_disk_backend_defrag_duration_seconds": ("histogram", set(), doubling(0.1, 13)),
    "etcd_disk_backend_snapshot_duration_seconds": ("histogram", set(), doubling(0.01, 17)),
    "etcd_disk_defrag_inflight": ("gauge", set(), []),
    "etcd_disk_wal_fsync_duration_seconds": ("histogram", set(), doubling(0.001, 14)),
    "etcd_disk_wal_write_bytes_total": ("gauge", set(), []),
    "etcd_disk_wal_write_duration_seconds": ("histogram", set(), doubling(0.001, 14)),
    "etcd_mvcc_db_open_read_transactions": ("gauge", set(), []),
    "etcd_mvcc_db_total_size_in_bytes": ("gauge", set(), []),
    "etcd_mvcc_db_total_size_in_use_in_bytes": ("gauge", set(), []),
    "etcd_mvcc_delete_total": ("counter", set(), []),
    "etcd_mvcc_hash_duration_seconds": ("histogram", set(), doubling(0.01, 15)),
    "etcd_mvcc_hash_rev_duration_seconds": ("histogram", set(), doubling(0.01, 15)),
    "etcd_mvcc_put_total": ("counter", set(), []),
    "etcd_mvcc_range_total": ("counter", set(), []),
    "etcd_mvcc_txn_total": ("counter", set(), []),
    "etcd_network_client_grpc_received_bytes_total": ("counter", set(), []),
    "etcd_network_client_grpc_sent_bytes_total": ("counter", set(), []),
    "etcd_server_apply_duration_seconds": ("histogram", {"version", "op", "success"}, doubling(0.0001, 20)),
    "etcd_server_client_requests_total": ("counter", {"type", "client_api_version"}, []),
    "etcd_server_feature_enabled": ("gauge", {"name", "stage"}, []),
    "etcd_server_has_leader": ("gauge", set(), []),
    "etcd_server_heartbeat_send_failures_total": ("counter", set(), []),
    "etcd_server_learner_promote_successes": ("counter", set(), []),
    "etcd_server_snapshot_apply_in_progress_total": ("gauge", set(), []),
    "etcd_server_health_failures": ("counter", set(), []),
    "etcd_server_health_success": ("counter", set(), []),
    "etcd_server_healthcheck": ("gauge", {"type", "name"}, []),
    "etcd_server_healthchecks_total": ("counter", {"type", "name", "status"}, []),
    "etcd_server_id": ("gauge", {"server_id"}, []),
    "etcd_server_is_leader": ("gauge", set(), []),
    "etcd_server_is_learner": ("gauge", set(), []),
    "etcd_server_leader_changes_seen_total": ("counter", set(), []),
    "etcd_server_proposals_applied_total": ("gauge", set(), []),
    "etcd_server_proposals_committed_total": ("gauge", set(), []),
    "etcd_server_proposals_failed_total": ("counter", set(), []),
    "etcd_server_proposals_pending": ("gauge", set(), []),
    "etcd_server_quota_backend_bytes": ("gauge", set(), []),
    "etcd_server_range_duration_seconds": ("histogram", {"success"}, doubling(0.0001, 20)),
    "etcd_server_read_indexes_failed_total": ("counter", set(), []),
    "etcd_server_request_duration_seconds": ("histogram", {"type", "success"}, doubling(0.001, 14)),
    "etcd_server_slow_apply_total": ("counter", set(), []),
    "etcd_server_slow_read_indexes_total": ("counter", set(), []),
    "etcd_server_version": ("gauge", {"server_version"}, []),
    "os_fd_limit": ("gauge", set(), []),
    "os_fd_used": ("gauge", set(), []),
    "grpc_server_started_total": ("counter", GRPC, []),
    "grpc_server_handled_total": ("counter", GRPC | {"grpc_code"}, []),
    "grpc_server_handling_seconds": ("histogram", GRPC, DEFAULT_BUCKETS),
    "grpc_server_msg_received_total": ("counter", GRPC, []),
    "grpc_server_msg_sent_total": ("counter", GRPC, []),
    "process_cpu_seconds_total": ("counter", set(), []),
    "process_max_fds": ("gauge", set(), []),
    "process_open_fds": ("gauge", set(), []),
    "process_resident_memory_bytes": ("gauge", set(), []),
    "process_start_time_seconds": ("gauge", set(), []),
    "process_virtual_memory_bytes": ("gauge", set(), []),
    "process_virtual_memory_max_bytes": ("gauge", set(), []),
    "promhttp_metric_handler_requests_in_flight": ("gauge", set(), []),
    "promhttp_metric_handler_requests_total": ("counter", {"code"}, []),
}

# What a member with others has beside these.
PEERS: dict[str, tuple[str, set[str], list[float]]] = {
    "etcd_network_active_peers": ("gauge", {"Local", "Remote"}, []),
    "etcd_network_disconnected_peers_total": ("counter", {"Local", "Remote"}, []),
    "etcd_network_known_peers": ("gauge", {"Local", "Remote"}, []),
    "etcd_network_peer_received_bytes_total": ("counter", {"From"}, []),
    "etcd_network_peer_received_failures_total": ("counter", {"From"}, []),
    "etcd_network_peer_round_trip_time_seconds": ("histogram", {"To"}, doubling(0.0001, 16)),
    "etcd_network_peer_sent_bytes_total": ("counter", {"To"}, []),
    "etcd_network_peer_sent_failures_total": ("counter", {"To"}, []),
}

# What the dashboard and the alerts of etcd's mixin ask for and a single member has; windows are short here.
RATE = "[5s]"
EXPRESSIONS = [
    "etcd_server_has_leader",
    "etcd_server_has_leader == 0 or etcd_server_has_leader == 1",
    f"changes(etcd_server_leader_changes_seen_total{RATE})",
    f'sum(rate(grpc_server_started_total{{grpc_type="unary"}}{RATE}))',
    f'sum(rate(grpc_server_handled_total{{grpc_type="unary",grpc_code=~"Unknown|FailedPrecondition|'
    f'ResourceExhausted|Internal|Unavailable|DataLoss|DeadlineExceeded"}}{RATE}))',
    'sum(grpc_server_started_total{grpc_service="etcdserverpb.Watch",grpc_type="bidi_stream"})'
    ' - sum(grpc_server_handled_total{grpc_service="etcdserverpb.Watch",grpc_type="bidi_stream"})',
    'sum(grpc_server_started_total{grpc_service="etcdserverpb.Lease",grpc_type="bidi_stream"})'
    ' - sum(grpc_server_handled_total{grpc_service="etcdserverpb.Lease",grpc_type="bidi_stream"})',
    "etcd_mvcc_db_total_size_in_bytes",
    f"histogram_quantile(0.99, sum(rate(etcd_disk_wal_fsync_duration_seconds_bucket{RATE})) by (instance, le))",
    f"histogram_quantile(0.99, sum(rate(etcd_disk_backend_commit_duration_seconds_bucket{RATE})) by (instance, le))",
    "process_resident_memory_bytes",
    f"rate(etcd_network_client_grpc_received_bytes_total{RATE})",
    f"rate(etcd_network_client_grpc_sent_bytes_total{RATE})",
    f"rate(etcd_server_proposals_failed_total{RATE})",
    "etcd_server_proposals_pending",
    f"rate(etcd_server_proposals_committed_total{RATE})",
    f"rate(etcd_server_proposals_applied_total{RATE})",
    f'histogram_quantile(0.99, sum(rate(grpc_server_handling_seconds_bucket{{grpc_method!="Defragment",'
    f'grpc_type="unary"}}{RATE})) without (grpc_type))',
    "predict_linear(etcd_mvcc_db_total_size_in_bytes[5s], 4*60*60)",
    f"last_over_time(etcd_mvcc_db_total_size_in_use_in_bytes{RATE})"
    f" / last_over_time(etcd_mvcc_db_total_size_in_bytes{RATE})",
]

QUOTA_LOW_SPACE = (f"(last_over_time(etcd_mvcc_db_total_size_in_bytes{RATE})"
                   f" / last_over_time(etcd_server_quota_backend_bytes{RATE})) * 100 > 95")
FAILED_REQUESTS = (
    f'100 * sum(rate(grpc_server_handled_total{{grpc_code=~"Unknown|FailedPrecondition|ResourceExhausted|Internal|'
    f'Unavailable|DataLoss|DeadlineExceeded"}}{RATE})) without (grpc_type, grpc_code)'
    f" / sum(rate(grpc_server_handled_total{RATE})) without (grpc_type, grpc_code) > 5")
