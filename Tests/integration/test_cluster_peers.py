"""What a peer must not be able to do with bytes that no member sends: end a member, change its data, or stay unnamed."""

from __future__ import annotations

import collections
import json
import random

import pytest

import harness
from api import message
from cluster_harness import Cluster, Member
from cluster_hostile_peer import SNAPSHOT, VERSION, HostileAnswers, HostilePeer
from watch_client import wait_until

pytestmark = pytest.mark.skipif(harness.subject_is_etcd(), reason="etcd trusts its peers: some of this ends it")

SHORT_MUTATIONS, LONG_MUTATIONS = 1_500, 100_000
# Much longer than any of these tests takes.
LOG_SECONDS_MAX = 900


@pytest.fixture
def cluster():
    with Cluster(3, is_proxied=False, extra_arguments=["--log-level", "info"]) as made:
        made.start()
        client = made.members[0].client()
        for number in range(50):
            client.put(b"key/%d" % (number % 7), b"%d" % number)
        client.close()
        made.check_equal()
        yield made


def state(cluster: Cluster) -> tuple:
    client = cluster.members[0].client()
    members = [each.SerializeToString() for each in client.must("Cluster/MemberList").members]
    client.close()
    return cluster.check_equal(), members


def check_unharmed(cluster: Cluster, before: tuple, processes: list[int]) -> None:
    assert [member.pid for member in cluster.members if member.is_running()] == processes, cluster.log_tails()
    assert state(cluster) == before
    client = cluster.members[1].client()
    assert client.put(b"after", b"1") == before[0][0] + 1
    client.close()
    cluster.check_equal()


def warnings(member: Member, text: str, identity: int, fault: str = "") -> int:
    """How many warnings or errors say this and name the sender, those left out included."""
    found = [json.loads(line) for line in member.log().splitlines()
             if text in line and f"{identity:x}" in line and fault in line]
    return sum(1 + line.get("lines-left-out", 0) for line in found if line["level"] in ("warn", "error"))


def check_log_bounded(member: Member) -> None:
    """However many requests were refused: as many lines for each text and sender as are let through at once and since."""
    counts = collections.Counter()
    for line in map(json.loads, member.log().splitlines()):
        counts[line["msg"], line.get("from", line.get("peer-id"))] += line["level"] in ("warn", "error")
    assert max(counts.values()) <= 20 + LOG_SECONDS_MAX // 5, counts


def liar(cluster: Cluster, seed: int) -> tuple[HostilePeer, Member]:
    """In the name of a follower, to another follower."""
    one, other = cluster.followers()
    return HostilePeer(cluster, one, other, random.Random(seed)), other


def test_messages(cluster: Cluster, seed: int, is_long: bool):
    before, processes = state(cluster), [member.pid for member in cluster.members]
    peer, target = liar(cluster, seed)
    leader = cluster.wait_for_leader()
    to_leader = HostilePeer(cluster, target, leader, peer.source)
    for each in (peer, to_leader):
        for name, body in each.wrong_messages().items():
            each.post(body)
            assert each.target.is_running(), f"{name}: {each.target.log_tail()}"
        # It says of each who sent it and what is wrong with it, until there are too many.
        for fault in each.faults:
            wait_until(lambda: warnings(each.target, "refused a peer's message", each.own_id, fault) > 0, 20,
                       lambda: f"nothing about {fault!r}\n{each.target.log_tail()}")
        for _ in range((LONG_MUTATIONS if is_long else SHORT_MUTATIONS) // 2):
            each.post(each.mutated())
        # Some do not parse, the others get as far as Raft.
        assert warnings(each.target, "refused a request of another member", each.own_id) >= 20, each.target.log_tail()
        check_log_bounded(each.target)
    check_unharmed(cluster, before, processes)


def test_requests(cluster: Cluster, seed: int):
    before, processes = state(cluster), [member.pid for member in cluster.members]
    peer, target = liar(cluster, seed)
    good = peer.message().SerializeToString()
    for identity in ("1234", ""):
        assert peer.request("POST", "/raft", good, peer.headers(X_Etcd_Cluster_ID=identity)) == 412
    assert peer.request("POST", "/raft", b"\xff" * 50) == 400
    assert peer.request("PUT", "/raft", good) == 405
    assert peer.request("GET", "/raft/stream/nonsense/1") in (400, 404)
    assert peer.request("GET", f"/raft/stream/message/{peer.own_id:x}", headers=peer.headers(X_Raft_To="77")) == 412
    assert peer.request("GET", "/raft/stream/msgapp/zz") in (400, 404)
    assert peer.request("GET", "/no/such/path") == 404
    # More than anyone may send, in one piece and as a promise.
    assert peer.request("POST", "/raft", b"\0" * (1 << 20)) in (0, 400, 413)
    head = f"POST /raft HTTP/1.1\r\nHost: a\r\nX-Etcd-Cluster-ID: {peer.cluster_id:x}\r\n"
    peer.raw(f"{head}Content-Length: 99999999999\r\n\r\n".encode() + b"x" * 1000)
    peer.raw(f"{head}Transfer-Encoding: chunked\r\n\r\nffffffffffff\r\n".encode())
    for _ in range(60):
        peer.raw(peer.source.randbytes(peer.source.randrange(1, 3000)))
    peer.raw(b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 20_000)
    assert target.is_running(), target.log_tail()
    check_unharmed(cluster, before, processes)


def test_snapshots(cluster: Cluster, seed: int):
    """A message of a snapshot and what is to be its file: none is installed."""
    before, processes = state(cluster), [member.pid for member in cluster.members]
    peer, target = liar(cluster, seed)
    metadata = message("raftpb.SnapshotMetadata", index=peer.commit + 100, term=peer.term,
                       conf_state=message("raftpb.ConfState", voters=[peer.own_id, peer.target_id]))
    body = peer.message(type=SNAPSHOT, snapshot=message("raftpb.Snapshot", metadata=metadata)).SerializeToString()
    head = len(body).to_bytes(8, "big")
    file = bytearray(target_snapshot(target))
    files = [b"", b"x" * 100, peer.source.randbytes(100_000), bytes(file[:-1]), bytes(file[:len(file) // 2])]
    for _ in range(20):
        spoilt = bytearray(file)
        spoilt[peer.source.randrange(len(spoilt))] ^= 1 << peer.source.randrange(8)
        files.append(bytes(spoilt))
    for each in files:
        assert peer.request("POST", "/raft/snapshot", head + body + each) != 204
    for wrong_head in (b"", b"\xff" * 8, b"\0" * 8, (1 << 40).to_bytes(8, "big")):
        assert peer.request("POST", "/raft/snapshot", wrong_head + body) != 204
    assert warnings(target, "failed to save incoming database snapshot", peer.own_id) >= len(files) - 5, target.log_tail()
    assert not list((target.data_directory / "member/snap").iterdir()), "something of them stays"
    check_unharmed(cluster, before, processes)


def target_snapshot(member: Member) -> bytes:
    client = member.client()
    messages, outcome = client.stream("Maintenance/Snapshot", message("SnapshotRequest"))
    client.close()
    assert outcome.succeeded
    return b"".join(each.blob for each in messages)


def test_streams(cluster: Cluster, seed: int):
    """A follower's place is taken by somebody who answers the others' dials with garbage; then it comes back."""
    source = random.Random(seed)
    before = state(cluster)
    one = cluster.followers()[0]
    others = [member for member in cluster.members if member is not one]
    processes = [member.pid for member in others]
    peer = HostilePeer(cluster, one, others[0], source)
    one.kill()

    def answer(_request: bytes) -> bytes:
        garbage = source.choice([
            source.randbytes(source.randrange(1, 500)), b"\xff" * 100, (1 << 40).to_bytes(8, "big") + b"x" * 50,
            b"".join(len(data).to_bytes(8, "big") + data for data in (peer.mutated() for _ in range(20))), b""])
        if source.random() < 0.2:
            return garbage
        return (f"HTTP/1.1 200 OK\r\nX-Server-Version: {VERSION}\r\nX-Etcd-Cluster-ID: {peer.cluster_id:x}\r\n"
                f"Transfer-Encoding: chunked\r\n\r\n{len(garbage):x}\r\n").encode() + garbage + b"\r\n"

    hostile = HostileAnswers(one.peer_port, answer)
    try:
        wait_until(lambda: hostile.served >= 60, 90, lambda: f"{hostile.served} dials")
    finally:
        hostile.close()
    assert [member.pid for member in others if member.is_running()] == processes, cluster.log_tails()
    for member in others:
        assert warnings(member, "a peer sent what is no message", peer.own_id) > 5, member.log_tail()
        check_log_bounded(member)
    one.start()
    check_unharmed(cluster, before, [member.pid for member in cluster.members])
