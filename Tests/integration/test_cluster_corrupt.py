"""Members with different data: the cluster finds it by itself, names who is wrong, and gets over it.

Two snapshots that differ in one value are restored as members of one cluster: ids and cluster agree, the data does not.
"""

from __future__ import annotations

import json
import pathlib
import shutil
import urllib.error
import urllib.request

import pytest

import harness
from cluster_harness import Cluster, Member
from test_cluster_restore import restore, save
from test_cluster_start import etcdctl, put

CORRUPT_TEXT = "etcdserver: corrupt cluster"
pytestmark = pytest.mark.skipif(harness.subject_is_etcd(), reason="etcd finds it when it is told to, and names another way")


def snapshots(folder: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
    """Of the same revision, and one value apart."""
    paths = []
    for name in ("right", "wrong"):
        with harness.cairn() as source:
            source.start()
            client = source.client()
            for number in range(20):
                client.put(b"key-%d" % number, name.encode() if number == 7 else b"same")
            client.close()
            paths.append(folder / f"{name}.db")
            save(source, paths[-1])
    return paths[0], paths[1]


def divided(folder: pathlib.Path, wrong: list[int], **options) -> Cluster:
    """A cluster, not started, in which some members hold the other data."""
    right_path, wrong_path = snapshots(folder)
    cluster = Cluster(3, is_proxied=False, **options)
    for position, member in enumerate(cluster.members):
        restore(member, wrong_path if position in wrong else right_path)
    return cluster


def page(member: Member, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://{member.endpoint}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError as error:
        return 0, str(error)


def spawn(cluster: Cluster) -> None:
    """`/health` is not good where the alarm is raised, so that cannot be waited for."""
    for member in cluster.members:
        member.spawn()
    cluster.wait(lambda: all(harness.READY_LINE in member.log() for member in cluster.members), "not all serve")


def alarms(member: Member) -> list[str]:
    return etcdctl(member.endpoint, "alarm", "list").split("\n")[:-1]


def line(identity: int) -> str:
    return f"memberID:{identity} alarm:CORRUPT " if identity else "alarm:CORRUPT "


def found(cluster: Cluster) -> list[dict]:
    """The log lines of whoever leads or led."""
    lines = [text for member in cluster.members for text in member.log().splitlines() if "members hold different" in text]
    return [json.loads(text) for text in lines]


def test_who_differs_is_named_and_replaced(tmp_path: pathlib.Path):
    with divided(tmp_path, wrong=[2]) as cluster:
        spawn(cluster)
        bad = cluster.members[2]
        identity = cluster.member_id(bad)
        cluster.wait(lambda: alarms(cluster.members[0]) == [line(identity)], "no alarm")
        said = found(cluster)[0]
        assert said["level"] == "error" and said["members"] == [f"{identity:x}"]
        assert len(said["digests"]) >= 2 and any(text.startswith(f"{identity:x}: ") for text in said["digests"])
        assert len({text.split(": ")[1] for text in said["digests"]}) == 2, said
        for member in cluster.members:
            cluster.wait(lambda: page(member, "/health")[0] == 503, "healthy")
            assert page(member, "/health") == (503, '{"health":"false","reason":"ALARM CORRUPT"}\n')
            status, text = page(member, "/readyz")
            assert status == 503 and "[-]data_corruption failed: alarm activated: CORRUPT\n" in text
            client = member.client()
            outcome = client.call("KV/Put", key=b"k", value=b"v")
            assert (outcome.code, outcome.text) == (15, CORRUPT_TEXT)
            expected = b"wrong" if member is bad else b"right"
            for serializable in (True, False):
                answer = client.must("KV/Range", key=b"key-7", serializable=serializable)
                assert [pair.value for pair in answer.kvs] == [expected]
            client.close()
        # The way out: a new member in the place of the bad one gets the majority's data.
        cluster.remove(bad)
        cluster.add()
        assert etcdctl(cluster.members[0].endpoint, "alarm", "disarm") == line(identity) + "\n"
        cluster.check_equal()
        put(cluster.members[0], "after", "all")
        # A new term is a comparison.
        leader = cluster.wait_for_leader()
        other = cluster.followers()[0]
        etcdctl(leader.endpoint, "move-leader", f"{cluster.member_id(other):x}")
        put(other, "after", "that")
        cluster.check_equal()
        assert alarms(other) == [] and all(one["members"] == [f"{identity:x}"] for one in found(cluster))


def test_without_a_majority_nobody_is_named(tmp_path: pathlib.Path):
    """Two members: there is no majority of equal ones. Disarmed, the alarm comes back with the next comparison."""
    right_path, wrong_path = snapshots(tmp_path)
    with Cluster(2, is_proxied=False, extra_arguments=["--corrupt-check-time", "200ms"]) as cluster:
        for member, path in zip(cluster.members, (right_path, wrong_path)):
            restore(member, path)
        spawn(cluster)
        cluster.wait(lambda: alarms(cluster.members[0]) == [line(0)], "no alarm")
        assert found(cluster)[0]["members"] == ["0"] and len(found(cluster)[0]["digests"]) == 2
        assert etcdctl(cluster.members[0].endpoint, "alarm", "disarm") == line(0) + "\n"
        cluster.wait(lambda: alarms(cluster.members[1]) == [line(0)], "no alarm the second time")


def test_the_check_before_the_start(tmp_path: pathlib.Path):
    """--feature-gates=InitialCorruptCheck=true: who differs does not take part; who agrees does."""
    gate = ["--feature-gates", "InitialCorruptCheck=true"]
    with divided(tmp_path, wrong=[2]) as cluster:
        for member in cluster.members[:2]:
            member.spawn()
        for member in cluster.members[:2]:
            member.wait_until_ready()
        bad, good = cluster.members[2], cluster.members[1]
        bad.extra_arguments = good.extra_arguments = gate
        bad.spawn()
        assert bad.wait_for_exit() == 1
        assert "found data inconsistency with peers" in bad.log() and "found different hash values from" in bad.log()
        good.kill()
        good.start()
        assert "initial corruption checking passed; no corruption" in good.log()
        assert alarms(good) == []


@pytest.mark.parametrize("part, place", [("log", " at offset "), ("database", "damaged page ")])
def test_a_damaged_member_stays_away_and_is_replaced(part: str, place: str, is_long: bool):
    if part == "database" and not is_long:
        pytest.skip("what a single member does with every damage of its file is for other tests; --long has it")
    with Cluster(3, is_proxied=False) as cluster:
        cluster.start()
        bad = cluster.followers()[0]
        client = cluster.members[0].client()
        for number in range(200):
            client.put(b"key-%d" % number, b"x" * 200)
        client.close()
        cluster.check_equal()
        bad.kill()
        damaged = damage(bad, part)
        bad.spawn()
        assert bad.wait_for_exit() == 1, bad.log_tail()
        last = json.loads(bad.log().splitlines()[-1])
        assert last["level"] == "fatal" and damaged.name in last["error"] and place in last["error"], last
        rest = [member for member in cluster.members if member is not bad]
        put(rest[0], "meanwhile", "yes")
        # Empty, under its old id, it might vote a second time.
        shutil.rmtree(bad.data_directory)
        bad.spawn()
        assert bad.wait_for_exit() == 1 and "has already been bootstrapped" in bad.log()
        cluster.remove(bad, through=rest[0])
        cluster.add(through=rest[0])
        cluster.check_equal()
        assert alarms(rest[0]) == []


def damage(member: Member, part: str) -> pathlib.Path:
    """Other bytes in what the member needs at its start: one of the log, or the number of each page of the data file."""
    folder = member.data_directory / "member"
    path = min(folder.glob("wal/*.wal" if part == "log" else "store/*.mdb"))
    content = bytearray(path.read_bytes())
    for position in [2000] if part == "log" else range(2 * 4096, len(content), 4096):
        content[position] ^= 0x10
    path.write_bytes(content)
    return path
