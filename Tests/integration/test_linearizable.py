"""What one client was told, every later read of any client shows: acknowledged writes and reads never go back."""

from __future__ import annotations

import threading
import time

from api import message

SECONDS = 4
WRITERS = 4
READERS = 6
KEYS = 3


class Shared:
    """The newest revision that anyone was told of, and each key's."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.newest = 0
        self.newest_of_key = [0] * KEYS
        self.faults: list[str] = []
        self.reads = self.writes = 0

    def told(self, key: int, revision: int, key_revision: int) -> None:
        with self.lock:
            self.newest = max(self.newest, revision)
            self.newest_of_key[key] = max(self.newest_of_key[key], key_revision)

    def snapshot(self, key: int) -> tuple[int, int]:
        with self.lock:
            return self.newest, self.newest_of_key[key]


def write(server, shared: Shared, number: int, deadline: float) -> None:
    client = server.client()
    while time.monotonic() < deadline:
        key = (number + shared.writes) % KEYS
        newest, _ = shared.snapshot(key)
        revision = client.put(b"k%d" % key, b"v")
        if revision <= newest:
            shared.faults.append(f"a put got revision {revision} when {newest} was already known")
        shared.told(key, revision, revision)
        shared.writes += 1
    client.close()


def read(server, shared: Shared, number: int, deadline: float) -> None:
    client = server.client()
    key = number % KEYS
    while time.monotonic() < deadline:
        newest, newest_of_key = shared.snapshot(key)
        if number % 2:
            answer = client.must("KV/Range", key=b"k%d" % key)
            kvs = answer.kvs
        else:
            op = message("RequestOp", request_range=message("RangeRequest", key=b"k%d" % key))
            answer = client.must("KV/Txn", success=[op])
            kvs = answer.responses[0].response_range.kvs
        found = kvs[0].mod_revision if kvs else 0
        if answer.header.revision < newest:
            shared.faults.append(f"a read at revision {answer.header.revision} when {newest} was already known")
        if found < newest_of_key:
            shared.faults.append(f"a read found revision {found} of a key that was already at {newest_of_key}")
        shared.told(key, answer.header.revision, found)
        shared.reads += 1
    client.close()


def test_reads_and_writes_never_go_back(subject):
    shared = Shared()
    deadline = time.monotonic() + SECONDS
    threads = [threading.Thread(target=write, args=(subject, shared, number, deadline)) for number in range(WRITERS)]
    threads += [threading.Thread(target=read, args=(subject, shared, number, deadline)) for number in range(READERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not shared.faults, shared.faults[:5]
    assert shared.reads > 200 and shared.writes > 100, (shared.reads, shared.writes)
