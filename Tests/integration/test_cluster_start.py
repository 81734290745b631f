"""Three processes are one cluster: they start together, serve through any member, and survive the loss of their leader.

Links on loopback without proxies; what happens to them when links fail is for the tests with `cluster_network`.
"""

from __future__ import annotations

import json
import subprocess

import pytest

import api
import cluster_harness
import harness
from watch_client import wait_until

SECONDS_MAX = 30


def etcdctl(endpoints: str, *arguments: str, seconds_max: float = SECONDS_MAX) -> str:
    done = subprocess.run([str(harness.etcdctl_binaries()["3.5.1"]), "--endpoints", endpoints, *arguments],
                          capture_output=True, text=True, timeout=seconds_max)
    assert done.returncode == 0, f"etcdctl {arguments}: {done.stderr}"
    return done.stdout


@pytest.fixture
def cluster():
    with cluster_harness.Cluster(3, is_proxied=False) as cluster:
        yield cluster.start()


def put(member: harness.Server, key: str, value: str) -> None:
    """Through one member, until it is answered: a new leader may be on its way."""
    def is_answered() -> bool:
        done = subprocess.run(
            [str(harness.etcdctl_binaries()["3.5.1"]), "--endpoints", member.endpoint, "put", key, value],
            capture_output=True, text=True, timeout=SECONDS_MAX)
        return done.returncode == 0

    wait_until(is_answered, SECONDS_MAX, member.log_tail)


def test_a_cluster_serves_through_any_member_and_survives_its_leader(cluster):
    for number, member in enumerate(cluster.members):
        etcdctl(member.endpoint, "put", f"key-{number}", f"value-{number}")
        for other in cluster.members:
            assert etcdctl(other.endpoint, "get", f"key-{number}", "--print-value-only") == f"value-{number}\n"
    leader = cluster.wait_for_leader()
    leader.kill()
    survivors = [member for member in cluster.members if member is not leader]
    for member in survivors:
        put(member, "after", member.name)
        assert etcdctl(member.endpoint, "get", "after", "--print-value-only") == f"{member.name}\n"
    leader.start()
    assert etcdctl(leader.endpoint, "get", "after", "--print-value-only") == f"{survivors[-1].name}\n"
    cluster.check_equal()


def test_a_leader_that_stops_hands_over_first(cluster):
    leader = cluster.wait_for_leader()
    term = leader.status().raftTerm
    assert leader.terminate() == 143
    successor = cluster.wait_for_leader(other_than=leader)
    # Of an election that somebody had to wait for there would be no such line.
    assert "leadership handed over" in leader.log()
    assert successor.status().raftTerm == term + 1
    put(successor, "handed", "over")


def test_a_member_without_a_quorum_says_so_and_stops_when_told(cluster):
    for member in cluster.members[1:]:
        member.kill()
    last = cluster.members[0]

    def has_no_leader() -> bool:
        status = last.status()
        return status is not None and status.leader == 0 and "etcdserver: no leader" in status.errors

    wait_until(has_no_leader, SECONDS_MAX, last.log_tail)
    assert not last.is_healthy()
    last.kill()
    # It waits for the others and cannot serve; that must not keep it from ending.
    last.spawn()
    wait_until(lambda: "serving peer traffic" in last.log().split("closed member")[-1], SECONDS_MAX, last.log_tail)
    assert last.terminate() == 143
