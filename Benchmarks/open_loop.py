"""An open loop of puts and gets at a steady rate, each with its time, and a probe of the disk beside it.

Latency counts from the moment at which a request was due, so that a server which stands still is charged for all that
waited meanwhile. The loop runs in a process of its own. Used by `under-load`.
"""

from __future__ import annotations

import array
import dataclasses
import multiprocessing
import os
import pathlib
import random
import select
import socket
import struct
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "Tests/integration"))
import http2  # noqa: E402  (its folder is put on the path above)

PUT, RANGE = b"/etcdserverpb.KV/Put", b"/etcdserverpb.KV/Range"
STREAM_MAX = 1 << 30
PROBE_SECONDS = 0.01


def varint(number: int) -> bytes:
    return bytes([number]) if number < 128 else bytes([number & 127 | 128]) + varint(number >> 7)


def field(number: int, value: bytes) -> bytes:
    return bytes([number << 3 | 2]) + varint(len(value)) + value


def key_of(number: int) -> bytes:
    """The keys of cairn-bench and of etcd's benchmark: a zigzag varint in eight bytes."""
    return varint(number << 1).ljust(8, b"\0")


@dataclasses.dataclass
class Load:
    port: int
    rate: float
    keys: int
    value_bytes: int
    get_share: float = 0.0
    connections: int = 8


class Link:
    """One connection; which request waits on which stream."""

    def __init__(self, port: int):
        self.socket = socket.create_connection(("127.0.0.1", port), 10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(http2.PREFACE + http2.settings({http2.INITIAL_WINDOW_SIZE: (1 << 31) - 1})
                            + http2.frame(http2.WINDOW_UPDATE, 0, 0, struct.pack(">I", (1 << 31) - 70_000)))
        self.waiting: dict[int, float] = {}
        self.next_stream = 1
        self.rest = b""
        self.failed = 0

    def request(self, path: bytes, body: bytes, due: float) -> bytes:
        stream, self.next_stream = self.next_stream, self.next_stream + 2
        self.waiting[stream] = due
        return (http2.frame(http2.HEADERS, http2.END_HEADERS, stream, self.headers(path))
                + http2.frame(http2.DATA, http2.END_STREAM, stream, http2.grpc_message(body)))

    _headers: dict[bytes, bytes] = {}

    def headers(self, path: bytes) -> bytes:
        found = self._headers.get(path)
        if found is None:
            found = self._headers[path] = http2.request_headers(path)
        return found

    def receive(self, done: list[tuple[float, float]]) -> None:
        data = self.rest + self.socket.recv(1 << 20)
        now, start, end, answer = time.monotonic(), 0, len(data), b""
        while end - start >= 9:
            length = int.from_bytes(data[start:start + 3], "big")
            if end - start < 9 + length:
                break
            kind, flags = data[start + 3], data[start + 4]
            if kind == http2.HEADERS and flags & http2.END_STREAM:
                stream = int.from_bytes(data[start + 5:start + 9], "big")
                due = self.waiting.pop(stream, None)
                if due is not None:
                    done.append((due, now - due))
            elif kind == http2.RST_STREAM or kind == http2.GOAWAY:
                self.failed += 1
            elif kind == http2.SETTINGS and not flags & 1:
                answer += http2.frame(http2.SETTINGS, 1, 0)
            elif kind == http2.PING and not flags & 1:
                answer += http2.frame(http2.PING, 1, 0, data[start + 9:start + 9 + length])
            start += 9 + length
        self.rest = data[start:]
        if answer:
            self.socket.sendall(answer)


def run_load(load: Load, stop, result) -> None:
    """Sends until `stop` is set, then waits for the last answers and sends back (when due, latency) of each."""
    source = random.Random(1)
    value = field(2, os.urandom(load.value_bytes))
    links = [Link(load.port) for _ in range(load.connections)]
    by_socket = {link.socket: link for link in links}
    done: list[tuple[float, float]] = []
    started, sent, drain_until = time.monotonic(), 0, 0.0
    while True:
        now = time.monotonic()
        if not drain_until and stop.is_set():
            drain_until = now + 30
        if drain_until and (now > drain_until or not any(link.waiting for link in links)):
            break
        due_count = 0 if drain_until else int((now - started) * load.rate) - sent
        batches: dict[Link, list[bytes]] = {}
        for _ in range(due_count):
            link, due = links[sent % len(links)], started + sent / load.rate
            key = field(1, key_of(source.randrange(load.keys)))
            is_get = load.get_share and source.random() < load.get_share
            request = link.request(RANGE, key, due) if is_get else link.request(PUT, key + value, due)
            batches.setdefault(link, []).append(request)
            sent += 1
        for link, batch in batches.items():
            link.socket.sendall(b"".join(batch))
        for ready in select.select(list(by_socket), [], [], 0.001)[0]:
            by_socket[ready].receive(done)
    unanswered = sum(len(link.waiting) + link.failed for link in links)
    result.send((array.array("d", [due for due, _ in done]), array.array("d", [took for _, took in done]), unanswered))


def run_probe(folder: str, stop, result) -> None:
    """Writes and syncs a page of its own file again and again: what the disk costs anybody at that moment."""
    found: list[tuple[float, float]] = []
    descriptor = os.open(os.path.join(folder, "probe"), os.O_CREAT | os.O_RDWR, 0o600)
    page = os.urandom(4096)
    while not stop.is_set():
        begin = time.monotonic()
        os.pwrite(descriptor, page, 0)
        os.fdatasync(descriptor)
        found.append((begin, time.monotonic() - begin))
        time.sleep(PROBE_SECONDS)
    os.close(descriptor)
    result.send((array.array("d", [at for at, _ in found]), array.array("d", [took for _, took in found])))


class Background:
    """A function of this module in a process of its own, until `finish`."""

    def __init__(self, function, *arguments):
        context = multiprocessing.get_context("fork")
        self._stop = context.Event()
        self._receiver, sender = context.Pipe(False)
        self._process = context.Process(target=function, args=(*arguments, self._stop, sender), daemon=True)
        self._process.start()
        sender.close()

    def finish(self):
        self._stop.set()
        found = self._receiver.recv()
        self._process.join()
        return found


@dataclasses.dataclass
class Samples:
    """Requests by when they were due, with their latencies in seconds."""

    due: list[float]
    took: list[float]
    unanswered: int = 0

    def between(self, start: float, end: float) -> "Samples":
        kept = [(due, took) for due, took in zip(self.due, self.took) if start <= due < end]
        return Samples([due for due, _ in kept], [took for _, took in kept])

    def quantile(self, share: float) -> float:
        ordered = sorted(self.took)
        return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else 0.0

    def summary(self) -> str:
        p50, p99, p999 = (self.quantile(share) * 1000 for share in (0.5, 0.99, 0.999))
        return f"{len(self.took):>9,} | {p50:8.2f} | {p99:8.2f} | {p999:8.2f} | {max(self.took, default=0) * 1000:8.1f}"


def unexplained(samples: Samples, probe: tuple, limit_seconds: float) -> tuple[int, int]:
    """(requests above the limit, those of them without a sync of the probe as long as half of it at that time)."""
    stalls = [(at, at + took) for at, took in zip(*probe) if took > limit_seconds / 2]
    slow = [(due, due + took) for due, took in zip(samples.due, samples.took) if took > limit_seconds]
    return len(slow), sum(not any(begin < end_stall and begin_stall < end for begin_stall, end_stall in stalls)
                          for begin, end in slow)
