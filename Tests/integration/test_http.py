"""The HTTP/1.1 endpoints on the client port, beside gRPC: /health and /version, as etcd answers them."""

from __future__ import annotations

import http.client
import json
import socket

import pytest

import harness
import http2


def ask(server: harness.Server, method: str, path: str) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.client_port, timeout=10)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        headers = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, headers, answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize("method, path", [
    ("GET", "/health"), ("GET", "/health?serializable=true"), ("GET", "/health?exclude=NOSPACE"),
    ("POST", "/health"), ("POST", "/version"), ("GET", "/nothing"), ("GET", "/"), ("GET", "/healthy")])
def test_answers_as_etcd_does(reference, subject, method, path):
    expected, got = ask(reference, method, path), ask(subject, method, path)
    assert (got[0], got[2]) == (expected[0], expected[2])
    for name in ("allow", "x-content-type-options"):
        assert got[1].get(name) == expected[1].get(name)


def test_version(reference, subject):
    """3.5.1 has no "storage" yet."""
    got = json.loads(ask(subject, "GET", "/version")[2])
    if harness.subject_is_etcd():
        assert got == {"etcdserver": "3.5.1", "etcdcluster": "3.5.0"}
    else:
        assert got == {"etcdserver": "3.7.1", "etcdcluster": "3.7.0", "storage": "3.7.0"}


def test_one_connection_serves_many_requests(subject):
    connection = http.client.HTTPConnection("127.0.0.1", subject.client_port, timeout=10)
    for _ in range(20):
        connection.request("GET", "/health")
        assert connection.getresponse().read() == b'{"health":"true","reason":""}'
    connection.close()


def test_bytes_may_come_one_at_a_time(subject):
    """What speaks which protocol is decided from the first bytes, however they arrive."""
    for data, wanted in ((b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", b'"health":"true"'),
                         (http2.PREFACE + http2.settings() + http2.frame(http2.PING, 0, 0, b"abcdefgh"), b"abcdefgh")):
        with socket.create_connection(("127.0.0.1", subject.client_port), 10) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in data:
                connection.sendall(bytes([byte]))
            got = b""
            while wanted not in got:
                chunk = connection.recv(4096)
                assert chunk, got
                got += chunk
