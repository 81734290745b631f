"""Just enough HTTP/2 to write sessions byte by byte, right ones and wrong ones."""

from __future__ import annotations

import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, END_HEADERS = 1, 4
INITIAL_WINDOW_SIZE = 4


def frame(kind: int, flags: int, stream: int, payload: bytes = b"", length: int | None = None) -> bytes:
    """A frame; `length` lies about the payload's."""
    size = len(payload) if length is None else length
    return struct.pack(">I", size)[1:] + bytes([kind & 0xFF, flags & 0xFF]) + struct.pack(">I", stream) + payload


def settings(values: dict[int, int] | None = None) -> bytes:
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", *pair) for pair in (values or {}).items()))


def header(name: bytes, value: bytes) -> bytes:
    """A literal header, never indexed, no Huffman: it needs no state."""
    return b"\x10" + _length(name) + name + _length(value) + value


def _length(text: bytes) -> bytes:
    if len(text) < 127:
        return bytes([len(text)])
    rest, out = len(text) - 127, [127]
    while rest >= 128:
        out.append(rest % 128 + 128)
        rest //= 128
    return bytes([*out, rest])


def request_headers(path: bytes, extra: list[tuple[bytes, bytes]] | None = None) -> bytes:
    fields = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", path), (b":authority", b"localhost"),
              (b"content-type", b"application/grpc"), (b"te", b"trailers"), *(extra or [])]
    return b"".join(header(*field) for field in fields)


def grpc_message(payload: bytes, compressed: int = 0, length: int | None = None) -> bytes:
    return struct.pack(">BI", compressed, len(payload) if length is None else length) + payload


def call(stream: int, path: bytes, body: bytes) -> bytes:
    """A whole unary call whose body is already framed."""
    return (frame(HEADERS, END_HEADERS, stream, request_headers(path))
            + b"".join(frame(DATA, 0, stream, body[start:start + 16384]) for start in range(0, len(body), 16384))
            + frame(DATA, END_STREAM, stream))


def frames(data: bytes):
    """(kind, flags, stream, payload) of each whole frame."""
    while len(data) >= 9:
        length = int.from_bytes(data[:3], "big")
        yield data[3], data[4], int.from_bytes(data[5:9], "big"), data[9:9 + length]
        data = data[9 + length:]
