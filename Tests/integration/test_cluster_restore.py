"""Clusters that begin from what is left: a snapshot restored for three members, and the one member that was saved."""

from __future__ import annotations

import os
import pathlib
import random
import shutil
import subprocess

import harness
from cluster_harness import Cluster, Member
from test_cairnutl import Content, fill

TOKEN = "restored"
SAMPLED_REVISIONS = 60


def save(member: Member, path: pathlib.Path) -> None:
    subprocess.run([harness.etcdctl_binaries()["3.5.1"], "--endpoints", member.endpoint, "snapshot", "save", path],
                   check=True, capture_output=True, env={**os.environ, "ETCDCTL_API": "3"})


def restore(member: Member, snapshot: pathlib.Path) -> None:
    """With cairnutl, or etcdutl for etcd: they take the same flags."""
    utl = harness.etcd_distribution() / "etcdutl" if harness.subject_is_etcd() else harness.utl_binary()
    done = subprocess.run(
        [utl, "snapshot", "restore", snapshot, "--name", member.name, "--initial-cluster", member.initial_cluster,
         "--initial-cluster-token", TOKEN, "--initial-advertise-peer-urls", member.peer_url,
         "--data-dir", member.data_directory], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def contents(cluster: Cluster, revisions: list[int]) -> list[Content]:
    return [Content(member, revisions) for member in cluster.members]


def test_three_members_from_one_snapshot(tmp_path: pathlib.Path, seed: int):
    """Each member has all of the history, the leases and the same HashKV, and the cluster goes on from there."""
    snapshot = tmp_path / "snapshot.db"
    with Cluster(3, is_proxied=False) as old:
        old.start()
        last = fill(old.members[0], seed, 300)
        revisions = [0, *random.Random(seed).sample(range(1, last + 1), SAMPLED_REVISIONS)]
        old.wait_until_applied()
        before = contents(old, revisions)
        assert before[1:] == before[:-1]
        save(old.members[1], snapshot)
    with Cluster(3, is_proxied=False, extra_arguments=["--initial-cluster-token", TOKEN]) as new:
        for member in new.members:
            restore(member, snapshot)
        new.start()
        assert contents(new, revisions) == before
        assert new.members[0].client().put(b"new", b"1") == last + 1
        new.check_equal()
        follower = new.followers()[0]
        follower.kill()
        new.wait_for_leader().client().put(b"newer", b"2")
        follower.start()
        new.check_equal()
        identities = {member.status().header.member_id for member in new.members}
        assert len(identities) == 3


def test_a_lost_quorum_is_recovered_from_one_member(seed: int):
    """Two of three are gone for good. The third, started once with --force-new-cluster, has everything acknowledged
    that it knew of, and two new members join it."""
    with Cluster(3, is_proxied=False) as cluster:
        cluster.start()
        last = fill(cluster.members[0], seed, 200)
        revisions = [0, *random.Random(seed).sample(range(1, last + 1), SAMPLED_REVISIONS)]
        cluster.wait_until_applied()
        before = Content(cluster.members[0], revisions)
        saved, *lost = cluster.members
        # etcd 3.5.1 keeps its newest commit index in memory for a while: killed, it would drop from its log, as
        # uncommitted, an entry that its database has, and those who join later would never get it.
        saved.terminate() if harness.subject_is_etcd() else saved.kill()
        cluster.kill()
        for member in lost:
            shutil.rmtree(member.data_directory)
            cluster.members.remove(member)
        saved.extra_arguments = ["--force-new-cluster"]
        saved.start()
        assert Content(saved, revisions) == before
        client = saved.client()
        found = client.must("Cluster/MemberList").members
        assert [(member.name, list(member.peerURLs)) for member in found] == [(saved.name, [saved.peer_url])]
        assert client.put(b"after", b"1") == last + 1
        client.close()
        saved.terminate()
        saved.extra_arguments = []
        saved.start()
        for _ in lost:
            cluster.add().wait_until_ready()
        cluster.check_equal()
        after = contents(cluster, revisions[1:])
        assert after[1:] == after[:-1] and after[0].leases == before.leases
        assert after[0].ranges == {revision: before.ranges[revision] for revision in revisions[1:]}
        assert len(cluster.members[2].client().must("Cluster/MemberList").members) == 3
