"""/metrics: what a scrape holds, that values move with what they count, and that etcd's own expressions find them."""

from __future__ import annotations

import shutil
import threading
import time
import urllib.error
import urllib.request

import pytest

import api
import harness
import metrics_table
import prometheus

pytestmark = pytest.mark.skipif(harness.subject_is_etcd(), reason="3.5.1 lacks metrics of 3.7")


@pytest.fixture
def extensive():
    with harness.cairn(extra_arguments=["--metrics", "extensive"]) as server:
        yield server.start()


def wait_until(condition, seconds_max: float = 20) -> None:
    deadline = time.monotonic() + seconds_max
    while not condition():
        assert time.monotonic() < deadline, "did not happen"
        time.sleep(0.05)


def work(server: harness.Server) -> None:
    """Something of each kind that is counted."""
    client = server.client()
    for number in range(20):
        client.put(b"key%d" % number, b"value")
    client.must("KV/Range", key=b"key", range_end=b"kez")
    client.must("KV/Range", key=b"key1", serializable=True)
    client.must("KV/DeleteRange", key=b"key0")
    put = api.message("RequestOp", request_put=api.message("PutRequest", key=b"a", value=b"1"))
    client.must("KV/Txn", success=[put, api.message(
        "RequestOp", request_put=api.message("PutRequest", key=b"b", value=b"1"))])
    lease = client.must("Lease/LeaseGrant", TTL=60).ID
    client.must("Lease/LeaseRevoke", ID=lease)
    client.must("KV/Compact", revision=client.revision(), physical=True)
    client.must("Maintenance/HashKV")
    client.must("Maintenance/Hash")
    client.must("Maintenance/Defragment")
    client.stream("Maintenance/Snapshot", api.message("SnapshotRequest"))
    assert client.call("KV/Range", key=b"a", revision=1).code != 0
    client.must("Maintenance/Alarm", action=1, memberID=client.must("Maintenance/Status").header.member_id, alarm=1)
    client.must("Maintenance/Alarm", action=2, memberID=client.must("Maintenance/Status").header.member_id, alarm=1)
    for path in ("/health", "/livez", "/readyz"):
        urllib.request.urlopen(f"http://{server.endpoint}{path}", timeout=10).read()
    client.close()


def test_a_scrape_holds_the_whole_table(extensive):
    work(extensive)
    scrape = prometheus.scrape(extensive)
    assert set(scrape.types) == set(metrics_table.TABLE)
    for name, (kind, labels, buckets) in metrics_table.TABLE.items():
        assert scrape.types[name] == kind, name
        shown = scrape.series(name + "_bucket" if kind == "histogram" else name)
        assert shown, name
        for series in shown:
            assert set(series) - {"le"} == labels, name
        if kind == "histogram":
            assert sorted({float(series["le"]) for series in shown}) == pytest.approx(buckets), name


def test_types_and_help_are_those_of_etcd(reference, subject):
    expected, got = prometheus.scrape(reference), prometheus.scrape(subject)
    common = set(expected.types) & set(got.types)
    assert len(common) > 50
    for name in common:
        assert (got.types[name], got.helps[name]) == (expected.types[name], expected.helps[name])


def test_every_method_and_code_is_there_from_the_start(subject):
    scrape = prometheus.scrape(subject)
    started = {(each["grpc_service"], each["grpc_method"]) for each in scrape.series("grpc_server_started_total")}
    handled = scrape.series("grpc_server_handled_total")
    assert {("etcdserverpb.KV", "Put"), ("etcdserverpb.Watch", "Watch")} <= started
    assert len(handled) == 17 * len(started)
    assert not scrape.series("grpc_server_handling_seconds_count")


def test_values_move_with_the_work(subject):
    before = prometheus.scrape(subject)
    work(subject)
    after = prometheus.scrape(subject)

    def moved(name: str, **labels: str) -> float:
        return after.value(name, **labels) - before.value(name, **labels)

    assert moved("etcd_mvcc_put_total") == 22
    assert moved("etcd_debugging_mvcc_total_put_size_in_bytes") == sum(len("key%d" % n) + 5 for n in range(20)) + 4
    assert moved("etcd_mvcc_delete_total") == 1
    assert moved("etcd_mvcc_txn_total") == 1
    assert moved("etcd_mvcc_range_total") >= 3
    assert moved("etcd_server_range_duration_seconds_count", success="false") == 1
    assert moved("etcd_server_apply_duration_seconds_count", op="Put", success="true") == 20
    assert moved("etcd_server_request_duration_seconds_count", type="Put", success="true") == 20
    assert moved("grpc_server_started_total", grpc_method="Put") == 20
    assert moved("grpc_server_handled_total", grpc_method="Put", grpc_code="OK") == 20
    assert moved("grpc_server_msg_received_total", grpc_method="Put") == 20
    assert moved("grpc_server_msg_sent_total", grpc_method="Put") == 20
    assert moved("grpc_server_handled_total", grpc_method="Range", grpc_code="OutOfRange") == 1
    assert moved("grpc_server_msg_sent_total", grpc_method="Snapshot") >= 1
    assert moved("etcd_debugging_lease_granted_total") == moved("etcd_debugging_lease_revoked_total") == 1
    assert moved("etcd_debugging_lease_ttl_total_sum") == 60
    assert moved("etcd_server_health_success") == 1
    assert after.value("etcd_server_healthchecks_total", status="success") == 5
    for name in ("etcd_disk_wal_fsync_duration_seconds_count", "etcd_disk_wal_write_duration_seconds_count",
                 "etcd_disk_wal_write_bytes_total", "etcd_disk_backend_commit_duration_seconds_count",
                 "etcd_disk_backend_defrag_duration_seconds_count", "etcd_disk_backend_snapshot_duration_seconds_count",
                 "etcd_mvcc_hash_duration_seconds_count", "etcd_mvcc_hash_rev_duration_seconds_count",
                 "etcd_debugging_mvcc_db_compaction_keys_total", "etcd_debugging_mvcc_db_compaction_last",
                 "etcd_debugging_mvcc_db_compaction_total_duration_milliseconds_count",
                 "etcd_debugging_mvcc_current_revision", "etcd_debugging_mvcc_compact_revision",
                 "etcd_server_proposals_committed_total", "etcd_server_proposals_applied_total",
                 "etcd_network_client_grpc_received_bytes_total", "etcd_network_client_grpc_sent_bytes_total",
                 "etcd_server_client_requests_total", "promhttp_metric_handler_requests_total"):
        assert moved(name) > 0, name
    assert after.series("etcd_debugging_server_alarms")[0]["alarm_type"] == "NOSPACE"
    assert after.value("etcd_debugging_server_alarms") == 0
    assert after.value("etcd_server_has_leader") == after.value("etcd_server_is_leader") == 1


def test_keys_are_counted_across_restarts(subject):
    client = subject.client()
    for number in range(50):
        client.put(b"k%d" % number, b"v")
    client.must("KV/DeleteRange", key=b"k1", range_end=b"k2")
    client.close()
    wait_until(lambda: prometheus.scrape(subject).value("etcd_debugging_mvcc_keys_total") == 39)
    subject.kill()
    subject.start()
    wait_until(lambda: prometheus.scrape(subject).value("etcd_debugging_mvcc_keys_total") == 39)
    client = subject.client()
    client.put(b"new", b"v")
    client.close()
    assert prometheus.scrape(subject).value("etcd_debugging_mvcc_keys_total") == 40


@pytest.mark.skipif(shutil.which("prometheus") is None, reason="needs Debian's prometheus")
def test_expressions_of_the_dashboard_and_alerts_find_their_series(extensive):
    stop = threading.Event()

    def load() -> None:
        client = extensive.client()
        while not stop.is_set():
            client.put(b"load", b"value")
            client.call("KV/Range", key=b"load", revision=1 << 60)
            client.call("Lease/LeaseTimeToLive", ID=1)
        client.close()

    thread = threading.Thread(target=load)
    thread.start()
    try:
        with prometheus.Prometheus(extensive) as monitor:
            for expression in metrics_table.EXPRESSIONS:
                monitor.wait_for(expression)
            assert monitor.query("up == bool 0")[0]["value"][1] == "0"
            assert not monitor.query("etcd_server_has_leader == 0")
            assert not monitor.query(metrics_table.QUOTA_LOW_SPACE)
    finally:
        stop.set()
        thread.join()


@pytest.mark.skipif(shutil.which("prometheus") is None, reason="needs Debian's prometheus")
def test_alerts_fire():
    """Quota low space, and requests that fail because of it."""
    with harness.cairn(extra_arguments=["--quota-backend-bytes", str(4 << 20)]) as server:
        server.start()
        client = server.client()
        with prometheus.Prometheus(server) as monitor:
            monitor.wait_for("etcd_server_quota_backend_bytes == %d" % (4 << 20))
            number = 0
            while client.call("KV/Put", key=b"k%d" % number, value=b"v" * 60_000).code == 0:
                number += 1
            monitor.wait_for(metrics_table.QUOTA_LOW_SPACE)

            def fails() -> bool:
                assert client.call("KV/Put", key=b"k", value=b"v").code == 8
                return bool(monitor.query(metrics_table.FAILED_REQUESTS))

            wait_until(fails)
            with pytest.raises(urllib.error.HTTPError):
                urllib.request.urlopen(f"http://{server.endpoint}/health", timeout=10)
            monitor.wait_for('etcd_debugging_server_alarms{alarm_type="NOSPACE"} == 1')
        client.close()
