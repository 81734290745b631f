"""Three processes are one cluster: they start together, serve through any member, and survive the loss of their leader.

Links on loopback without proxies; what happens to them when links fail is for the tests with `cluster_network`.
"""

from __future__ import annotations

import http.server
import json
import shutil
import subprocess
import threading
import urllib.request

import pytest

import api
import cluster_harness
import harness
import metrics_table
import prometheus
from cluster_load import LEARNER
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


def promote(member: harness.Server, identity: int) -> None:
    """Through one member, until the leader has heard that the learner holds enough."""
    def is_promoted() -> bool:
        done = subprocess.run([str(harness.etcdctl_binaries()["3.5.1"]), "--endpoints", member.endpoint,
                               "member", "promote", f"{identity:x}"],
                              capture_output=True, text=True, timeout=SECONDS_MAX)
        assert done.returncode == 0 or "in sync with leader" in done.stderr, done.stderr
        return done.returncode == 0

    wait_until(is_promoted, SECONDS_MAX, member.log_tail)


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


def test_members_come_as_learners_are_promoted_through_a_follower_and_go(cluster):
    learner = cluster.add(is_learner=True)
    learner.wait_until_ready()
    assert learner.status().isLearner
    client = learner.client()
    outcome = client.call("KV/Put", key=b"k", value=b"v")
    assert outcome.text == LEARNER, outcome
    put(cluster.members[0], "known", "to all")
    wait_until(lambda: etcdctl(learner.endpoint, "get", "known", "--consistency", "s", "--print-value-only")
               == "to all\n", SECONDS_MAX, learner.log_tail)
    follower = next(member for member in cluster.followers() if member is not learner)
    leader, through = cluster.wait_for_leader(), follower.client()
    outcome = through.call("Cluster/MemberPromote", ID=cluster.member_id(follower))
    assert outcome.text == "etcdserver: can only promote a learner member", outcome
    through.close()
    promote(follower, cluster.member_id(learner))
    if cluster.leader() is leader:
        scrape, reason = prometheus.scrape(leader), "membership: can only promote a learner member"
        assert scrape.value("etcd_server_learner_promote_successes") == 1
        assert scrape.value("etcd_server_learner_promote_failures", Reason=reason) >= 1
    wait_until(lambda: not learner.status().isLearner, SECONDS_MAX, learner.log_tail)
    put(learner, "promoted", "yes")
    client.close()
    target = cluster.member_id(learner)
    leader = cluster.wait_for_leader()
    etcdctl(leader.endpoint, "move-leader", f"{target:x}")
    assert cluster.wait_for_leader(other_than=leader) is learner
    cluster.remove(learner, through=follower)
    assert learner.wait_for_exit() == 0
    assert "the member has been permanently removed from the cluster" in learner.log()
    put(follower, "removed", "yes")
    cluster.check_equal()


def test_a_member_that_lost_its_directory_is_refused(cluster):
    member = cluster.members[2]
    put(member, "a", "b")
    member.kill()
    shutil.rmtree(member.data_directory)
    member.spawn()
    assert member.wait_for_exit() == 1
    assert "has already been bootstrapped" in member.log()


def test_leases_live_through_any_member(cluster):
    for member in cluster.members:
        client = member.client()
        granted = client.must("Lease/LeaseGrant", TTL=30)
        client.must("KV/Put", key=b"leased", value=b"v", lease=granted.ID)
        assert etcdctl(member.endpoint, "lease", "keep-alive", "--once", f"{granted.ID:x}").startswith("lease")
        left = client.must("Lease/LeaseTimeToLive", ID=granted.ID, keys=True)
        assert 0 < left.TTL <= 30 and left.grantedTTL == 30 and list(left.keys) == [b"leased"]
        client.must("Lease/LeaseRevoke", ID=granted.ID)
        assert client.must("Lease/LeaseTimeToLive", ID=granted.ID).TTL == -1
        client.close()


def test_a_member_that_the_log_no_longer_reaches_gets_a_snapshot():
    few = ["--snapshot-catchup-entries", "50", "--backend-batch-interval", "50ms"]
    with cluster_harness.Cluster(3, is_proxied=False, extra_arguments=few) as cluster:
        cluster.start()
        late = cluster.followers()[0]
        late.kill()
        client = cluster.wait_for_leader().client()
        for number in range(400):
            client.put(b"key-%d" % (number % 100), b"x" * 2000)
        client.close()
        late.start()
        cluster.check_equal()
        late.wait_for_log("applied a snapshot of another member")
        put(late, "after", "snapshot")
        sent = [prometheus.scrape(member).series("etcd_network_snapshot_send_success") for member in cluster.members]
        assert {"To": f"{cluster.member_id(late):x}"} in sum(sent, [])
        received = prometheus.scrape(late)
        assert len(received.series("etcd_network_snapshot_receive_success")) == 1
        assert received.value("etcd_server_snapshot_apply_in_progress_total") == 0


class Claims(http.server.BaseHTTPRequestHandler):
    """A member that says of its cluster what it was told to say."""

    answers: dict[str, object] = {}

    def do_GET(self):
        body = json.dumps(self.answers[self.path]).encode()
        self.send_response(200)
        self.send_header("X-Etcd-Cluster-ID", "abc")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def test_a_cluster_of_a_later_version_is_not_joined(tmp_path):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Claims) as later:
        threading.Thread(target=later.serve_forever, daemon=True).start()
        ports = harness.free_ports(2)
        own, other = f"http://127.0.0.1:{ports[1]}", f"http://127.0.0.1:{later.server_address[1]}"
        Claims.answers = {
            "/members": [{"id": 1, "peerURLs": [other], "name": "later"}, {"id": 2, "peerURLs": [own]}],
            "/version": {"etcdserver": "3.8.0", "etcdcluster": "3.8.0"}}
        member = harness.cairn(tmp_path / "member", ports=ports, extra_arguments=[
            "--initial-cluster", f"default={own},later={other}", "--initial-cluster-state", "existing"])
        member.spawn()
        assert member.wait_for_exit() == 1
        assert "incompatible with current running cluster" in member.log(), member.log_tail()
        assert not list((member.data_directory / "member/store").glob("*")), "it has begun a store"
        later.shutdown()


def test_one_snapshot_is_three_members(tmp_path):
    with harness.cairn() as source:
        source.start()
        put(source, "kept", "in the snapshot")
        etcdctl(source.endpoint, "snapshot", "save", str(tmp_path / "snapshot"))
    with cluster_harness.Cluster(3, is_proxied=False) as cluster:
        for member in cluster.members:
            done = subprocess.run(
                [str(harness.utl_binary()), "snapshot", "restore", str(tmp_path / "snapshot"), "--name", member.name,
                 "--data-dir", str(member.data_directory), "--initial-cluster", member.initial_cluster,
                 "--initial-advertise-peer-urls", member.peer_url],
                capture_output=True, text=True, timeout=60)
            assert done.returncode == 0, done.stderr
        cluster.start()
        for member in cluster.members:
            assert etcdctl(member.endpoint, "get", "kept", "--print-value-only") == "in the snapshot\n"
        cluster.check_equal()


def test_the_members_agree_on_a_version(cluster):
    def version(member: harness.Server) -> dict:
        with urllib.request.urlopen(f"http://{member.endpoint}/version", timeout=2) as answer:
            return json.load(answer)

    wait_until(lambda: all(version(member)["etcdcluster"] == "3.7.0" for member in cluster.members), SECONDS_MAX)


def test_a_member_goes_on_alone_when_it_is_forced_to(cluster):
    put(cluster.members[0], "kept", "yes")
    cluster.wait_until_applied()
    cluster.kill()
    last = cluster.members[0]
    last.extra_arguments = ["--force-new-cluster"]
    last.start()
    assert etcdctl(last.endpoint, "get", "kept", "--print-value-only") == "yes\n"
    client = last.client()
    assert len(client.must("Cluster/MemberList").members) == 1
    client.close()
    put(last, "alone", "yes")
    # The flag makes no difference to a cluster of one.
    last.kill()
    last.start()
    assert etcdctl(last.endpoint, "get", "alone", "--print-value-only") == "yes\n"


def test_the_links_are_measured(cluster):
    put(cluster.members[0], "k", "v")
    scrape = prometheus.scrape(cluster.members[0])
    for name, (kind, labels, buckets) in metrics_table.PEERS.items():
        assert scrape.types[name] == kind, name
        shown = scrape.series(name + "_bucket" if kind == "histogram" else name)
        assert shown and all(set(series) - {"le"} == labels for series in shown), name
        if kind == "histogram":
            assert sorted({float(series["le"]) for series in shown}) == pytest.approx(buckets), name
    assert scrape.value("etcd_network_known_peers") == 2
