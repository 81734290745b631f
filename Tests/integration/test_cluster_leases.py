"""Leases, locks and elections of a cluster whose leader is stopped, comes back, and is killed.

Contenders for a lock and for an election go on all the while; what they were told is judged at the end.
"""

from __future__ import annotations

import time

from cluster_harness import SETTLE_SECONDS_MAX, Cluster, Member
from cluster_leases import LOCK, UNLOCK, Candidate, Keeper, KeepAlive, Leases, Locker, Observer, Queue, history
from test_lock_election import Asked, keys
from watch_client import wait_until

SECONDS = 3  # of most leases


def until_it_answers(cluster: Cluster, member: Member, rpc: str, /, **fields):
    """Asks again until the cluster has a leader."""
    outcome = None

    def done() -> bool:
        nonlocal outcome
        client = member.client(timeout_seconds=3)
        outcome = client.call(rpc, **fields)
        client.close()
        return outcome.succeeded

    cluster.wait(done, f"{rpc}: {outcome}")
    return outcome.response


def a_stopped_leader(cluster: Cluster, leases: Leases, seed: int) -> None:
    """Longer than a lease lives: what others renew meanwhile, it neither ends nor renews on its own word (etcd 15247,
    12528, 17425)."""
    old = cluster.wait_for_leader()
    others = [member for member in cluster.members if member is not old]
    clients = [member.client() for member in cluster.members]
    kept = [leases.grant(client, SECONDS) for client in clients for _ in range(2)]
    revoked = until_it_answers(cluster, others[0], "Lease/LeaseGrant", TTL=60).ID
    late = old.client()
    renewals = KeepAlive(late, SETTLE_SECONDS_MAX)
    renewals.send(revoked)
    assert renewals.receive() == 60
    keepers = [Keeper(others, lease, f"{seed}/{number}") for number, lease in enumerate(kept)]
    stopped = time.monotonic()
    old.stop()
    until_it_answers(cluster, others[1], "Lease/LeaseRevoke", ID=revoked)
    # It lies in the stopped one's socket, the first that it finds there when it goes on.
    renewals.send(revoked)

    def is_kept_for_long() -> bool:
        assert not any(lease.denials for lease in kept) or not leases.violations(), leases.violations()
        return all(lease.denials or lease.last_sent > stopped + SECONDS + 1 for lease in kept)

    cluster.wait(is_kept_for_long, "the leases are not renewed")
    old.resume()
    # Some answer or none; but not that it goes on.
    assert not renewals.receive(), "a lease was renewed that had been revoked"
    renewals.close()
    cluster.wait(lambda: (status := old.status()) is not None and status.leader not in (0, status.header.member_id)
                 or cluster.leader() is old, "the old leader does not come back")
    for client, lease in zip(clients * 2, kept):
        found = client.call("KV/Range", key=lease.key)
        answered = time.monotonic()
        if found.succeeded and not found.response.kvs:
            assert answered > lease.promised_until, f"the key of {lease} is gone"
    for keeper in keepers:
        keeper.stop()
    for client in [*clients, late]:
        client.close()
    print(f"{sum(lease.renewals for lease in kept)} renewals, {sum(not lease.denials for lease in kept)} leases kept")
    assert any(not lease.denials for lease in kept)


def a_killed_leader(cluster: Cluster, leases: Leases) -> None:
    """The next one gives every lease its whole time, and ends it then. Whoever waits for a lock on a lease that died
    meanwhile does not get it (Jepsen's 11456)."""
    client = cluster.wait_for_leader().client()
    short = [leases.grant(client, SECONDS + 1) for _ in range(4)]
    client.close()
    granted = time.monotonic()
    # So much of their time is over, of which the next leader knows nothing.
    wait_until(lambda: time.monotonic() > granted + 1.5)
    looked = time.monotonic()
    old = cluster.wait_for_leader()
    first, second = (member for member in cluster.members if member is not old)
    holder = first.client()
    held = holder.must(LOCK, name=b"fate", lease=holder.must("Lease/LeaseGrant", TTL=60).ID).key
    dying = holder.must("Lease/LeaseGrant", TTL=2).ID
    dead = Asked(first, LOCK, SETTLE_SECONDS_MAX, name=b"fate", lease=dying)
    wait_until(lambda: len(keys(holder, b"fate/")) == 2)
    living = holder.must("Lease/LeaseGrant", TTL=60).ID
    alive = Asked(second, LOCK, SETTLE_SECONDS_MAX, name=b"fate", lease=living)
    wait_until(lambda: len(keys(holder, b"fate/")) == 3 or not keys(holder, b"fate/%x" % dying))
    old.kill()
    cluster.wait_for_leader(other_than=old)
    for lease in short:
        lease.promise(looked, lease.seconds)
    cluster.wait(lambda: not keys_or_none(first, b"fate/%x" % dying), "the lease that nobody renews does not end")
    assert dead.outcome is None or not dead.outcome.succeeded, "the lock is held"
    until_it_answers(cluster, first, UNLOCK, key=held)
    refused, granted_to = dead.result(SETTLE_SECONDS_MAX), alive.result(SETTLE_SECONDS_MAX)
    print(f"whose lease died: {refused}; who waits on: {granted_to}")
    assert not refused.succeeded, f"the lock was granted to a lease that is gone: {refused}"
    if granted_to.succeeded:
        assert granted_to.response.key == b"fate/%x" % living
    else:
        # A change of leaders while it looked around; its place is still there, or it asks for another one.
        assert until_it_answers(cluster, second, LOCK, name=b"fate", lease=living).key == b"fate/%x" % living
    cluster.wait(lambda: all(lease.key in leases.gone() for lease in leases.all), "leases that nobody renews go on")
    holder.close()
    old.start()


def keys_or_none(member: Member, prefix: bytes) -> list[bytes] | None:
    """None where there is no answer, which is not the same as no keys: the caller waits on."""
    client = member.client(timeout_seconds=3)
    try:
        found = client.call("KV/Range", key=prefix, range_end=prefix + b"\xff")
        return [kv.key for kv in found.response.kvs] if found.succeeded else [b"unknown"]
    finally:
        client.close()


def test_leases_locks_and_elections_outlive_their_leader(seed: int):
    with Cluster(3) as cluster:
        cluster.start()
        leases = Leases(cluster)
        contenders = [kind(cluster, f"{kind.__name__}{number}", seed) for kind in (Locker, Candidate)
                      for number in range(2)]
        observer = Observer(cluster, seed)
        for thread in [*contenders, observer]:
            thread.start()

        def goes_on() -> None:
            """Both queues move: whoever held them at the fault holds them no longer than its lease."""
            for kind in (Locker, Candidate):
                own = [each for each in contenders if isinstance(each, kind)]
                before = sum(each.turns for each in own)
                cluster.wait(lambda: sum(each.turns for each in own) > before + 1 or any(e.failure for e in own),
                             f"{kind.__name__}s wait: {[dict(each.errors) for each in own]}")

        goes_on()
        a_stopped_leader(cluster, leases, seed)
        goes_on()
        a_killed_leader(cluster, leases)
        goes_on()
        for each in contenders:
            each.stopping.set()
        for each in contenders:
            each.join(timeout=60)
            assert not each.is_alive() and not each.failure, each.failure
        observer.stop()
        events = history(cluster)
        found = leases.violations() + observer.violations(events)
        for kind in (Locker, Candidate):
            claims = [claim for each in contenders if isinstance(each, kind) for claim in each.claims]
            found += Queue(events, kind.NAME + b"/").violations(claims)
            print(f"{kind.__name__}: {len(claims)} claims")
            assert len(claims) > 10
        leases.close()
        print(f"{sum(map(len, observer.calls))} observations;",
              *(f"{each.label}: {each.turns} turns, {dict(each.errors)};" for each in contenders))
        assert not found, f"{len(found)} violations (seed {seed}):\n" + "\n".join(found[:10])
