"""A raw HTTP/2 client for streams that stay open: watch and lease keepalive.

It does little, so that one Python process keeps up with a thousand watchers: frames are cut, gRPC messages are
kept as bytes with the time of their arrival, and nothing is parsed until somebody asks. It can also do what a
well-meaning library does not let a test do: stop reading, or keep its windows small.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import threading
import time
from typing import Callable

import api
import http2
from api import message
from google.protobuf.message import Message

WATCH = b"/etcdserverpb.Watch/Watch"
WINDOW_BYTES_MAX = (1 << 31) - 1
RECEIVE_BYTES = 1 << 20


class Stream:
    """One gRPC call. `received` holds (time of arrival, message) in order."""

    def __init__(self, connection: "Connection", number: int):
        self.connection, self.number = connection, number
        self.received: list[tuple[float, bytes]] = []
        self.ended = False
        self._rest = bytearray()
        self._unacknowledged = 0

    def send(self, request: Message) -> None:
        body = http2.grpc_message(request.SerializeToString())
        self.connection.send(http2.frame(http2.DATA, 0, self.number, body))

    def reset(self) -> None:
        """Ends the call as a client does that cancels it."""
        self.ended = True
        self.connection.send(http2.frame(http2.RST_STREAM, 0, self.number, struct.pack(">I", 8)))

    def take(self, data: memoryview, now: float) -> None:
        rest = self._rest
        rest += data
        start, end = 0, len(rest)
        while end - start >= 5:
            length = int.from_bytes(rest[start + 1:start + 5], "big")
            if end - start < 5 + length:
                break
            self.received.append((now, bytes(rest[start + 5:start + 5 + length])))
            start += 5 + length
        if start:
            del rest[:start]

    def credit(self, length: int, window: int) -> bytes:
        """A window update for what was taken, when enough has come together."""
        self._unacknowledged += length
        if self._unacknowledged < window // 2:
            return b""
        update = http2.frame(http2.WINDOW_UPDATE, 0, self.number, struct.pack(">I", self._unacknowledged))
        self._unacknowledged = 0
        return update


class Connection:
    """One TCP connection. `window` bounds what the server may send unasked, per stream and in total."""

    def __init__(self, port: int, window: int = 1 << 24, receive_buffer: int | None = None):
        self.window = window
        self.streams: dict[int, Stream] = {}
        self.closed = False
        self.reading = True
        self._socket = socket.socket()
        if receive_buffer:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._socket.settimeout(10)
        self._socket.connect(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._rest = b""
        self._next = 1
        self._unacknowledged = 0
        self._sending = threading.Lock()
        self.send(http2.PREFACE + http2.settings({http2.INITIAL_WINDOW_SIZE: window})
                  + http2.frame(http2.WINDOW_UPDATE, 0, 0, struct.pack(">I", max(window - 65_535, 1))))

    def fileno(self) -> int:
        return self._socket.fileno()

    def open(self, path: bytes = WATCH) -> Stream:
        stream = self.streams[self._next] = Stream(self, self._next)
        self._next += 2
        self.send(http2.frame(http2.HEADERS, http2.END_HEADERS, stream.number, http2.request_headers(path)))
        return stream

    def send(self, data: bytes) -> None:
        with self._sending:
            try:
                self._socket.sendall(data)
            except OSError:
                self._end()

    def close(self) -> None:
        self._end()
        self._socket.close()

    def _end(self) -> None:
        self.closed = True
        for stream in self.streams.values():
            stream.ended = True

    def read(self) -> None:
        """Takes what has arrived; call when the socket is readable."""
        try:
            data = self._socket.recv(RECEIVE_BYTES)
        except OSError:
            data = b""
        if not data:
            self._end()
            return
        self._take(self._rest + data if self._rest else data)

    def _take(self, data: bytes) -> None:
        now, view, start, end, answer = time.monotonic(), memoryview(data), 0, len(data), []
        while end - start >= 9:
            length = int.from_bytes(view[start:start + 3], "big")
            if end - start < 9 + length:
                break
            kind, flags = view[start + 3], view[start + 4]
            number = int.from_bytes(view[start + 5:start + 9], "big")
            payload = view[start + 9:start + 9 + length]
            start += 9 + length
            if kind == http2.DATA:
                answer.append(self._data(number, payload, now))
            elif kind == http2.SETTINGS and not flags & 1:
                answer.append(http2.frame(http2.SETTINGS, 1, 0))
            elif kind == http2.PING and not flags & 1:
                answer.append(http2.frame(http2.PING, 1, 0, bytes(payload)))
            ends = kind == http2.RST_STREAM or (kind in (http2.DATA, http2.HEADERS) and flags & http2.END_STREAM)
            if ends and number in self.streams:
                self.streams[number].ended = True
        self._rest = data[start:]
        if out := b"".join(answer):
            self.send(out)

    def _data(self, number: int, payload: memoryview, now: float) -> bytes:
        update = b""
        self._unacknowledged += len(payload)
        if self._unacknowledged >= self.window // 2:
            update = http2.frame(http2.WINDOW_UPDATE, 0, 0, struct.pack(">I", self._unacknowledged))
            self._unacknowledged = 0
        stream = self.streams.get(number)
        if stream is None or stream.ended:
            return update
        stream.take(payload, now)
        return update + stream.credit(len(payload), self.window)


class Reader:
    """Reads any number of connections on one thread until closed."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._lock = threading.Lock()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def add(self, connection: Connection) -> Connection:
        with self._lock:
            self._selector.register(connection, selectors.EVENT_READ)
        return connection

    def pause(self, connection: Connection) -> None:
        """Stops reading: the server's bytes stay in the sockets' buffers, and then in the server."""
        with self._lock, contextlib.suppress(KeyError, ValueError):
            connection.reading = False
            self._selector.unregister(connection)

    def resume(self, connection: Connection) -> None:
        if not connection.closed:
            connection.reading = True
            self.add(connection)

    def drop(self, connection: Connection) -> None:
        self.pause(connection)
        connection.close()

    def close(self) -> None:
        self._stopping = True
        self._thread.join(timeout=10)

    def _run(self) -> None:
        while not self._stopping:
            with self._lock:
                ready = self._selector.select(timeout=0)
                for key, _ in ready:
                    key.fileobj.read()
                    if key.fileobj.closed:
                        self._selector.unregister(key.fileobj)
            # A short sleep lets bytes gather and the other threads run.
            time.sleep(0.001 if ready else 0.003)


@contextlib.contextmanager
def reading():
    reader = Reader()
    try:
        yield reader
    finally:
        reader.close()


def create(key: bytes, range_end: bytes = b"", **fields) -> Message:
    return message("WatchRequest", create_request=message("WatchCreateRequest", key=key, range_end=range_end,
                                                          **fields))


def cancel(watch_id: int) -> Message:
    return message("WatchRequest", cancel_request=message("WatchCancelRequest", watch_id=watch_id))


def progress() -> Message:
    return message("WatchRequest", progress_request=message("WatchProgressRequest"))


def parse(data: bytes) -> Message:
    return api.message_class("etcdserverpb.WatchResponse").FromString(data)


def wait_until(condition: Callable[[], bool], seconds_max: float = 20, what: object = "") -> None:
    deadline = time.monotonic() + seconds_max
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds_max} s: {what() if callable(what) else what}")
        time.sleep(0.002)
