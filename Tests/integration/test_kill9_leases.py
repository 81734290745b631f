"""kill -9 while leases come and go: a lease and its keys are there together, or gone together."""

from __future__ import annotations

import random
import threading
import time

import harness
import pytest
from api import Client, message

WORKERS = 6
LEASES_MIN = 15  # acknowledged grants in a round before the kill


class Worker(threading.Thread):
    """Grants leases with ids of its own, ties keys to them, revokes some. Knows what was acknowledged."""

    def __init__(self, number: int, port: int, label: str, seed: int):
        super().__init__(daemon=True)
        self.number, self.port, self.label = number, port, label
        self.source = random.Random(f"{seed}/{label}/{number}")
        self.keys: dict[int, set[bytes]] = {}  # of acknowledged leases that were not revoked
        self.revoked: dict[int, set[bytes]] = {}
        self.maybe_granted: int | None = None
        self.maybe_put: tuple[int, set[bytes]] | None = None
        self.maybe_revoked: int | None = None

    def run(self) -> None:
        client = Client(self.port, timeout_seconds=10)
        for count in range(1_000_000):
            if not self._one(client, (self.number + 1) * 10_000_000 + hash_of(self.label) * 10_000 + count):
                break
        client.close()

    def _one(self, client: Client, lease: int) -> bool:
        self.maybe_granted = lease
        if not client.call("Lease/LeaseGrant", ID=lease, TTL=self.source.randint(600, 90_000)).succeeded:
            return False
        self.maybe_granted, self.keys[lease] = None, set()
        for number in range(self.source.randint(0, 3)):
            keys = {b"%d/%d/%d" % (lease, number, part) for part in range(self.source.randint(1, 3))}
            self.maybe_put = (lease, keys)
            puts = [message("RequestOp", request_put=message("PutRequest", key=key, value=b"v" * 50, lease=lease))
                    for key in keys]
            if not client.call("KV/Txn", success=puts).succeeded:
                return False
            self.maybe_put = None
            self.keys[lease] |= keys
        if self.source.random() < 0.5:
            self.maybe_revoked = self.source.choice(list(self.keys))
            if not client.call("Lease/LeaseRevoke", ID=self.maybe_revoked).succeeded:
                return False
            self.revoked[self.maybe_revoked] = self.keys.pop(self.maybe_revoked)
            self.maybe_revoked = None
        return True


def hash_of(label: str) -> int:
    return int(label[1:])


class Book:
    """All leases that must be there, with their keys."""

    def __init__(self) -> None:
        self.keys: dict[int, set[bytes]] = {}
        self.revoked: set[int] = set()
        self.caught = 0

    def enter(self, workers: list[Worker], leases: set[int], keys: dict[int, set[bytes]]) -> None:
        """Takes in a round; what was under way is believed as it is found, if it is found whole."""
        for worker in workers:
            self.keys.update(worker.keys)
            self.revoked |= set(worker.revoked)
            if worker.maybe_granted is not None:
                self.caught += 1
                if worker.maybe_granted in leases:
                    self.keys[worker.maybe_granted] = set()
            if worker.maybe_put is not None:
                self.caught += 1
                lease, put = worker.maybe_put
                found = keys.get(lease, set()) & put
                assert found in (set(), put), f"a transaction in part: {found} of {put}"
                self.keys[lease] |= found
            if worker.maybe_revoked is not None:
                self.caught += 1
                if worker.maybe_revoked not in leases:
                    self.keys.pop(worker.maybe_revoked)
                    self.revoked.add(worker.maybe_revoked)

    def compare(self, leases: set[int], keys: dict[int, set[bytes]]) -> None:
        assert not leases & self.revoked, "a revoked lease is back"
        assert leases == set(self.keys), f"lost {set(self.keys) - leases}, from nowhere {leases - set(self.keys)}"
        expected = {lease: held for lease, held in self.keys.items() if held}
        assert keys == expected, [(lease, keys.get(lease), expected.get(lease)) for lease in set(keys) | set(expected)
                                  if keys.get(lease) != expected.get(lease)][:3]


def read(client: Client) -> tuple[set[int], dict[int, set[bytes]]]:
    leases = {lease.ID for lease in client.must("Lease/LeaseLeases").leases}
    keys: dict[int, set[bytes]] = {}
    for kv in client.must("KV/Range", key=b"\0", range_end=b"\0").kvs:
        assert kv.lease == int(kv.key.split(b"/")[0])
        keys.setdefault(kv.lease, set()).add(kv.key)
    return leases, keys


def test_leases_and_their_keys_go_together(seed, request):
    rounds = max(request.config.getoption("--rounds") // 4, 3)
    source, book = random.Random(seed), Book()
    with harness.cairn() as server:
        server.start()
        for number in range(rounds):
            workers = [Worker(each, server.client_port, f"r{number}", seed) for each in range(WORKERS)]
            for worker in workers:
                worker.start()
            deadline = time.monotonic() + 20
            while sum(len(worker.keys) for worker in workers) < LEASES_MIN:
                assert time.monotonic() < deadline, "leases come too slowly"
                time.sleep(0.005)
            time.sleep(source.uniform(0, 0.5))
            server.kill()
            for worker in workers:
                worker.join(timeout=30)
            server.start()
            client = server.client()
            found = read(client)
            book.enter(workers, *found)
            book.compare(*found)
            client.close()
        client = server.client()
        for lease in source.sample(sorted(book.keys), min(20, len(book.keys))):
            answer = client.must("Lease/LeaseTimeToLive", ID=lease, keys=True)
            assert set(answer.keys) == book.keys[lease] and 0 < answer.TTL <= answer.grantedTTL
        revisions = 0
        before = client.revision()
        for lease, held in book.keys.items():
            client.must("Lease/LeaseRevoke", ID=lease)
            revisions += bool(held)
        assert read(client) == (set(), {}) and client.revision() == before + revisions
    assert book.caught >= rounds, "the kills never caught a request on its way"


def test_the_book_notices(reference):
    """The test's own test."""
    client = reference.client()
    for lease in (1, 2):
        client.must("Lease/LeaseGrant", ID=lease, TTL=1000)
        client.must("KV/Put", key=b"%d/0/0" % lease, value=b"v", lease=lease)
    book = Book()
    book.keys = {1: {b"1/0/0"}, 2: {b"2/0/0"}}
    book.compare(*read(client))
    for spoil in (lambda: book.keys.update({3: set()}), lambda: book.keys.pop(2), lambda: book.keys.update({1: set()}),
                  lambda: book.revoked.add(1)):
        kept, revoked = dict(book.keys), set(book.revoked)
        spoil()
        with pytest.raises(AssertionError):
            book.compare(*read(client))
        book.keys, book.revoked = kept, revoked
