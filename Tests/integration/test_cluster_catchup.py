"""A follower that is empty or far behind catches up while the cluster goes on serving: from the log, or by a snapshot."""

from __future__ import annotations

import os
import re
import sys
import threading
import time
import urllib.request

import pytest

import harness
from api import message
from cluster_harness import Cluster, Member, reference
from cluster_load import ClusterLoad
from watch_client import wait_until

sys.path.insert(0, str(harness.REPOSITORY / "Benchmarks"))
import open_loop  # noqa: E402  (its folder is put on the path above)

# So few entries are kept that a follower which misses that many is sent a snapshot; etcd 3.5.1 always keeps 5,000.
SHORT_LOG = ["--snapshot-count", "50"] if harness.subject_is_etcd() else ["--snapshot-catchup-entries", "50"]
MANY = 6_000 if harness.subject_is_etcd() else 600
FEW = 300
KEPT_ENTRIES = 5_000 if harness.subject_is_etcd() else 50
# For each piece of what passes: several times what is kept is written before a snapshot is through.
SLOW_LINK_SECONDS = 0.05
FILLED = b"fill/"
CATCH_UP_SECONDS_MAX = 60
FILL_IN_FLIGHT = 32

LONG_BYTES = 1 << 30
LONG_VALUE_BYTES = 64 << 10
LONG_PUTS_PER_SECOND = 2_000
LEADER_GROWTH_BYTES_MAX = 64 << 20


def snapshots_received(member: Member) -> int:
    with urllib.request.urlopen(f"http://{member.endpoint}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    return sum(int(float(value)) for value in
               re.findall(r"^etcd_network_snapshot_receive_success\{[^}]*\} (\S+)$", text, re.M))


def fill(member: Member, count: int, value_bytes: int, prefix: bytes) -> None:
    """Values that do not compress: what is sent is as large as what is stored."""
    client = member.client(timeout_seconds=120)
    gate = threading.Semaphore(FILL_IN_FLIGHT)
    failed: list[object] = []

    def done(future) -> None:
        if future.exception() is not None:
            failed.append(future.exception())
        gate.release()

    for number in range(count):
        gate.acquire()
        request = open_loop.field(1, prefix + b"%07d" % number) + open_loop.field(2, os.urandom(value_bytes))
        client.start("/etcdserverpb.KV/Put", request).add_done_callback(done)
    for _ in range(FILL_IN_FLIGHT):
        gate.acquire()
    assert not failed, failed[0]
    # A snapshot is one of a commit, so there is one: what the log keeps is counted from there.
    messages, _ = client.stream("Maintenance/Snapshot", message("SnapshotRequest"))
    assert messages
    client.close()


@pytest.mark.parametrize("way", ["log", "snapshot"])
def test_a_follower_that_was_away(way: str, seed: int):
    """It is sent what it missed while clients go on; at the end all their answers fit, and all members are equal."""
    extra = SHORT_LOG if way == "snapshot" else []
    with Cluster(3, extra_arguments=extra) as cluster:
        cluster.start()
        load = ClusterLoad(cluster, seed, clients=4).start()
        try:
            load.wait_for_writes(20)
            away = cluster.followers()[0]
            away.kill()
            fill(cluster.wait_for_leader(), MANY if way == "snapshot" else FEW, 100, FILLED)
            load.wait_for_writes(20)
            away.start()
            load.wait_for_writes(20)
            cluster.wait_until_applied()
            assert (snapshots_received(away) > 0) == (way == "snapshot")
            load.finish(FILLED)
        finally:
            load.stopping.set()


def test_the_log_moves_on_by_more_than_it_keeps(seed: int):
    """While a snapshot is on its slow way, clients write more than the log keeps: what follows it is kept all the same, and
    the follower need not be sent one snapshot after the other."""
    with Cluster(3, extra_arguments=SHORT_LOG) as cluster:
        cluster.start()
        away = cluster.followers()[0]
        away.kill()
        leader = cluster.wait_for_leader()
        fill(leader, MANY, 100, FILLED)
        filling = Filling(leader)
        try:
            cluster.slow_down([away], SLOW_LINK_SECONDS)
            away.start()
            index = leader.status().raftIndex + 10 * KEPT_ENTRIES
            cluster.wait(lambda: (status := away.status()) is not None and status.raftAppliedIndex > index,
                         "it is never caught up")
            assert 1 <= snapshots_received(away) <= 2
        finally:
            filling.finish()
        cluster.heal()
        cluster.check_equal()


def test_a_new_member_under_load(seed: int):
    """It begins with nothing, by a snapshot, and then follows."""
    with Cluster(3, extra_arguments=SHORT_LOG) as cluster:
        cluster.start()
        fill(cluster.wait_for_leader(), MANY, 500, FILLED)
        load = ClusterLoad(cluster, seed, clients=4).start()
        try:
            load.wait_for_writes(20)
            new = cluster.add(is_learner=True)
            new.wait_until_ready()
            cluster.wait_until_applied()
            assert snapshots_received(new) > 0
            load.wait_for_writes(20)
            client = cluster.members[0].client()
            wait_until(lambda: client.call("Cluster/MemberPromote", ID=new.status().header.member_id).succeeded,
                       CATCH_UP_SECONDS_MAX, "it is not promoted")
            client.close()
            wait_until(lambda: not new.status().isLearner, CATCH_UP_SECONDS_MAX, "it does not know that it was promoted")
            new.may_be_learner = False  # it refuses nobody any more
            load.wait_for_writes(20)
            load.finish(FILLED)
        finally:
            load.stopping.set()


class Filling(threading.Thread):
    """Puts through one member until `finish`."""

    def __init__(self, member: Member):
        super().__init__(daemon=True)
        self._member, self._done = member, threading.Event()
        self.start()

    def run(self) -> None:
        while not self._done.is_set():
            fill(self._member, FEW, 100, b"on/")

    def finish(self) -> None:
        self._done.set()
        self.join()


class Peak(threading.Thread):
    """The most anonymous memory that a process had."""

    def __init__(self, pid: int):
        super().__init__(daemon=True)
        self.pid, self.bytes, self._done = pid, 0, threading.Event()
        self.start()

    def run(self) -> None:
        while not self._done.wait(0.1):
            self.bytes = max(self.bytes, harness.process_status_bytes(self.pid, "RssAnon"))

    def finish(self) -> int:
        self._done.set()
        self.join()
        return self.bytes


def replace_under_load(cluster: Cluster) -> tuple[int, float, open_loop.Samples]:
    """A follower of a full cluster is replaced by an empty one under steady puts: the growth of the leader's memory, how
    long it took, and the latencies of the puts meanwhile."""
    with cluster:
        cluster.start()
        fill(cluster.wait_for_leader(), LONG_BYTES // LONG_VALUE_BYTES, LONG_VALUE_BYTES, FILLED)
        old = cluster.followers()[0]
        old.kill()
        leader = cluster.wait_for_leader()
        cluster.remove(old, through=leader)
        load = open_loop.Background(open_loop.run_load, open_loop.Load(
            leader.client_port, LONG_PUTS_PER_SECOND, keys=10_000, value_bytes=256))
        wait_until(lambda: leader.client().revision() > LONG_BYTES // LONG_VALUE_BYTES + 5 * LONG_PUTS_PER_SECOND, 120)
        before = harness.process_status_bytes(leader.pid, "RssAnon")
        peak = Peak(leader.pid)
        begin = time.monotonic()
        new = cluster.add(through=leader)
        wait_until(new.is_healthy, 600, cluster.log_tails)
        wait_until(lambda: new.status().raftAppliedIndex >= leader.status().raftIndex - LONG_PUTS_PER_SECOND, 600)
        end = time.monotonic()
        growth = peak.finish() - before
        samples = open_loop.Samples(*load.finish())
        assert samples.unanswered == 0
        cluster.check_equal()
        return growth, end - begin, samples.between(begin, end)


def test_a_gibibyte_under_load(is_long: bool):
    """The leader's memory hardly grows, and what clients feel is not worse than with etcd."""
    if not is_long:
        pytest.skip("takes some minutes; --long runs it")
    quota = ["--quota-backend-bytes", str(8 << 30), "--log-level", "warn"]
    theirs = replace_under_load(reference(3, is_proxied=False, extra_arguments=quota))
    ours = replace_under_load(Cluster(3, is_proxied=False, extra_arguments=quota))
    for label, (growth, seconds, samples) in (("etcd", theirs), ("Cairn", ours)):
        print(f"{label}: {seconds:.1f} s; leader grew by {growth >> 20} MiB; "
              f"requests, p50, p99, p99.9, longest ms: {samples.summary()}")
    assert ours[0] <= LEADER_GROWTH_BYTES_MAX
    assert ours[2].quantile(0.999) <= theirs[2].quantile(0.999)
