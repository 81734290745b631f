"""kill -9 at random moments under load: nothing acknowledged is lost, nothing is there twice or in part."""

from __future__ import annotations

import random
import threading
import time

import pytest

import harness
from load import Auditor, Load, Write
from api import message

ACKNOWLEDGED_MIN = 20
ROUND_SECONDS_MAX = 20


def test_nothing_acknowledged_is_lost(seed, request):
    rounds = request.config.getoption("--rounds")
    source = random.Random(seed)
    auditor = Auditor()
    with harness.cairn() as server:
        server.start()
        for number in range(rounds):
            loads = [load_and_kill(server, auditor, source, number)]
            if source.random() < 0.3:
                kill_while_starting(server, source)
            server.start()
            client = server.client()
            auditor.audit(client, loads)
            client.close()
    print(dict(auditor.statistics))
    assert auditor.statistics["acknowledged"] >= rounds * ACKNOWLEDGED_MIN
    # Kills that never catch a write on its way would prove little.
    caught = auditor.statistics["present without acknowledgement"] + auditor.statistics["absent"]
    assert caught >= rounds, auditor.statistics
    assert auditor.model.compact_revision > 0


def load_and_kill(server: harness.Server, auditor: Auditor, source: random.Random, number: int) -> Load:
    load = Load(server.client_port, seed=source.randrange(1 << 32), label=f"r{number}").start()
    compactor = compaction_in_background(server, auditor, source) if source.random() < 0.4 else None
    deadline = time.monotonic() + ROUND_SECONDS_MAX
    while load.acknowledged_count < ACKNOWLEDGED_MIN:
        assert time.monotonic() < deadline, f"only {load.acknowledged_count} writes were acknowledged"
        time.sleep(0.005)
    time.sleep(source.uniform(0, 0.8))
    server.kill()
    load.join()
    if compactor is not None:
        compactor.join()
    return load


def compaction_in_background(server: harness.Server, auditor: Auditor, source: random.Random) -> threading.Thread:
    """Compacts within what has been audited, so that the unread history stays readable."""
    oldest, newest = max(auditor.model.compact_revision, 0) + 1, auditor.model.revision
    revision = source.randint(min(oldest, newest), newest)
    physical, delay = source.random() < 0.5, source.uniform(0, 0.6)

    def compact() -> None:
        time.sleep(delay)
        client = server.client(timeout_seconds=10)
        auditor.compact(client, revision, physical)
        client.close()

    thread = threading.Thread(target=compact, daemon=True)
    thread.start()
    return thread


def kill_while_starting(server: harness.Server, source: random.Random) -> None:
    """Recovery itself is cut short, anywhere from the first instruction on."""
    for _ in range(source.randint(1, 3)):
        server.spawn()
        time.sleep(source.uniform(0, 0.08))
        server.kill()


# The test's own test.

def audited_load(server: harness.Server) -> tuple[Auditor, Load]:
    load = Load(server.client_port, seed=1, label="own").start()
    while load.acknowledged_count < ACKNOWLEDGED_MIN:
        time.sleep(0.01)
    load.stop()
    return Auditor(), load


def test_a_lost_write_is_noticed(reference):
    auditor, load = audited_load(reference)
    newest = max(write.acknowledged for write in load.acknowledged())
    lost = Write("lost", message("PutRequest", key=b"k", value=b"lost/0/"), acknowledged=newest + 1)
    load.writes["lost"] = lost
    with pytest.raises(AssertionError, match="was acknowledged, the member is at"):
        auditor.audit(reference.client(), [load])


def test_a_foreign_write_is_noticed(reference):
    auditor, load = audited_load(reference)
    reference.client().put(b"key/00", b"nobody/0/")
    with pytest.raises(AssertionError, match="nobody sent"):
        auditor.audit(reference.client(), [load])


def test_an_undone_delete_is_noticed(reference):
    """HashKV covers tombstones: a delete that the history says happened must have left its row."""
    auditor, load = audited_load(reference)
    for write in load.writes.values():
        for op in getattr(write.request, "success", []):
            op.request_delete_range.range_end = b"\0"
            break
    with pytest.raises(AssertionError):
        auditor.audit(reference.client(), [load])
