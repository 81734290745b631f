"""Clients of leases, locks and elections on a cluster, and the judges of what they were told.

Time is judged by intervals. A lease may end no earlier than its time to live after the *sending* of the last renewal that
was acknowledged; it ended no later than a watcher heard of it. A judge that is late by itself finds less, never too much.

Locks and elections are judged by revisions, from the history that a member serves: who was told to hold the lock, or
wrote under it with a transaction that compares the create revision of its key, was first in the queue at that revision.
"""

from __future__ import annotations

import bisect
import collections
import contextlib
import dataclasses
import random
import threading
import time

import grpc

import watch_client
from api import Client, Outcome, message, method
from cluster_harness import Cluster, Member
from cluster_load import read_history
from watch_client import Connection, Reader

LEASED = b"leased/", b"leased0"
LOCK, UNLOCK = "v3lockpb.Lock/Lock", "v3lockpb.Lock/Unlock"
CAMPAIGN, PROCLAIM, LEADER, RESIGN = (f"v3electionpb.Election/{name}"
                                      for name in ("Campaign", "Proclaim", "Leader", "Resign"))
DELETE = 1


class KeepAlive:
    """One LeaseKeepAlive call that stays open."""

    def __init__(self, client: Client, seconds_max: float):
        self._of = method("Lease/LeaseKeepAlive")
        self._requests: list[bytes] = []
        self._wake = threading.Condition()
        self._call = client.channel.stream_stream(self._of.path)(self._outgoing(), timeout=seconds_max)

    def _outgoing(self):
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._requests)
                request = self._requests.pop(0)
            if not request:
                return
            yield request

    def send(self, lease: int) -> None:
        with self._wake:
            self._requests.append(message("LeaseKeepAliveRequest", ID=lease).SerializeToString())
            self._wake.notify()

    def receive(self) -> int | None:
        """The time to live of the next answer, 0 for a lease that is gone; None: there is none."""
        try:
            return self._of.parse(next(self._call)).TTL
        except (grpc.RpcError, StopIteration):
            return None

    def close(self) -> None:
        with self._wake:
            self._requests.append(b"")
            self._wake.notify()
        self._call.cancel()


def renew(client: Client, lease: int, seconds_max: float) -> int | None:
    stream = KeepAlive(client, seconds_max)
    stream.send(lease)
    try:
        return stream.receive()
    finally:
        stream.close()


@dataclasses.dataclass
class Lease:
    id: int
    seconds: int
    key: bytes
    promised_until: float
    renewals: int = 0
    last_sent: float = 0  # of the renewals that were acknowledged
    denials: list[tuple[float, float]] = dataclasses.field(default_factory=list)  # (sent, answered)

    def promise(self, sent: float, seconds: float) -> None:
        self.promised_until = max(self.promised_until, sent + seconds)


class Leases:
    """Leases with a key each, granted and renewed through some members, and a watcher on every member."""

    def __init__(self, cluster: Cluster):
        self.cluster = cluster
        self.all: list[Lease] = []
        self._reader = Reader()
        self._streams = [self._watch(member) for member in cluster.members]

    def _watch(self, member: Member):
        stream = self._reader.add(Connection(member.client_port)).open()
        stream.send(watch_client.create(*LEASED, start_revision=1))
        return stream

    def grant(self, client: Client, seconds: int) -> Lease:
        sent = time.monotonic()
        identity = client.must("Lease/LeaseGrant", TTL=seconds).ID
        lease = Lease(identity, seconds, LEASED[0] + b"%x" % identity, sent + seconds)
        client.must("KV/Put", key=lease.key, value=b"v", lease=identity)
        self.all.append(lease)
        return lease

    def gone(self) -> dict[bytes, float]:
        """When the first watcher heard that a key was deleted."""
        heard: dict[bytes, float] = {}
        for stream in self._streams:
            for at, data in stream.received[:]:
                for event in watch_client.parse(data).events:
                    if event.type == DELETE:
                        heard[event.kv.key] = min(at, heard.get(event.kv.key, at))
        return heard

    def violations(self) -> list[str]:
        heard, found = self.gone(), []
        for lease in self.all:
            ended = heard.get(lease.key)
            if ended is not None and ended < lease.promised_until:
                found.append(f"lease {lease.id:x} of {lease.seconds} s ended {lease.promised_until - ended:.2f} s early")
            for sent, answered in lease.denials:
                if answered < lease.promised_until:
                    found.append(f"lease {lease.id:x} was told to be gone {lease.promised_until - answered:.2f} s early")
        return found

    def close(self) -> None:
        self._reader.close()


class Keeper(threading.Thread):
    """Renews a lease through one of some members, another one each time."""

    def __init__(self, members: list[Member], lease: Lease, seed: str):
        super().__init__(daemon=True)
        self.source = random.Random(seed)
        self.lease = lease
        self._members = members
        self._stopping = threading.Event()
        self.start()

    def run(self) -> None:
        clients = [member.client() for member in self._members]
        while not self._stopping.wait(0.15):
            sent = time.monotonic()
            seconds = renew(self.source.choice(clients), self.lease.id, seconds_max=1.5)
            if seconds:
                self.lease.promise(sent, seconds)
                self.lease.last_sent = sent
                self.lease.renewals += 1
            elif seconds == 0:
                self.lease.denials.append((sent, time.monotonic()))
                break
        for client in clients:
            client.close()

    def stop(self) -> None:
        self._stopping.set()
        self.join(timeout=30)


@dataclasses.dataclass
class Claim:
    """Somebody was told to be first in the queue, or something was done that only the first can do."""

    what: str
    key: bytes
    created: int
    revision: int


class Contender(threading.Thread):
    """Takes its turn in a queue again and again, through any member; now and then it holds on until its lease ends,
    and now and then its lease ends while it waits."""

    SECONDS = 2
    CALL_SECONDS_MAX = 12

    def __init__(self, cluster: Cluster, name: str, seed: int):
        super().__init__(daemon=True)
        self.cluster, self.label = cluster, name
        self.source = random.Random(f"{seed}/{name}")
        self.stopping = threading.Event()
        self.claims: list[Claim] = []
        self.turns = self.refused_writes = 0
        self.errors: collections.Counter = collections.Counter()
        self.failure = ""

    def run(self) -> None:
        while not self.stopping.is_set():
            client = self.source.choice(self.cluster.members).client(timeout_seconds=self.CALL_SECONDS_MAX)
            try:
                self._turn(client)
            except Exception as error:  # noqa: BLE001 (the test reports it)
                self.failure = repr(error)
                return
            finally:
                client.close()
            self.stopping.wait(0.02)

    def call(self, client: Client, name: str, /, **fields) -> Outcome:
        outcome = client.call(name, **fields)
        if not outcome.succeeded:
            self.errors[outcome.text[:60]] += 1
        return outcome

    def _turn(self, client: Client) -> None:
        granted = self.call(client, "Lease/LeaseGrant", TTL=self.SECONDS)
        if not granted.succeeded:
            return
        lease = Lease(granted.response.ID, self.SECONDS, b"", 0)
        dies = self.source.random() < 0.15
        keeper = None if dies else Keeper(self.cluster.members, lease, f"{self.label}/{lease.id}")
        try:
            held = self.enter(client, lease.id)
            if held is None:
                return
            self.turns += 1
            for number in range(3):
                if self.work(client, *held, b"%s/%x/%d" % (self.label.encode(), lease.id, number)):
                    continue
                self.refused_writes += 1
                return
            if self.source.random() < 0.8:
                self.leave(client, *held)
        finally:
            if keeper:
                keeper.stop()

    def fenced(self, client: Client, key: bytes, created: int, value: bytes) -> bool:
        """A write that only the holder of the key can make."""
        outcome = self.call(client, "KV/Txn", compare=[
            message("Compare", key=key, target="CREATE", result="EQUAL", create_revision=created)],
            success=[message("RequestOp", request_put=message("PutRequest", key=b"guarded", value=value))])
        if not outcome.succeeded or not outcome.response.succeeded:
            return False
        self.claims.append(Claim("wrote under", key, created, outcome.response.header.revision))
        return True


class Locker(Contender):
    NAME = b"mutex"

    def enter(self, client: Client, lease: int) -> tuple[bytes, int] | None:
        outcome = self.call(client, LOCK, name=self.NAME, lease=lease)
        if not outcome.succeeded:
            return None
        key = outcome.response.key
        self.claims.append(Claim("was granted", key, 0, outcome.response.header.revision))
        found = self.call(client, "KV/Range", key=key)
        if not found.succeeded or not found.response.kvs:
            return None
        return key, found.response.kvs[0].create_revision

    def work(self, client: Client, key: bytes, created: int, value: bytes) -> bool:
        return self.fenced(client, key, created, value)

    def leave(self, client: Client, key: bytes, created: int) -> None:
        self.call(client, UNLOCK, key=key)


class Candidate(Contender):
    NAME = b"election"

    def enter(self, client: Client, lease: int) -> tuple[bytes, int] | None:
        outcome = self.call(client, CAMPAIGN, name=self.NAME, lease=lease, value=b"%x" % lease)
        if not outcome.succeeded:
            return None
        leader = outcome.response.leader
        # The header of the answer is of when it entered the queue.
        found = self.call(client, "KV/Range", key=leader.key)
        if not found.succeeded or not found.response.kvs:
            return None
        self.claims.append(Claim("won", leader.key, leader.rev, found.response.header.revision))
        return leader.key, leader.rev

    def work(self, client: Client, key: bytes, created: int, value: bytes) -> bool:
        leader = self._leader(key, created)
        outcome = self.call(client, PROCLAIM, leader=leader, value=value)
        if outcome.succeeded:
            self.claims.append(Claim("proclaimed as", key, created, outcome.response.header.revision))
        asked = self.call(client, LEADER, name=self.NAME)
        if asked.succeeded:
            kv = asked.response.kv
            self.claims.append(Claim("was said to lead:", kv.key, kv.create_revision, asked.response.header.revision))
        return outcome.succeeded

    def leave(self, client: Client, key: bytes, created: int) -> None:
        self.call(client, RESIGN, leader=self._leader(key, created))

    def _leader(self, key: bytes, created: int):
        return message("v3electionpb.LeaderKey", name=self.NAME, key=key, rev=created,
                       lease=int(key.rsplit(b"/", 1)[1], 16))


class Queue:
    """Who was first under a prefix at each revision, from the history."""

    def __init__(self, events: list, prefix: bytes):
        present: dict[bytes, int] = {}
        self._revisions: list[int] = []
        self._first: list[tuple[bytes, int] | None] = []
        for event in events:
            if not event.kv.key.startswith(prefix):
                continue
            if event.type == DELETE:
                present.pop(event.kv.key, None)
            else:
                present[event.kv.key] = event.kv.create_revision
            if not self._revisions or self._revisions[-1] != event.kv.mod_revision:
                self._revisions.append(event.kv.mod_revision)
                self._first.append(None)
            self._first[-1] = min(present.items(), key=lambda item: item[1], default=None)

    def violations(self, claims: list[Claim]) -> list[str]:
        found = []
        for claim in claims:
            place = bisect.bisect_right(self._revisions, claim.revision) - 1
            first = self._first[place] if place >= 0 else None
            if first is None or first[0] != claim.key or claim.created not in (0, first[1]):
                found.append(f"{claim}, first was {first}")
        return found


class Observer(threading.Thread):
    """What Observe calls tell, on one member after the other."""

    def __init__(self, cluster: Cluster, seed: int):
        super().__init__(daemon=True)
        self.cluster, self.source = cluster, random.Random(f"{seed}/observer")
        self.stopping = threading.Event()
        self.calls: list[list[tuple[bytes, bytes, int, int]]] = []  # (key, value, created, modified)
        self._call = None

    def run(self) -> None:
        of = method("v3electionpb.Election/Observe")
        request = message("v3electionpb.LeaderRequest", name=Candidate.NAME).SerializeToString()
        while not self.stopping.is_set():
            client = self.source.choice(self.cluster.members).client()
            heard: list = []
            self.calls.append(heard)
            with contextlib.suppress(grpc.RpcError):
                self._call = client.channel.unary_stream(of.path)(request, timeout=self.source.uniform(2, 5))
                for data in self._call:
                    kv = of.parse(data).kv
                    heard.append((kv.key, kv.value, kv.create_revision, kv.mod_revision))
            client.close()
            self.stopping.wait(0.05)

    def stop(self) -> None:
        self.stopping.set()
        if self._call:
            self._call.cancel()
        self.join(timeout=30)

    def violations(self, events: list) -> list[str]:
        real = {(event.kv.key, event.kv.value, event.kv.create_revision, event.kv.mod_revision)
                for event in events if event.type != DELETE}
        found = [f"observed {each}, which never was" for heard in self.calls for each in heard if each not in real]
        for heard in self.calls:
            if heard != sorted(heard, key=lambda each: (each[2], each[3])):
                found.append(f"leaders were observed out of order: {heard}")
        return found


def history(cluster: Cluster) -> list:
    revision, _, _ = cluster.check_equal()
    return read_history(cluster.members[0], revision)
