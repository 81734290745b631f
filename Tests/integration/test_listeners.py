"""Health and readiness over HTTP, and the listeners: HTTP apart, metrics alone, Unix sockets, addresses in use."""

from __future__ import annotations

import http.client
import json
import os
import socket

import grpc
import pytest

import api
import harness

pytestmark = pytest.mark.skipif(harness.subject_is_etcd(), reason="3.5.1 has no /livez and /readyz")


def get(port: int, path: str, method: str = "GET") -> tuple[int, dict[str, str], str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read().decode()
    finally:
        connection.close()


READY = ["data_corruption", "serializable_read", "linearizable_read", "non_learner"]


def test_livez_and_readyz(subject):
    port = subject.client_port
    for path in ("/livez", "/readyz", "/livez/serializable_read", *(f"/readyz/{check}" for check in READY)):
        status, headers, body = get(port, path)
        assert (status, body) == (200, "ok\n")
        assert headers["x-content-type-options"] == "nosniff"
        status, headers, _ = get(port, path, "POST")
        assert (status, headers["allow"]) == (405, "GET")
    lines = get(port, "/readyz?verbose")[2].splitlines()
    assert sorted(lines) == sorted([*(f"[+]{check} ok" for check in READY), "ok"])
    lines = get(port, "/readyz?verbose=&exclude=non_learner&exclude=data%5Fcorruption&exclude=nothing")[2].splitlines()
    assert sorted(lines) == ["[+]linearizable_read ok", "[+]serializable_read ok", "ok"]
    for path in ("/livez/linearizable_read", "/readyz/nothing", "/livez/", "/debug/pprof/", "/metrics/x"):
        assert get(port, path)[0] == 404


def test_alarms(subject):
    port = subject.client_port
    with_client = subject.client()
    member = with_client.must("Maintenance/Status").header.member_id
    with_client.must("Maintenance/Alarm", action=1, memberID=member, alarm=1)
    assert get(port, "/health")[::2] == (503, '{"health":"false","reason":"ALARM NOSPACE"}\n')
    assert get(port, "/health?exclude=NOSPACE&exclude=")[0] == 200
    assert get(port, "/readyz")[0] == get(port, "/livez")[0] == 200
    with_client.must("Maintenance/Alarm", action=1, memberID=member, alarm=2)
    assert get(port, "/health?exclude=NOSPACE")[::2] == (503, '{"health":"false","reason":"ALARM CORRUPT"}\n')
    assert get(port, "/health?exclude=NOSPACE&exclude=CORRUPT&serializable=true")[0] == 200
    status, _, body = get(port, "/readyz")
    assert status == 503 and "[-]data_corruption failed: alarm activated: CORRUPT\n" in body
    assert body.endswith("\n\n")
    assert get(port, "/readyz?exclude=data_corruption")[0] == 200
    with_client.close()


def test_debug_variables(subject):
    status, headers, body = get(subject.client_port, "/debug/vars")
    assert status == 200 and headers["content-type"] == "application/json; charset=utf-8"
    variables = json.loads(body)
    assert variables["cmdline"][1:] == subject.arguments()
    assert variables["memstats"]["HeapAlloc"] > 0 and variables["file_descriptor_limit"] > 0
    raft = variables["raft.status"]
    assert raft["raftState"] == "StateLeader" and raft["lead"] == raft["id"] == raft["vote"]
    assert 0 < raft["applied"] <= raft["commit"]


def test_http_and_metrics_on_urls_of_their_own():
    http_port, metrics_port = harness.free_ports(2)
    server = harness.cairn(extra_arguments=[
        "--listen-client-http-urls", f"http://127.0.0.1:{http_port}",
        "--listen-metrics-urls", f"http://127.0.0.1:{metrics_port},unix://metrics:1"])
    server.command_prefix = ["env", "-C", str(server.folder)]
    with server:
        server.spawn()
        harness_wait(lambda: get(http_port, "/health")[0] == 200, server)
        client = server.client()
        client.put(b"a", b"1")
        client.close()
        for path, elsewhere in (("/metrics", 200), ("/health", 200), ("/readyz", 200), ("/livez", 200),
                                ("/version", 404), ("/debug/vars", 404)):
            assert get(http_port, path)[0] == 200
            assert get(metrics_port, path)[0] == elsewhere
        with pytest.raises((OSError, http.client.HTTPException)):
            get(server.client_port, "/health")
        with pytest.raises(grpc.RpcError):
            with grpc.insecure_channel(f"127.0.0.1:{http_port}") as channel:
                channel.unary_unary(api.method("KV/Range").path)(b"", timeout=2)
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(server.folder / "metrics:1"))
            connection.sendall(b"GET /health HTTP/1.0\r\n\r\n")
            assert connection.recv(4096).startswith(b"HTTP/1.0 200")
        server.terminate()
        assert not (server.folder / "metrics:1").exists()


def harness_wait(condition, server: harness.Server) -> None:
    import time
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        assert server.process.poll() is None, server.log_tail()
        try:
            if condition():
                return
        except OSError:
            pass
        time.sleep(0.02)
    raise AssertionError(server.log_tail())


def test_a_client_socket_survives_a_kill():
    """The file that a killed member left is replaced; one that somebody listens on is not."""
    server = harness.cairn()
    path = server.folder / "client.sock"
    server.extra_arguments = ["--listen-client-urls", f"http://127.0.0.1:{server.client_port},unix://{path}"]
    with server:
        for _ in range(2):
            server.start()
            with grpc.insecure_channel(f"unix:{path}") as channel:
                method = api.method("KV/Put")
                channel.unary_unary(method.path)(
                    api.message("PutRequest", key=b"a", value=b"1").SerializeToString(), timeout=10)
            server.kill()
            assert path.exists()
        os.unlink(path)
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(str(path))
            other.listen()
            server.spawn()
            assert server.wait_for_exit() == 1
            assert f"listen unix {path}: bind: address already in use" in server.log_tail()
        assert path.exists()


def test_an_address_in_use_is_named():
    with harness.cairn() as server, socket.socket() as other:
        other.bind(("127.0.0.1", server.client_port))
        other.listen()
        server.spawn()
        assert server.wait_for_exit() == 1
        assert f"listen tcp 127.0.0.1:{server.client_port}: bind: address already in use" in server.log_tail()


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
            return True
    except OSError:
        return False


@pytest.mark.parametrize("host", ["localhost", "[::1]", "0.0.0.0", "[::]"])
def test_names_and_families_of_addresses(host):
    """gRPC, HTTP and metrics on the loopback by name, on IPv6, and on all addresses of a family."""
    if "::" in host and not has_ipv6():
        pytest.skip("no IPv6 on this machine")
    client_port, http_port, metrics_port = harness.free_ports(3)
    reached = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(host, host)
    server = harness.cairn(ports=(client_port, harness.free_ports(1)[0]), extra_arguments=[
        "--listen-client-urls", f"http://{host}:{client_port}", "--advertise-client-urls", f"http://{reached}:{client_port}",
        "--listen-client-http-urls", f"http://{host}:{http_port}", "--listen-metrics-urls", f"http://{host}:{metrics_port}"])
    with server:
        server.spawn()
        bare = reached.strip("[]")

        def answers(port: int) -> bool:
            connection = http.client.HTTPConnection(bare, port, timeout=10)
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        harness_wait(lambda: answers(http_port), server)
        assert answers(metrics_port)
        with grpc.insecure_channel(f"{reached}:{client_port}") as channel:
            method = api.method("Cluster/MemberList")
            data = channel.unary_unary(method.path)(b"", timeout=10)
            assert method.parse(data).members[0].clientURLs == [f"http://{reached}:{client_port}"]
        assert server.terminate() == 143
