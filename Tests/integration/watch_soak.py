"""Many watchers through everything that happens to a watch: reconnects, slow readers, compactions, restarts.

Writers own their keys and have one request under way each, so that the whole history is known in the end, even what
was under way when the server was killed. Watchers never forget where they are: each goes on from the revision after
the last that it saw, and all of it is judged when the history is known.

An event goes to about ten watchers, and one in twenty to the two hundred that watch the hot keys: a thousand watchers
of everything would only measure Python.
"""

from __future__ import annotations

import collections
import dataclasses
import random
import threading
import time

import harness
import watch_client
from api import Client, message
from google.protobuf.message import Message
from watch_client import Connection, Reader, Stream
from watch_history import StreamChecker, Truth, Violation, Watch

KEYS = [b"k/%03d" % number for number in range(500)]
WRITERS = 4
RESOLVE_SECONDS_MAX = 60
PROGRESS_INTERVAL = "300ms"


class Writer(threading.Thread):
    """Puts, deletes and transactions on keys of its own, each of them one revision."""

    def __init__(self, number: int, port: int, seed: int, done: threading.Event):
        super().__init__(daemon=True)
        self.number, self.port, self.done = number, port, done
        self.source = random.Random(f"{seed}/{number}")
        self.keys = KEYS[number::WRITERS]
        self.present: set[bytes] = set()
        self.history: dict[int, list[tuple[bytes, bytes | None]]] = {}
        self.revision = 0
        self.events = 0
        self.unresolved = 0
        self.failure: str | None = None
        self._serial = 0

    def run(self) -> None:
        try:
            client = Client(self.port, timeout_seconds=20)
            while not self.done.is_set():
                changes = self._changes()
                outcome = client.call("KV/Txn", self._request(changes))
                revision = outcome.response.header.revision if outcome.succeeded else self._resolved(changes)
                if revision is None:
                    continue
                assert revision > self.revision, f"revision {revision} after {self.revision}"
                self.revision = revision
                self.history[revision] = changes
                self.events += len(changes)
                for key, value in changes:
                    (self.present.discard if value is None else self.present.add)(key)
            client.close()
        except Exception as error:  # noqa: BLE001 (the test reports it)
            self.failure = repr(error)

    def _changes(self) -> list[tuple[bytes, bytes | None]]:
        """The first is a put: its value tells later whether the request happened."""
        count = self.source.choice([1, 1, 2, 4, 8])
        keys = self.source.sample(self.keys, count)
        if self.source.random() < 0.15:
            keys[0] = b"hot/%d" % self.number
        changes: list[tuple[bytes, bytes | None]] = []
        for index, key in enumerate(keys):
            self._serial += 1
            is_delete = index > 0 and key in self.present and self.source.random() < 0.3
            size = 3_000 if self.source.random() < 0.01 else 40
            changes.append((key, None if is_delete else b"%d/%d/" % (self.number, self._serial) + b"v" * size))
        return changes

    @staticmethod
    def _request(changes: list[tuple[bytes, bytes | None]]) -> Message:
        return message("TxnRequest", success=[
            message("RequestOp", request_put=message("PutRequest", key=key, value=value)) if value is not None else
            message("RequestOp", request_delete_range=message("DeleteRangeRequest", key=key))
            for key, value in changes])

    def _resolved(self, changes: list[tuple[bytes, bytes | None]]) -> int | None:
        """The revision of a request that got no answer, None when it did not happen: the restarted server knows."""
        self.unresolved += 1
        key, value = changes[0]
        deadline = time.monotonic() + RESOLVE_SECONDS_MAX
        while time.monotonic() < deadline:
            client = Client(self.port, timeout_seconds=5)
            outcome = client.call("KV/Range", key=key)
            client.close()
            if outcome.succeeded:
                kvs = outcome.response.kvs
                return kvs[0].mod_revision if kvs and kvs[0].value == value else None
            time.sleep(0.05)
        raise AssertionError("the server does not come back")


@dataclasses.dataclass
class Segment:
    """A stream's whole life; `positions` says where each of its watchers stands."""

    stream: Stream
    watches: dict[int, Watch]
    is_live: bool = True

    def positions(self) -> dict[int, int]:
        last, bookmark, compacted, in_fragment = (collections.defaultdict(int) for _ in range(4))
        for _, data in list(self.stream.received):
            response = watch_client.parse(data)
            watch_id = response.watch_id
            if response.events:
                last[watch_id] = response.events[-1].kv.mod_revision
                in_fragment[watch_id] = int(response.fragment)
            elif response.canceled:
                compacted[watch_id] = response.compact_revision
            elif not response.created:
                bookmark[watch_id] = response.header.revision
        return {watch_id: max(watch.start, last[watch_id] + 1 - in_fragment[watch_id], bookmark[watch_id] + 1,
                              compacted[watch_id])
                for watch_id, watch in self.watches.items()}


class Agent:
    """One connection with its streams of watchers, made again whenever it is lost."""

    def __init__(self, port: int, reader: Reader, groups: list[list[Watch]], soak: "Soak"):
        self.port, self.reader, self.soak = port, reader, soak
        self.groups = groups
        self.segments: list[Segment] = []
        self.history: list[Segment] = []
        self.connection: Connection | None = None

    def connect(self) -> None:
        window = self.soak.source.choice([1 << 16, 1 << 20, 1 << 24])
        self.connection = self.reader.add(Connection(self.port, window))
        self.segments = [self._open(group) for group in self.groups]

    def _open(self, group: list[Watch]) -> Segment:
        segment = Segment(self.connection.open(), dict(enumerate(group)))
        for watch in group:
            segment.stream.send(watch_client.create(
                watch.key, watch.range_end, start_revision=watch.start, prev_kv=watch.prev_kv, fragment=watch.fragment,
                filters=[*([0] if watch.no_put else []), *([1] if watch.no_delete else [])],
                progress_notify=self.soak.source.random() < 0.3))
        self.history.append(segment)
        return segment

    def disconnect(self) -> None:
        self.reader.drop(self.connection)
        self.groups = [self._after(segment) for segment in self.segments]

    def _after(self, segment: Segment) -> list[Watch]:
        segment.is_live = False
        segment.stream.ended = True
        positions = segment.positions()
        return [dataclasses.replace(watch, start=self.soak.resumed(positions[watch_id]))
                for watch_id, watch in segment.watches.items()]

    def reopen_stream(self, index: int) -> None:
        segment = self.segments[index]
        segment.stream.reset()
        self.groups[index] = self._after(segment)
        self.segments[index] = self._open(self.groups[index])


class Soak:
    def __init__(self, server: harness.Server, seed: int, *, watchers: int, connections: int, events: int,
                 restarts: int):
        self.server, self.seed, self.events, self.restarts = server, seed, events, restarts
        self.source = random.Random(seed)
        self.done = threading.Event()
        self.writers = [Writer(number, server.client_port, seed, self.done) for number in range(WRITERS)]
        self.compactions: list[tuple[float, int]] = []
        self.happened: collections.Counter = collections.Counter()
        self.reader = Reader()
        watches = [self._watch(number) for number in range(watchers)]
        self.source.shuffle(watches)
        share, streams = watchers // connections, 5
        self.agents = [
            Agent(server.client_port, self.reader,
                  [watches[start + at:start + share:streams] for at in range(streams)], self)
            for start in range(0, watchers, share)]

    def _watch(self, number: int) -> Watch:
        share = number % 100
        if share < 1:
            key, end = b"\0", b"\0"
        elif share < 20:
            key, end = b"hot/", b"hot0"
        elif share < 45:
            first = self.source.randrange(len(KEYS) - 12)
            key, end = KEYS[first], KEYS[first + self.source.randrange(2, 12)]
        else:
            key, end = self.source.choice(KEYS), b""
        no_put, no_delete = self.source.random() < 0.08, self.source.random() < 0.08
        return Watch(key, end, 2, no_put, no_delete, self.source.random() < 0.3, self.source.random() < 0.2)

    def resumed(self, revision: int) -> int:
        """Where a watcher goes on. etcd 3.5.1 loses deletes at exactly a compacted revision (issue 18089)."""
        if harness.subject_is_etcd() and any(revision == compacted for _, compacted in self.compactions):
            return revision + 1
        return revision

    def written(self) -> int:
        return sum(writer.events for writer in self.writers)

    def run(self) -> None:
        for agent in self.agents:
            agent.connect()
        for writer in self.writers:
            writer.start()
        restart_at = [self.events * (number + 1) // (self.restarts + 1) for number in range(self.restarts)]
        acts = [(self.reconnect, 2), (self.reopen_stream, 3), (self.pause, 3), (self.progress, 10), (self.compact, 2)]
        paused: list[tuple[float, Connection]] = []
        self.paused = paused
        while self.written() < self.events:
            self.check_writers()
            if restart_at and self.written() >= restart_at[0]:
                restart_at.pop(0)
                self.restart()
            act, = self.source.choices([act for act, _ in acts], [weight for _, weight in acts])
            act()
            now = time.monotonic()
            for until, connection in [each for each in paused if each[0] <= now]:
                self.reader.resume(connection)
                paused.remove((until, connection))
            time.sleep(0.03)
        self.done.set()
        for writer in self.writers:
            writer.join(timeout=60)
        self.check_writers()
        for _, connection in paused:
            self.reader.resume(connection)

    def check_writers(self) -> None:
        failures = [writer.failure for writer in self.writers if writer.failure]
        assert not failures, failures

    # What happens on the way.

    def reconnect(self) -> None:
        agent = self.source.choice(self.agents)
        agent.disconnect()
        agent.connect()
        self.happened["reconnects"] += 1

    def reopen_stream(self) -> None:
        agent = self.source.choice(self.agents)
        agent.reopen_stream(self.source.randrange(len(agent.segments)))
        self.happened["streams made again"] += 1

    def pause(self) -> None:
        agent = self.source.choice(self.agents)
        if agent.connection.reading:
            self.reader.pause(agent.connection)
            self.paused.append((time.monotonic() + self.source.uniform(0.3, 2.5), agent.connection))
            self.happened["slow readers"] += 1

    def progress(self) -> None:
        agent = self.source.choice(self.agents)
        self.source.choice(agent.segments).stream.send(watch_client.progress())
        self.happened["progress requests"] += 1

    def compact(self) -> None:
        newest = max(writer.revision for writer in self.writers)
        revision = newest - self.source.choice([0, 50, 1000, 2000, 4000])
        if revision <= max((each for _, each in self.compactions), default=1):
            return
        self.compactions.append((time.monotonic(), revision))
        client = self.server.client(timeout_seconds=10)
        if client.call("KV/Compact", revision=revision, physical=self.source.random() < 0.3).succeeded:
            self.happened["compactions"] += 1
        client.close()

    def restart(self) -> None:
        kills = self.happened["restarts"] % 2 == 0
        if kills:
            self.server.kill()
        else:
            assert self.server.terminate() in (0, 143)
        self.server.start()
        self.happened["restarts"] += 1
        for agent in self.agents:
            agent.disconnect()
            agent.connect()

    # Judgement.

    def truth(self) -> Truth:
        everything: dict[int, list[tuple[bytes, bytes | None]]] = {}
        for writer in self.writers:
            for revision, changes in writer.history.items():
                assert revision not in everything, f"two writers were told revision {revision}"
                everything[revision] = changes
        found = Truth()
        for revision in range(2, max(everything) + 1):
            assert revision in everything, f"nobody knows of revision {revision}"
            found.change(revision, everything[revision])
        return found

    def judge(self) -> tuple[list[Violation], collections.Counter]:
        """All violations, and how much was judged. Waits for what is still on its way."""
        truth = self.truth()
        found: list[Violation] = []
        counts: collections.Counter = collections.Counter()
        live = []
        for agent in self.agents:
            for segment in agent.history:
                checker = StreamChecker(truth, self._may_lack_previous,
                                        trust_stream_progress=not harness.subject_is_etcd())
                for watch_id, watch in segment.watches.items():
                    checker.add(watch_id, watch)
                at = self._feed(checker, segment, 0, counts)
                found += checker.found
                if segment.is_live:
                    checker.found = []
                    live.append((checker, segment, at))
        deadline = time.monotonic() + 60
        for checker, segment, at in live:
            while True:
                at = self._feed(checker, segment, at, counts)
                waiting = [each for watcher in checker.watchers.values() for each in watcher.finish(truth.revision)]
                if not waiting or time.monotonic() > deadline:
                    break
                time.sleep(0.05)
            found += checker.found + waiting
        compacted = {revision for _, revision in self.compactions}
        for revision in counts.pop("notices", []):
            if revision not in compacted:
                found.append(Violation("notice", f"compacted at {revision}, which nobody asked for"))
            counts["compaction notices"] += 1
        return found, counts

    def _feed(self, checker: StreamChecker, segment: Segment, at: int, counts: collections.Counter) -> int:
        received = segment.stream.received
        end = len(received)
        for now, data in received[at:end]:
            response = watch_client.parse(data)
            checker.take(now, response)
            counts["responses"] += 1
            counts["events"] += len(response.events)
            counts["fragments"] += response.fragment
            if response.compact_revision:
                counts.setdefault("notices", []).append(response.compact_revision)
            elif not response.events and not response.created:
                counts["progress notices"] += 1
        return end

    def finds_a_loss(self) -> bool:
        """The judgement's own test: one response with events is taken out of one stream's record."""
        truth = self.truth()
        segments = [segment for agent in self.agents for segment in agent.history if len(segment.stream.received) > 100]
        segment = self.source.choice(segments)
        kept = segment.stream.received[:]
        with_later = set()
        for at in range(len(kept) - 1, -1, -1):
            response = watch_client.parse(kept[at][1])
            if response.events and response.watch_id in with_later:
                del kept[at]
                break
            if response.events:
                with_later.add(response.watch_id)
        checker = StreamChecker(truth, self._may_lack_previous, trust_stream_progress=False)
        for watch_id, watch in segment.watches.items():
            checker.add(watch_id, watch)
        for now, data in kept:
            checker.take(now, watch_client.parse(data))
        return any(each.promise in ("reliable", "resumable") for each in checker.found)

    def _may_lack_previous(self, revision: int, now: float) -> bool:
        return any(sent <= now and compacted >= revision for sent, compacted in self.compactions)

    def close(self) -> None:
        self.done.set()
        for agent in self.agents:
            if agent.connection is not None:
                self.reader.drop(agent.connection)
        self.reader.close()
