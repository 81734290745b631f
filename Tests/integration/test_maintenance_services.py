"""What one member answers about members, leadership, downgrades and its health, beside real etcd 3.5.1."""

from __future__ import annotations

import grpc
import harness
import pytest
from api import Client, Method, message, message_class

SERVING, NOT_SERVING, SERVICE_UNKNOWN = 1, 2, 3
HEALTH_REQUEST, HEALTH_RESPONSE = "grpc.health.v1.HealthCheckRequest", "grpc.health.v1.HealthCheckResponse"
CHECK = Method("/grpc.health.v1.Health/Check", HEALTH_REQUEST, HEALTH_RESPONSE)
LIST = Method("/grpc.health.v1.Health/List", "grpc.health.v1.HealthListRequest", "grpc.health.v1.HealthListResponse")
WATCH_PATH = "/grpc.health.v1.Health/Watch"


def answer(client: Client, name: str, **fields) -> tuple[int, str]:
    outcome = client.call(name, **fields)
    return outcome.code, outcome.text


def own_id(client: Client) -> int:
    return client.must("Maintenance/Status").header.member_id


# MARK: members


def members(client: Client) -> list[tuple[str, list[str], bool]]:
    response = client.must("Cluster/MemberList", linearizable=True)
    assert response.header.revision == 0
    return [(each.name, list(each.peerURLs), each.isLearner) for each in response.members]


def test_membership_calls(reference, subject):
    """A member id of 0 stands for the own one."""
    calls = [
        ("Cluster/MemberUpdate", {"ID": 1234, "peerURLs": ["http://127.0.0.1:1"]}),
        ("Cluster/MemberUpdate", {"ID": 0, "peerURLs": ["http://127.0.0.1:1", "http://127.0.0.1:2"]}),
        ("Cluster/MemberUpdate", {"ID": 0, "peerURLs": ["http://127.0.0.1:3"]}),
        ("Cluster/MemberRemove", {"ID": 1234}), ("Cluster/MemberRemove", {"ID": 0}),
        ("Cluster/MemberPromote", {"ID": 1234}), ("Cluster/MemberPromote", {"ID": 0}),
        ("Cluster/MemberAdd", {"peerURLs": []}), ("Cluster/MemberAdd", {"peerURLs": ["nonsense"]}),
        ("Cluster/MemberAdd", {"peerURLs": ["http://host"]}), ("Cluster/MemberAdd", {"peerURLs": ["ftp://host:1"]}),
        ("Cluster/MemberAdd", {"peerURLs": ["http://127.0.0.1:1/path"]}),
        ("Cluster/MemberAdd", {"peerURLs": ["http://127.0.0.1:3"]}),
        ("Maintenance/MoveLeader", {"targetID": 1234}), ("Maintenance/MoveLeader", {"targetID": 0}),
    ]
    expected, got = reference.client(), subject.client()
    ids = {expected: own_id(expected), got: own_id(got)}
    # Before anything else both have the same URLs: ports differ.
    for client in ids:
        client.must("Cluster/MemberUpdate", ID=ids[client], peerURLs=["http://127.0.0.1:9"])
    for name, fields in calls:
        answers = []
        for client in (expected, got):
            key = "targetID" if "targetID" in fields else "ID"
            own = {key: ids[client]} if fields.get(key) == 0 else {}
            answers.append((answer(client, name, **(fields | own)), members(client)))
        (wanted, after), (found, found_after) = answers
        assert found == wanted, f"{name} {fields}"
        assert found_after == after, f"{name} {fields}"


def test_a_member_update_outlives_a_restart(subject):
    client = subject.client()
    urls = ["http://127.0.0.1:1", "http://127.0.0.1:2"]
    before = client.must("Cluster/MemberList").members[0]
    response = client.must("Cluster/MemberUpdate", ID=before.ID, peerURLs=urls)
    assert [list(each.peerURLs) for each in response.members] == [urls]
    client.close()
    subject.kill()
    subject.start()
    after = subject.client().must("Cluster/MemberList").members[0]
    assert (after.ID, after.name, list(after.peerURLs)) == (before.ID, before.name, urls)


# MARK: downgrade


@pytest.mark.skipif(harness.subject_is_etcd(), reason="3.5.1 has the call and no more")
def test_downgrade(subject):
    client = subject.client()
    validate, enable, cancel = range(3)

    def downgrade(action: int, version: str = "") -> tuple[int, str, str]:
        outcome = client.call("Maintenance/Downgrade", action=action, version=version)
        return outcome.code, outcome.text, outcome.response.version if outcome.response else ""

    def job() -> tuple[bool, str]:
        info = client.must("Maintenance/Status").downgradeInfo
        return info.enabled, info.targetVersion

    fine, bad_format = (0, "", "3.7.0"), (3, "etcdserver: wrong downgrade target version format", "")
    bad_target = (3, "etcdserver: invalid downgrade target version", "")
    for version in ("", "x", "3", "3.x", "3.6.0.0", "3.-6", "v3.6"):
        assert downgrade(validate, version) == downgrade(enable, version) == bad_format, version
    for version in ("3.7", "3.8", "3.5", "2.6", "4.6"):
        assert downgrade(validate, version) == downgrade(enable, version) == bad_target, version
    assert downgrade(validate, "3.6") == downgrade(validate, "3.6.9") == fine
    assert job() == (False, "")
    assert downgrade(cancel) == fine, "cancelling nothing is no error"
    assert downgrade(enable, "3.6") == fine
    assert job() == (True, "3.6.0")
    in_progress = (9, "etcdserver: cluster has a downgrade job in progress", "")
    assert downgrade(enable, "3.6") == downgrade(validate, "3.6") == in_progress
    assert downgrade(validate, "3.5") == bad_target
    client.close()
    subject.kill()
    subject.start()
    client = subject.client()
    assert job() == (True, "3.6.0")
    assert downgrade(cancel) == fine
    assert job() == (False, "")
    assert downgrade(7) == (2, "etcdserver: unknown method", "")


# MARK: health


def check(client: Client, service: str) -> tuple[int, str, int | None]:
    outcome = client.outcome(client.start(CHECK.path, message(HEALTH_REQUEST, service=service).SerializeToString()),
                             CHECK)
    return outcome.code, outcome.text, outcome.response.status if outcome.response else None


def watch(client: Client, service: str):
    call = client.channel.unary_stream(WATCH_PATH)
    return call(message(HEALTH_REQUEST, service=service).SerializeToString(), timeout=20)


def status(data: bytes) -> int:
    return message_class(HEALTH_RESPONSE).FromString(data).status


def test_health_check(reference, subject):
    for service in ("", "etcdserverpb.KV", "nothing"):
        assert check(subject.client(), service) == check(reference.client(), service)
    assert check(subject.client(), "") == (0, "", SERVING)


def test_health_watch(reference, subject):
    for server in (reference, subject):
        for service, wanted in (("", SERVING), ("nothing", SERVICE_UNKNOWN)):
            stream = watch(server.client(), service)
            assert status(next(stream)) == wanted
            stream.cancel()


def test_health_streams_end_with_the_server(subject):
    streams = [watch(subject.client(), service) for service in ("", "nothing")]
    for stream in streams:
        next(stream)
    assert subject.terminate(seconds_max=5) == 143
    for stream in streams:
        with pytest.raises(grpc.RpcError):
            next(stream)


@pytest.mark.skipif(harness.subject_is_etcd(), reason="newer than 3.5.1")
def test_health_list(subject):
    client = subject.client()
    outcome = client.outcome(client.start(LIST.path, b""), LIST)
    assert {name: each.status for name, each in outcome.response.statuses.items()} == {"": SERVING}


# MARK: defragmentation


def fill_and_free(client: Client, megabytes: int) -> None:
    for index in range(megabytes * 4):
        client.put(b"fill/%d" % index, b"x" * (256 << 10))
    revision = client.must("KV/DeleteRange", key=b"fill/", range_end=b"fill0").header.revision
    client.must("KV/Compact", revision=revision, physical=True)


def database_bytes(client: Client) -> int:
    return client.must("Maintenance/Status").dbSize


def test_defragment_shrinks_and_changes_nothing(subject):
    client = subject.client()
    client.put(b"k", b"v")
    fill_and_free(client, 16)
    before, large = client.hash_kv().hash, database_bytes(client)
    assert large > 16 << 20
    response = client.must("Maintenance/Defragment")
    assert not response.HasField("header")
    assert database_bytes(client) < 1 << 20
    assert client.hash_kv().hash == before and client.get(b"k") == b"v"
    client.close()
    subject.kill()
    subject.start()
    client = subject.client()
    assert client.hash_kv().hash == before and database_bytes(client) < 1 << 20


@pytest.mark.skipif(harness.subject_is_etcd(), reason="the gate is newer than 3.5.1")
@pytest.mark.parametrize("gate", [False, True])
def test_health_while_defragmenting(gate):
    arguments = ["--feature-gates=StopGRPCServiceOnDefrag=true"] if gate else []
    with harness.cairn(extra_arguments=arguments) as server:
        server.start()
        client = server.client()
        fill_and_free(client, 4)
        stream = watch(server.client(), "")
        assert status(next(stream)) == SERVING
        client.must("Maintenance/Defragment")
        assert check(client, "") == (0, "", SERVING)
        if gate:
            assert [status(next(stream)), status(next(stream))] == [NOT_SERVING, SERVING]
        else:
            stream.cancel()
            assert [each for each in remaining(stream)] == []


def remaining(stream) -> list[int]:
    found = []
    try:
        for data in stream:
            found.append(status(data))
    except grpc.RpcError:
        pass
    return found


@pytest.mark.skipif(harness.subject_is_etcd(), reason="etcd has another name for it in 3.5.1")
def test_defragment_at_the_start():
    with harness.cairn(extra_arguments=["--bootstrap-defrag-threshold-megabytes=4"]) as server:
        server.start()
        client = server.client()
        fill_and_free(client, 8)
        assert database_bytes(client) > 8 << 20
        client.close()
        assert server.terminate() == 143
        server.start()
        assert database_bytes(server.client()) < 1 << 20
        server.terminate()
        server.start()
        assert "Skipping defragmentation" in server.log()
