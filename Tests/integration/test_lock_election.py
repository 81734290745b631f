"""The Lock and Election services, on etcd 3.5.1 and on Cairn: what they answer, whom they let in, and when."""

from __future__ import annotations

import contextlib
import queue
import random
import threading
import time

import api
import harness
import pytest
from api import message

LOCK, UNLOCK = "v3lockpb.Lock/Lock", "v3lockpb.Lock/Unlock"
CAMPAIGN, PROCLAIM, LEADER, OBSERVE, RESIGN = (
    f"v3electionpb.Election/{name}" for name in ("Campaign", "Proclaim", "Leader", "Observe", "Resign"))
UNKNOWN, DEADLINE = 2, 4


def grant(client: api.Client, lease: int, seconds: int = 60) -> int:
    return client.must("Lease/LeaseGrant", ID=lease, TTL=seconds).ID


def told(outcome: api.Outcome) -> str:
    """An outcome without what differs from server to server."""
    if outcome.response is not None:
        for field in ("cluster_id", "member_id", "raft_term"):
            outcome.response.header.ClearField(field)
    return str(outcome)


def leader_key(**fields):
    """One of lease 100 in the election `e`, but for what is given."""
    return message("v3electionpb.LeaderKey", **{"name": b"e", "key": b"e/64", "lease": 100, **fields})


class Asked:
    """A call that may take long, on a thread of its own."""

    def __init__(self, server: harness.Server, name: str, seconds: float = 20, /, **fields):
        self.outcome: api.Outcome | None = None
        self._client = server.client(timeout_seconds=seconds)
        self._thread = threading.Thread(target=self._call, args=(name, fields), daemon=True)
        self._thread.start()

    def _call(self, name: str, fields: dict) -> None:
        self.outcome = self._client.call(name, **fields)

    def result(self, seconds: float = 20) -> api.Outcome:
        self._thread.join(seconds)
        assert self.outcome is not None, "no answer"
        return self.outcome

    def waits(self, seconds: float = 0.3) -> bool:
        self._thread.join(seconds)
        return self.outcome is None


def keys(client: api.Client, prefix: bytes) -> list[bytes]:
    return [kv.key for kv in client.must("KV/Range", key=prefix, range_end=prefix + b"\xff").kvs]


def eventually(condition, seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def conversation(server: harness.Server) -> list[str]:
    """Right and wrong requests one after the other: every code, text, key and revision counts."""
    client, lines = server.client(timeout_seconds=5), []

    def ask(rpc: str, /, **fields) -> api.Outcome:
        outcome = client.call(rpc, **fields)
        lines.append(f"{rpc} {fields} -> {told(outcome)}")
        return outcome

    for lease in (100, -5, 0x7FFF_FFFF_FFFF_FFFF):
        grant(client, lease)
    ask(LOCK, name=b"a", lease=12345)
    for lease, name in ((100, b"a"), (100, b"a"), (-5, b""), (0x7FFF_FFFF_FFFF_FFFF, b"\0\xff/"), (100, b"b/c")):
        ask(LOCK, name=name, lease=lease)
    for key in (b"a/64", b"a/64", b"nothing", b""):
        ask(UNLOCK, key=key)
    client.put(b"n/64", b"not a lock")
    ask(LOCK, name=b"n", lease=100)
    ask(LOCK, name=b"x" * 1_600_000, lease=100)
    lines[-1] = lines[-1][-80:]

    ask(LEADER, name=b"e")
    ask(CAMPAIGN, name=b"e", lease=12345, value=b"v")
    won = ask(CAMPAIGN, name=b"e", lease=100, value=b"one").response.leader
    ask(CAMPAIGN, name=b"e", lease=100, value=b"one")
    ask(CAMPAIGN, name=b"e", lease=100, value=b"two")
    ask(LEADER, name=b"e")
    ask(LEADER, name=b"")
    ask(PROCLAIM, leader=won, value=b"three")
    ask(PROCLAIM, leader=leader_key(rev=won.rev + 1), value=b"x")
    ask(PROCLAIM, leader=leader_key(rev=won.rev, lease=12345), value=b"x")
    ask(PROCLAIM, leader=leader_key(key=b""), value=b"x")
    ask(PROCLAIM, value=b"x")
    ask(RESIGN)
    ask(RESIGN, leader=leader_key(rev=won.rev + 1))
    ask(RESIGN, leader=won)
    ask(RESIGN, leader=won)
    ask(PROCLAIM, leader=won, value=b"x")
    ask(LEADER, name=b"e")
    return lines


def test_answers_agree(reference, subject):
    expected, found = conversation(reference), conversation(subject)
    for one, other in zip(expected, found, strict=True):
        assert other == one


def test_a_lock_without_a_lease_gets_one_of_a_minute(reference, subject):
    for server in (reference, subject):
        client = server.client()
        locked = client.must(LOCK, name=b"own")
        lease = int(locked.key.removeprefix(b"own/"), 16)
        time.sleep(1.1)
        # Nobody keeps it alive.
        times = client.must("Lease/LeaseTimeToLive", ID=lease, keys=True)
        assert times.grantedTTL == 60 and 50 < times.TTL < 60
        assert list(times.keys) == [locked.key]
        candidate = client.must(CAMPAIGN, name=b"other", value=b"v").leader
        assert candidate.lease != lease


def test_the_queue_is_served_in_order(reference, subject):
    for server in (reference, subject):
        client = server.client()
        first = client.must(LOCK, name=b"q", lease=grant(client, 1))
        waiting = []
        for lease in range(2, 8):
            grant(client, lease)
            waiting.append((lease, Asked(server, LOCK, name=b"q", lease=lease)))
            assert eventually(lambda: len(keys(client, b"q/")) == lease)
        held = first.key
        for lease, asked in waiting:
            assert asked.waits(0.05)
            client.must(UNLOCK, key=held)
            granted = asked.result()
            assert granted.succeeded, str(granted)
            held = granted.response.key
            assert held == b"q/%x" % lease
            assert granted.response.header.revision == client.revision()
        assert keys(client, b"q/") == [held]


def test_queued_lock_of_a_dead_lease_is_not_granted_jepsen_11456(reference, subject):
    """etcd once granted the lock to who had waited, whether or not its lease had ended meanwhile."""
    for server in (reference, subject):
        client = server.client()
        held = client.must(LOCK, name=b"j", lease=grant(client, 1)).key
        grant(client, 2), grant(client, 3)
        dead = Asked(server, LOCK, name=b"j", lease=2)
        assert eventually(lambda: len(keys(client, b"j/")) == 2)
        alive = Asked(server, LOCK, name=b"j", lease=3)
        assert eventually(lambda: len(keys(client, b"j/")) == 3)
        client.must("Lease/LeaseRevoke", ID=2)
        assert dead.waits() and alive.waits(0.05)
        client.must(UNLOCK, key=held)
        assert (dead.result().code, dead.result().text) == (UNKNOWN, "mutex: session is expired")
        assert alive.result().response.key == b"j/3"


def test_queued_lock_of_an_expired_lease_is_not_granted_jepsen_11456(subject):
    client = subject.client()
    held = client.must(LOCK, name=b"x", lease=grant(client, 1)).key
    grant(client, 2, seconds=2)
    dead = Asked(subject, LOCK, name=b"x", lease=2)
    assert eventually(lambda: len(keys(client, b"x/")) == 2)
    assert eventually(lambda: keys(client, b"x/") == [held])
    assert dead.waits(0.1)
    client.must(UNLOCK, key=held)
    assert dead.result().text == "mutex: session is expired"


def test_who_gives_up_leaves_the_queue(reference, subject):
    for server in (reference, subject):
        client = server.client()
        held = client.must(LOCK, name=b"g", lease=grant(client, 1)).key
        for lease in range(2, 32):
            grant(client, lease)
        impatient = [Asked(server, LOCK, 0.5, name=b"g", lease=lease) for lease in range(2, 31)]
        for asked in impatient:
            assert asked.result().code in (DEADLINE, UNKNOWN)
            assert "deadline exceeded" in asked.result().text.lower()
        assert eventually(lambda: keys(client, b"g/") == [held])
        patient = Asked(server, LOCK, name=b"g", lease=31)
        assert patient.waits(0.2)
        client.must(UNLOCK, key=held)
        assert patient.result().response.key == b"g/1f"

        leader = client.must(CAMPAIGN, name=b"h", lease=1, value=b"v").leader
        # The client's clock ends it or the server's, for which etcd has no code.
        late = Asked(server, CAMPAIGN, 0.5, name=b"h", lease=2, value=b"w").result()
        assert late.code in (DEADLINE, UNKNOWN) and "deadline exceeded" in late.text.lower()
        assert eventually(lambda: keys(client, b"h/") == [leader.key])


def test_a_lock_excludes(reference, subject, seed):
    """Reads and writes that are not atomic lose nothing while nobody's lease ends."""
    for server in (reference, subject):
        workers, rounds = 6, 15
        failures: list[str] = []

        def work(number: int) -> None:
            client, source = server.client(), random.Random(seed + number)
            try:
                grant(client, number + 1)
                for _ in range(rounds):
                    key = client.must(LOCK, name=b"counter-lock", lease=number + 1).key
                    value = int(client.get(b"counter") or b"0")
                    time.sleep(source.random() / 500)
                    client.put(b"counter", b"%d" % (value + 1))
                    client.must(UNLOCK, key=key)
            except Exception as error:  # noqa: BLE001 (whatever it was is reported)
                failures.append(repr(error))

        threads = [threading.Thread(target=work, args=(number,)) for number in range(workers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures
        assert server.client().get(b"counter") == b"%d" % (workers * rounds)


class Observer:
    """What an Observe call tells, as it comes."""

    def __init__(self, server: harness.Server, name: bytes):
        of = api.method(OBSERVE)
        self._client = server.client()
        request = message("v3electionpb.LeaderRequest", name=name).SerializeToString()
        self._call = self._client.channel.unary_stream(of.path)(request)
        self._heard: queue.Queue = queue.Queue()
        self._of = of

    def listen(self) -> "Observer":
        threading.Thread(target=self._listen, daemon=True).start()
        return self

    def _listen(self) -> None:
        with contextlib.suppress(Exception):
            for data in self._call:
                self._heard.put(self._of.parse(data))

    def read(self):
        """The next message, of an observer that does not listen: nothing is read ahead."""
        return self._of.parse(next(self._call))

    def next(self, seconds: float = 10) -> tuple[bytes, bytes, int, int]:
        response = self._heard.get(timeout=seconds)
        return response.kv.key, response.kv.value, response.kv.mod_revision, response.header.revision

    def is_silent(self, seconds: float = 0.3) -> bool:
        time.sleep(seconds)
        return self._heard.empty()

    def cancel(self) -> None:
        self._call.cancel()


def observation(server: harness.Server) -> list:
    client, heard = server.client(), []
    for lease in (1, 2, 3):
        grant(client, lease)
    early = Observer(server, b"o").listen()
    assert early.is_silent()
    leader = client.must(CAMPAIGN, name=b"o", lease=1, value=b"1").leader
    heard.append(early.next())
    late = Observer(server, b"o").listen()
    heard.append(late.next())
    second = Asked(server, CAMPAIGN, name=b"o", lease=2, value=b"2")
    assert eventually(lambda: len(keys(client, b"o/")) == 2)
    # A candidate is not observed, whatever it says.
    assert early.is_silent() and late.is_silent(0)
    for value in (b"1a", b"1b", b""):
        client.must(PROCLAIM, leader=leader, value=value)
    heard += [observer.next() for observer in (early, late) for _ in range(3)]
    client.must(RESIGN, leader=leader)
    heard += [early.next(), late.next()]
    won = second.result().response.leader
    heard.append(won.rev)
    client.must("Lease/LeaseRevoke", ID=2)
    assert early.is_silent()
    client.must(CAMPAIGN, name=b"o", lease=3, value=b"3")
    heard += [early.next(), late.next()]
    early.cancel(), late.cancel()
    return heard


def test_observers_hear_the_same(reference, subject):
    assert observation(subject) == observation(reference)


@pytest.mark.skipif(harness.subject_is_etcd(), reason="about what Cairn holds in memory")
def test_an_observer_that_does_not_read_costs_little_and_misses_nothing(subject):
    client = subject.client()
    leader = client.must(CAMPAIGN, name=b"slow", lease=grant(client, 1), value=b"start").leader
    observer = Observer(subject, b"slow")
    assert observer.read().kv.value == b"start"
    before = harness.process_status_bytes(subject.pid, "RssAnon")
    values = [b"%06d" % number + b"x" * 100_000 for number in range(3000)]
    for value in values:
        client.must(PROCLAIM, leader=leader, value=value)
    grown = harness.process_status_bytes(subject.pid, "RssAnon") - before
    print(f"grew by {grown >> 20} MiB")
    # 300 MB were proclaimed; the store, the log and the call's queue have bounded buffers.
    assert grown < 150 << 20
    assert [observer.read().kv.value for _ in values] == values
    observer.cancel()


def test_a_stopping_member_ends_those_who_wait(subject):
    client = subject.client()
    client.must(LOCK, name=b"s", lease=grant(client, 1))
    grant(client, 2)
    waiting = Asked(subject, LOCK, name=b"s", lease=2)
    assert eventually(lambda: len(keys(client, b"s/")) == 2)
    started = time.monotonic()
    subject.terminate()
    assert time.monotonic() - started < 10
    assert not waiting.result().succeeded
