"""A stage for etcdctl on a whole cluster: what each command printed goes on record, ids of added members by name.

The same scene on two clusters must leave the same record. Ids of the first members follow from their URLs and are
compared as they are; those of members that were added are random, and so is who leads, which a scene settles first.
"""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
import time

from cluster_harness import SETTLE_SECONDS_MAX, Cluster, Member
from cluster_load import LEARNER
from test_etcdctl import normalised

# A member counts as connected some seconds after it came (strict reconfiguration); etcd refuses until then.
NOT_YET = ("unhealthy cluster", "learner member which is in sync with leader", "etcdserver: request timed out")
RETRIES = '"msg":"retrying of unary invoker failed"'  # etcdctl's own log: how often is a matter of time


class ClusterStage:
    def __init__(self, cluster: Cluster, binary: pathlib.Path, folder: pathlib.Path):
        self.cluster, self.binary, self.folder = cluster, binary, folder
        self.record: list[tuple[str, str, str, int]] = []
        self.names: dict[int, str] = {}  # ids of members that were added
        self.ids: dict[str, int] = {}

    def learn(self, member: Member, *, is_added: bool = False) -> None:
        identity = self.ids[member.name] = self.cluster.member_id(member)
        if is_added:
            self.names[identity] = member.name

    def run(self, line: str, at: list[Member] | None = None, until_ready: bool = False) -> str:
        """One command to its end. `ID(name)` stands for a member's id; `until_ready` asks again while etcd would say
        that the cluster is not ready for the change."""
        words = [self._spelled(word) for word in line.split(" ")]
        endpoints = ",".join(member.endpoint for member in at or self.cluster.members[:1])
        deadline = time.monotonic() + SETTLE_SECONDS_MAX
        while True:
            # Not by ETCDCTL_ENDPOINTS: move-leader of 3.5 trips over its own reading of it.
            done = subprocess.run([str(self.binary), f"--endpoints={endpoints}", *words], capture_output=True,
                                  text=True, timeout=60, env={"PATH": os.environ["PATH"], "ETCDCTL_API": "3"})
            is_early = until_ready and any(text in done.stderr for text in NOT_YET)
            if not is_early or time.monotonic() > deadline:
                break
            time.sleep(0.2)
        self.note(line, done.stdout, done.stderr, done.returncode)
        return done.stdout

    def expect(self, text: str) -> None:
        """The last record says so: the scene went as it was meant to."""
        assert text in self.record[-1][1], self.record[-1]

    def note(self, label: str, stdout: str, stderr: str = "", code: int = 0) -> None:
        if any(LEARNER in line for line in stderr.splitlines() if RETRIES in line):
            # 3.5 refuses with a code at which etcdctl tries until its time is over; later versions with one that ends it.
            stderr = stderr.replace("context deadline exceeded", LEARNER)
        stderr = "".join(line for line in stderr.splitlines(keepends=True) if "context canceled" not in line)
        self.record.append((label, self._named(stdout), self._named(stderr), code))

    def _spelled(self, word: str) -> str:
        word = re.sub(r"ID\((\w+)\)", lambda found: f"{self.ids[found[1]]:x}", word)
        return "" if word == "''" else word

    def _named(self, text: str) -> str:
        for identity, name in self.names.items():
            text = text.replace(f"{identity:x}", f"<{name}>").replace(str(identity), f"<{name}>")
        text = re.sub(r'(ETCD_INITIAL_CLUSTER=")([^"]*)', lambda found: found[1] + ",".join(
            sorted(found[2].split(","))), text)  # a map inside etcdctl
        text = re.sub(r'("members":\[\{)(.*)(\}\])', lambda found: found[1] + "},{".join(
            sorted(found[2].split("},{"))) + found[3], text) if self.names else text
        lines = [line for line in normalised(text, self.folder).split("\n") if RETRIES not in line]
        # A member that was added has a place by its id, which is random: lines are put in order.
        return "\n".join(sorted(lines)) if self.names else "\n".join(lines)

    def make_lead(self, member: Member) -> None:
        """Without a record: it leads, whoever did before."""
        def leads() -> bool:
            leader = self.cluster.leader()
            if leader is not None and leader is not member:
                client = leader.client()
                client.call("Maintenance/MoveLeader", targetID=self.cluster.member_id(member))
                client.close()
            return leader is member

        self.cluster.wait(leads, f"{member.name} does not lead")
