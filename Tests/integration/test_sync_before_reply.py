"""A system call trace shows that what a reply acknowledges was synced to disk before the reply was sent.

Each key gets a first value and then a second with prev_kv: the log must hold the random bytes of the second, and
the reply carries those of the first, so that both can be found in the trace and belong together.
"""

from __future__ import annotations

import concurrent.futures
import pathlib
import random
import re
import subprocess
import time

import pytest

import harness
import system_calls
from api import Client
from watch_client import wait_until

CONNECTIONS = 8
PUTS_PER_CONNECTION = 40
VALUE_BYTES = 300
TAG_BYTES = 24  # from the middle of a value: where an encoder starts a value is its own affair


@pytest.fixture(scope="module")
def traced(tmp_path_factory) -> tuple[list[system_calls.Call], list[tuple[bytes, bytes]], str]:
    reason = system_calls.why_not_traceable()
    if reason:
        pytest.skip(reason)
    trace_path = tmp_path_factory.mktemp("trace") / "strace.txt"
    prefix = [*system_calls.STRACE, "-o", str(trace_path)]
    with harness.cairn(command_prefix=prefix) as server:
        server.start()
        source = random.Random(1)
        with concurrent.futures.ThreadPoolExecutor(CONNECTIONS) as pool:
            jobs = [pool.submit(put_all, server.client(), number, source.randrange(1 << 32))
                    for number in range(CONNECTIONS)]
            tags = [tag for job in jobs for tag in job.result()]
        server.kill()
    trace = trace_path.read_text(errors="replace")
    return system_calls.parse(trace), tags, trace


def put_all(client: Client, number: int, seed: int) -> list[tuple[bytes, bytes]]:
    """(bytes that the log must hold, bytes that the reply carries) of each second put."""
    source = random.Random(seed)
    first = {b"key/%d/%d" % (number, count): source.randbytes(VALUE_BYTES) for count in range(PUTS_PER_CONNECTION)}
    second = {key: source.randbytes(VALUE_BYTES) for key in first}
    for key, value in first.items():
        client.must("KV/Put", key=key, value=value)
    for key, value in second.items():
        answer = client.must("KV/Put", key=key, value=value, prev_kv=True)
        assert answer.prev_kv.value == first[key]
    middle = slice(VALUE_BYTES // 2, VALUE_BYTES // 2 + TAG_BYTES)
    return [(second[key][middle], first[key][middle]) for key in first]


@pytest.mark.xfail(harness.subject_is_etcd(), reason="etcd 3.5.1 answers before its sync (its issue 14370)")
def test_every_reply_follows_its_sync_14370(traced):
    calls, tags, _ = traced
    assert len(tags) == CONNECTIONS * PUTS_PER_CONNECTION
    faults = system_calls.unsynced_replies(calls, tags)
    assert not faults, f"{len(faults)} of {len(tags)}: {faults[:5]}"


def test_syncs_are_shared(traced):
    """Concurrent writes go to disk in batches: fewer syncs than acknowledged writes."""
    calls, tags, _ = traced
    syncs = sum(call.is_log_sync for call in calls)
    assert 0 < syncs < 2 * len(tags)


def test_a_missing_sync_is_found(traced):
    """The check itself: without the syncs, or with them after the replies, every reply is a fault."""
    calls, tags, trace = traced
    none = [call for call in calls if not call.is_log_sync]
    assert len(system_calls.unsynced_replies(none, tags)) == len(tags)
    late = system_calls.parse(re.sub(r"^(\d+ +)(fdatasync|fsync)\(.*$", "", trace, flags=re.MULTILINE))
    assert len(system_calls.unsynced_replies(late, tags)) == len(tags)
    nowhere = [(b"\xa5" * TAG_BYTES, answered) for _, answered in tags[:3]]
    assert len(system_calls.unsynced_replies(calls, nowhere)) == 3


def test_the_parser_joins_unfinished_calls(tmp_path: pathlib.Path):
    trace = "\n".join([
        r'7  write(5</d/member/wal/0.wal>, "\x61\x62"..., 2) = 2',
        r"7  fdatasync(5</d/member/wal/0.wal> <unfinished ...>",
        r'8  write(9<socket:[1]>, "\x63", 1) = 1',
        r"7  <... fdatasync resumed>) = 0",
        r'8  write(9<socket:[1]>, "\x64", 1) = 1'])
    calls = system_calls.parse(trace)
    assert [(call.name, call.begin, call.end) for call in calls] == [
        ("write", 0, 0), ("fdatasync", 1, 3), ("write", 2, 2), ("write", 4, 4)]
    assert len(system_calls.unsynced_replies(calls, [(b"ab", b"c")])) == 1
    assert system_calls.unsynced_replies(calls, [(b"ab", b"d")]) == []


@pytest.mark.xfail(harness.subject_is_etcd(), reason="etcd 3.5.1 answers before its sync (its issue 14370)")
def test_a_put_is_refused_in_time_while_its_sync_hangs():
    """The thread that waits for the disk cannot tell the time."""
    reason = system_calls.why_not_traceable()
    if reason:
        pytest.skip(reason)
    hangs_seconds = 40
    # A request's time limit is then 5.1 s.
    with harness.cairn(extra_arguments=["--heartbeat-interval", "10", "--election-timeout", "50"]) as server:
        server.start()
        client = server.client(timeout_seconds=hangs_seconds)
        client.put(b"before", b"1")
        tracer = subprocess.Popen(
            ["strace", "-f", "-p", str(server.pid), "-e", "trace=fdatasync,fsync", "-o", "/dev/null",
             "-e", f"inject=fdatasync,fsync:delay_enter={hangs_seconds * 1_000_000}"],
            stderr=subprocess.DEVNULL)
        try:
            wait_until(lambda: tracer_of(server.pid) == tracer.pid)
            begin = time.monotonic()
            outcome = client.call("KV/Put", key=b"k", value=b"v")
            took = time.monotonic() - begin
            assert client.must("KV/Range", key=b"before", serializable=True).kvs[0].value == b"1"
        finally:
            # First: a thread that it holds up does not end before that is over.
            tracer.kill()
            tracer.wait()
            server.kill()
        assert (outcome.code, outcome.text) == (14, "etcdserver: request timed out"), f"{outcome} after {took:.1f} s"
        assert 5 < took < hangs_seconds / 2, took


def tracer_of(pid: int) -> int:
    """Who traces the last of a process' threads; 0: nobody."""
    thread = max(pathlib.Path(f"/proc/{pid}/task").iterdir(), key=lambda each: int(each.name))
    found = re.search(r"^TracerPid:\s+(\d+)$", (thread / "status").read_text(), re.MULTILINE)
    return int(found[1])
