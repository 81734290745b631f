"""A naive model of the store: every row kept in a list, nothing clever, HashKV computed byte by byte.

It is told which requests succeeded (and which way their transactions branched) and works out the rest by
itself, with an encoder of its own, so that an error in a server's rows cannot hide in shared code.
"""

from __future__ import annotations

import dataclasses

import google_crc32c
from google.protobuf.message import Message


@dataclasses.dataclass(slots=True)
class Row:
    main: int
    sub: int
    key: bytes
    is_tombstone: bool
    create: int = 0
    version: int = 0
    value: bytes = b""
    lease: int = 0

    def hashed_bytes(self) -> bytes:
        row_key = self.main.to_bytes(8, "big") + b"_" + self.sub.to_bytes(8, "big")
        if self.is_tombstone:
            return row_key + b"t" + _bytes_field(1, self.key)
        return (row_key + _bytes_field(1, self.key) + _integer_field(2, self.create) + _integer_field(3, self.main)
                + _integer_field(4, self.version) + _bytes_field(5, self.value) + _integer_field(6, self.lease))


class Model:
    def __init__(self) -> None:
        self.revision = 1
        self.compact_revision = -1
        self.rows: list[Row] = []
        self.by_key: dict[bytes, list[Row]] = {}
        self.leases: dict[int, int] = {}  # id -> granted TTL
        self._next_sub = 0

    # Requests that succeeded, in the order in which they were executed.

    def apply(self, request: Message, response: Message) -> None:
        kind = request.DESCRIPTOR.name
        if kind == "CompactionRequest":
            self.compact(request.revision)
            return
        self._next_sub = 0
        self._execute(kind, request, response)
        if self._next_sub > 0:
            self.revision += 1

    def _execute(self, kind: str, request: Message, response: Message) -> None:
        if kind == "PutRequest":
            self._put(request)
        elif kind == "DeleteRangeRequest":
            self._delete_range(request.key, request.range_end)
        elif kind == "LeaseGrantRequest":
            self.leases[response.ID] = response.TTL
        elif kind == "LeaseRevokeRequest":
            self._revoke(request.ID)
        elif kind == "TxnRequest":
            operations = request.success if response.succeeded else request.failure
            for operation, result in zip(operations, response.responses, strict=True):
                name = operation.WhichOneof("request")
                self._execute(getattr(operation, name).DESCRIPTOR.name, getattr(operation, name),
                              getattr(result, name.replace("request_", "response_")))

    def _put(self, request: Message) -> None:
        latest = self.latest(request.key)
        value = latest.value if request.ignore_value and latest else request.value
        lease = latest.lease if request.ignore_lease and latest else request.lease
        self._append(request.key, is_tombstone=False, value=bytes(value), lease=lease,
                     create=latest.create if latest else self.revision + 1,
                     version=latest.version + 1 if latest else 1)

    def _delete_range(self, key: bytes, range_end: bytes) -> None:
        for each in sorted(self.by_key):
            if in_range(each, key, range_end) and self.latest(each):
                self._append(each, is_tombstone=True)

    def _revoke(self, lease: int) -> None:
        for key in self.keys_of_lease(lease):
            self._append(key, is_tombstone=True)
        del self.leases[lease]

    def _append(self, key: bytes, **fields) -> None:
        row = Row(self.revision + 1, self._next_sub, bytes(key), **fields)
        self._next_sub += 1
        self.rows.append(row)
        self.by_key.setdefault(row.key, []).append(row)

    # Reads.

    def latest(self, key: bytes, at: int | None = None) -> Row | None:
        """The key's live row at a revision (now, unless told), None where it is deleted or absent."""
        for row in reversed(self.by_key.get(key, [])):
            if at is None or row.main <= at:
                return None if row.is_tombstone else row
        return None

    def live(self, at: int | None = None) -> list[Row]:
        rows = (self.latest(key, at) for key in sorted(self.by_key))
        return [row for row in rows if row is not None]

    def keys_of_lease(self, lease: int) -> list[bytes]:
        return [row.key for row in self.live() if row.lease == lease]

    def compact(self, revision: int) -> None:
        """Rows go at once: what readers may see does not depend on when a server removes them."""
        keep = {id(row) for row in self.live(revision)}
        self.compact_revision = revision
        self.rows = [row for row in self.rows if id(row) in keep or row.main > revision
                     or (row.is_tombstone and row.main == revision)]
        self.by_key = {}
        for row in self.rows:
            self.by_key.setdefault(row.key, []).append(row)

    def hash_kv(self, revision: int = 0) -> int:
        revision = revision or self.revision
        live = {id(row) for row in self.live(revision)}
        checksum = google_crc32c.Checksum(b"key")
        for row in self.rows:
            if row.main > revision:
                break
            skipped_as_dead = row.main <= self.compact_revision and live and id(row) not in live
            if skipped_as_dead or (row.is_tombstone and row.main == self.compact_revision):
                continue
            checksum.update(row.hashed_bytes())
        return int.from_bytes(checksum.digest(), "big")


def in_range(key: bytes, start: bytes, end: bytes) -> bool:
    if not end:
        return key == start
    if end == b"\0":
        return key >= start
    return start <= key < end


def _varint(number: int) -> bytes:
    number &= (1 << 64) - 1
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _bytes_field(number: int, value: bytes) -> bytes:
    return bytes([number << 3 | 2]) + _varint(len(value)) + value if value else b""


def _integer_field(number: int, value: int) -> bytes:
    return bytes([number << 3]) + _varint(value) if value else b""
