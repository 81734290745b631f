"""Runs the same operations on the reference and on the subject, one at a time, and stops at a difference."""

from __future__ import annotations

import collections
import dataclasses
import time
from typing import Callable

import comparison
from api import Client, Outcome, message
from mvcc_model import Model
from operations import Operation, operation, shortened

class DifferenceError(AssertionError):
    pass


@dataclasses.dataclass
class Statistics:
    """What the run met; a run that never saw a successful transaction proves little."""

    succeeded: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    failed: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    hashes: int = 0
    hashes_after_compaction: int = 0

    def __str__(self) -> str:
        succeeded = ", ".join(f"{name} {count}" for name, count in self.succeeded.most_common())
        failed = "; ".join(f"{text} {count}" for text, count in self.failed.most_common())
        return f"succeeded: {succeeded}\nrefused: {failed}\nHashKV compared {self.hashes} times"


class Lockstep:
    def __init__(self, reference: Client, subject: Client, *, subject_is_etcd: bool):
        self.reference, self.subject = reference, subject
        self.subject_is_etcd = subject_is_etcd
        self.model = Model()
        self.history: list[Operation] = []
        self.statistics = Statistics()

    def run(self, op: Operation) -> None:
        """Sends one operation to both, compares, and lets the model follow."""
        self.history.append(op)
        if op.expected is not None:
            self._run_expected(op)
            return
        reference, subject = self._ask_both(op)
        self._compare(op, reference, subject)
        if reference.succeeded and op.method is not None:
            self.statistics.succeeded[op.path.split("/")[-1]] += 1
            self.model.apply(op.request, reference.response)
            if reference.response.header.revision != self.model.revision:
                raise DifferenceError(f"the model is at revision {self.model.revision}, the reference answered "
                                      f"{reference.response.header.revision}: {op}")
        else:
            self.statistics.failed[reference.text[:60]] += 1

    def _run_expected(self, op: Operation) -> None:
        if self.subject_is_etcd:
            return  # it would stop etcd 3.5.1
        got = self.subject.outcome(self.subject.start(op.path, op.data), op.method)
        found = comparison.difference(op, op.expected, got)
        if found:
            raise DifferenceError(f"{found}\n  {op}")
        self.statistics.failed[got.text[:60]] += 1

    def _ask_both(self, op: Operation) -> tuple[Outcome, Outcome]:
        futures = [(client, client.start(op.path, op.data)) for client in (self.reference, self.subject)]
        reference, subject = (client.outcome(future, op.method) for client, future in futures)
        return reference, subject

    def _compare(self, op: Operation, reference: Outcome, subject: Outcome) -> None:
        full, values = None, None
        is_range = op.method is not None and op.request.DESCRIPTOR.name == "RangeRequest"
        if is_range and reference.succeeded and subject.succeeded and comparison.needs_full_range(op.request):
            full_op = operation("KV/Range", comparison.full_range(op.request, self.model.revision))
            full_reference, full_subject = self._ask_both(full_op)
            self._compare(full_op, full_reference, full_subject)
            full = full_reference.response
            values = {kv.key: kv.value for kv in full.kvs}
        expected = self._expected(op, reference, subject)
        found = comparison.difference(op, expected, subject, values)
        if found is None and full is not None:
            found = comparison.not_in_full_range(op.request, subject.response, full)
        if found is not None:
            raise DifferenceError(f"{found}\n  operation: {op}\n  expected: {_short(expected)}\n  "
                                  f"got:      {_short(subject)}")

    def _expected(self, op: Operation, reference: Outcome, subject: Outcome) -> Outcome:
        if self.subject_is_etcd:
            return reference
        return comparison.expected_of_cairn(op, reference, subject)

    def compare_hashes(self, revision: int = 0) -> None:
        """HashKV of both and of the model."""
        op = operation("Maintenance/HashKV", message("HashKVRequest", revision=revision))
        at_compaction = 0 < revision == self.model.compact_revision
        if at_compaction and self.subject_is_etcd:
            return
        if self.model.compact_revision > 0 and not self.model.live(revision or None):
            # With nothing live nothing is skipped, and rows not yet removed would count: see HashKV's rules.
            return
        expected = self.model.hash_kv(revision)
        reference, subject = self._ask_both(op)
        if at_compaction:
            reference = None  # etcd 3.5.1 answers compacted here, 3.7 answers
        for name, outcome in (("reference", reference), ("subject", subject)):
            if outcome is None:
                continue
            if not outcome.succeeded:
                raise DifferenceError(f"HashKV({revision}) of the {name}: {outcome}")
            response = outcome.response
            got = (response.hash, response.compact_revision, response.header.revision)
            if got != (expected, self.model.compact_revision, self.model.revision):
                raise DifferenceError(
                    f"HashKV({revision}) of the {name}: hash, compact revision, revision are {got}, the model "
                    f"has {(expected, self.model.compact_revision, self.model.revision)}")
        if not self.subject_is_etcd and subject.response.hash_revision != (revision or self.model.revision):
            raise DifferenceError(f"HashKV({revision}): hash_revision {subject.response.hash_revision}")
        self.statistics.hashes += 1
        self.statistics.hashes_after_compaction += self.model.compact_revision > 0

    def compare_everything(self) -> None:
        """The whole key space of both against the model's."""
        op = operation("KV/Range", message("RangeRequest", key=b"\0", range_end=b"\0"))
        reference, subject = self._ask_both(op)
        self._compare(op, reference, subject)
        rows = [(row.key, row.value, row.create, row.main, row.version, row.lease) for row in self.model.live()]
        got = [(kv.key, kv.value, kv.create_revision, kv.mod_revision, kv.version, kv.lease)
               for kv in subject.response.kvs]
        assert got == rows, "the subject's pairs are not the model's"


def minimised(history: list[Operation], still_fails: Callable[[list[Operation]], bool],
              seconds_max: float) -> list[Operation]:
    """Drops operations while the failure stays (halves first, then smaller pieces)."""
    deadline = time.monotonic() + seconds_max
    size = max(len(history) // 2, 1)
    while time.monotonic() < deadline:
        start = 0
        dropped = False
        while start < len(history) and time.monotonic() < deadline:
            shorter = history[:start] + history[start + size:]
            if shorter and still_fails(shorter):
                history, dropped = shorter, True
            else:
                start += size
        if size == 1 and not dropped:
            break
        size = max(size // 2, 1)
    return history


def _short(outcome: Outcome) -> str:
    text = shortened(str(outcome))
    return text if len(text) < 3000 else text[:3000] + "..."
