"""What a user of Python's etcd3 does; prints the name of each part that went well. Run by test_python_etcd3."""

import io
import queue
import sys
import threading
import time

import etcd3


def put(client) -> None:
    client.put("session/a", "1")
    client.put("session/b", b"\x00\xff")
    answer = client.put("session/a", "2", prev_kv=True)
    assert answer.prev_kv.value == b"1"
    assert client.put_if_not_exists("session/c", "3")
    assert not client.put_if_not_exists("session/c", "4")


def get(client) -> None:
    value, meta = client.get("session/a")
    assert value == b"2"
    assert (meta.key, meta.version) == (b"session/a", 2)
    assert meta.mod_revision > meta.create_revision
    assert client.get("session/missing") == (None, None)


def get_prefix(client) -> None:
    found = [(meta.key, value) for value, meta in client.get_prefix("session/")]
    assert found == [(b"session/a", b"2"), (b"session/b", b"\x00\xff"), (b"session/c", b"3")]
    descending = client.get_prefix("session/", sort_order="descend", sort_target="key")
    assert [meta.key for _, meta in descending] == [b"session/c", b"session/b", b"session/a"]
    assert [meta.key for _, meta in client.get_range("session/a", "session/c")] == [b"session/a", b"session/b"]


def delete(client) -> None:
    assert client.delete("session/b")
    assert not client.delete("session/b")
    assert client.delete_prefix("session/c").deleted == 1


def transaction(client) -> None:
    ok, responses = client.transaction(
        compare=[client.transactions.value("session/a") == "2", client.transactions.version("session/a") > 0],
        success=[client.transactions.put("session/t", "won"), client.transactions.get("session/a")],
        failure=[client.transactions.put("session/t", "lost")])
    assert ok and responses[1][0][0] == b"2"
    assert client.get("session/t")[0] == b"won"
    ok, _ = client.transaction(compare=[client.transactions.create("session/none") != 0], success=[],
                               failure=[client.transactions.delete("session/t")])
    assert not ok and client.get("session/t") == (None, None)
    assert client.replace("session/a", "2", "5")
    assert not client.replace("session/a", "2", "6")


def compact(client) -> None:
    _, meta = client.get("session/a")
    client.compact(meta.mod_revision, physical=True)
    assert client.get("session/a")[0] == b"5"
    try:
        client.compact(meta.mod_revision)
    except Exception as error:  # etcd3 passes on grpc's own error
        assert "required revision has been compacted" in str(error), error
    else:
        raise AssertionError("compacted twice")


def status(client) -> None:
    found = client.status()
    assert found.version.startswith("3.")
    assert found.db_size > 0
    assert found.leader.id == next(iter(client.members)).id
    assert found.raft_index > 0 and found.raft_term > 0


def snapshot(client) -> None:
    saved = io.BytesIO()
    client.snapshot(saved)
    assert len(saved.getvalue()) > 1000


def members(client) -> None:
    found = list(client.members)
    assert len(found) == 1
    assert found[0].name == "default"
    assert found[0].client_urls and found[0].peer_urls


def watch(client) -> None:
    start = client.put("watched/a", "0").header.revision
    events, cancel = client.watch_prefix("watched/", start_revision=start, prev_kv=True)
    client.put("watched/a", "1")
    client.put("watched/b", "2")
    client.delete("watched/a")
    seen = [next(events) for _ in range(4)]
    cancel()
    assert [type(each).__name__ for each in seen] == ["PutEvent", "PutEvent", "PutEvent", "DeleteEvent"]
    assert [(each.key, each.value) for each in seen[:3]] == [
        (b"watched/a", b"0"), (b"watched/a", b"1"), (b"watched/b", b"2")]
    assert seen[1].prev_value == b"0" and seen[3].prev_value == b"1"
    assert [each.mod_revision for each in seen] == list(range(start, start + 4))


def watch_callback(client) -> None:
    """Several watches on the client's one stream, told through callbacks."""
    told: queue.Queue = queue.Queue()
    revision = client.put("called/x", "0").header.revision + 1
    single = client.add_watch_callback("called/a", lambda answer: told.put(("a", answer.events)),
                                          start_revision=revision)
    ranged = client.add_watch_callback("called/b", lambda answer: told.put(("range", answer.events)),
                                       range_end="called/d", start_revision=revision)
    client.put("called/a", "1")
    client.delete("called/a")
    client.put("called/c", "2")
    client.put("called/a", "3")
    got = {"a": [], "range": []}
    while len(got["a"]) + len(got["range"]) < 4:
        name, events = told.get(timeout=10)
        got[name].extend(events)
    assert [event.value for event in got["a"]] == [b"1", b"", b"3"]
    assert [event.key for event in got["range"]] == [b"called/c"]
    client.cancel_watch(single)
    client.cancel_watch(ranged)
    try:
        client.watch_once("called/nothing", timeout=0.3)
    except etcd3.exceptions.WatchTimedOut:
        pass
    else:
        raise AssertionError("an event of a key that nobody wrote")


def watch_compacted(client) -> None:
    revision = client.put("compacted", "1").header.revision
    client.put("compacted", "2")
    client.compact(revision + 1)
    events, _ = client.watch("compacted", start_revision=revision)
    try:
        next(events)
    except etcd3.exceptions.RevisionCompactedError as error:
        assert error.compacted_revision == revision + 1
    else:
        raise AssertionError("a watch of what is compacted")


def lease(client) -> None:
    granted = client.lease(100)
    client.put("leased/a", "1", lease=granted)
    client.put("leased/b", "2", lease=granted.id)
    assert granted.granted_ttl == 100 and 90 < granted.remaining_ttl <= 100
    assert sorted(granted.keys) == [b"leased/a", b"leased/b"]
    answer, = granted.refresh()
    assert answer.TTL == 100 and answer.ID == granted.id
    granted.revoke()
    assert client.get("leased/a") == (None, None)
    gone = client.get_lease_info(granted.id)
    assert gone.TTL == -1
    named = client.lease(100, lease_id=4711)
    assert named.id == 4711
    named.revoke()


def lease_expires(client) -> None:
    short = client.lease(2)
    revision = client.put("short", "1", lease=short).header.revision
    events, cancel = client.watch("short", start_revision=revision + 1)
    event = next(events)
    cancel()
    assert isinstance(event, etcd3.events.DeleteEvent) and client.get("short") == (None, None)


def lock(client) -> None:
    first, second = client.lock("resource", ttl=30), client.lock("resource", ttl=30)
    assert first.acquire(timeout=5) and first.is_acquired()
    assert not second.acquire(timeout=1)
    first.refresh()
    waiting = threading.Thread(target=lambda: second.acquire(timeout=15))
    waiting.start()
    time.sleep(0.3)
    assert not second.is_acquired()
    assert first.release()
    waiting.join()
    assert second.is_acquired() and not first.is_acquired()
    second.release()
    with client.lock("resource", ttl=10) as held:
        assert held.is_acquired()
    assert not held.is_acquired()


def alarms(client) -> None:
    assert list(client.list_alarms()) == []
    assert list(client.disarm_alarm()) == []
    raised, = client.create_alarm()
    assert [alarm.member_id for alarm in client.list_alarms()] == [raised.member_id]
    try:
        client.put("refused", "1")
    except Exception as error:  # etcd3 passes on grpc's own error
        assert "database space exceeded" in str(error), error
    else:
        raise AssertionError("a put under NOSPACE")
    client.disarm_alarm()
    client.put("accepted", "1")


def defragment(client) -> None:
    client.defragment()
    assert client.get("accepted")[0] == b"1"


def main() -> None:
    client = etcd3.client(port=int(sys.argv[1]), timeout=10)
    for part in (put, get, get_prefix, delete, transaction, compact, status, snapshot, members, watch,
                 watch_callback, watch_compacted, lease, lease_expires, lock, alarms, defragment):
        part(client)
        print(part.__name__)


main()
