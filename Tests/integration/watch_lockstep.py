"""Lockstep with watches and leases: two servers, the same streams on both, every event judged and compared."""

from __future__ import annotations

import dataclasses
import time

import comparison
import watch_client
from api import Client, Outcome, message
from google.protobuf.message import Message
from lockstep import DifferenceError, Lockstep
from operations import Operation, operation
from watch_client import Connection, Reader, Stream
from watch_history import StreamChecker, Truth, Watch

KEEP_ALIVE = b"/etcdserverpb.Lease/LeaseKeepAlive"
SETTLE_SECONDS_MAX = 15
EXPIRY_SECONDS_MAX = 10
PAST_WATCH_SECONDS = 0.5


def parse_response(_stream: Stream, data: bytes) -> Message:
    return watch_client.parse(data)


class Received:
    """A stream's responses, parsed as they come, and what the checker has seen of them."""

    def __init__(self, stream: Stream, checker: StreamChecker):
        self.stream, self.checker = stream, checker
        self.responses: list[tuple[float, Message]] = []
        self.events: dict[int, list[Message]] = {}
        self.controls: dict[int, list[tuple]] = {}  # everything but events and progress, by watcher
        self._checked = 0

    def update(self) -> "Received":
        for now, data in self.stream.received[len(self.responses):]:
            response = parse_response(self.stream, data)
            self.responses.append((now, response))
            self.events.setdefault(response.watch_id, []).extend(response.events)
            if response.created or response.canceled:
                self.controls.setdefault(response.watch_id, []).append(
                    (response.created, response.canceled, response.cancel_reason, response.compact_revision,
                     response.header.revision))
        return self

    def check(self, alive: dict[int, Watch], through: int) -> list:
        """The violations so far; every watcher that is alive must have everything."""
        self.checker.refresh()
        for now, response in self.responses[self._checked:]:
            self.checker.take(now, response)
        self._checked = len(self.responses)
        return self.checker.found + [each for watch_id in alive
                                     for each in self.checker.watchers[watch_id].finish(through)]

    def counts(self) -> dict[int, int]:
        return {watch_id: len(found) for watch_id, found in self.controls.items()}


@dataclasses.dataclass
class StreamPair:
    """The same watch stream on the reference and on the subject."""

    sides: list[Received]
    watches: dict[int, Watch] = dataclasses.field(default_factory=dict)
    alive: dict[int, Watch] = dataclasses.field(default_factory=dict)
    controls: dict[int, int] = dataclasses.field(default_factory=dict)  # responses expected, by watcher
    kept: set[int] = dataclasses.field(default_factory=set)  # watchers that are not to be cancelled
    next_id: int = 0

    def update(self) -> list[Received]:
        return [side.update() for side in self.sides]


class WatchLockstep(Lockstep):
    def __init__(self, reference: Client, subject: Client, ports: tuple[int, int], reader: Reader, *,
                 subject_is_etcd: bool):
        super().__init__(reference, subject, subject_is_etcd=subject_is_etcd)
        self.truth = Truth()
        self.reader = reader
        self.pairs: list[StreamPair] = []
        self.last_past_watch = 0.0
        self.connect(reference, subject, ports)

    def connect(self, reference: Client, subject: Client, ports: tuple[int, int]) -> None:
        """Starts over on new connections (at first, and after the servers were restarted)."""
        self.reference, self.subject = reference, subject
        self.connections = [self.reader.add(Connection(port)) for port in ports]
        self.keep_alives = [connection.open(KEEP_ALIVE) for connection in self.connections]
        self.pairs = []

    # Operations that change the store.

    def run(self, op: Operation) -> None:
        if op.method is not None and op.request.DESCRIPTOR.name == "CompactionRequest":
            # What a watcher has not been sent yet may otherwise go or stay; and one that reads the past and found
            # nothing there is not told from one that has not looked yet (etcd looks every 100 ms).
            self.settle()
            time.sleep(max(0.0, self.last_past_watch + PAST_WATCH_SECONDS - time.monotonic()))
        super().run(op)
        self._learn()

    def _learn(self) -> None:
        for revision in range(self.truth.revision + 1, self.model.revision + 1):
            self.truth.add_rows(revision, [row for row in self.model.rows if row.main == revision])

    def keep_alive(self, lease: int) -> None:
        before = [len(stream.received) for stream in self.keep_alives]
        for stream in self.keep_alives:
            stream.send(message("LeaseKeepAliveRequest", ID=lease))
        answers = []
        for stream, count in zip(self.keep_alives, before):
            watch_client.wait_until(lambda: len(stream.received) > count, what=f"keep alive of {lease}")
            answers.append(message("LeaseKeepAliveResponse").FromString(stream.received[count][1]))
        found = comparison.difference(operation("KV/Range", message("RangeRequest")),
                                      *(Outcome(0, "", answer) for answer in answers))
        if found:
            raise DifferenceError(f"keep alive of {lease}: {found}")
        expected = self.model.leases.get(lease, 0)
        if answers[1].TTL != expected:
            raise DifferenceError(f"keep alive of {lease}: TTL {answers[1].TTL}, the model has {expected}")
        self.statistics.succeeded["keep alive" if expected else "keep alive of no lease"] += 1

    def expire(self, lease: int, keys: list[bytes]) -> None:
        """A lease of two seconds on these keys is left alone until both servers have taken it back."""
        started = time.monotonic()
        self.run(operation("Lease/LeaseGrant", message("LeaseGrantRequest", ID=lease, TTL=2)))
        for number, key in enumerate(keys):
            self.run(operation("KV/Put", message("PutRequest", key=key, value=b"leased %d" % number, lease=lease)))
        for name, client in (("reference", self.reference), ("subject", self.subject)):
            while client.must("Lease/LeaseTimeToLive", ID=lease).TTL >= 0:
                waited = time.monotonic() - started
                if waited > EXPIRY_SECONDS_MAX:
                    raise DifferenceError(f"the {name} still has lease {lease} of 2 s after {waited:.1f} s")
                time.sleep(0.02)
            waited = time.monotonic() - started
            if waited < 2:
                raise DifferenceError(f"the {name} took lease {lease} of 2 s after {waited:.1f} s")
        self.model.apply(message("LeaseRevokeRequest", ID=lease), message("LeaseRevokeResponse"))
        self._learn()
        self.statistics.succeeded["expiry"] += 1
        self.run(operation("KV/Range", message("RangeRequest", key=b"\0", range_end=b"\0")))

    # Watches.

    def open_stream(self) -> StreamPair:
        # etcd 3.5.1 answers a progress request before the events that it speaks of (issue 15220).
        trusts = (False, not self.subject_is_etcd)
        pair = StreamPair([
            Received(connection.open(), StreamChecker(self.truth, self._may_lack_previous, trust_stream_progress=trust))
            for connection, trust in zip(self.connections, trusts)])
        self.pairs.append(pair)
        return pair

    def close_stream(self, pair: StreamPair) -> None:
        self.settle()
        for side in pair.sides:
            side.stream.reset()
        self.pairs.remove(pair)

    def create(self, pair: StreamPair, request: Message) -> None:
        """Creates a watcher on both; knows what must come of it."""
        fields = request.create_request
        start = fields.start_revision or self.model.revision + 1
        key, range_end = fields.key or b"\0", fields.range_end
        watch = Watch(key, range_end, start, 0 in fields.filters, 1 in fields.filters, fields.prev_kv, fields.fragment)
        is_empty = bool(range_end) and range_end != b"\0" and key >= range_end
        duplicate = fields.watch_id in pair.alive and fields.watch_id != 0
        self._send(pair, request)
        if is_empty or duplicate or start < 0:
            kind = "empty range" if is_empty else "duplicate id" if duplicate else "negative revision"
            self.statistics.failed[f"watch: {kind}"] += 1
            self._expect_control(pair, -1)
            self._wait_for_controls(pair)
            return
        if fields.watch_id:
            watch_id = fields.watch_id
        else:
            while pair.next_id in pair.watches:
                pair.next_id += 1
            watch_id = pair.next_id
            pair.next_id += 1
        pair.watches[watch_id] = watch
        for side in pair.sides:
            side.checker.add(watch_id, watch)
        self._expect_control(pair, watch_id)
        if start < self.model.compact_revision:
            self._expect_control(pair, watch_id)
            self.statistics.failed["watch: compacted"] += 1
        else:
            pair.alive[watch_id] = watch
            if start <= self.model.revision:
                self.last_past_watch = time.monotonic()
            self.statistics.succeeded["watch from the past" if start <= self.model.revision else "watch"] += 1
        # Its header carries the revision at which it was made, so the next operation must wait for it.
        self._wait_for_controls(pair)

    def cancel(self, pair: StreamPair, watch_id: int) -> None:
        self.settle()
        self._send(pair, watch_client.cancel(watch_id))
        if watch_id in pair.alive:
            del pair.alive[watch_id]
            self._expect_control(pair, watch_id)
            self._wait_for_controls(pair)
            self.statistics.succeeded["watch cancelled"] += 1

    def progress(self, pair: StreamPair) -> None:
        """Asks when all is delivered and nothing lies in the future; then an answer must come."""
        self.settle()
        if not pair.alive or any(watch.start > self.model.revision + 1 for watch in pair.alive.values()):
            return
        deadline = time.monotonic() + SETTLE_SECONDS_MAX
        before = [len(side.responses) for side in pair.sides]
        waiting = list(zip(pair.sides, before))
        while waiting:
            for side, _ in waiting:
                side.stream.send(watch_client.progress())  # one may be dropped while a watcher catches up
            time.sleep(0.02)
            for side in pair.update():
                for _, response in side.responses:
                    if response.watch_id == -1 and not response.created and not response.canceled \
                            and response.header.revision > self.model.revision:
                        raise DifferenceError(f"progress {response.header.revision}, revision {self.model.revision}")
            waiting = [(side, count) for side, count in waiting
                       if not any(response.watch_id == -1 and response.header.revision == self.model.revision
                                  for _, response in side.responses[count:])]
            if time.monotonic() > deadline:
                raise DifferenceError("no answer to a progress request")
        self.statistics.succeeded["progress"] += 1

    def _send(self, pair: StreamPair, request: Message) -> None:
        for side in pair.sides:
            side.stream.send(request)

    def _expect_control(self, pair: StreamPair, watch_id: int) -> None:
        pair.controls[watch_id] = pair.controls.get(watch_id, 0) + 1

    def _wait_for_controls(self, pair: StreamPair) -> None:
        def have() -> list[dict[int, int]]:
            return [side.counts() for side in pair.update()]

        deadline = time.monotonic() + SETTLE_SECONDS_MAX
        while any(found != pair.controls for found in have()):
            if time.monotonic() > deadline:
                raise DifferenceError(f"created and canceled responses by watcher: expected {pair.controls}, "
                                      f"reference and subject have {have()}")
            time.sleep(0.002)

    def settle(self) -> None:
        """Waits until every watcher has what it must have, then judges all that came and compares both sides."""
        for pair in self.pairs:
            self._wait_for_events(pair)
            self._judge(pair)

    def _wait_for_events(self, pair: StreamPair) -> None:
        deadline = time.monotonic() + SETTLE_SECONDS_MAX
        expected = {watch_id: len(self.truth.expected(watch)) for watch_id, watch in pair.alive.items()}
        while time.monotonic() < deadline:
            if all(len(side.events.get(watch_id, ())) >= count for side in pair.update()
                   for watch_id, count in expected.items()):
                return
            time.sleep(0.002)

    def _judge(self, pair: StreamPair) -> None:
        reference, subject = pair.update()
        for name, side in (("reference", reference), ("subject", subject)):
            found = side.check(pair.alive, self.model.revision)
            if found:
                raise DifferenceError(f"the {name}'s stream: " + "; ".join(str(each) for each in found[:5]))
        if reference.controls != subject.controls:
            raise DifferenceError(f"created and canceled responses (created, canceled, reason, compact revision, "
                                  f"header's revision): expected {reference.controls}, got {subject.controls}")
        for watch_id in pair.watches:
            one, other = reference.events.get(watch_id, []), subject.events.get(watch_id, [])
            if watch_id in pair.alive and one != other:
                at = next((i for i, (left, right) in enumerate(zip(one, other)) if left != right),
                          min(len(one), len(other)))
                raise DifferenceError(f"event {at} of watcher {watch_id}: expected {one[at:at + 1]}, "
                                      f"got {other[at:at + 1]}")
            self.statistics.succeeded["events"] = max(self.statistics.succeeded["events"], len(other))

    def _may_lack_previous(self, revision: int, _now: float) -> bool:
        return revision <= self.model.compact_revision
