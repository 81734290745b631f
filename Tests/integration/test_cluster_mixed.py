"""Cairns and etcds 3.5.1 as members of one cluster: the form of what members say to each other, held against the real thing."""

from __future__ import annotations

import json
import urllib.request

import pytest

import harness
import prometheus
from api import message
from cluster_harness import Cluster, Member

pytestmark = pytest.mark.skipif(harness.subject_is_etcd(), reason="takes both kinds")

ETCD, CAIRN = "etcd", "cairn"


def kind(member: Member) -> str:
    return ETCD if member.binary.name == "etcd" else CAIRN


def mixed(*kinds: str) -> Cluster:
    cluster = Cluster(len(kinds), is_proxied=False)
    for member, each in zip(cluster.members, kinds):
        member.binary = harness.etcd_distribution() / "etcd" if each == ETCD else harness.cairn_binary()
        member.extra_arguments = ["--log-level", "info"]
    return cluster


def version(member: Member) -> dict[str, str]:
    with urllib.request.urlopen(f"http://{member.endpoint}/version", timeout=5) as answer:
        return json.load(answer)


def members_of(member: Member) -> list[tuple]:
    client = member.client()
    found = client.must("Cluster/MemberList", linearizable=True).members
    client.close()
    return sorted((each.ID, each.name, list(each.peerURLs), list(each.clientURLs), each.isLearner) for each in found)


def write_through(members: list[Member], word: str) -> None:
    """Puts, transactions and leases through each member, read through each other."""
    for number, member in enumerate(members):
        client, key, lease = member.client(), f"{word}/{number}".encode(), hash((word, number)) % 10 ** 9 + 1
        client.must("Lease/LeaseGrant", TTL=600, ID=lease)
        client.must("KV/Put", key=key, value=b"1", lease=lease)
        transaction = client.must(
            "KV/Txn", compare=[message("Compare", key=key, target="VERSION", version=1)],
            success=[message("RequestOp", request_put={"key": key, "value": b"2"}),
                     message("RequestOp", request_delete_range={"key": key + b"/none"})])
        assert transaction.succeeded
        request = message("LeaseKeepAliveRequest", ID=lease)
        answers, outcome = client.stream("Lease/LeaseKeepAlive", request)
        assert outcome.succeeded and [answer.TTL for answer in answers] == [600], outcome
        for other in members:
            reader = other.client()
            assert [each.value for each in reader.must("KV/Range", key=key).kvs] == [b"2"]
            left = reader.must("Lease/LeaseTimeToLive", ID=lease)
            assert (left.grantedTTL, left.TTL > 500) == (600, True), left
            reader.close()
        client.must("Lease/LeaseRevoke" if number % 2 else "Lease/LeaseGrant", **(
            {"ID": lease} if number % 2 else {"ID": lease + 10 ** 9, "TTL": 600}))
        client.close()


def lead(cluster: Cluster, target: Member) -> None:
    leader = cluster.wait_for_leader()
    if leader is not target:
        client = leader.client()
        client.must("Maintenance/MoveLeader", targetID=cluster.member_id(target))
        client.close()
    cluster.wait(lambda: cluster.leader() is target, f"{target.name} does not lead")


@pytest.mark.parametrize("kinds", [(ETCD, ETCD, CAIRN), (CAIRN, CAIRN, ETCD)], ids="-".join)
def test_a_mixed_cluster(kinds: tuple[str, ...]):
    with mixed(*kinds) as cluster:
        cluster.start()
        # The lowest minor version counts, whoever leads.
        cluster.wait(lambda: {version(member)["etcdcluster"] for member in cluster.members} == {"3.5.0"}, "versions")
        for member in cluster.members:
            assert prometheus.scrape(member).value("etcd_cluster_version", cluster_version="3.5") == 1
        cluster.wait(lambda: all(len(each[3]) == 1 for each in members_of(cluster.members[0])), "names and URLs")
        assert len({str(members_of(member)) for member in cluster.members}) == 1
        for each in (ETCD, CAIRN):
            victim = next(member for member in cluster.members if kind(member) == each)
            lead(cluster, victim)
            write_through(cluster.members, f"under {each}")
            cluster.check_equal()
            victim.kill()
            cluster.wait_for_leader(other_than=victim)
            write_through(cluster.running(), f"without {each}")
            victim.start()
            cluster.check_equal()
        client = cluster.members[0].client()
        client.must("KV/Compact", revision=10, physical=True)
        client.close()
        cluster.check_equal()
        assert len({str(members_of(member)) for member in cluster.members}) == 1


def test_no_snapshot_goes_to_the_other_kind():
    """A member that the log no longer reaches stays as it is, and whoever leads says why."""
    with mixed(CAIRN, CAIRN, ETCD) as cluster:
        for member in cluster.members[:2]:
            member.extra_arguments += ["--snapshot-catchup-entries", "10", "--backend-batch-interval", "50ms"]
        cluster.start()
        late = cluster.members[2]
        if cluster.wait_for_leader() is late:
            lead(cluster, cluster.members[0])
        late.kill()
        leader = cluster.wait_for_leader()
        client = leader.client()
        for number in range(100):
            client.put(b"key-%d" % number, b"x" * 2000)
        late.spawn()
        refusal = "the member is no cairn: it cannot read the snapshots of one"
        cluster.wait(lambda: any(refusal in member.log() for member in cluster.members[:2]), "nothing was refused")
        assert late.is_running()
        client.put(b"still", b"served")
        client.close()
