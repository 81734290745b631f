"""Random KV operations from a seed: mostly sensible, some at the edges, some wrong in every way the API knows.

The key space is small so that operations meet: keys share prefixes, hold 0x00 and 0xff bytes, and some are
longer than LMDB's 511 bytes and agree for the first 480.
"""

from __future__ import annotations

import dataclasses
import random
import re

from google.protobuf import text_format
from google.protobuf.message import Message

import api
from api import Outcome, message

SORT_KEY = 0
SORT_VALUE = 4
REQUEST_BYTES_MAX = 1_572_864
RECEIVE_BYTES_MAX = REQUEST_BYTES_MAX + 512 * 1024
TRANSACTION_OPERATIONS_MAX = 128
INVALID_SORT = Outcome(3, "etcdserver: invalid sort option")


@dataclasses.dataclass
class Operation:
    """A unary call. `expected` is set where etcd 3.5.1 cannot be asked: then only the subject is."""

    path: str
    data: bytes
    method: api.Method | None = None
    expected: Outcome | None = None

    @property
    def request(self) -> Message | None:
        return self.method.parse_request(self.data) if self.method else None

    def __str__(self) -> str:
        if self.method is None:
            return f"{self.path} {self.data[:60]!r}"
        text = shortened(text_format.MessageToString(self.request, as_one_line=True))
        return f"{self.path} {{ {text if len(text) < 2000 else text[:2000] + '...'} }}"


def shortened(text: str) -> str:
    """Long runs of one character as a count: `LLL...` of 480 becomes `L*480`."""
    def counted(run: re.Match) -> str:
        return f"{run.group(1)}*{len(run.group(0)) // len(run.group(1))}"

    return re.sub(r"(\\\d\d\d|.)\1{20,}", counted, text)


def operation(name: str, request: Message, expected: Outcome | None = None) -> Operation:
    of = api.method(name)
    return Operation(of.path, request.SerializeToString(), of, expected)


def key_pool() -> list[bytes]:
    short = [b"a", b"aa", b"ab", b"b", b"b\0", b"\0", b"\0\0", b"\xff", b"\xff\xff", b"k/", b"k\xff"]
    numbered = [b"k/%d" % number for number in range(12)]
    long = [b"L" * length for length in (478, 479, 480, 481, 510, 511, 512, 600)]
    branching = [b"M" * 480 + tail for tail in (b"a", b"b", b"b" * 31, b"b" * 32, b"\0", b"\xff" * 100)]
    return short + numbered + long + branching


class Generator:
    """`at` tells the current and compacted revisions; all else comes from the seed."""

    def __init__(self, seed: int, lease_ids: tuple[int, ...] = ()):
        self.random = random.Random(seed)
        self.keys = key_pool()
        self.lease_ids = lease_ids
        self.revision = 1
        self.compact_revision = -1
        self.serial = 0
        self.may_ignore = True

    def at(self, revision: int, compact_revision: int) -> "Generator":
        self.revision, self.compact_revision = revision, compact_revision
        return self

    def next(self) -> Operation:
        kinds = {self.put: 34, self.range: 30, self.delete: 8, self.transaction: 22, self.compaction: 0.6,
                 self.wrong: 5}
        kind, = self.random.choices(list(kinds), list(kinds.values()))
        return kind()

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    # Whole operations.

    def put(self) -> Operation:
        return operation("KV/Put", self.put_request())

    def range(self) -> Operation:
        return operation("KV/Range", self.range_request(in_transaction=False))

    def delete(self) -> Operation:
        return operation("KV/DeleteRange", self.delete_request())

    def transaction(self) -> Operation:
        # An ignore_* put is checked on the state before the transaction. If a delete then takes its key, nested
        # or by a range up to "\0" (which etcd's duplicate check does not see), etcd stops itself.
        self.may_ignore = self.chance(0.4)
        request = self.transaction_request(depth=0, keys=self.keys[:])
        self.may_ignore = True
        return operation("KV/Txn", request)

    def tangled_transaction(self) -> Operation:
        """Nested, with keys drawn freely, so that puts and deletes meet as often as the key space is small."""
        self.may_ignore = False
        request = self.transaction_request(depth=0, keys=[])
        self.may_ignore = True
        return operation("KV/Txn", request)

    def compaction(self) -> Operation:
        oldest = max(self.compact_revision, 0)
        recent = self.random.randint(oldest, self.revision)
        revision = self.random.choices([recent, self.revision, oldest, oldest - 1, self.revision + 1, 0, -1],
                                       [10, 2, 1, 1, 1, 1, 1])[0]
        return operation("KV/Compact", message("CompactionRequest", revision=revision,
                                               physical=self.chance(0.3)))

    def wrong(self) -> Operation:
        return self.random.choice([
            self.empty_key, self.bad_sort, self.too_many_operations, self.oversize, self.unknown_method,
            self.malformed, self.unknown_fields, self.empty_operation, self.duplicate_keys, self.bad_compare])()

    # Parts.

    def key(self) -> bytes:
        return self.random.choice(self.keys)

    def value(self) -> bytes:
        self.serial += 1
        choice = self.random.random()
        if choice < 0.02:
            return self.random.randbytes(self.random.randint(1, 65536))
        if choice < 0.30:
            return self.random.choice([b"", b"same", b"equal", b"\0", b"\xff"])
        return b"value %d" % self.serial

    def lease(self) -> int:
        if self.chance(0.04):
            return self.random.choice([77, -1, 1 << 62])
        return self.random.choice(self.lease_ids) if self.lease_ids and self.chance(0.2) else 0

    def put_request(self, key: bytes | None = None) -> Message:
        ignore_value, ignore_lease = (self.may_ignore and self.chance(0.06) for _ in range(2))
        keep_anyway = self.chance(0.1)  # ignore_* together with what it ignores is an error
        return message(
            "PutRequest", key=key or self.key(), prev_kv=self.chance(0.4),
            value=b"" if ignore_value and not keep_anyway else self.value(),
            lease=0 if ignore_lease and not keep_anyway else self.lease(),
            ignore_value=ignore_value, ignore_lease=ignore_lease)

    def interval(self) -> tuple[bytes, bytes]:
        key, other = self.key(), self.key()
        choice = self.random.random()
        if choice < 0.30:
            return key, b""
        if choice < 0.65:
            return min(key, other), max(key, other)
        if choice < 0.75:
            return key, key[:-1] + bytes([key[-1] + 1]) if key[-1] < 255 else b"\0"
        if choice < 0.85:
            return key, b"\0"
        if choice < 0.95:
            return b"\0", b"\0"
        return max(key, other), min(key, other)

    def past_revision(self) -> int:
        return self.random.randint(max(self.compact_revision, 1), self.revision)

    def read_revision(self) -> int:
        choice = self.random.random()
        if choice < 0.6:
            return 0
        if choice < 0.9:
            return self.past_revision()
        return self.random.choice([self.revision + 1, self.revision + 1000, self.compact_revision,
                                   self.compact_revision - 1, -1, 1, self.revision])

    def range_request(self, in_transaction: bool) -> Message:
        key, range_end = self.interval()
        request = message("RangeRequest", key=key, range_end=range_end, revision=self.read_revision(),
                          serializable=self.chance(0.3), keys_only=self.chance(0.2),
                          count_only=self.chance(0.1))
        if self.chance(0.4):
            request.limit = self.random.choice([1, 2, 3, 5, 10, 100, -1])
        if self.chance(0.5):
            request.sort_order = self.random.randint(0, 2)
            request.sort_target = self.random.randint(0, 4)
        for name in ("min_mod_revision", "max_mod_revision", "min_create_revision", "max_create_revision"):
            if self.chance(0.08):
                setattr(request, name, self.random.choice([self.past_revision(), self.past_revision(), -1, 1]))
        if in_transaction and request.sort_target != SORT_KEY:
            # Which of several equals a limit keeps is not specified, and a transaction's state cannot be
            # asked again; see comparison.py for how it is done outside.
            request.limit = 0
            request.keys_only = request.keys_only and request.sort_target != SORT_VALUE
        return request

    def delete_request(self) -> Message:
        key, range_end = self.interval()
        if range_end and self.chance(0.6):
            range_end = b""
        return message("DeleteRangeRequest", key=key, range_end=range_end, prev_kv=self.chance(0.5))

    def compare(self) -> Message:
        request = message("Compare", key=self.key(), result=self.random.randint(0, 3),
                          target=self.random.randint(0, 4))
        if self.chance(0.2):
            request.key, request.range_end = self.interval()
        if self.chance(0.9):
            near = self.random.choice([0, 1, 2, self.past_revision(), self.revision])
            match request.target:
                case 0: request.version = near
                case 1: request.create_revision = near
                case 2: request.mod_revision = near
                case 3: request.value = self.random.choice([b"", b"same", b"equal", b"value 5"])
                case 4: request.lease = self.random.choice([0, 0, 77, *self.lease_ids])
        return request

    def transaction_request(self, depth: int, keys: list[bytes]) -> Message:
        """`keys` are those still unused for puts; a used one is drawn now and then, to collide."""
        def put_key() -> bytes:
            if len(keys) < 2 or self.chance(0.04):
                return self.key()
            return keys.pop(self.random.randrange(len(keys)))

        def branch() -> list[Message]:
            out = []
            for _ in range(self.random.choice([0, 1, 1, 2, 2, 3, 5])):
                choice = self.random.random()
                if choice < 0.45:
                    out.append(message("RequestOp", request_put=self.put_request(put_key())))
                elif choice < 0.75:
                    out.append(message("RequestOp", request_range=self.range_request(in_transaction=True)))
                elif choice < 0.8 or depth >= 3 or self.may_ignore:
                    delete = self.delete_request()
                    if self.may_ignore or self.chance(0.7):
                        delete.key, delete.range_end = put_key(), b""
                    out.append(message("RequestOp", request_delete_range=delete))
                else:
                    nested = self.transaction_request(depth + 1, keys)
                    out.append(message("RequestOp", request_txn=nested))
            return out

        compares = [self.compare() for _ in range(self.random.choice([0, 1, 1, 1, 2, 3]))]
        return message("TxnRequest", compare=compares, success=branch(), failure=branch())

    # Requests that are wrong.

    def empty_key(self) -> Operation:
        empty_range = message("RangeRequest", range_end=self.random.choice([b"", b"b", b"\0"]))
        empty_delete = message("DeleteRangeRequest", range_end=self.random.choice([b"", b"b", b"\0"]))
        empty_put = message("PutRequest", value=b"v")
        op = self.random.choice([
            message("RequestOp", request_range=empty_range), message("RequestOp", request_put=empty_put),
            message("RequestOp", request_delete_range=empty_delete)])
        nested = message("RequestOp", request_txn=message("TxnRequest", failure=[op]))
        return self.random.choice([
            operation("KV/Range", empty_range), operation("KV/Put", empty_put),
            operation("KV/DeleteRange", empty_delete),
            operation("KV/Txn", message("TxnRequest", failure=[op])),
            operation("KV/Txn", message("TxnRequest", success=[nested])),
            operation("KV/Txn", message("TxnRequest", compare=[message("Compare")]))])

    def bad_sort(self) -> Operation:
        request = message("RangeRequest", key=self.key(), range_end=b"\0")
        request.sort_order, request.sort_target = self.random.choice([(3, 0), (-1, 0), (0, 5), (1, -1), (9, 9)])
        if self.chance(0.5):
            return operation("KV/Range", request, INVALID_SORT)
        wrapped = message("TxnRequest", failure=[message("RequestOp", request_range=request)])
        return operation("KV/Txn", wrapped, INVALID_SORT)

    def bad_compare(self) -> Operation:
        compare = self.compare()
        if self.chance(0.5):
            compare.result = self.random.choice([-1, 4, 100])
        else:
            compare.target = self.random.choice([-1, 5, 100])
        put = message("RequestOp", request_put=self.put_request())
        return operation("KV/Txn", message("TxnRequest", compare=[compare], success=[put]))

    def too_many_operations(self) -> Operation:
        """At and just over the limit; a nested transaction has what its parent's longest list leaves."""
        def reads(count: int) -> list[Message]:
            return [message("RequestOp", request_range=message("RangeRequest", key=self.key()))
                    for _ in range(count)]

        limit = TRANSACTION_OPERATIONS_MAX
        over = self.random.choice([0, 1])
        compares = [message("Compare", key=self.key()) for _ in range(limit + over)]
        outer = self.random.choice([1, 60, 127])
        nested = message("RequestOp", request_txn=message("TxnRequest", success=reads(limit - outer + over)))
        return operation("KV/Txn", self.random.choice([
            message("TxnRequest", success=reads(limit + over)), message("TxnRequest", failure=reads(limit + over)),
            message("TxnRequest", compare=compares),
            message("TxnRequest", success=[nested, *reads(outer - 1)])]))

    def oversize(self) -> Operation:
        if self.chance(0.7):
            return self.put()  # these are slow; a few are enough
        length = self.random.choice([REQUEST_BYTES_MAX + 1, REQUEST_BYTES_MAX + 1000, RECEIVE_BYTES_MAX + 1000])
        return operation("KV/Put", message("PutRequest", key=b"big", value=b"\0" * length))

    def unknown_method(self) -> Operation:
        return Operation(self.random.choice(["/etcdserverpb.KV/Nothing", "/etcdserverpb.Nothing/Put"]), b"")

    def malformed(self) -> Operation:
        of = api.method(self.random.choice(["KV/Range", "KV/Put", "KV/DeleteRange", "KV/Txn", "KV/Compact"]))
        data = self.random.choice([b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7fa", b"\x0a\x05ab", b"\xff" * 12,
                                   b"\x0f", b"\x07\x01", b"\x00\x01"])
        return Operation(of.path, data)

    def unknown_fields(self) -> Operation:
        plain = self.random.choice([self.put, self.range])()
        if plain.request.ByteSize() > 4096:
            return plain
        return dataclasses.replace(plain, data=plain.data + b"\xf8\x06\x05" + b"\xfa\x06\x03abc")

    def empty_operation(self) -> Operation:
        empty = message("RequestOp")
        put = message("RequestOp", request_put=self.put_request())
        nested = message("RequestOp", request_txn=message("TxnRequest", failure=[empty]))
        return operation("KV/Txn", self.random.choice([
            message("TxnRequest", success=[empty]), message("TxnRequest", success=[put], failure=[empty]),
            message("TxnRequest", success=[nested])]))

    def duplicate_keys(self) -> Operation:
        """The same key put twice, or put and deleted, on one level or across nested transactions."""
        key = self.key()
        put = message("RequestOp", request_put=message("PutRequest", key=key, value=b"v"))
        delete = message("RequestOp", request_delete_range=message(
            "DeleteRangeRequest", key=key, range_end=self.random.choice([b"", b"\0"])))
        first, second = self.random.choice([(put, put), (put, delete), (delete, put), (delete, delete)])

        def nested(*branches: list[Message]) -> Message:
            names = ("success", "failure")
            lists = dict(zip(names, branches))
            return message("RequestOp", request_txn=message("TxnRequest", **lists))

        return operation("KV/Txn", self.random.choice([
            message("TxnRequest", success=[first, second]),
            message("TxnRequest", success=[first], failure=[second]),
            message("TxnRequest", success=[first, nested([second])]),
            message("TxnRequest", success=[nested([first]), second]),
            message("TxnRequest", success=[nested([first]), nested([second])]),
            message("TxnRequest", success=[nested([first], [second])])]))
