"""Faults that etcd once had and that only a whole process shows, each by the number of its issue."""

from __future__ import annotations

import concurrent.futures
import hashlib
import os
import signal
import threading
import time

import harness
from api import Client, message

PAUSE_SECONDS = 3


def snapshot(client: Client) -> bytes:
    parts, outcome = client.stream("Maintenance/Snapshot", message("SnapshotRequest"))
    assert outcome.succeeded, outcome
    whole = b"".join(part.blob for part in parts)
    data, digest = whole[:-32], whole[-32:]
    assert data and hashlib.sha256(data).digest() == digest
    return data


def test_snapshots_in_quick_succession_18055():
    """etcd panicked on the second one."""
    with harness.cairn() as server:
        client = server.start().client()
        for number in range(200):
            client.put(b"k/%03d" % number, b"v" * 1000)
        for _ in range(3):
            snapshot(client)
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            for future in [pool.submit(snapshot, server.client()) for _ in range(4)]:
                future.result()
        revision = client.put(b"after", b"all")
        assert client.get(b"after") == b"all" and revision == 202
        assert len(client.must("KV/Range", key=b"k/", range_end=b"k0").kvs) == 200


def test_a_process_that_was_paused_goes_on_14891_20418():
    """SIGSTOP for longer than elections and leases last: no crash, no read that goes back, no lease ended early."""
    with harness.cairn() as server:
        client = server.start().client(timeout_seconds=30)
        client.must("Lease/LeaseGrant", ID=7, TTL=60)
        client.must("KV/Put", key=b"leased", value=b"v", lease=7)
        acknowledged, stopping = [0], threading.Event()

        def write() -> None:
            writer = server.client(timeout_seconds=30)
            number = 0
            while not stopping.is_set():
                number += 1
                writer.put(b"counter", b"%d" % number)
                acknowledged[0] = number

        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            writing = pool.submit(write)
            time.sleep(0.5)
            for _ in range(2):
                os.kill(server.pid, signal.SIGSTOP)
                time.sleep(PAUSE_SECONDS)
                before = acknowledged[0]
                assert before > 0
                os.kill(server.pid, signal.SIGCONT)
                assert int(client.get(b"counter")) >= before
                deadline = time.monotonic() + 10
                while acknowledged[0] < before + 20:
                    assert time.monotonic() < deadline, "writes do not go on"
                    time.sleep(0.01)
            stopping.set()
            writing.result()
        assert int(client.get(b"counter")) == acknowledged[0]
        assert client.get(b"leased") == b"v"
        left = client.must("Lease/LeaseTimeToLive", ID=7).TTL
        assert 45 <= left <= 60, left
