"""The JSON gateway over websockets: messages of JSON each way, as etcd's has them.

Known differences from 3.5.1: the connection ends with a close frame, unary RPCs answer (etcd waits for the end of the
request, which a websocket does not have), and a path without an RPC is refused before the upgrade.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import socket
import struct
import time

import pytest
import websocket

import harness
from test_gateway import KEY, VALUE, curl, descriptors, encoded, normalised, settled_descriptors

cairn_only = pytest.mark.skipif(harness.subject_is_etcd(), reason="differs from etcd 3.5.1")
CREATE = json.dumps({"create_request": {"key": KEY}})


@contextlib.contextmanager
def opened(server: harness.Server, path: str, **options):
    connection = websocket.create_connection(f"ws://{server.endpoint}{path}", timeout=20, skip_utf8_validation=True, **options)
    try:
        yield connection
    finally:
        connection.shutdown()


def answer(connection: websocket.WebSocket) -> object:
    return normalised(json.loads(connection.recv()))


def conversation(server: harness.Server) -> list:
    """A watch and a lease kept alive, from a client that speaks several times."""
    curl(server, "/v3/lease/grant", '{"TTL":"1000","ID":"77"}')
    heard = []
    with opened(server, "/v3/watch") as watch:
        watch.send(CREATE)
        heard.append(answer(watch))
        curl(server, "/v3/kv/put", f'{{"key":"{KEY}","value":"{VALUE}"}}')
        heard.append(answer(watch))
        watch.send('{"create_request":')
        watch.send(f'{{"key":"{KEY}","start_revision":"2","watch_id":"7"}}}}')
        heard += [answer(watch), answer(watch)]
        watch.send_binary(b'{"cancel_request":{"watch_id":"7"}}')
        heard.append(answer(watch))
    with opened(server, "/v3/lease/keepalive?method=PUT") as keeper:
        for _ in range(3):
            keeper.send('{"ID":"77"}')
            heard.append(answer(keeper))
        keeper.send('{"ID":"78"}{"ID":78}')
        heard += [answer(keeper), answer(keeper)]
    return heard


def test_streams_as_etcd_has_them(reference, subject):
    assert conversation(subject) == conversation(reference)


def test_what_is_no_request(reference, subject):
    """The refusal is the last message."""
    for body in ("x", '{"create_request":{"key":5}}'):
        codes = []
        for server in (reference, subject):
            with opened(server, "/v3/watch") as connection:
                connection.send(body)
                said = json.loads(connection.recv())
                codes.append(said.get("error", said)["code"] if isinstance(said.get("error"), dict) else said["code"])
                # etcd just closes, which the client reports as an error.
                with contextlib.suppress(websocket.WebSocketException, ConnectionError):
                    assert connection.recv() in ("", b"")
        assert codes[0] == codes[1], body


def test_sub_protocol_for_tokens(reference, subject):
    for server in (reference, subject):
        with opened(server, "/v3/watch", subprotocols=["Bearer", "secret"]) as connection:
            assert connection.getsubprotocol() == "bearer"
        with opened(server, "/v3/watch") as connection:
            assert connection.getsubprotocol() is None


@cairn_only
def test_unary_calls_and_the_end(subject):
    for path, body, expected in (("/v3/kv/put", f'{{"key":"{KEY}"}}', "header"), ("/v3/kv/put", "{}", "code"),
                                 ("/v3/maintenance/status", "{}", "raftIndex")):
        with opened(subject, path) as connection:
            connection.send(body)
            assert expected in json.loads(connection.recv())
            opcode, reason = connection.recv_data(control_frame=True)
            assert (opcode, reason) == (websocket.ABNF.OPCODE_CLOSE, struct.pack("!H", 1000))


@cairn_only
def test_hosts_paths_and_keys_are_checked():
    with harness.cairn(extra_arguments=["--host-whitelist", "good.example"]) as server:
        server.spawn()
        server.wait_for_log(harness.READY_LINE)
        with opened(server, "/v3/watch", host="good.example") as connection:
            connection.send(CREATE)
            assert answer(connection)["result"]["created"]
        for path, host, status in (("/v3/watch", "evil.example", 421), ("/v3/nothing", "good.example", 404),
                                   ("/health", "good.example", 200)):
            with pytest.raises(websocket.WebSocketBadStatusException) as refused:
                with opened(server, path, host=host):
                    pass
            assert refused.value.status_code == status
        for version in ("12", ""):
            with socket.create_connection(("127.0.0.1", server.client_port), timeout=20) as raw:
                raw.sendall(f"GET /v3/watch HTTP/1.1\r\nHost: good.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                            f"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: {version}\r\n\r\n".encode())
                received = b""
                while piece := raw.recv(4096):
                    received += piece
                # Nothing can follow on this connection, so it ends.
                assert received.startswith(b"HTTP/1.1 501 ") and b"onnection: close" in received


@cairn_only
def test_frames_that_no_client_sends(subject):
    """Each ends its own connection, and nothing stays behind."""
    before = settled_descriptors(subject)
    mask = b"\0\0\0\0"
    frames = {
        "unmasked": b"\x81\x02{}", "reserved opcode": b"\x83\x80" + mask, "reserved bits": b"\xf1\x80" + mask,
        "continuation of nothing": b"\x80\x80" + mask, "text inside a message": b"\x01\x80" + mask + b"\x01\x80" + mask,
        "a control frame in pieces": b"\x09\x80" + mask, "a long control frame": b"\x89\xfe\xff\xff" + mask,
        "a frame of 2^63 bytes": b"\x81\xff" + b"\x7f" + b"\xff" * 7 + mask, "the top bit": b"\x81\xff" + b"\xff" * 8 + mask,
        "1 GiB": b"\x82\xff" + struct.pack("!Q", 1 << 30) + mask,
    }
    for name, frame in frames.items():
        with opened(subject, "/v3/watch") as connection:
            connection.sock.sendall(frame)
            connection.sock.settimeout(20)
            with contextlib.suppress(ConnectionError):
                while connection.sock.recv(4096):
                    pass
    random_bytes = os.urandom(1 << 16)
    with opened(subject, "/v3/watch") as connection, contextlib.suppress(ConnectionError):
        connection.sock.sendall(random_bytes)
    # In one piece with the request: the client does not wait for the answer.
    with socket.create_connection(("127.0.0.1", subject.client_port), timeout=20) as raw:
        body = CREATE.encode()
        raw.sendall(f"GET /v3/watch HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: "
                    f"13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
                    + bytes([0x81, 0x80 | len(body)]) + mask + body)
        received = b""
        while b"created" not in received:
            piece = raw.recv(4096)
            assert piece, received
            received += piece
    deadline = time.monotonic() + 20
    while descriptors(subject) > before + 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert descriptors(subject) <= before + 2
    assert curl(subject, "/v3/kv/range", f'{{"key":"{KEY}"}}').status == 200


@cairn_only
def test_pings_are_answered_and_fragments_put_together(subject):
    with opened(subject, "/v3/watch") as connection:
        connection.ping("are you there")
        assert connection.recv_data(control_frame=True) == (websocket.ABNF.OPCODE_PONG, b"are you there")
        pieces = [CREATE[:5], CREATE[5:9], CREATE[9:]]
        for number, piece in enumerate(pieces):
            opcode = websocket.ABNF.OPCODE_TEXT if number == 0 else websocket.ABNF.OPCODE_CONT
            connection.send_frame(websocket.ABNF.create_frame(piece, opcode, int(number == len(pieces) - 1)))
            connection.ping("between")
        heard = [connection.recv_data(control_frame=True) for _ in range(4)]
        texts = [data for opcode, data in heard if opcode == websocket.ABNF.OPCODE_TEXT]
        assert len(texts) == 1 and json.loads(texts[0])["result"]["created"]


@cairn_only
def test_a_client_that_does_not_read(subject):
    """It costs a bounded amount of memory."""
    with opened(subject, "/v3/watch") as connection:
        connection.send(json.dumps({"create_request": {"key": encoded("slow")}}))
        assert answer(connection)["result"]["created"]
        before = harness.process_status_bytes(subject.pid, "RssAnon")
        client = subject.client()
        for number in range(400):
            client.must("KV/Put", key=b"slow", value=b"%06d" % number + bytes(200_000))
        assert harness.process_status_bytes(subject.pid, "RssAnon") - before < 96 << 20
        client.close()
        heard: list[bytes] = []
        while len(heard) < 400:
            events = json.loads(connection.recv())["result"]["events"]
            heard += [base64.b64decode(event["kv"]["value"])[:6] for event in events]
        assert heard == [b"%06d" % number for number in range(400)]


@cairn_only
def test_pings_of_a_client_that_does_not_read(subject):
    """Their answers do not pile up; once it reads again, a ping is answered."""
    mask = b"\0\0\0\0"
    ping = b"\x89" + bytes([0x80 | 125]) + mask + bytes(125)
    with opened(subject, "/v3/watch") as connection:
        before = harness.process_status_bytes(subject.pid, "RssAnon")
        for _ in range(300):
            connection.sock.sendall(ping * 1_000)
        assert harness.process_status_bytes(subject.pid, "RssAnon") - before < 16 << 20
        connection.sock.settimeout(1)
        with contextlib.suppress(TimeoutError, socket.timeout):
            while connection.sock.recv(1 << 20):
                pass
        connection.sock.settimeout(20)
        connection.ping("are you there")
        heard = b""
        while not heard.endswith(b"\x8a\x0dare you there"):
            heard += connection.sock.recv(4096)
            assert heard
