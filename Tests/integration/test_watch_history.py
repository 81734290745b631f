"""The validator of watches finds each broken promise in histories made by hand, and nothing in good ones."""

from __future__ import annotations

from typing import Callable

import pytest
from api import message
from google.protobuf.message import Message
from watch_history import Truth, Violation, Watch, check_stream

EVERYTHING = (b"\0", b"\0")


def truth() -> Truth:
    """Revision 2: a=1; 3: a=2, b=1; 4: a deleted; 5: c=1; 6: a=3, b deleted, c=2."""
    made = Truth()
    made.change(2, [(b"a", b"1")])
    made.change(3, [(b"a", b"2"), (b"b", b"1")])
    made.change(4, [(b"a", None)])
    made.change(5, [(b"c", b"1")])
    made.change(6, [(b"a", b"3"), (b"b", None), (b"c", b"2")])
    return made


def response(revision: int, events: list[Message], watch_id: int = 0, **fields) -> Message:
    copies = []
    for event in events:
        copy = message("mvccpb.Event")
        copy.CopyFrom(event)
        copies.append(copy)
    return message("WatchResponse", header=message("ResponseHeader", revision=revision), watch_id=watch_id,
                   events=copies, **fields)


def created(watch_id: int = 0, revision: int = 1) -> Message:
    return response(revision, [], watch_id, created=True)


def good(made: Truth, watch: Watch, watch_id: int = 0) -> list[Message]:
    """What a right server sends: one response for each revision."""
    events = made.events_with_previous if watch.prev_kv else made.events
    by_revision: dict[int, list[Message]] = {}
    for index in made.expected(watch):
        by_revision.setdefault(made.positions[index][0], []).append(events[index])
    return [created(watch_id), *(response(revision, found, watch_id) for revision, found in by_revision.items())]


def violations(watch: Watch, responses: list[Message], through: int | None = 6, **options) -> list[Violation]:
    received = [(float(number), each) for number, each in enumerate(responses)]
    return check_stream(truth(), {0: watch}, received, through=through, **options).found


@pytest.mark.parametrize("watch", [
    Watch(*EVERYTHING, start=1), Watch(*EVERYTHING, start=4, prev_kv=True), Watch(b"a", b"", start=2, prev_kv=True),
    Watch(b"a", b"c", start=2, no_put=True), Watch(b"a", b"c", start=3, no_delete=True), Watch(b"zz", b"", start=1),
    Watch(*EVERYTHING, start=100), Watch(*EVERYTHING, start=1, no_put=True, no_delete=True)])
def test_good_histories_pass(watch: Watch):
    assert violations(watch, good(truth(), watch)) == []


def test_the_expected_events_are_those_of_the_history():
    made = truth()
    assert [(made.events[i].type, made.events[i].kv.key, made.positions[i][0])
            for i in made.expected(Watch(b"a", b"c", start=3))] == [
        (0, b"a", 3), (0, b"b", 3), (1, b"a", 4), (0, b"a", 6), (1, b"b", 6)]
    previous = [made.events_with_previous[i] for i in made.expected(Watch(b"a", b"", start=2))]
    assert [each.prev_kv.value if each.HasField("prev_kv") else None for each in previous] == [None, b"1", b"2", None]
    assert previous[3].kv.version == 1 and previous[3].kv.create_revision == 6
    assert previous[1].prev_kv.mod_revision == 2 and previous[1].kv.version == 2


def test_good_special_histories_pass():
    watch = Watch(*EVERYTHING, start=1, fragment=True)
    whole = good(truth(), watch)
    last = whole.pop()
    pieces = [response(6, [event], fragment=number < 2) for number, event in enumerate(last.events)]
    assert violations(watch, [*whole, *pieces]) == []
    # One response over several revisions, a progress notice behind it, and a stream's own notice.
    assert violations(watch, [created(), response(6, truth().events), response(6, []), response(6, [], -1)]) == []
    # A compaction notice for one that had not come so far.
    assert violations(watch, [created(), *whole[1:3], response(0, [], canceled=True, compact_revision=5)]) == []
    # A stream that was cut off before its end, when completeness is not asked for.
    assert violations(watch, whole[:2], through=None) == []


# A name of a promise, what is wrong, how a good history of a watch of everything is spoilt.

def swap(first: int, second: int) -> Callable[[list[Message]], list[Message]]:
    def spoil(responses: list[Message]) -> list[Message]:
        responses[first], responses[second] = responses[second], responses[first]
        return responses
    return spoil


def change(at: int, change_one: Callable[[Message], None]) -> Callable[[list[Message]], list[Message]]:
    def spoil(responses: list[Message]) -> list[Message]:
        change_one(responses[at])
        return responses
    return spoil


def reverse_events(one: Message) -> None:
    events = [message("mvccpb.Event").FromString(event.SerializeToString()) for event in one.events]
    del one.events[:]
    one.events.extend(reversed(events))


def drop_first_event(one: Message) -> None:
    del one.events[0]


def split(at: int, fragment: bool) -> Callable[[list[Message]], list[Message]]:
    def spoil(responses: list[Message]) -> list[Message]:
        one = responses[at]
        first = response(one.header.revision, list(one.events[:1]), fragment=fragment)
        return [*responses[:at], first, response(one.header.revision, list(one.events[1:])), *responses[at + 1:]]
    return spoil


def foreign_event(key: bytes, value: bytes, revision: int) -> Message:
    return message("mvccpb.Event", kv=message("mvccpb.KeyValue", key=key, value=value, create_revision=revision,
                                              mod_revision=revision, version=1))


BAD = {
    "two revisions swapped": ("ordered", swap(1, 2)),
    "events of one revision swapped": ("ordered", change(2, reverse_events)),
    "an old event again, later": ("ordered", lambda all_: [*all_, all_[1]]),
    "a response twice": ("unique", lambda all_: [*all_[:2], all_[1], *all_[2:]]),
    "an event twice in a response": ("unique", change(1, lambda one: one.events.append(one.events[0]))),
    "a revision left out": ("reliable", lambda all_: [*all_[:3], *all_[4:]]),
    "the last revision left out": ("reliable", lambda all_: all_[:-1]),
    "one event of a transaction left out": ("reliable", change(5, drop_first_event)),
    "a revision in two responses": ("atomic", split(5, fragment=False)),
    "a fragment nobody asked for": ("atomic", split(5, fragment=True)),
    "the first event left out": ("resumable", lambda all_: [all_[0], *all_[2:]]),
    "progress before its event": ("bookmarkable", lambda all_: [*all_[:3], response(4, []), *all_[3:]]),
    "the stream's progress before its event": ("bookmarkable", lambda all_: [
        *all_[:3], response(6, [], -1), *all_[3:]]),
    "a wrong value": ("content", change(1, lambda one: setattr(one.events[0].kv, "value", b"9"))),
    "a wrong version": ("content", change(2, lambda one: setattr(one.events[0].kv, "version", 1))),
    "a wrong create revision": ("content", change(2, lambda one: setattr(one.events[0].kv, "create_revision", 3))),
    "a lease from nowhere": ("content", change(2, lambda one: setattr(one.events[0].kv, "lease", 7))),
    "a value with a delete": ("content", change(3, lambda one: setattr(one.events[0].kv, "value", b"2"))),
    "an event that never was": ("content", lambda all_: [*all_, response(7, [foreign_event(b"a", b"x", 7)])]),
    "prev_kv nobody asked for": ("prev_kv", change(
        2, lambda one: one.events[0].prev_kv.CopyFrom(truth().events_with_previous[1].prev_kv))),
    "an old header": ("header", change(5, lambda one: setattr(one.header, "revision", 5))),
    "events after the end": ("ordered", lambda all_: [*all_[:3], response(0, [], canceled=True), *all_[3:]]),
    "events before created": ("ordered", lambda all_: [all_[1], all_[0], *all_[2:]]),
    "a watcher nobody made": ("content", lambda all_: [*all_, response(6, [truth().events[0]], 5)]),
    "compacted, but it had come further": ("notice", lambda all_: [
        *all_[:4], response(0, [], canceled=True, compact_revision=3)]),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_histories_are_found(case: str):
    promise, spoil = BAD[case]
    watch = Watch(*EVERYTHING, start=1)
    found = violations(watch, spoil(good(truth(), watch)))
    assert promise in {each.promise for each in found}, found


def test_an_event_after_progress_is_found():
    """The notice came first, when nothing was missing as far as it could be known: the event comes out of its past."""
    watch = Watch(b"a", b"", start=1)
    whole = good(truth(), watch)
    late = [*whole[:2], response(3, []), *whole[2:]]
    assert "bookmarkable" in {each.promise for each in violations(watch, late)}


def test_events_before_the_start_are_found():
    """A watcher that starts at 4 is sent revision 3: what a resumed watch must not see again."""
    watch = Watch(*EVERYTHING, start=4)
    whole = good(truth(), watch)
    early = response(3, truth().events[1:3])
    assert {each.promise for each in violations(watch, [whole[0], early, *whole[1:]])} == {"resumable"}


@pytest.mark.parametrize("watch", [Watch(b"a", b"", start=1), Watch(*EVERYTHING, start=1, no_delete=True),
                                   Watch(*EVERYTHING, start=1, no_put=True)])
def test_events_that_were_filtered_are_found(watch: Watch):
    assert "filtered" in {each.promise for each in violations(watch, good(truth(), Watch(*EVERYTHING, start=1)))}


@pytest.mark.parametrize("spoil", [
    lambda event: event.ClearField("prev_kv"), lambda event: setattr(event.prev_kv, "value", b"?"),
    lambda event: setattr(event.prev_kv, "mod_revision", 1)])
def test_a_wrong_prev_kv_is_found(spoil):
    watch = Watch(b"a", b"", start=1, prev_kv=True)
    whole = good(truth(), watch)
    spoil(whole[2].events[0])
    assert {each.promise for each in violations(watch, whole)} == {"prev_kv"}


def test_prev_kv_may_only_lack_where_it_was_compacted():
    watch = Watch(b"a", b"", start=1, prev_kv=True)
    whole = good(truth(), watch)
    whole[2].events[0].ClearField("prev_kv")
    assert violations(watch, whole, may_lack_previous=lambda revision, now: revision <= 3) == []
    assert violations(watch, whole, may_lack_previous=lambda revision, now: revision <= 2) != []
    whole[2].events[0].prev_kv.CopyFrom(truth().events_with_previous[3].prev_kv)
    assert violations(watch, whole, may_lack_previous=lambda revision, now: True) != []


def test_where_a_client_goes_on():
    watch = Watch(*EVERYTHING, start=1, fragment=True)
    whole = good(truth(), watch)

    def next_start(responses: list[Message]) -> int:
        received = [(0.0, each) for each in responses]
        return check_stream(truth(), {0: watch}, received).watchers[0].next_start()

    assert next_start(whole[:1]) == 1
    assert next_start(whole[:3]) == 4
    assert next_start([*whole[:3], response(3, [])]) == 4
    assert next_start([*whole[:5], response(6, truth().events[5:6], fragment=True)]) == 6
    assert next_start([*whole[:2], response(0, [], canceled=True, compact_revision=5)]) == 5
