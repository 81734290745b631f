"""Watches under strain, and what etcd 3.5.1 cannot be asked because it does it wrong."""

from __future__ import annotations

import time

import harness
import pytest
import watch_client
from api import message
from watch_client import Connection
from watch_soak import PROGRESS_INTERVAL, Soak

WATCHERS, CONNECTIONS = 1_000, 10
EVENTS, EVENTS_LONG = 15_000, 100_000
RESTARTS, RESTARTS_LONG = 2, 8


def progress_flag() -> str:
    name = "experimental-watch-progress-notify-interval" if harness.subject_is_etcd() else \
        "watch-progress-notify-interval"
    return f"--{name}={PROGRESS_INTERVAL}"


def test_soak(seed, is_long):
    """1,000 watchers: ordered, unique, reliable, atomic, resumable, bookmarkable, filtered, prev_kv exact."""
    events, restarts = (EVENTS_LONG, RESTARTS_LONG) if is_long else (EVENTS, RESTARTS)
    with harness.cairn(extra_arguments=[progress_flag()]) as server:
        server.start()
        soak = Soak(server, seed, watchers=WATCHERS, connections=CONNECTIONS, events=events, restarts=restarts)
        begin = time.monotonic()
        try:
            soak.run()
            ran = time.monotonic() - begin
            violations, counts = soak.judge()
        finally:
            soak.close()
        unresolved = sum(writer.unresolved for writer in soak.writers)
        print(f"{soak.written()} events in {ran:.0f} s, judged in {time.monotonic() - begin - ran:.0f} s; "
              f"{dict(soak.happened)}; {dict(counts)}; {unresolved} writes without an answer")
        assert soak.finds_a_loss()
        assert not violations, f"{len(violations)} violations: " + "; ".join(str(each) for each in violations[:10])
    assert soak.happened["restarts"] == restarts
    for name in ("reconnects", "streams made again", "slow readers", "progress requests", "compactions"):
        assert soak.happened[name] >= 3, soak.happened
    assert counts["events"] >= 10 * events and counts["progress notices"] >= 10, counts


# A client that stops reading. It may cost the server this much, however long it sleeps and whatever is written.
SLOW_READER_MEMORY_BYTES_MAX = 64 << 20
SLEEP_SECONDS, SLEEP_SECONDS_LONG = 10, 60
TRANSACTIONS_PER_SECOND, PUTS_PER_TRANSACTION = 100, 50
FILLER = bytes(range(256)) * 8


def value_of(revision: int, index: int) -> bytes:
    return b"%d/%d/" % (revision, index) + FILLER


class SteadyWriter:
    """5,000 puts a second, the only writer: what each revision holds is known from its number."""

    def __init__(self, server: harness.Server):
        self.client = server.client(timeout_seconds=30)
        self.revision = self.client.revision()
        self.slowest = 0.0

    def write(self, seconds: float) -> None:
        started, sent = time.monotonic(), 0
        while (now := time.monotonic()) < started + seconds:
            if sent > (now - started) * TRANSACTIONS_PER_SECOND:
                time.sleep(0.001)
                continue
            revision = self.revision + 1
            puts = [message("RequestOp", request_put=message("PutRequest", key=b"s/%02d" % index,
                                                             value=value_of(revision, index)))
                    for index in range(PUTS_PER_TRANSACTION)]
            answered = self.client.must("KV/Txn", success=puts).header.revision
            assert answered == revision
            self.slowest = max(self.slowest, time.monotonic() - now)
            self.revision, sent = revision, sent + 1


class SequenceCheck:
    """Every event of the writer from a revision on, in order, nothing else."""

    def __init__(self, stream: watch_client.Stream, start: int):
        self.stream, self.next_revision, self.next_index = stream, start, 0
        self.compacted_at = 0
        self._taken = 0

    def update(self) -> "SequenceCheck":
        received = self.stream.received
        while self._taken < len(received):
            response = watch_client.parse(received[self._taken][1])
            received[self._taken] = (0.0, b"")
            self._taken += 1
            self.compacted_at = response.compact_revision or self.compacted_at
            assert not (response.canceled and not response.compact_revision), response.cancel_reason
            for event in response.events:
                value = value_of(self.next_revision, self.next_index)
                expected = (self.next_revision, b"s/%02d" % self.next_index, value)
                assert (event.kv.mod_revision, event.kv.key, event.kv.value) == expected, \
                    f"expected {expected[:2]}, got {(event.kv.mod_revision, event.kv.key)}"
                self.next_index += 1
                if self.next_index == PUTS_PER_TRANSACTION:
                    self.next_revision, self.next_index = self.next_revision + 1, 0
        return self


@pytest.mark.parametrize("compacts", [False, True], ids=["history kept", "history compacted"])
def test_a_client_that_stops_reading(compacts: bool, is_long: bool):
    """It costs a bounded amount of memory, delays nobody, and gets every event afterwards or the compaction notice."""
    with harness.cairn() as server, watch_client.reading() as reader:
        server.start()
        writer = SteadyWriter(server)
        start = writer.revision + 1
        sleeper, awake = (reader.add(Connection(server.client_port, window=1 << 24)) for _ in range(2))
        checks = []
        for connection in (sleeper, sleeper, awake):
            checks.append(SequenceCheck(connection.open(), start))
            checks[-1].stream.send(watch_client.create(b"s/", b"s0", start_revision=start))
        writer.write(3)
        watch_client.wait_until(lambda: all(each.update().next_revision > writer.revision for each in checks))
        before = harness.process_status_bytes(server.pid, "RssAnon")
        reader.pause(sleeper)
        peak, began = 0, time.monotonic()
        while time.monotonic() < began + (SLEEP_SECONDS_LONG if is_long else SLEEP_SECONDS):
            writer.write(1)
            peak = max(peak, harness.process_status_bytes(server.pid, "RssAnon"))
            if compacts:
                server.client().must("KV/Compact", revision=writer.revision - 50)
        watch_client.wait_until(lambda: checks[2].update().next_revision > writer.revision, 3,
                                lambda: f"the reading client is at {checks[2].next_revision} of {writer.revision}")
        print(f"{writer.revision - start} revisions, memory {before >> 20} MiB before, {peak >> 20} MiB at most; "
              f"slowest write {writer.slowest:.3f} s")
        reader.resume(sleeper)
        watch_client.wait_until(
            lambda: all(each.update().next_revision > writer.revision or each.compacted_at for each in checks), 60,
            lambda: f"{[each.next_revision for each in checks]} of {writer.revision}")
        peak = max(peak, harness.process_status_bytes(server.pid, "RssAnon"))
        for check in checks[:2]:
            if not compacts:
                assert not check.compacted_at
            elif check.compacted_at:
                assert check.compacted_at > check.next_revision, "a notice, but nothing undelivered was compacted"
        assert checks[2].compacted_at == 0
        if not harness.subject_is_etcd():
            assert peak - before < SLOW_READER_MEMORY_BYTES_MAX, f"{before >> 20} MiB grew to {peak >> 20} MiB"


# One by one.

def responses(stream: watch_client.Stream, count: int) -> list:
    watch_client.wait_until(lambda: len(stream.received) >= count, what=lambda: f"{len(stream.received)} of {count}")
    return [watch_client.parse(data) for _, data in stream.received]


@pytest.fixture
def connection(subject):
    with watch_client.reading() as reader:
        yield reader.add(Connection(subject.client_port))


@pytest.mark.parametrize("live", [True, False], ids=["live", "from history"])
@pytest.mark.parametrize("fragment", [True, False], ids=["fragments", "whole"])
def test_a_revision_larger_than_a_response(subject, connection, live: bool, fragment: bool):
    """With prev_kv one transaction's events exceed the limit of a message: cut only where the client said so."""
    client, stream = subject.client(), connection.open()
    for letter in (b"1", b"2"):
        if live and letter == b"2":
            stream.send(watch_client.create(b"f/", b"f0", start_revision=3, prev_kv=True, fragment=fragment))
            responses(stream, 1)
        client.must("KV/Txn", success=[message("RequestOp", request_put=message(
            "PutRequest", key=b"f/%02d" % number, value=letter * 40_000)) for number in range(35)])
    if not live:
        stream.send(watch_client.create(b"f/", b"f0", start_revision=3, prev_kv=True, fragment=fragment))
    watch_client.wait_until(lambda: sum(len(watch_client.parse(data).events) for _, data in stream.received) >= 35)
    created, *pieces = [watch_client.parse(data) for _, data in stream.received]
    assert created.created
    events = [event for piece in pieces for event in piece.events]
    assert [event.kv.key for event in events] == [b"f/%02d" % number for number in range(35)]
    assert all(event.kv.value == b"2" * 40_000 and event.prev_kv.value == b"1" * 40_000 for event in events)
    assert [piece.fragment for piece in pieces] == [True] * (len(pieces) - 1) + [False]
    assert len(pieces) > 1 if fragment else len(pieces) == 1
    if fragment:
        assert all(len(data) <= (1_572_864 + 512 * 1024) for _, data in stream.received)


def test_requests_without_meaning_are_ignored(subject, connection):
    stream = connection.open()
    for request in (message("WatchRequest"), watch_client.cancel(5), watch_client.progress()):
        stream.send(request)
    stream.send(watch_client.create(b"a", b""))
    answer = responses(stream, 1)[0]
    if answer.watch_id == -1 and harness.subject_is_etcd():
        answer = responses(stream, 2)[1]  # 3.5.1 answers a progress request for no watcher
    assert answer.created and answer.watch_id == 0
    subject.client().put(b"a", b"1")
    watch_client.wait_until(lambda: watch_client.parse(stream.received[-1][1]).events)


cairn_only = pytest.mark.skipif(harness.subject_is_etcd(), reason="a bug of etcd 3.5.1")


@cairn_only
@pytest.mark.parametrize("physical", [True, False])
def test_a_delete_at_the_compacted_revision_is_seen_18089(subject, connection, physical: bool):
    client, stream = subject.client(), connection.open()
    client.put(b"d", b"1")
    revision = client.must("KV/DeleteRange", key=b"d").header.revision
    client.put(b"other", b"1")
    client.must("KV/Compact", revision=revision, physical=physical)
    stream.send(watch_client.create(b"d", b"", start_revision=revision, prev_kv=True))
    event, = responses(stream, 2)[1].events
    assert (event.type, event.kv.key, event.kv.mod_revision) == (1, b"d", revision)
    assert not event.HasField("prev_kv")  # the state before is compacted


@cairn_only
@pytest.mark.parametrize("start", [-1, -5, -(1 << 63)])
def test_a_negative_revision_is_refused_20711(subject, connection, start: int):
    stream = connection.open()
    stream.send(watch_client.create(b"k", b"", start_revision=start))
    stream.send(watch_client.create(b"k", b""))
    refused, created = responses(stream, 2)
    assert (refused.created, refused.canceled, refused.watch_id) == (True, True, -1)
    assert refused.cancel_reason == "etcdserver: mvcc: required revision has been compacted"
    assert (created.created, created.canceled, created.watch_id) == (True, False, 0)


@cairn_only
def test_progress_waits_for_history_and_for_the_future_15220(subject, connection):
    """A notice asked for while a watcher still reads history comes after its events; with one in the future, never."""
    client, stream = subject.client(), connection.open()
    puts = [client.start("/etcdserverpb.KV/Put", message("PutRequest", key=b"h/%d" % number, value=b"v" * 500)
                         .SerializeToString()) for number in range(2_000)]
    for put in puts:
        put.result()
    stream.send(watch_client.create(b"h/", b"h0", start_revision=2))
    for _ in range(50):
        stream.send(watch_client.progress())
    seen = 1

    def all_seen() -> bool:
        nonlocal seen
        seen = 1
        for _, data in list(stream.received):
            response = watch_client.parse(data)
            if response.watch_id == -1:
                assert response.header.revision <= seen, "progress before its events"
            elif response.events:
                seen = response.events[-1].kv.mod_revision
        return seen == 2_001
    watch_client.wait_until(all_seen)
    while not any(watch_client.parse(data).watch_id == -1 for _, data in stream.received):
        stream.send(watch_client.progress())
        time.sleep(0.05)
    stream.send(watch_client.create(b"z", b"", start_revision=1_000_000))
    watch_client.wait_until(lambda: watch_client.parse(stream.received[-1][1]).created)
    count = len(stream.received)
    for _ in range(20):
        stream.send(watch_client.progress())
    time.sleep(0.5)
    assert len(stream.received) == count


def test_a_watch_of_the_future_sees_nothing_before_20221(subject, connection):
    client, stream = subject.client(), connection.open()
    stream.send(watch_client.create(b"k", b"", start_revision=6))
    responses(stream, 1)
    for number in range(2, 10):
        assert client.put(b"k", b"%d" % number) == number
    watch_client.wait_until(lambda: sum(len(watch_client.parse(data).events) for _, data in stream.received) >= 4)
    time.sleep(0.2)
    events = [event for _, data in stream.received for event in watch_client.parse(data).events]
    assert [event.kv.mod_revision for event in events] == [6, 7, 8, 9]


def test_periodic_progress(tmp_path):
    """Only without events, with the watcher's own id and the store's revision."""
    with harness.cairn(extra_arguments=[progress_flag()]) as server, watch_client.reading() as reader:
        client = server.start().client()
        stream = reader.add(Connection(server.client_port)).open()
        stream.send(watch_client.create(b"p", b"", progress_notify=True))
        stream.send(watch_client.create(b"p", b""))
        revision = client.put(b"other", b"1")
        watch_client.wait_until(lambda: len(stream.received) >= 5)
        notices = [each for each in (watch_client.parse(data) for _, data in stream.received) if not each.created]
        assert all(each.watch_id == 0 and not each.events for each in notices)
        assert notices[-1].header.revision == revision
