"""Leases one by one: what the lockstep cannot ask etcd 3.5.1, and what takes time."""

from __future__ import annotations

import random
import time

import harness
import pytest
import watch_client
from api import message
from watch_lockstep import KEEP_ALIVE

cairn_only = pytest.mark.skipif(harness.subject_is_etcd(), reason="a bug of etcd 3.5.1")
LATE_SECONDS_MAX = 6
STORM_LEASES = 2_000


def time_to_live(client, lease: int):
    return client.must("Lease/LeaseTimeToLive", ID=lease, keys=True)


def test_a_server_chooses_ids(reference, subject):
    for server in (reference, subject):
        client = server.client()
        answers = [client.must("Lease/LeaseGrant", TTL=100) for _ in range(100)]
        assert all(0 < answer.ID < 1 << 63 and answer.TTL == 100 for answer in answers)
        assert len({answer.ID for answer in answers}) == 100
        assert client.must("Lease/LeaseGrant", TTL=1).TTL == 2
        listed = [lease.ID for lease in client.must("Lease/LeaseLeases").leases]
        assert {answer.ID for answer in answers} <= set(listed)


def test_leases_are_listed_by_expiry(reference, subject):
    for server in (reference, subject):
        client = server.client()
        for lease, ttl in ((1, 3000), (2, 1000), (3, 2000), (4, 9_000_000_000)):
            client.must("Lease/LeaseGrant", ID=lease, TTL=ttl)
        listed = [lease.ID for lease in client.must("Lease/LeaseLeases").leases]
        assert listed == [2, 3, 1, 4], server.binary.name


def test_many_short_leases(reference, subject, seed):
    """None goes before its time, all go soon after, keys go with theirs; renewed ones stay while they are renewed."""
    for server in (reference, subject):
        source, client = random.Random(seed), server.client()
        granted: dict[int, tuple[float, int]] = {}
        for lease in range(1, 61):
            ttl = source.randint(2, 4)
            granted[lease] = (time.monotonic(), ttl)
            client.must("Lease/LeaseGrant", ID=lease, TTL=ttl)
            for number in range(source.randint(0, 3)):
                client.must("KV/Put", key=b"%d/%d" % (lease, number), value=b"v", lease=lease)
        renewed = set(range(1, 61, 5))
        with watch_client.reading() as reader:
            connection = reader.add(watch_client.Connection(server.client_port))
            stream, events = connection.open(KEEP_ALIVE), connection.open()
            events.send(watch_client.create(b"\0", b"\0"))
            deadline = time.monotonic() + 4 + LATE_SECONDS_MAX
            gone: dict[int, float] = {}
            while len(gone) < len(granted) - len(renewed) and time.monotonic() < deadline:
                for lease in renewed:
                    stream.send(message("LeaseKeepAliveRequest", ID=lease))
                for lease in set(granted) - set(gone):
                    if time_to_live(client, lease).TTL < 0:
                        gone[lease] = time.monotonic()
                time.sleep(0.2)
            for lease, when in gone.items():
                sent, ttl = granted[lease]
                assert when - sent >= ttl, f"lease {lease} of {ttl} s went after {when - sent:.2f} s"
            assert set(gone) == set(granted) - renewed, (server.binary.name, sorted(gone))
            left = {int(kv.key.split(b"/")[0]) for kv in client.must("KV/Range", key=b"\0", range_end=b"\0").kvs}
            assert left <= renewed
            answers = [message("LeaseKeepAliveResponse").FromString(data) for _, data in stream.received]
            assert answers and all(answer.TTL == granted[answer.ID][1] for answer in answers)
            deleted = [event for _, data in events.received for event in watch_client.parse(data).events]
            by_revision: dict[int, set[int]] = {}
            for event in deleted:
                assert event.type == 1
                by_revision.setdefault(event.kv.mod_revision, set()).add(int(event.kv.key.split(b"/")[0]))
            assert all(len(leases) == 1 for leases in by_revision.values()), "one revision for two leases"
            reader.drop(connection)


def test_a_renewal_gives_the_whole_time_again(subject):
    client = subject.client()
    client.must("Lease/LeaseGrant", ID=1, TTL=100)
    time.sleep(2.1)
    before = time_to_live(client, 1)
    assert (before.grantedTTL, before.TTL) in ((100, 97), (100, 96))
    with watch_client.reading() as reader:
        stream = reader.add(watch_client.Connection(subject.client_port)).open(KEEP_ALIVE)
        stream.send(message("LeaseKeepAliveRequest", ID=1))
        watch_client.wait_until(lambda: len(stream.received) == 1)
    assert time_to_live(client, 1).TTL in (99, 100)


def test_a_lease_outlives_its_server(subject):
    """A restart gives the granted time again, not more; and the keys go when it is over."""
    client = subject.client()
    client.must("Lease/LeaseGrant", ID=1, TTL=3)
    client.must("Lease/LeaseGrant", ID=2, TTL=500)
    client.must("KV/Put", key=b"short", value=b"v", lease=1)
    client.must("KV/Put", key=b"long", value=b"v", lease=2)
    subject.kill()
    time.sleep(3.5)
    started = time.monotonic()
    subject.start()
    client = subject.client()
    assert client.get(b"short") == b"v"  # nobody was there to end it, and its holder may have wanted to renew it
    assert time_to_live(client, 1).TTL in (2, 3, 4) and time_to_live(client, 1).grantedTTL == 3
    assert list(time_to_live(client, 2).keys) == [b"long"] and 490 <= time_to_live(client, 2).TTL <= 501
    watch_client.wait_until(lambda: client.get(b"short") is None, 5 + LATE_SECONDS_MAX)
    assert time.monotonic() - started >= 2.9
    assert time_to_live(client, 1).TTL == -1 and client.get(b"long") == b"v"


@cairn_only
def test_negative_ids_outlive_the_server_14239(subject):
    client = subject.client()
    client.must("Lease/LeaseGrant", ID=-7, TTL=500)
    client.must("KV/Put", key=b"k", value=b"v", lease=-7)
    subject.kill()
    subject.start()
    client = subject.client()
    assert list(time_to_live(client, -7).keys) == [b"k"]
    client.must("Lease/LeaseRevoke", ID=-7)
    assert client.get(b"k") is None


def test_a_storm_of_expiries(subject):
    """Thousands at once: every key goes, and a bystander is served all the while."""
    client = subject.client()
    of = message("LeaseGrantRequest")
    futures = []
    for lease in range(1, STORM_LEASES + 1):
        of.ID, of.TTL = lease, 5
        futures.append(client.start("/etcdserverpb.Lease/LeaseGrant", of.SerializeToString()))
    futures += [client.start("/etcdserverpb.KV/Put", message("PutRequest", key=b"storm/%d" % lease, value=b"v",
                                                              lease=lease).SerializeToString())
                for lease in range(1, STORM_LEASES + 1)]
    for future in futures:
        future.result()
    slowest, deadline = 0.0, time.monotonic() + 5 + STORM_LEASES / 500 + LATE_SECONDS_MAX
    while client.must("KV/Range", key=b"storm/", range_end=b"storm0", count_only=True).count > 0:
        assert time.monotonic() < deadline, "some leases do not go"
        begin = time.monotonic()
        client.put(b"bystander", b"v")
        slowest = max(slowest, time.monotonic() - begin)
        time.sleep(0.01)
    assert not client.must("Lease/LeaseLeases").leases
    assert slowest < 2, f"a put waited {slowest:.2f} s"
