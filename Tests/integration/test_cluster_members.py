"""etcdctl 3.4.23 and 3.5.1 about a cluster and its members: Cairn and etcd 3.5.1 say and do the same."""

from __future__ import annotations

import functools
import pathlib

import pytest

import harness
from cluster_harness import Cluster, reference
from cluster_stage import ClusterStage
from etcdctl_stage import fail_on_differences, unlike

SIZE = 3


def listings(stage: ClusterStage) -> None:
    """What is there, and who leads."""
    cluster = stage.cluster
    one, two, three = cluster.members
    stage.make_lead(one)
    stage.run("put before 1")
    cluster.wait_until_applied()
    for line in ("member list", "member list -w json", "member list -w fields", "member list -w table",
                 "endpoint health --cluster", "endpoint status --cluster", "endpoint status --cluster -w json",
                 "endpoint status --cluster -w table", "endpoint hashkv --cluster", "endpoint hashkv --cluster -w json",
                 "endpoint hashkv --cluster --rev=2", "alarm list"):
        # One after the other where etcdctl asks all at once and prints in the order of answers.
        printed = stage.run(line, [one])
        if line.startswith("endpoint health"):
            _, stdout, stderr, code = stage.record.pop()
            assert printed.count("is healthy") + stderr.count("is healthy") == SIZE
            stage.note(line, "\n".join(sorted(stdout.split("\n"))), "\n".join(sorted(stderr.split("\n"))), code)
    for line in ("move-leader ID(m2)", "move-leader 1234abcd", "move-leader xyz", "move-leader", "move-leader 1 2"):
        stage.run(line, cluster.members)
        if line == "move-leader ID(m2)":
            stage.expect("Leadership transferred from")
            cluster.wait(lambda: cluster.leader() is two, "m2 does not lead")
    stage.run("move-leader ID(m1)", [three])
    stage.run("move-leader ID(m2)", cluster.members)  # to itself
    stage.run("endpoint status --cluster", [three])


def changes(stage: ClusterStage) -> None:
    """Members that are added, updated, removed; what is refused; and a member's second life."""
    cluster = stage.cluster
    one, two, three = cluster.members
    stage.make_lead(one)
    four = cluster.prepare()
    for line in ("member add", "member add m4", "member add m4 --peer-urls=nonsense",
                 "member add m4 --peer-urls=http://127.0.0.1", f"member add m4 --peer-urls={two.peer_url}",
                 f"member add a b --peer-urls={four.peer_url}", "member remove", "member remove xyz",
                 "member remove 1234abcd", "member update", "member update 1234abcd",
                 f"member update 1234abcd --peer-urls={four.peer_url}", f"member update ID(m2) --peer-urls={one.peer_url}",
                 "member update ID(m2) --peer-urls=nonsense", f"member update ID(m2) --peer-urls={two.peer_url}",
                 "member promote", "member promote xyz", "member promote 1234abcd", "member promote ID(m2)"):
        stage.run(line, until_ready=line != "member promote ID(m2)")
    # Announced and never started.
    stage.run(f"member add m4 --peer-urls={four.peer_url}", [one], until_ready=True)
    stage.learn(four, is_added=True)
    _name_in_record(stage)
    stage.run("member list")
    stage.run("member remove ID(m4)", [one], until_ready=True)
    stage.run("member remove ID(m4)", [one])
    stage.run("member list")
    # One goes: it ends by itself, and its old data is of no use to it.
    stage.run("member remove ID(m3)", [one], until_ready=True)
    cluster.members.remove(three)
    cluster.removed.append(three)
    stage.note("m3 ends", str(three.wait_for_exit(60)))
    three.spawn()
    stage.note("m3 ends again", str(three.wait_for_exit(60)), code=int("permanently removed" in three.log()))
    stage.run("member list")
    stage.run("member remove ID(m3)", [one])
    # Two are left. With a third that has not started, neither one more nor one less would leave a majority that has. (While
    # one is down and a majority up, etcd 3.5.1 takes no new member; Cairn does, as etcd's issue 21667 asks for.)
    five = cluster.prepare()
    stage.run(f"member add m5 --peer-urls={five.peer_url}", [one], until_ready=True)
    stage.learn(five, is_added=True)
    _name_in_record(stage)
    stage.run(f"member add m6 --peer-urls={five.peer_url}0", [one])
    stage.run("member remove ID(m2)", [one])
    assert sum("not enough started members" in stderr for _, _, stderr, _ in stage.record) == 2
    stage.run("member remove ID(m5)", [one], until_ready=True)
    stage.run("member list")


def learners(stage: ClusterStage) -> None:
    """What a learner may, and how it becomes a voter."""
    cluster = stage.cluster
    one = cluster.members[0]
    stage.make_lead(one)
    for number in range(30):
        stage_client = one.client()
        stage_client.put(b"key/%d" % number, b"value")
        stage_client.close()
    learner = cluster.prepare()
    stage.run(f"member add m4 --learner --peer-urls={learner.peer_url}", [one], until_ready=True)
    stage.learn(learner, is_added=True)
    _name_in_record(stage)
    stage.run("member list")
    stage.run("member list -w json")
    stage.run("member promote ID(m4)", [one])
    stage.run(f"member add m5 --learner --peer-urls={learner.peer_url}0", [one])
    cluster.join(learner)
    learner.spawn()
    cluster.wait_until_applied()
    for line in ("get key/1", "put key/1 x", "get key/1 --consistency=s", "endpoint status", "endpoint hashkv",
                 "lease grant 10", "member list", "alarm list", "compaction 3"):
        stage.run(line + " --command-timeout=1s", [learner])
    stage.run("move-leader ID(m4)", cluster.members)
    stage.run("member promote ID(m4)", [one], until_ready=True)
    stage.run("member promote ID(m4)", [one])
    stage.run("member list")
    cluster.wait(lambda: not learner.status().isLearner, "it is a learner still")
    stage.run("put key/1 x", [learner])
    stage.run("get key/1", [learner])
    cluster.check_equal()


def _name_in_record(stage: ClusterStage) -> None:
    """The last record was made before the id in it had a name."""
    label, stdout, stderr, code = stage.record.pop()
    stage.note(label, stdout, stderr, code)


def play(scene, cluster: Cluster, binary: pathlib.Path, folder: pathlib.Path) -> list:
    with cluster:
        cluster.start()
        stage = ClusterStage(cluster, binary, folder)
        for member in cluster.members:
            stage.learn(member)
        scene(stage)
        return stage.record


def differences(scene, binary: pathlib.Path, folder: pathlib.Path) -> list[str]:
    folder.mkdir()
    free = harness.free_ports(2 * (SIZE + 2))  # for two that are added
    ports = list(zip(free[::2], free[1::2]))
    expected = play(scene, reference(SIZE, is_proxied=False, ports=ports), binary, folder)
    got = play(scene, Cluster(SIZE, is_proxied=False, ports=ports), binary, folder)
    return unlike(binary, expected, got)


@pytest.mark.parametrize("scene", [listings, changes, learners], ids=lambda scene: scene.__name__)
def test_scene(scene, tmp_path: pathlib.Path):
    fail_on_differences(functools.partial(differences, scene), tmp_path)
