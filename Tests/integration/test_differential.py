"""Random KV operations on Cairn and on real etcd 3.5.1 in lockstep: every field, code and text must agree."""

from __future__ import annotations

import dataclasses

import grpc
import pytest

import harness
from api import Client, Outcome, message
from lockstep import DifferenceError, Lockstep, minimised
from operations import Generator, Operation, operation

OPERATIONS = 5_000
OPERATIONS_LONG = 100_000
HASHES_ON_THE_WAY = 20
OPERATIONS_SHOWN = 10
TANGLED_TRANSACTIONS = 1_500


def run_random(lockstep: Lockstep, seed: int, operations: int) -> None:
    leases = grant_leases(lockstep)
    generator = Generator(seed, leases)
    hash_every = max(operations // HASHES_ON_THE_WAY, 1)
    model = lockstep.model
    for number in range(operations):
        lockstep.run(generator.at(model.revision, model.compact_revision).next())
        if number % hash_every == hash_every - 1:
            lockstep.compare_hashes()
            lockstep.compare_hashes(generator.at(model.revision, model.compact_revision).past_revision())
            if model.compact_revision > 0:
                lockstep.compare_hashes(model.compact_revision)
    lockstep.compare_hashes()
    lockstep.compare_everything()


def grant_leases(lockstep: Lockstep) -> tuple[int, ...]:
    """Leases on both sides, where the subject has them."""
    ids = (5, 6)
    for lease in ids:
        request = message("LeaseGrantRequest", ID=lease, TTL=100_000)
        answers = [client.call("Lease/LeaseGrant", request) for client in (lockstep.reference, lockstep.subject)]
        if answers[1].code == grpc.StatusCode.UNIMPLEMENTED.value[0]:
            return ()
        assert all(answer.succeeded for answer in answers), answers
    return ids


def test_random_operations(reference, subject, seed, is_long, request):
    operations = request.config.getoption("--operations") or (OPERATIONS_LONG if is_long else OPERATIONS)
    lockstep = Lockstep(reference.client(), subject.client(), subject_is_etcd=harness.subject_is_etcd())
    try:
        run_random(lockstep, seed, operations)
    except DifferenceError as error:
        history = lockstep.history
        seconds = request.config.getoption("--minimise")
        if seconds:
            history = minimised(history, differs, seconds)
        last = "\n".join(f"  {op}" for op in history[-OPERATIONS_SHOWN:])
        pytest.fail(f"seed {seed}, operation {len(lockstep.history)}: {error}\n"
                    f"last of {len(history)} operations:\n{last}", pytrace=False)
    print(lockstep.statistics)
    check_that_much_was_met(lockstep, operations)


def test_tangled_transactions(reference, subject, seed):
    """The duplicate-key rule, level by level and branch by branch, where about half of the requests break it."""
    lockstep = Lockstep(reference.client(), subject.client(), subject_is_etcd=harness.subject_is_etcd())
    generator = Generator(seed)
    generator.keys = [b"\0", b"a", b"b", b"c", b"d", b"\xff"]
    for _ in range(TANGLED_TRANSACTIONS):
        lockstep.run(generator.at(lockstep.model.revision, -1).tangled_transaction())
    lockstep.compare_hashes()
    lockstep.compare_everything()
    duplicates = lockstep.statistics.failed["etcdserver: duplicate key given in txn request"]
    assert duplicates > TANGLED_TRANSACTIONS / 10 and lockstep.statistics.succeeded["Txn"] > TANGLED_TRANSACTIONS / 5


def check_that_much_was_met(lockstep: Lockstep, operations: int) -> None:
    statistics = lockstep.statistics
    for name, share in (("Put", 0.2), ("Range", 0.15), ("DeleteRange", 0.03), ("Txn", 0.05), ("Compact", 0.001)):
        assert statistics.succeeded[name] >= operations * share, f"too few {name}: {statistics}"
    if operations >= OPERATIONS:
        assert len(statistics.failed) >= 12, f"too few kinds of refusal: {statistics}"
        assert statistics.hashes >= 2 * HASHES_ON_THE_WAY * 0.8
        assert statistics.hashes_after_compaction >= HASHES_ON_THE_WAY


def differs(history: list[Operation]) -> bool:
    """Whether these operations on fresh servers lead to a difference."""
    with harness.etcd() as reference, harness.cairn() as subject:
        lockstep = Lockstep(reference.start().client(), subject.start().client(),
                            subject_is_etcd=harness.subject_is_etcd())
        try:
            for op in history:
                lockstep.run(op)
            lockstep.compare_hashes()
        except DifferenceError:
            return True
        return False


# The test's own test: a faulty member must be caught, whatever the fault.

class FaultyClient(Client):
    """A client of real etcd that spoils some answers, as a faulty member would."""

    def __init__(self, port: int, spoil):
        super().__init__(port)
        self.spoil = spoil

    def outcome(self, future, of) -> Outcome:
        outcome = super().outcome(future, of)
        if outcome.response is not None:
            self.spoil(outcome.response)
            return outcome
        return self.spoil(outcome) or outcome


def spoil_field(message_name: str, field: str, value):
    def spoil(response):
        if not isinstance(response, Outcome) and response.DESCRIPTOR.name == message_name:
            if callable(value):
                value(response)
            else:
                setattr(response, field, value)
    return spoil


def spoil_nested_put(response) -> None:
    for result in response.responses:
        if result.WhichOneof("response") == "response_put":
            result.response_put.ClearField("prev_kv")


def swap_first_two(response) -> None:
    if len(response.kvs) >= 2:
        first, second = response.kvs[1], response.kvs[0]
        kvs = [first, second, *response.kvs[2:]]
        copies = [type(kv).FromString(kv.SerializeToString()) for kv in kvs]
        del response.kvs[:]
        response.kvs.extend(copies)


def spoil_text(outcome):
    if isinstance(outcome, Outcome) and "compacted" in outcome.text:
        return dataclasses.replace(outcome, text=outcome.text + "!")


def spoil_code(outcome):
    if isinstance(outcome, Outcome) and outcome.code == 11:
        return dataclasses.replace(outcome, code=2)


FAULTS = {
    "count after filters": spoil_field("RangeResponse", "count", lambda r: setattr(r, "count", len(r.kvs))),
    "more forgotten": spoil_field("RangeResponse", "more", False),
    "pairs out of order": spoil_field("RangeResponse", "kvs", swap_first_two),
    "last byte of a value": spoil_field(
        "RangeResponse", "kvs",
        lambda r: [setattr(kv, "value", kv.value[:-1]) for kv in r.kvs if len(kv.value) > 1000]),
    "revision of the header": spoil_field(
        "TxnResponse", "header", lambda r: setattr(r.header, "revision", r.header.revision + 1)),
    "deleted count": spoil_field("DeleteRangeResponse", "deleted", lambda r: setattr(r, "deleted", 1)),
    "prev_kv in a transaction": spoil_field("TxnResponse", "responses", spoil_nested_put),
    "hash": spoil_field("HashKVResponse", "hash", 12345),
    "error text": spoil_text,
    "error code": spoil_code,
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_found(reference, fault):
    with harness.etcd() as other:
        faulty = FaultyClient(other.start().client_port, FAULTS[fault])
        lockstep = Lockstep(reference.client(), faulty, subject_is_etcd=True)
        with pytest.raises(DifferenceError):
            run_random(lockstep, seed=7, operations=2_000)


def test_a_lost_write_is_found(reference):
    """The member acknowledges but forgets one write: nothing answers wrongly until it is read or hashed."""
    with harness.etcd() as other:
        lockstep = Lockstep(reference.client(), other.start().client(), subject_is_etcd=True)
        for number in range(20):
            lockstep.run(operation("KV/Put", message("PutRequest", key=b"k%d" % number, value=b"v")))
        lockstep.subject.put(b"k3", b"other")
        lockstep.reference.put(b"k3", b"v")
        lockstep.model.apply(message("PutRequest", key=b"k3", value=b"v"), message("PutResponse"))
        with pytest.raises(DifferenceError):
            lockstep.compare_hashes()


def test_minimised_history_is_short():
    history = [Operation("/x", bytes([number])) for number in range(100)]
    wanted = {17, 63}
    found = minimised(history, lambda ops: wanted <= {op.data[0] for op in ops}, seconds_max=10)
    assert {op.data[0] for op in found} == wanted
