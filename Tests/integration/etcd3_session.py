"""What a user of Python's etcd3 does; prints the name of each part that went well. Run by test_python_etcd3."""

import io
import sys

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


def main() -> None:
    client = etcd3.client(port=int(sys.argv[1]), timeout=10)
    for part in (put, get, get_prefix, delete, transaction, compact, status, snapshot, members):
        part(client)
        print(part.__name__)


main()
