"""Judges what concurrent clients of a cluster were told: linearizability, and that nothing acknowledged is lost.

Every write carries a value that names it, so the history of changes that a member serves says which writes happened,
and at which revision. etcd answers with revisions, and a revision is a place in one order of everything; `judge` checks
that this order explains every answer and agrees with real time. `explains` is the second, naive judge: it knows nothing
of revisions and looks, key by key, for any order at all (after Wing, Gong and Lowe).

What `judge` can find:

  lost        an acknowledged write is not there, or at another revision
  duplicated  a write happened twice
  phantom     a change that nobody asked for, or a refused one that happened
  torn        a transaction of which a part happened
  stale       an answer older than what somebody had been told before it was asked for
  state       a read whose answer is not what the key held at the revision of the answer
  compare     a compare-and-swap that went the other way than the key's state demands
"""

from __future__ import annotations

import bisect
import collections
import dataclasses
import math
from typing import Iterable

from mvcc_model import Model, Row

NEVER = math.inf


@dataclasses.dataclass(slots=True)
class Seen:
    """What an answer said of a key."""

    value: bytes
    create: int
    mod: int
    version: int


@dataclasses.dataclass(slots=True)
class Operation:
    """One request. `returned` is NEVER where no answer came: it may have happened, at any time since."""

    client: str
    kind: str
    key: bytes
    value: bytes = b""  # what it puts; a delete puts it under `mark_key`, in one transaction
    expected: bytes | None = None  # of a swap: the key's value, None where it is to be absent
    invoked: float = 0
    returned: float = NEVER
    revision: int = 0
    swapped: bool = True
    seen: Seen | None = None
    deleted: int = 0

    @property
    def mark_key(self) -> bytes:
        return b"mark/" + self.client.encode()

    @property
    def is_answered(self) -> bool:
        return self.returned != NEVER

    @property
    def writes(self) -> bool:
        """Whether it changed something, as far as its answer tells."""
        return self.kind in ("put", "delete") or self.kind == "swap" and self.swapped


@dataclasses.dataclass(slots=True)
class Change:
    """One change of the truth."""

    revision: int
    key: bytes
    value: bytes | None  # None: deleted


@dataclasses.dataclass
class Violation:
    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.text}"


class Truth:
    """All changes of the key space from revision 2 on, in order."""

    def __init__(self, changes: Iterable[Change]):
        self.by_revision: dict[int, list[Change]] = collections.defaultdict(list)
        self._of_key: dict[bytes, list[tuple[int, Seen | None]]] = collections.defaultdict(list)
        self.places: dict[bytes, list[int]] = collections.defaultdict(list)  # value -> revisions that put it
        self.rows: list[Row] = []
        self.revision = 1
        for change in changes:
            assert change.revision in (self.revision, self.revision + 1), \
                f"revision {change.revision} after {self.revision}"
            self.revision = change.revision
            self._add(change)

    def _add(self, change: Change) -> None:
        sub = len(self.by_revision[change.revision])
        self.by_revision[change.revision].append(change)
        before = self.at(change.key, change.revision)
        if change.value is None:
            assert before is not None, f"{change.key!r} is deleted at {change.revision} and was not there"
            self.rows.append(Row(change.revision, sub, change.key, True))
            self._of_key[change.key].append((change.revision, None))
            return
        self.places[change.value].append(change.revision)
        after = Seen(change.value, before.create if before else change.revision, change.revision,
                     before.version + 1 if before else 1)
        self.rows.append(Row(change.revision, sub, change.key, False, after.create, after.version, after.value))
        self._of_key[change.key].append((change.revision, after))

    def at(self, key: bytes, revision: int) -> Seen | None:
        """What the key held once everything up to the revision had happened."""
        states = self._of_key.get(key, [])
        place = bisect.bisect_right(states, revision, key=lambda state: state[0])
        return states[place - 1][1] if place else None

    def hash_kv(self) -> int:
        """HashKV as every member must answer it, worked out by the model."""
        model = Model()
        model.revision = self.revision
        for row in self.rows:
            model.rows.append(row)
            model.by_key.setdefault(row.key, []).append(row)
        return model.hash_kv()


def judge(operations: list[Operation], truth: Truth, foreign: bytes | None = None) -> list[Violation]:
    """`foreign` begins the keys that others write, who are not in the record."""
    found: list[Violation] = []
    placed: list[tuple[Operation, int]] = []  # with the revision at which it took place
    written: dict[int, Operation] = {}
    for operation in operations:
        place = _place(operation, truth, found)
        if place is None:
            continue
        if _is_write_at(operation, truth, place):
            written[place] = operation
        placed.append((operation, place))
    for revision in truth.by_revision:
        what = truth.by_revision[revision]
        if revision not in written and not (foreign and all(change.key.startswith(foreign) for change in what)):
            found.append(Violation("phantom", f"nobody's change at revision {revision}: {what}"))
    for revision, operation in written.items():
        found += _content(operation, truth, revision)
    found += _in_real_time(placed, truth)
    return found


def _place(operation: Operation, truth: Truth, found: list[Violation]) -> int | None:
    """The revision of an operation, None where it has none; appends what is wrong about it."""
    places = truth.places.get(operation.value, []) if operation.value else []
    if len(places) > 1:
        found.append(Violation("duplicated", f"{operation} at revisions {places}"))
    if not operation.is_answered:
        return places[0] if places else None
    if not operation.writes or not operation.value:
        if places:
            found.append(Violation("phantom", f"refused, and at revision {places[0]}: {operation}"))
        found.extend(_answer(operation, truth))
        return operation.revision
    if not places:
        found.append(Violation("lost", str(operation)))
        return None
    if operation.revision not in places:
        found.append(Violation("lost", f"it is at revision {places}: {operation}"))
        return None
    return operation.revision


def _is_write_at(operation: Operation, truth: Truth, revision: int) -> bool:
    return bool(operation.value) and revision in truth.places.get(operation.value, [])


def _answer(operation: Operation, truth: Truth) -> list[Violation]:
    """Reads, and swaps that did not swap: the answer against the state at its revision."""
    if operation.revision > truth.revision:
        return [Violation("phantom", f"the history ends at {truth.revision}: {operation}")]
    state = truth.at(operation.key, operation.revision)
    if operation.seen != state:
        return [Violation("state", f"the key held {state}: {operation}")]
    if operation.kind == "swap" and operation.expected == (state.value if state else None):
        return [Violation("compare", f"refused, though the key held {state}: {operation}")]
    return []


def _content(operation: Operation, truth: Truth, revision: int) -> list[Violation]:
    """A write's changes are all there and no others."""
    before = truth.at(operation.key, revision - 1)
    found: list[Violation] = []
    if operation.kind == "delete":
        expected = [(operation.key, None)] if before else []
        expected.append((operation.mark_key, operation.value))
        if operation.is_answered and operation.deleted != len(expected) - 1:
            found.append(Violation("state", f"the key held {before}: {operation}"))
    else:
        expected = [(operation.key, operation.value)]
    if operation.kind == "swap" and operation.expected != (before.value if before else None):
        found.append(Violation("compare", f"swapped at {revision}, though the key held {before}: {operation}"))
    got = [(change.key, change.value) for change in truth.by_revision[revision]]
    if got != expected:
        found.append(Violation("torn", f"at revision {revision} is {got}: {operation}"))
    return found


def _in_real_time(placed: list[tuple[Operation, int]], truth: Truth) -> list[Violation]:
    """Whatever was answered before an operation began comes before it in the order of revisions."""
    moments: list[tuple[float, int, int]] = []  # (time, 0 begins or 1 ends, number); a tie counts as at once
    for number, (operation, _) in enumerate(placed):
        if operation.kind == "serializable get":
            continue
        moments.append((operation.invoked, 0, number))
        if operation.is_answered:
            moments.append((operation.returned, 1, number))
    found: list[Violation] = []
    newest, newest_of = 0, None
    for _, ends, number in sorted(moments):
        operation, revision = placed[number]
        if ends:
            if revision > newest:
                newest, newest_of = revision, operation
        elif revision < newest or revision == newest and _is_write_at(operation, truth, revision):
            found.append(Violation("stale", f"at revision {revision}: {operation}, after {newest_of}"))
    return found


class Undecided(Exception):
    """Too many orders to try; the naive judge has no answer."""


def explains(operations: list[Operation], happened: dict[bytes, float], orders_max: int = 200_000) -> list[Violation]:
    """Looks for an order of each key's operations that explains every value, without a look at revisions.

    `happened` has the value of each write that happened, with a time by which it had (NEVER where unknown); a write
    that is not in it and was not answered did not happen.
    """
    by_key: dict[bytes, list[Operation]] = collections.defaultdict(list)
    for operation in operations:
        if operation.kind != "serializable get" and (operation.is_answered or operation.value in happened):
            by_key[operation.key].append(operation)
    found = []
    for key, own in sorted(by_key.items()):
        stuck = _first_without_order(own, happened, orders_max)
        if stuck is not None:
            found.append(Violation("no order", f"of {len(own)} operations on {key!r} up to {stuck}"))
    return found


def _first_without_order(operations: list[Operation], happened: dict[bytes, float],
                         orders_max: int) -> Operation | None:
    """Walks through the moments and keeps every pair of (value, operations already done) that can be so."""
    moments: list[tuple[float, int, int]] = []
    for number, operation in enumerate(operations):
        moments.append((operation.invoked, 0, number))
        end = operation.returned if operation.is_answered else happened.get(operation.value, NEVER)
        if end != NEVER:
            moments.append((max(end, operation.invoked), 1, number))
    open_now: set[int] = set()
    possible: set[tuple[bytes | None, frozenset[int]]] = {(None, frozenset())}
    for _, ends, number in sorted(moments):
        if not ends:
            open_now.add(number)
            continue
        reached, todo = set(possible), list(possible)
        while todo:
            value, done = todo.pop()
            if number in done:
                continue  # no need to go further before somebody else's end
            for other in open_now - done:
                following = _after(operations[other], value)
                if following is not _IMPOSSIBLE:
                    new = following, done | {other}
                    if new not in reached:
                        reached.add(new)
                        todo.append(new)
            if len(reached) > orders_max:
                raise Undecided(f"more than {orders_max} at once for {operations[number].key!r}")
        open_now.discard(number)
        possible = {(value, done - {number}) for value, done in reached if number in done}
        if not possible:
            return operations[number]
    return None


_IMPOSSIBLE = object()


def _after(operation: Operation, value: bytes | None):
    """The key's value after the operation, if it can take place while the key holds `value`."""
    if operation.kind == "put":
        return operation.value
    if operation.kind == "delete":
        fits = not operation.is_answered or operation.deleted == (value is not None)
        return None if fits else _IMPOSSIBLE
    if operation.kind == "swap" and operation.swapped:
        return operation.value if operation.expected == value else _IMPOSSIBLE
    if operation.kind == "swap" and operation.expected == value:
        return _IMPOSSIBLE
    return value if (operation.seen.value if operation.seen else None) == value else _IMPOSSIBLE
