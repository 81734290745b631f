"""The judges of a cluster's histories find each broken promise in histories made by hand, and nothing in good ones."""

from __future__ import annotations

import dataclasses

import pytest

from cluster_history import NEVER, Change, Operation, Seen, Truth, Undecided, explains, judge

A, B = b"key/a", b"key/b"


def truth(*spoilt: Change) -> Truth:
    """2: a=p1; 3: a=p2; 4: b=s1; 5: a deleted; 6: a=lost (its client was not answered)."""
    good = [Change(2, A, b"p1"), Change(3, A, b"p2"), Change(4, B, b"s1"), Change(5, A, None),
            Change(5, b"mark/c1", b"d1"), Change(6, A, b"lost")]
    return Truth([*good, *spoilt])


def put(at: tuple[float, float], value: bytes, revision: int, key: bytes = A, client: str = "c1") -> Operation:
    return Operation(client, "put", key, value, None, *at, revision)


def get(at: tuple[float, float], seen: Seen | None, revision: int, key: bytes = A, kind: str = "get") -> Operation:
    return Operation("c2", kind, key, b"", None, *at, revision, seen=seen)


P1, P2, S1 = Seen(b"p1", 2, 2, 1), Seen(b"p2", 2, 3, 2), Seen(b"s1", 4, 4, 1)
LOST = Seen(b"lost", 6, 6, 1)


def history() -> dict[str, Operation]:
    """One that is right; each operation has its name, so that a test can spoil it."""
    delete = Operation("c1", "delete", A, b"d1", None, 10, 11, 5, deleted=1)
    return {
        "put 1": put((1, 2), b"p1", 2),
        "get before": get((1, 3), None, 1),
        "get 1": get((2.5, 3), P1, 2),
        "put 2": put((3, 5), b"p2", 3),
        "get 2": get((3.5, 4), P2, 3),
        "swap": Operation("c3", "swap", B, b"s1", None, 6, 8, 4),
        "refused": Operation("c4", "swap", B, b"s2", None, 7, 9, 4, swapped=False, seen=S1),
        "delete": delete,
        "get deleted": get((12, 13), None, 5),
        "unanswered": put((11.5, NEVER), b"lost", 0),
        "never": put((11.5, NEVER), b"never happened", 0),
        "get unanswered": get((14, 15), LOST, 6),
        "old": get((16, 17), P1, 2, kind="serializable get"),
        "get b": get((16, 18), S1, 6, B)}


HAPPENED = {b"p1": NEVER, b"p2": NEVER, b"s1": NEVER, b"d1": NEVER, b"lost": NEVER}


def test_a_good_history_passes():
    operations = list(history().values())
    assert judge(operations, truth()) == []
    assert explains(operations, HAPPENED) == []
    assert explains(operations, {**HAPPENED, b"lost": 14.5}) == []


# Kind of violation, the operation that is spoilt, what is changed in it, and whether the values alone tell it too.
SPOILT = {
    "an acknowledged put is not there": ("lost", "put 1", {"value": b"gone"}, True),
    "an acknowledged put is elsewhere": ("lost", "put 1", {"revision": 3}, False),
    "a read from before an acknowledged put": ("stale", "get 1", {"seen": None, "revision": 1}, True),
    "a read older than what another read had shown": (
        "stale", "get deleted", {"invoked": 16, "returned": 17, "revision": 5}, True),
    "a put before what was acknowledged when it began": ("stale", "put 1", {"invoked": 5.5, "returned": 6}, True),
    "a read of a value at another revision": ("state", "get 1", {"revision": 3, "returned": 4}, False),
    "a read of what was never written": ("state", "get 2", {"seen": Seen(b"x", 2, 3, 2)}, True),
    "a read with a wrong version": ("state", "get 2", {"seen": Seen(b"p2", 2, 3, 1)}, False),
    "a stale read that was never so": ("state", "old", {"seen": P2}, False),
    "a read from the future": ("phantom", "get b", {"revision": 7}, False),
    "a swap against its comparison": ("compare", "swap", {"expected": b"other"}, True),
    "a swap refused against its comparison": ("compare", "refused", {"expected": b"s1"}, True),
    "a refused swap that happened": ("phantom", "refused", {"value": b"p2"}, False),
    "a delete of what was there says it was not": ("state", "delete", {"deleted": 0}, True),
    "a transaction without its delete": ("torn", "delete", {"key": b"key/c", "deleted": 0}, True),
    "nobody sent a write": ("phantom", "unanswered", {"value": b"other"}, True),
}


@pytest.mark.parametrize("name", SPOILT)
def test_a_bad_history_is_found(name: str):
    kind, which, changes, is_seen_in_values = SPOILT[name]
    operations = history()
    operations[which] = dataclasses.replace(operations[which], **changes)
    found = judge(list(operations.values()), truth())
    assert kind in {violation.kind for violation in found}, found
    assert bool(explains(list(operations.values()), HAPPENED)) == is_seen_in_values


@pytest.mark.parametrize("kind, change", [
    ("duplicated", Change(7, A, b"p1")), ("phantom", Change(7, A, b"x")), ("torn", Change(6, B, b"y"))])
def test_a_spoilt_truth_is_found(kind: str, change: Change):
    found = judge(list(history().values()), truth(change))
    assert kind in {violation.kind for violation in found}, found


def test_others_may_write_their_own_keys():
    operations = list(history().values())
    assert judge(operations, truth(Change(7, b"fill/1", b"x"), Change(8, b"fill/2", b"x")), foreign=b"fill/") == []
    assert judge(operations, truth(Change(7, b"fill/1", b"x"), Change(7, B, b"y")), foreign=b"fill/") != []


@pytest.mark.parametrize("changes", [[Change(3, A, b"x")], [Change(2, A, None)], [Change(2, A, b"1"), Change(4, A, b"2")]])
def test_a_history_with_holes_is_refused(changes: list[Change]):
    with pytest.raises(AssertionError):
        Truth(changes)


def test_an_unanswered_write_happens_once_and_in_time():
    """Seen, gone and seen again takes two writes; and after a watcher saw it, older values are over."""
    one, other = put((0, 1), b"1", 2), put((2, NEVER), b"2", 0)

    def seen(at: float, value: bytes) -> Operation:
        return get((at, at + 0.5), Seen(value, 0, 0, 0), 0)

    assert explains([one, other, seen(3, b"1"), seen(4, b"2")], {b"1": NEVER, b"2": NEVER}) == []
    assert explains([one, other, seen(3, b"2"), seen(4, b"1")], {b"1": NEVER, b"2": NEVER}) != []
    assert explains([one, other, seen(3, b"1")], {b"1": NEVER, b"2": 2.5}) != []
    assert explains([one, other, seen(3, b"2")], {b"1": NEVER}) != []


def test_the_naive_judge_says_when_it_gives_up():
    puts = [put((0, 100), b"%d" % number, 0) for number in range(30)]
    with pytest.raises(Undecided):
        explains([*puts, get((101, 102), Seen(b"x", 0, 0, 0), 0)], {}, orders_max=1000)
