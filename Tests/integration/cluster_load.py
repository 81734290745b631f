"""Clients and watchers of a whole cluster: they go from member to member, and everything they are told is recorded."""

from __future__ import annotations

import collections
import dataclasses
import itertools
import random
import threading
import time

from google.protobuf.message import Message

import watch_client
import watch_history
from api import Client, message
from cluster_harness import Cluster
from cluster_history import Change, NEVER, Operation, Seen, Truth, explains, judge
from harness import Server, subject_is_etcd
from watch_client import Connection, Reader
from watch_history import StreamChecker, Watch

KEYS = [b"key/%d" % number for number in range(6)]
EVERYTHING = (b"\0", b"\0")
REQUEST_SECONDS_MAX = 1.5
PAUSE_SECONDS = 0.012  # between two requests of a client: the servers need the processors too
STREAM_SECONDS = (0.5, 4.0)
HISTORY_SECONDS_MAX = 60
# Cancelled, deadline, too many requests, unavailable: it may have happened. The texts come with other codes from etcd.
ACCEPTED_CODES = {1, 4, 8, 14}
ACCEPTED_TEXTS = {"context deadline exceeded", "raft: stopped", "raft proposal dropped"}
LEARNER = "etcdserver: rpc not supported for learner"


class Worker(threading.Thread):
    """One client; after a failure it goes on with another member."""

    def __init__(self, name: str, load: "ClusterLoad"):
        super().__init__(daemon=True)
        self.label, self.load = name, load
        self.operations: list[Operation] = []
        self.source = random.Random(f"{load.seed}/{name}")
        self.answers = 0
        self._numbers = itertools.count()
        self._known: dict[bytes, bytes | None] = {}  # what it last knew of a key, for its swaps

    def run(self) -> None:
        client: Client | None = None
        try:
            while not self.load.stopping.is_set():
                if client is None or self.source.random() < 0.01:
                    if client is not None:
                        client.close()
                    self.member = self.load.choose(self.source)
                    client = Client(self.member.client_port, timeout_seconds=REQUEST_SECONDS_MAX)
                if not self._one(client):
                    client.close()
                    client = None
                time.sleep(PAUSE_SECONDS * self.source.uniform(0.5, 1.5))
        except Exception as error:  # noqa: BLE001 (the test reports it)
            self.load.failures.append(f"{self.label}: {error!r}")
        finally:
            if client is not None:
                client.close()

    def _one(self, client: Client) -> bool:
        kind = self.source.choices(["put", "swap", "delete", "get", "serializable get"], [30, 20, 8, 34, 8])[0]
        key = self.source.choice(KEYS)
        operation = Operation(self.label, kind, key)
        if kind in ("put", "swap", "delete"):
            operation.value = b"%s/%d" % (self.label.encode(), next(self._numbers))
        if kind == "swap":
            operation.expected = self._known.get(key)
        name, request = self._request(operation)
        operation.invoked = time.monotonic()
        self.operations.append(operation)
        may_be_learner = self.member.may_be_learner
        outcome = client.call(name, request)
        returned = time.monotonic()
        if outcome.text == LEARNER and may_be_learner:
            self.operations.pop()  # a refusal for good: were it to happen after all, it would be nobody's change
            return False
        if not outcome.succeeded:
            if outcome.code not in ACCEPTED_CODES and outcome.text not in ACCEPTED_TEXTS:
                self.load.failures.append(f"{self.label} on {self.member.name}: {operation}: {outcome}")
            self.load.errors[outcome.text[:80]] += 1
            return False
        self._take(operation, outcome.response)
        operation.returned = returned
        self.answers += 1
        self.load.answered(self.member, kind)
        return True

    def _request(self, operation: Operation) -> tuple[str, Message]:
        key, value, kind = operation.key, operation.value, operation.kind
        get = message("RangeRequest", key=key, serializable=kind == "serializable get")
        put = message("PutRequest", key=key, value=value)
        if kind == "put":
            return "KV/Put", put
        if kind.endswith("get"):
            return "KV/Range", get
        if kind == "delete":
            mark = message("PutRequest", key=operation.mark_key, value=value)
            return "KV/Txn", message("TxnRequest", success=[
                message("RequestOp", request_delete_range=message("DeleteRangeRequest", key=key)),
                message("RequestOp", request_put=mark)])
        if operation.expected is None:
            compare = message("Compare", key=key, target="VERSION", result="EQUAL", version=0)
        else:
            compare = message("Compare", key=key, target="VALUE", result="EQUAL", value=operation.expected)
        return "KV/Txn", message("TxnRequest", compare=[compare], success=[message("RequestOp", request_put=put)],
                                 failure=[message("RequestOp", request_range=get)])

    def _take(self, operation: Operation, response: Message) -> None:
        operation.revision = response.header.revision
        if operation.kind == "delete":
            operation.deleted = response.responses[0].response_delete_range.deleted
            self._known[operation.key] = None
            return
        if operation.kind == "swap":
            operation.swapped = response.succeeded
            response = None if response.succeeded else response.responses[0].response_range
        if operation.writes:
            self._known[operation.key] = operation.value
        else:
            operation.seen = next((Seen(kv.value, kv.create_revision, kv.mod_revision, kv.version)
                                   for kv in response.kvs), None)
            self._known[operation.key] = operation.seen.value if operation.seen else None


@dataclasses.dataclass
class Segment:
    """What one watch stream received in its life."""

    watch: Watch
    received: list[tuple[float, bytes]]
    is_live: bool = False


class Watcher(threading.Thread):
    """One watcher that resumes on another member again and again, and wherever its stream breaks."""

    def __init__(self, name: str, load: "ClusterLoad", reader: Reader, watch: Watch):
        super().__init__(daemon=True)
        self.source = random.Random(f"{load.seed}/{name}")
        self.load, self.reader, self.watch = load, reader, watch
        self.segments: list[Segment] = []

    def run(self) -> None:
        while not self.load.stopping.is_set():
            try:
                self._stream()
            except OSError:
                time.sleep(0.05)  # nobody listens there now
            except Exception as error:  # noqa: BLE001 (the test reports it)
                self.load.failures.append(f"watcher: {error!r}")
                return

    def _stream(self) -> None:
        connection = self.reader.add(Connection(self.load.choose(self.source).client_port))
        try:
            stream = connection.open()
            stream.send(watch_client.create(self.watch.key, self.watch.range_end, start_revision=self.watch.start,
                                            prev_kv=self.watch.prev_kv, progress_notify=True))
            until = time.monotonic() + self.source.uniform(*STREAM_SECONDS)
            while not stream.ended and not self.load.stopping.is_set() and time.monotonic() < until:
                time.sleep(0.02)
        finally:
            self.reader.drop(connection)
        self._end(stream.received)

    def _end(self, received: list[tuple[float, bytes]]) -> None:
        received = received[:]
        self.segments.append(Segment(self.watch, received))
        start = self.watch.start
        for _, data in received:
            response = watch_client.parse(data)
            if response.events:
                start = max(start, response.events[-1].kv.mod_revision + 1)
            elif not response.created and not response.canceled:
                start = max(start, response.header.revision + 1)
        self.watch = dataclasses.replace(self.watch, start=start)


class ClusterLoad:
    """Clients and watchers from `start` until `finish`, which judges everything they were told."""

    def __init__(self, cluster: Cluster, seed: int, *, clients: int = 8, watchers: int = 4):
        self.cluster, self.seed = cluster, seed
        self.stopping = threading.Event()
        self.failures: list[str] = []
        self.errors: collections.Counter = collections.Counter()
        self.answers: collections.Counter = collections.Counter()  # (member, kind)
        self._lock = threading.Lock()
        self.reader = Reader()
        self.workers = [Worker(f"c{number}", self) for number in range(clients)]
        watches = [Watch(*EVERYTHING, 2), Watch(*EVERYTHING, 2, prev_kv=True), Watch(b"key/", b"key0", 2),
                   Watch(KEYS[0], b"", 2)]
        self.watchers = [Watcher(f"w{number}", self, self.reader, watches[number % len(watches)])
                         for number in range(watchers)]

    def start(self) -> "ClusterLoad":
        for thread in [*self.workers, *self.watchers]:
            thread.start()
        return self

    def choose(self, source: random.Random) -> Server:
        return source.choice(self.cluster.members)

    def answered(self, member: Server, kind: str) -> None:
        with self._lock:
            self.answers[member.name, "write" if kind in ("put", "swap", "delete") else "read"] += 1

    def writes_answered(self) -> int:
        with self._lock:
            return sum(count for (_, kind), count in self.answers.items() if kind == "write")

    def wait_for_writes(self, count: int, seconds_max: float = 120) -> None:
        """Until so many more are acknowledged: the cluster serves."""
        target = self.writes_answered() + count
        watch_client.wait_until(lambda: self.failures or self.writes_answered() >= target, seconds_max,
                                lambda: f"no writes: {dict(self.errors)}\n{self.cluster.log_tails()}")
        assert not self.failures, self.failures[:3]

    def stop(self) -> None:
        self.stopping.set()
        for thread in [*self.workers, *self.watchers]:
            thread.join(timeout=30)
            assert not thread.is_alive(), "a client hangs"
        self.reader.close()

    def finish(self, foreign: bytes | None = None) -> dict[str, int]:
        """Stops, waits for all members to agree, and judges; returns how much was judged. `foreign`: see `judge`."""
        self.stop()
        assert not self.failures, self.failures[:3]
        revision, compacted, hashed = self.cluster.check_equal()
        assert compacted <= 0, "this load needs the whole history"
        histories = [read_history(member, revision) for member in self.cluster.members]
        for member, history in zip(self.cluster.members, histories):
            assert history == histories[0], f"the histories of {member.name} and {self.cluster.members[0].name} differ"
        truth = Truth(Change(event.kv.mod_revision, event.kv.key, None if event.type else event.kv.value)
                      for event in histories[0])
        assert truth.hash_kv() == hashed, f"HashKV is {hashed}, the model's {truth.hash_kv()}"
        operations = [operation for worker in self.workers for operation in worker.operations]
        found = judge(operations, truth, foreign)
        happened = {value: NEVER for value in truth.places}
        happened.update(self._first_seen())
        found += explains(operations, happened)
        found += self._judge_watches(truth)
        assert not found, f"{len(found)} violations (seed {self.seed}):\n" + "\n".join(map(str, found[:10]))
        return {"operations": len(operations), "answered": sum(each.is_answered for each in operations),
                "unanswered that happened": sum(not each.is_answered and each.value in truth.places
                                                for each in operations),
                "revisions": revision, "streams": sum(len(each.segments) for each in self.watchers)}

    def _first_seen(self) -> dict[bytes, float]:
        """When a watcher had seen a value: by then its write had happened."""
        seen: dict[bytes, float] = {}
        for watcher in self.watchers:
            for segment in watcher.segments:
                for at, data in segment.received:
                    for event in watch_client.parse(data).events:
                        if event.kv.value:
                            seen[event.kv.value] = min(at, seen.get(event.kv.value, at))
        return seen

    def _judge_watches(self, truth: Truth) -> list:
        watched = watch_history.Truth()
        rows: dict[int, list] = collections.defaultdict(list)
        for row in truth.rows:
            rows[row.main].append(row)
        for revision in sorted(rows):
            watched.add_rows(revision, rows[revision])
        found: list = []
        for watcher in self.watchers:
            for segment in watcher.segments:
                checker = StreamChecker(watched, trust_stream_progress=not subject_is_etcd())
                checker.add(0, segment.watch)
                for at, data in segment.received:
                    checker.take(at, watch_client.parse(data))
                found += checker.found
        return found


def read_history(member: Server, revision: int, first: int = 2) -> list[Message]:
    """All events up to a revision as a member's watch gives them."""
    events: list[Message] = []
    if revision < first:
        return events
    with watch_client.reading() as reader:
        connection = reader.add(Connection(member.client_port))
        stream = connection.open()
        stream.send(watch_client.create(*EVERYTHING, start_revision=first))
        taken = 0
        deadline = time.monotonic() + HISTORY_SECONDS_MAX
        while not events or events[-1].kv.mod_revision < revision:
            assert not stream.ended and time.monotonic() < deadline, f"{member.name} does not give its history"
            received = stream.received[taken:]
            taken += len(received)
            for _, data in received:
                response = watch_client.parse(data)
                assert not response.canceled, response
                events.extend(response.events)
            time.sleep(0 if received else 0.005)
        reader.drop(connection)
    return events
