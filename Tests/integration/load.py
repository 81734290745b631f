"""Concurrent writers whose every write can be told apart, and the check that a member kept what it acknowledged.

Each operation puts at least one value that names the operation, so that the history of a member, read back
revision by revision, says which operations happened and in which order. A model then does the same operations.
"""

from __future__ import annotations

import collections
import dataclasses
import random
import threading
import time

from google.protobuf.message import Message

import api
from api import Client, message
from mvcc_model import Model

KEYS = [b"key/%02d" % number for number in range(48)] + [b"long/" + b"x" * 500 + b"%d" % n for n in range(4)]
READS_IN_FLIGHT = 128


@dataclasses.dataclass
class Write:
    """One operation as it was sent. `acknowledged` is the revision that the member answered, if it did."""

    name: str
    request: Message
    acknowledged: int | None = None

    @property
    def puts(self) -> dict[bytes, bytes]:
        if self.request.DESCRIPTOR.name == "PutRequest":
            return {self.request.key: self.request.value}
        requests = [op.request_put for op in self.request.success if op.HasField("request_put")]
        return {put.key: put.value for put in requests}


class Load:
    """Writers on connections of their own, until `stop` or until the member is gone."""

    def __init__(self, port: int, *, seed: int, label: str, writers: int = 8):
        self.writes: dict[str, Write] = {}
        self.acknowledged_count = 0
        self.unexpected: list[str] = []
        self._label = label
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._write, args=(port, seed, number), daemon=True)
                         for number in range(writers)]

    def start(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def stop(self) -> None:
        self._stopping.set()
        self.join()

    def join(self) -> None:
        for thread in self._threads:
            thread.join(timeout=60)
            assert not thread.is_alive(), "a writer hangs"

    def acknowledged(self) -> list[Write]:
        return [write for write in self.writes.values() if write.acknowledged is not None]

    def _write(self, port: int, seed: int, number: int) -> None:
        source = random.Random(f"{seed}/{self._label}/{number}")
        client = Client(port, timeout_seconds=30)
        for count in range(1_000_000):
            if self._stopping.is_set():
                break
            write = random_write(f"{self._label}.{number}.{count}", source)
            with self._lock:
                self.writes[write.name] = write
            begun = time.monotonic()
            outcome = client.call("KV/Put" if "Put" in write.request.DESCRIPTOR.name else "KV/Txn", write.request)
            if not outcome.succeeded:
                # Anything but a lost or refused connection is a fault; the text is etcd's while it stops.
                if outcome.code not in (14, 1) and outcome.text != "raft: stopped":
                    self.unexpected.append(f"{outcome} to request {count} after {time.monotonic() - begun:.1f} s")
                break
            with self._lock:
                write.acknowledged = outcome.response.header.revision
                self.acknowledged_count += 1
        client.close()


def random_write(name: str, source: random.Random) -> Write:
    def value(part: int) -> bytes:
        size = 8_000 if source.random() < 0.02 else source.randrange(0, 200)
        return b"%s/%d/" % (name.encode(), part) + source.randbytes(size)

    first, second, third = source.sample(KEYS, 3)
    choice = source.random()
    if choice < 0.6:
        return Write(name, message("PutRequest", key=first, value=value(0)))
    put_keys = (first, second) if choice < 0.8 else (first,)
    puts = [message("RequestOp", request_put=message("PutRequest", key=key, value=value(part)))
            for part, key in enumerate(put_keys)]
    delete = message("DeleteRangeRequest", key=third)
    if choice > 0.95 and third < first:
        delete.range_end = first
    deletion = message("RequestOp", request_delete_range=delete)
    return Write(name, message("TxnRequest", success=[deletion, *puts]))


class Auditor:
    """Knows everything that was ever sent to one data directory, and checks a running member against it."""

    def __init__(self) -> None:
        self.model = Model()
        self.sent: dict[str, Write] = {}
        self.seen: set[str] = set()
        self.compactions_sent: set[int] = {-1}
        self.compaction_acknowledged = -1
        self.statistics = collections.Counter()

    def audit(self, client: Client, loads: list[Load]) -> None:
        """Everything acknowledged is there, once, whole, in the order answered; the rest is there or not at all."""
        for load in loads:
            assert not load.unexpected, load.unexpected[:3]
            self.sent.update(load.writes)
        acknowledged = {write.acknowledged: write for load in loads for write in load.acknowledged()}
        known = self.model.revision
        revision = client.revision()
        assert revision >= known, f"the revision went back from {known} to {revision}"
        newest = max(acknowledged, default=0)
        assert revision >= newest, f"revision {newest} was acknowledged, the member is at {revision}"
        for at, kvs in read_history(client, known + 1, revision):
            write = self._write_at(at, kvs)
            answered = acknowledged.pop(at, None)
            assert answered is None or answered is write, f"revision {at} was acknowledged to {answered.name}"
            assert write.acknowledged in (None, at), f"{write.name} was acknowledged at {write.acknowledged}"
            self.statistics["acknowledged" if answered else "present without acknowledgement"] += 1
            self.model.apply(write.request, message("TxnResponse", succeeded=True, responses=[
                _empty_response(op) for op in getattr(write.request, "success", [])]))
            assert self.model.revision == at
        assert not acknowledged, f"acknowledged and lost: {[write.name for write in acknowledged.values()][:5]}"
        self._compare_state(client)
        absent = [write for load in loads for write in load.writes.values() if write.name not in self.seen]
        self.statistics["absent"] += len(absent)

    def _write_at(self, at: int, kvs: list[Message]) -> Write:
        assert kvs, f"nothing was put at revision {at}"
        name = kvs[0].value.split(b"/")[0].decode()
        write = self.sent.get(name)
        assert write is not None, f"nobody sent what is at revision {at}: {kvs[0].value[:50]!r}"
        assert name not in self.seen, f"{name} happened twice, again at revision {at}"
        self.seen.add(name)
        got = {kv.key: kv.value for kv in kvs}
        assert got == write.puts, f"{name} at revision {at} is not whole"
        return write

    def _compare_state(self, client: Client) -> None:
        answer = client.hash_kv()
        compacted = answer.compact_revision
        assert compacted in self.compactions_sent, f"compacted at {compacted}, which nobody asked for"
        assert compacted >= self.compaction_acknowledged, \
            f"compaction at {self.compaction_acknowledged} was acknowledged, the member has {compacted}"
        if compacted > self.model.compact_revision:
            self.model.compact(compacted)
        expected = self.model.hash_kv()
        assert answer.hash == expected, f"HashKV is {answer.hash}, the model's {expected}"
        rows = [(row.key, row.value, row.create, row.main, row.version) for row in self.model.live()]
        kvs = client.must("KV/Range", key=b"\0", range_end=b"\0").kvs
        assert rows == [(kv.key, kv.value, kv.create_revision, kv.mod_revision, kv.version) for kv in kvs]

    def compact(self, client: Client, revision: int, physical: bool) -> None:
        """Asks for a compaction that the member may or may not live to do."""
        self.compactions_sent.add(revision)
        if client.call("KV/Compact", revision=revision, physical=physical).succeeded:
            self.compaction_acknowledged = max(self.compaction_acknowledged, revision)


def read_history(client: Client, first: int, last: int):
    """(revision, pairs put at it) for each revision, many reads in flight."""
    of = api.method("KV/Range")
    for start in range(first, last + 1, READS_IN_FLIGHT):
        revisions = range(start, min(start + READS_IN_FLIGHT, last + 1))
        futures = [client.start(of.path, message(
            "RangeRequest", key=b"\0", range_end=b"\0", revision=at, min_mod_revision=at, max_mod_revision=at,
            serializable=True).SerializeToString()) for at in revisions]
        for at, future in zip(revisions, futures):
            outcome = client.outcome(future, of)
            assert outcome.succeeded, f"history at revision {at}: {outcome}"
            yield at, list(outcome.response.kvs)


def _empty_response(op: Message) -> Message:
    name = op.WhichOneof("request")
    return message("ResponseOp", **{name.replace("request_", "response_"): message(
        {"request_put": "PutResponse", "request_delete_range": "DeleteRangeResponse"}[name])})
