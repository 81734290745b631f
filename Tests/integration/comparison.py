"""Says whether two outcomes of one operation are the same, as far as etcd promises them to be.

Left out: cluster and member ids, the raft term, the order of a lease's keys and of leases, and how much of a TTL is
left to within a minute (the tests of expiry measure it). Order among equal sort keys is unspecified (etcd's sort is
not stable), so equals are put into key order first; where a limit cut through a group of equals, any of them
may have been kept.
"""

from __future__ import annotations

import dataclasses
import itertools
from typing import Callable

from google.protobuf.message import Message

from api import Outcome, message
from operations import SORT_KEY, SORT_VALUE, Operation


@dataclasses.dataclass
class KnownDifference:
    """Turns what etcd 3.5.1 said into what etcd 3.7.1 says, which is what Cairn follows."""

    name: str
    reason: str
    adjust: Callable[[Operation, Outcome, Outcome], Outcome]


def _drop_lease_of_keys_only(operation: Operation, reference: Outcome, _subject: Outcome) -> Outcome:
    if not reference.succeeded or operation.method is None:
        return reference
    adjusted = dataclasses.replace(reference, response=_copy(reference.response))
    for request, response in ranges_in(operation.request, adjusted.response):
        if request.keys_only and request.sort_target != SORT_VALUE:
            for kv in response.kvs:
                kv.lease = 0
    return adjusted


TTL_SECONDS_SPENT_MAX = 60
UNMARSHAL_PREFIX = "grpc: error unmarshalling request: "


def _unmarshal_text(_operation: Operation, reference: Outcome, subject: Outcome) -> Outcome:
    both = reference.text.startswith(UNMARSHAL_PREFIX) and subject.text.startswith(UNMARSHAL_PREFIX)
    return dataclasses.replace(reference, text=subject.text) if both else reference


PUT_FAULTS = {(3, "etcdserver: key not found"), (5, "etcdserver: requested lease not found")}
RANGE_FAULTS = {(11, "etcdserver: mvcc: required revision has been compacted"),
                (11, "etcdserver: mvcc: required revision is a future revision")}


def _first_fault_in_order(operation: Operation, reference: Outcome, subject: Outcome) -> Outcome:
    is_transaction = operation.method is not None and operation.request.DESCRIPTOR.name == "TxnRequest"
    if is_transaction and (reference.code, reference.text) in PUT_FAULTS \
            and (subject.code, subject.text) in RANGE_FAULTS:
        return subject
    return reference


# Every difference between etcd 3.5.1 and 3.7.1 that these tests meet. Two more cannot be put as a change of an
# answer: an unknown sort order is not refused by 3.5.1 and an unknown sort target stops it, so
# operations.Generator.bad_sort states 3.7.1's answer itself; and HashKV at exactly the compacted revision is an
# error in 3.5.1 only, so test_differential asks for it from Cairn and the model.
KNOWN_DIFFERENCES = [
    KnownDifference(
        "keys_only drops the lease",
        "since 3.7 keys_only is answered from the index, which knows no leases (unless sorted by value)",
        _drop_lease_of_keys_only),
    KnownDifference(
        "text of a request that is not protobuf",
        "after the prefix comes the decoder's own text; 3.7 has another protobuf library than 3.5",
        _unmarshal_text),
    KnownDifference(
        "which of two faults in a transaction is named",
        "3.5 checks all puts of the chosen branch and then all its ranges, 3.7 all operations in their order, so a "
        "range's fault may come before a put's",
        _first_fault_in_order),
]


def expected_of_cairn(operation: Operation, reference: Outcome, subject: Outcome) -> Outcome:
    for known in KNOWN_DIFFERENCES:
        reference = known.adjust(operation, reference, subject)
    return reference


def difference(operation: Operation, reference: Outcome, subject: Outcome,
               values: dict[bytes, bytes] | None = None) -> str | None:
    """None, or what differs. `values` gives the values that a keys_only range sorted by value left out."""
    if (reference.code, reference.text) != (subject.code, subject.text):
        return f"status: expected {reference}, got {subject}"
    if not reference.succeeded or operation.method is None:
        return None
    expected = canonical(operation.request, reference.response, values)
    got = canonical(operation.request, subject.response, values)
    if expected != got:
        return first_difference(expected, got)
    return None


def canonical(request: Message, response: Message, values: dict[bytes, bytes] | None = None) -> Message:
    """The response without what may differ."""
    response = _copy(response)
    if response.HasField("header"):
        response.header.ClearField("cluster_id")
        response.header.ClearField("member_id")
        response.header.ClearField("raft_term")
    if response.DESCRIPTOR.name == "LeaseTimeToLiveResponse":
        if 0 <= response.grantedTTL - response.TTL <= TTL_SECONDS_SPENT_MAX:
            response.TTL = response.grantedTTL
        response.keys.sort()
    elif response.DESCRIPTOR.name == "LeaseLeasesResponse":
        response.leases.sort(key=lambda lease: lease.ID)
    for each_request, each_response in ranges_in(request, response):
        if each_request.sort_target == SORT_KEY:
            continue
        ordered = _equals_in_key_order(each_request, each_response, values)
        del each_response.kvs[:]
        each_response.kvs.extend(ordered)
    return response


def loses_equals(request: Message) -> bool:
    """Whether a limit is applied after a sort that may have equals, so that it may cut through them."""
    # Without an order too: one key more than the limit is read, then sorted, then cut.
    return request.limit > 0 and request.sort_target != SORT_KEY


def needs_full_range(request: Message) -> bool:
    """Whether a top-level range's answer can only be judged with the whole range beside it."""
    sorted_by_hidden_value = request.keys_only and request.sort_target == SORT_VALUE
    return loses_equals(request) or sorted_by_hidden_value


def full_range(request: Message, at_revision: int) -> Message:
    full = _copy(request)
    full.limit = 0
    full.keys_only = False
    if full.revision <= 0:
        full.revision = at_revision
    return full


def not_in_full_range(request: Message, response: Message, full: Message) -> str | None:
    """A pair that the range does not hold, if there is one."""
    held = {kv.key: kv for kv in full.kvs}
    for kv in response.kvs:
        expected = _copy(held[kv.key]) if kv.key in held else None
        if expected is not None and request.keys_only:
            expected.value = b""
            expected.lease = kv.lease
        if kv != expected:
            return f"the whole range holds {expected}, the answer {kv}"
    if len({kv.key for kv in response.kvs}) != len(response.kvs):
        return "a key comes twice"
    return None


def ranges_in(request: Message, response: Message):
    """(request, response) of each range that ran: the request itself, or those of a transaction's branch."""
    kind = request.DESCRIPTOR.name
    if kind == "RangeRequest":
        yield request, response
    elif kind == "TxnRequest":
        operations = request.success if response.succeeded else request.failure
        for operation, result in zip(operations, response.responses):
            name = operation.WhichOneof("request")
            result_name = result.WhichOneof("response")
            if name is not None and result_name == name.replace("request_", "response_"):
                yield from ranges_in(getattr(operation, name), getattr(result, result_name))


def _equals_in_key_order(request: Message, response: Message, values: dict[bytes, bytes] | None) -> list[Message]:
    """The pairs with each group of equals in key order; of a group that the limit cut, only the sort key."""
    field = ("key", "version", "create_revision", "mod_revision", "value")[request.sort_target]

    def key_of(kv: Message) -> object:
        hidden = request.keys_only and field == "value"
        return (values or {}).get(kv.key, b"") if hidden else getattr(kv, field)

    groups = [(key, list(kvs)) for key, kvs in itertools.groupby(response.kvs, key_of)]
    out: list[Message] = []
    for index, (key, kvs) in enumerate(groups):
        if loses_equals(request) and response.more and index == len(groups) - 1:
            out.extend(message("mvccpb.KeyValue", value=repr(key).encode()) for _ in kvs)
        else:
            out.extend(sorted(kvs, key=lambda kv: kv.key))
    return out


def first_difference(expected: Message, got: Message, path: str = "") -> str:
    """The first field in which two messages differ, by its path."""
    name = path or expected.DESCRIPTOR.name
    for field in expected.DESCRIPTOR.fields:
        left, right = getattr(expected, field.name), getattr(got, field.name)
        if left == right:
            continue
        here = f"{name}.{field.name}"
        if field.is_repeated:
            if len(left) != len(right):
                return f"{here}: expected {len(left)} of them, got {len(right)}:\n  {list(left)}\n  {list(right)}"
            index = next(i for i, pair in enumerate(zip(left, right)) if pair[0] != pair[1])
            if field.message_type:
                return first_difference(left[index], right[index], f"{here}[{index}]")
            return f"{here}[{index}]: expected {left[index]!r}, got {right[index]!r}"
        if field.message_type:
            return first_difference(left, right, here)
        return f"{here}: expected {left!r}, got {right!r}"
    return f"{name}: expected {expected}, got {got} (presence or unknown fields)"


def _copy(of: Message) -> Message:
    out = type(of)()
    out.CopyFrom(of)
    return out

