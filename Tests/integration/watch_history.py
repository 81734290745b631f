"""What a watch promises, checked on what streams really received.

`Truth` holds every change of the key space. `StreamChecker` walks through the responses of one stream and names each
promise that is broken:

  ordered       events come in the order of revisions, and within one in the order of the transaction
  unique        no event twice
  reliable      no event left out, unless a compaction notice says so
  atomic        the events of one revision come in one response, unless it is marked as a fragment
  resumable     a watch from revision R starts with the first change at or after R
  bookmarkable  after a progress notice for R nothing at or below R follows, and everything came before
  filtered      only what the range and the filters let through
  prev_kv       the key's state at the revision before, exactly
  content       every field of the event
  notice        a compaction notice comes only when something undelivered was compacted
  header        a response is not older than its events
"""

from __future__ import annotations

import bisect
import dataclasses

from google.protobuf.message import Message

from api import message
from mvcc_model import Row, in_range

PUT, DELETE = 0, 1


@dataclasses.dataclass(frozen=True)
class Watch:
    """What one watcher asked for; `start` is the first revision it is to see."""

    key: bytes
    range_end: bytes
    start: int
    no_put: bool = False
    no_delete: bool = False
    prev_kv: bool = False
    fragment: bool = False

    def wants(self, key: bytes, kind: int) -> bool:
        filtered = self.no_put if kind == PUT else self.no_delete
        return not filtered and in_range(key, self.key or b"\0", self.range_end)


class Truth:
    """All changes, as the events that a watcher must see."""

    def __init__(self) -> None:
        self.revision = 1
        self.positions: list[tuple[int, int]] = []  # (revision, sub) of each change
        self.events: list[Message] = []
        self.events_with_previous: list[Message] = []
        self._of_key: dict[bytes, list[int]] = {}
        self._latest: dict[bytes, Row | None] = {}
        self._expected: dict[tuple, list[int]] = {}

    def add_rows(self, revision: int, rows: list[Row]) -> None:
        """The rows of one revision, in their order; revisions must come in theirs."""
        assert revision == self.revision + 1, f"revision {revision} after {self.revision}"
        before: dict[bytes, Row | None] = {row.key: self._latest.get(row.key) for row in rows}
        for row in rows:
            plain = event_of(row)
            full = message("mvccpb.Event")
            full.CopyFrom(plain)
            previous = before[row.key]
            is_create = not row.is_tombstone and row.create == row.main
            if previous is not None and not is_create:
                full.prev_kv.CopyFrom(key_value(previous))
            self._of_key.setdefault(row.key, []).append(len(self.events))
            self.positions.append((row.main, row.sub))
            self.events.append(plain)
            self.events_with_previous.append(full)
            self._latest[row.key] = None if row.is_tombstone else row
        self.revision = revision
        self._expected.clear()

    def change(self, revision: int, changes: list[tuple[bytes, bytes | None]]) -> None:
        """Puts and deletes (None) of one revision, each of another key; a delete of an absent key is no change."""
        rows: list[Row] = []
        for key, value in changes:
            latest = self._latest.get(key)
            if value is None:
                if latest is not None:
                    rows.append(Row(revision, len(rows), key, True))
                continue
            rows.append(Row(revision, len(rows), key, False, create=latest.create if latest else revision,
                            version=latest.version + 1 if latest else 1, value=value))
        self.add_rows(revision, rows)

    def value(self, key: bytes) -> bytes | None:
        row = self._latest.get(key)
        return row.value if row else None

    def expected(self, watch: Watch) -> list[int]:
        """Indices of the changes that the watch sees, from its start on."""
        shape = (watch.key, watch.range_end, watch.no_put, watch.no_delete)
        found = self._expected.get(shape)
        if found is None:
            found = self._expected[shape] = self._matching(watch)
        start = bisect.bisect_left(found, watch.start, key=lambda index: self.positions[index][0])
        return found[start:]

    def _matching(self, watch: Watch) -> list[int]:
        if not watch.range_end:
            candidates = self._of_key.get(watch.key, [])
        else:
            keys = [key for key in self._of_key if in_range(key, watch.key or b"\0", watch.range_end)]
            candidates = sorted(index for key in keys for index in self._of_key[key])
        return [index for index in candidates
                if not (watch.no_put if self.events[index].type == PUT else watch.no_delete)]


def key_value(row: Row) -> Message:
    return message("mvccpb.KeyValue", key=row.key, create_revision=row.create, mod_revision=row.main,
                   version=row.version, value=row.value, lease=row.lease)


def event_of(row: Row) -> Message:
    if row.is_tombstone:
        return message("mvccpb.Event", type=DELETE, kv=message("mvccpb.KeyValue", key=row.key, mod_revision=row.main))
    return message("mvccpb.Event", type=PUT, kv=key_value(row))


@dataclasses.dataclass
class Violation:
    promise: str
    text: str

    def __str__(self) -> str:
        return f"{self.promise}: {self.text}"


class Watcher:
    """One watcher on its way through the responses."""

    def __init__(self, truth: Truth, watch: Watch, watch_id: int, may_lack_previous):
        self.truth, self.watch, self.watch_id = truth, watch, watch_id
        self.expected = truth.expected(watch)
        self.next = 0  # into `expected`
        self.bookmark = 0
        self.last = 0  # revision of the last event
        self.in_fragment = False
        self.cancelled = False
        self.compacted_at = 0
        self.may_lack_previous = may_lack_previous
        self._events = truth.events_with_previous if watch.prev_kv else truth.events

    def take(self, response: Message, now: float) -> list[Violation]:
        found: list[Violation] = []
        first_revision = response.events[0].kv.mod_revision
        if first_revision == self.last and not self.in_fragment:
            found.append(self._violation("atomic", f"revision {first_revision} goes on in another response"))
        for event in response.events:
            found.extend(self._take_event(event, now))
        self.last = response.events[-1].kv.mod_revision
        self.in_fragment = response.fragment
        if response.fragment and not self.watch.fragment:
            found.append(self._violation("atomic", "a fragment that nobody asked for"))
        if response.header.revision < self.last:
            found.append(self._violation("header", f"{response.header.revision} with an event of {self.last}"))
        return found

    def _take_event(self, event: Message, now: float) -> list[Violation]:
        if self.next < len(self.expected):
            index = self.expected[self.next]
            if event == self._events[index] and event.kv.mod_revision > self.bookmark:
                self.next += 1
                return []
        return self._explained(event, now)

    def _explained(self, event: Message, now: float) -> list[Violation]:
        """Names what is wrong with an event that is not exactly the expected one."""
        revision, found = event.kv.mod_revision, []
        if revision <= self.bookmark:
            found.append(self._violation("bookmarkable", f"revision {revision} after progress {self.bookmark}"))
        if not self.watch.wants(event.kv.key, event.type):
            return [*found, self._violation("filtered", f"{_short(event)} was not asked for")]
        at = self._place(event)
        if at is None:
            if revision < self.watch.start:
                return [*found, self._violation("resumable", f"{_short(event)} before the start {self.watch.start}")]
            return [*found, self._violation("content", f"{_short(event)} never happened")]
        if at < self.next:
            promise = "unique" if at == self.next - 1 or revision == self.last else "ordered"
            return [*found, self._violation(promise, f"{_short(event)} again after revision {self.last}")]
        if at > self.next:
            missed = self.truth.positions[self.expected[self.next]][0]
            promise = "resumable" if self.next == 0 else "reliable"
            found.append(self._violation(promise, f"revision {missed} is missing before {_short(event)}"))
        found.extend(self._differences(event, self._events[self.expected[at]], now))
        self.next = at + 1
        return found

    def _place(self, event: Message) -> int | None:
        """Where among the expected events this one is, by revision, key and type."""
        revision = event.kv.mod_revision
        at = bisect.bisect_left(self.expected, revision, key=lambda index: self.truth.positions[index][0])
        while at < len(self.expected) and self.truth.positions[self.expected[at]][0] == revision:
            other = self.truth.events[self.expected[at]]
            if other.kv.key == event.kv.key and other.type == event.type:
                return at
            at += 1
        return None

    def _differences(self, event: Message, expected: Message, now: float) -> list[Violation]:
        if event == expected:
            return []
        if event.kv != expected.kv:
            return [self._violation("content", f"expected {_short(expected)}, got {_short(event)}")]
        if not event.HasField("prev_kv") and self.may_lack_previous(event.kv.mod_revision, now):
            return []
        return [self._violation("prev_kv", f"expected {_short(expected)}, got {_short(event)}")]

    def progress(self, revision: int) -> list[Violation]:
        """Everything at or below `revision` must have come."""
        self.bookmark = max(self.bookmark, revision)
        if self.cancelled or self.next >= len(self.expected):
            return []
        waiting = self.truth.positions[self.expected[self.next]][0]
        if waiting <= revision:
            return [self._violation("bookmarkable", f"progress {revision} before the event of {waiting}")]
        return []

    def cancel(self, compact_revision: int) -> list[Violation]:
        self.cancelled, self.compacted_at = True, compact_revision
        if compact_revision and compact_revision <= max(self.last, self.watch.start, self.bookmark):
            return [self._violation("notice", f"compacted at {compact_revision}, which it had passed: "
                                              f"start {self.watch.start}, last {self.last}")]
        return []

    def finish(self, through: int) -> list[Violation]:
        """A watcher that lived to the end has everything."""
        if self.cancelled or self.next >= len(self.expected):
            return []
        waiting = self.truth.positions[self.expected[self.next]][0]
        return [self._violation("reliable", f"revision {waiting} never came")] if waiting <= through else []

    def next_start(self) -> int:
        """Where a client goes on after losing the stream. A fragment's revision is not complete yet."""
        seen = self.last - 1 if self.in_fragment else self.last
        return max(self.watch.start, seen + 1, self.bookmark + 1, self.compacted_at)

    def _violation(self, promise: str, text: str) -> Violation:
        return Violation(promise, f"watcher {self.watch_id} of {self.watch.key!r}..{self.watch.range_end!r}: {text}")


class StreamChecker:
    """Walks through the responses of one stream as they come; `found` holds the violations.

    `may_lack_previous(revision, time)` says whether a compaction may have taken the state before a revision.
    """

    def __init__(self, truth: Truth, may_lack_previous=lambda revision, now: False, *,
                 trust_stream_progress: bool = True):
        self.truth, self.may_lack_previous = truth, may_lack_previous
        self.trust_stream_progress = trust_stream_progress
        self.watchers: dict[int, Watcher] = {}
        self.created: set[int] = set()
        self.found: list[Violation] = []

    def add(self, watch_id: int, watch: Watch) -> None:
        self.watchers[watch_id] = Watcher(self.truth, watch, watch_id, self.may_lack_previous)

    def refresh(self) -> None:
        """To be called when the truth has grown."""
        for each in self.watchers.values():
            each.expected = self.truth.expected(each.watch)

    def take(self, now: float, response: Message) -> None:
        if response.watch_id < 0:
            if self.trust_stream_progress and not response.created:
                for watch_id in self.created:
                    self.found += self.watchers[watch_id].progress(response.header.revision)
            return
        each = self.watchers.get(response.watch_id)
        if each is None:
            self.found.append(Violation("content", f"a response for watcher {response.watch_id}, which nobody made"))
            return
        if response.created:
            self.created.add(response.watch_id)
        elif response.watch_id not in self.created:
            self.found.append(Violation("ordered", f"watcher {response.watch_id} speaks before it is created"))
        if response.events:
            if each.cancelled:
                self.found.append(Violation("ordered", f"watcher {response.watch_id} goes on after its end"))
            self.found += each.take(response, now)
        if response.canceled:
            self.found += each.cancel(response.compact_revision)
        elif not response.created and not response.events:
            self.found += each.progress(response.header.revision)

    def finish(self, through: int) -> None:
        """The stream lived to the end: everything up to a revision must have come."""
        for each in self.watchers.values():
            self.found += each.finish(through)


def check_stream(truth: Truth, watches: dict[int, Watch], responses: list[tuple[float, Message]], *,
                 through: int | None = None, **options) -> StreamChecker:
    """All of one stream at once."""
    checker = StreamChecker(truth, **options)
    for watch_id, watch in watches.items():
        checker.add(watch_id, watch)
    for now, response in responses:
        checker.take(now, response)
    if through is not None:
        checker.finish(through)
    return checker


def _short(event: Message) -> str:
    previous = f" after {event.prev_kv.value[:40]!r}@{event.prev_kv.mod_revision}" if event.HasField("prev_kv") else ""
    kind = "DELETE" if event.type == DELETE else "PUT"
    return f"{kind} {event.kv.key[:40]!r}={event.kv.value[:40]!r}@{event.kv.mod_revision}{previous}"
