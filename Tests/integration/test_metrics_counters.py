"""Counters that everyday work leaves still: each is moved by what it counts, and by so much."""

from __future__ import annotations

import contextlib
import shutil
import threading

import grpc
import pytest

import api
import harness
import prometheus
from test_metrics import wait_until

pytestmark = pytest.mark.skipif(harness.subject_is_etcd(), reason="3.5.1 lacks metrics of 3.7")

# etcd's alert on fragmentation; its floor of 100 MiB in use is lower here, so that less has to be written.
FRAGMENTED = ("(last_over_time(etcd_mvcc_db_total_size_in_use_in_bytes[5s])"
              " / last_over_time(etcd_mvcc_db_total_size_in_bytes[5s])) < 0.5"
              " and etcd_mvcc_db_total_size_in_use_in_bytes > 5242880")


class Moved:
    """How far values went since it was made."""

    def __init__(self, server: harness.Server):
        self.server = server
        self.before = prometheus.scrape(server)

    def __call__(self, name: str, **labels: str) -> float:
        return prometheus.scrape(self.server).value(name, **labels) - self.before.value(name, **labels)


@contextlib.contextmanager
def streams(server: harness.Server, name: str):
    """Opens streams of one method: called with requests, each begins one and returns its answers."""
    with grpc.insecure_channel(server.endpoint) as channel:
        method = api.method(name)
        call = channel.stream_stream(method.path, response_deserializer=method.parse)
        opened = []

        def begin(requests):
            opened.append(call(iter(requests)))
            return opened[-1]

        yield begin
        for each in opened:
            each.cancel()


def test_leases(subject):
    moved, client = Moved(subject), subject.client()
    client.must("Lease/LeaseGrant", TTL=600, ID=5)
    with streams(subject, "Lease/LeaseKeepAlive") as begin:
        request = api.message("LeaseKeepAliveRequest", ID=5).SerializeToString()
        assert [answer.TTL for answer in begin([request] * 3)] == [600] * 3
    assert moved("etcd_debugging_lease_renewed_total") == 3
    client.must("Lease/LeaseGrant", TTL=1, ID=6)
    client.must("Lease/LeaseGrant", TTL=1, ID=7)
    wait_until(lambda: moved("etcd_debugging_server_lease_expired_total") == 2)
    wait_until(lambda: moved("etcd_debugging_lease_revoked_total") == 2)
    assert moved("etcd_debugging_lease_granted_total") == 3
    client.close()


def test_watches(subject):
    """Streams and watchers are gauges; events count for every watcher that got them."""
    moved, client = Moved(subject), subject.client()

    def create(key: bytes) -> bytes:
        return api.message("WatchRequest", create_request=api.message("WatchCreateRequest", key=key)).SerializeToString()

    def endless(requests: list[bytes]):
        yield from requests
        ended.wait()

    ended = threading.Event()
    try:
        with streams(subject, "Watch/Watch") as begin:
            first, second = begin(endless([create(b"a"), create(b"a")])), begin(endless([create(b"b")]))
            assert next(first).created and next(first).created and next(second).created
            assert moved("etcd_debugging_mvcc_watch_stream_total") == 2
            assert moved("etcd_debugging_mvcc_watcher_total") == 3
            for _ in range(5):
                client.put(b"a", b"v")
            client.put(b"b", b"v")
            assert next(second).events[0].kv.key == b"b"
            wait_until(lambda: moved("etcd_debugging_mvcc_events_total") == 11)
    finally:
        ended.set()
    wait_until(lambda: moved("etcd_debugging_mvcc_watch_stream_total") == 0)
    assert moved("etcd_debugging_mvcc_watcher_total") == 0
    client.close()


def test_streams_that_break(subject):
    """What is no message of the method counts as a failure to receive."""
    moved = Moved(subject)
    for name, label in (("Watch/Watch", "watch"), ("Lease/LeaseKeepAlive", "lease-keepalive")):
        for _ in range(2):
            with streams(subject, name) as begin, pytest.raises(grpc.RpcError):
                next(begin([b"\xff\xff\xff"]))
        assert moved("etcd_network_server_stream_failures_total", API=label, Type="receive") == 2


def test_slow_applies():
    """Each command is too slow for a limit of a nanosecond."""
    with harness.cairn(extra_arguments=["--warning-apply-duration", "1ns"]) as server:
        server.start()
        moved, client = Moved(server), server.client()
        for _ in range(7):
            client.put(b"k", b"v")
        assert moved("etcd_server_slow_apply_total") == 7
        client.close()


@pytest.mark.skipif(shutil.which("prometheus") is None, reason="needs Debian's prometheus")
def test_the_alert_on_fragmentation_fires(subject):
    client = subject.client()
    for number in range(100):
        client.put(b"k%03d" % number, bytes(300_000))
    with prometheus.Prometheus(subject) as monitor:
        monitor.wait_for("etcd_mvcc_db_total_size_in_use_in_bytes > 20000000")
        assert not monitor.query(FRAGMENTED)
        client.must("KV/DeleteRange", key=b"k03", range_end=b"k1")
        client.must("KV/Compact", revision=client.revision(), physical=True)
        monitor.wait_for(FRAGMENTED)
        client.must("Maintenance/Defragment")
        wait_until(lambda: not monitor.query(FRAGMENTED), seconds_max=40)
    client.close()
