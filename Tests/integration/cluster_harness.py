"""Clusters of real members on loopback, their peers connected through `cluster_network`, and what happens to them."""

from __future__ import annotations

import os
import pathlib
import shutil
import signal
import tempfile
import time
from typing import Callable, Iterable

import api
import harness
from cluster_network import Network
from watch_client import wait_until

SETTLE_SECONDS_MAX = 60


class Member(harness.Server):
    """One member. Others reach it at `advertised_port`, behind which a proxy stands."""

    def __init__(self, binary: pathlib.Path, folder: pathlib.Path, name: str, network: Network | None,
                 extra_arguments: list[str], ports: tuple[int, int] | None = None):
        client_port, peer_port, advertised_port = (*ports, 0) if ports else harness.free_ports(3)
        super().__init__(binary, folder, name=name, ports=(client_port, peer_port), extra_arguments=extra_arguments)
        self.advertised_port = advertised_port if network else peer_port
        self.network = network
        self.initial_cluster = ""
        self.initial_state = "new"
        self.may_be_learner = False
        self.is_stopped = False
        if network:
            network.add(name, advertised_port, peer_port)

    @property
    def peer_url(self) -> str:
        return f"http://127.0.0.1:{self.advertised_port}"

    def arguments(self) -> list[str]:
        client, peer = f"http://127.0.0.1:{self.client_port}", f"http://127.0.0.1:{self.peer_port}"
        return ["--name", self.name, "--data-dir", str(self.data_directory),
                "--listen-client-urls", client, "--advertise-client-urls", client,
                "--listen-peer-urls", peer, "--initial-advertise-peer-urls", self.peer_url,
                "--initial-cluster", self.initial_cluster, "--initial-cluster-state", self.initial_state,
                *self.extra_arguments]

    def spawn(self) -> None:
        super().spawn()
        self.is_stopped = False
        if self.network:
            self.network.process(self.name, self.pid)

    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def stop(self) -> None:
        """SIGSTOP: it holds its connections and says nothing."""
        os.killpg(self.pid, signal.SIGSTOP)
        self.is_stopped = True

    def resume(self) -> None:
        if self.is_stopped and self.is_running():
            os.killpg(self.pid, signal.SIGCONT)
        self.is_stopped = False

    def status(self, timeout_seconds: float = 2):
        """Its own view, or None where it does not answer."""
        client = self.client(timeout_seconds=timeout_seconds)
        try:
            return client.call("Maintenance/Status").response
        finally:
            client.close()


class Cluster:
    """`start` gives a cluster that answers; leaving the `with` ends it, and keeps its folder after a failure."""

    def __init__(self, size: int = 3, *, binary: pathlib.Path | None = None, is_proxied: bool = True,
                 extra_arguments: Iterable[str] = (), ports: Iterable[tuple[int, int]] = ()):
        """`ports` are those of the first members, for two clusters that are to have the same ids; unproxied then."""
        if binary is None:
            binary = harness.etcd_distribution() / "etcd" if harness.subject_is_etcd() else harness.cairn_binary()
        self.binary = binary
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix=f"cluster-{binary.name}-"))
        self.network = Network() if is_proxied else None
        self.extra_arguments = list(extra_arguments)
        self.removed: list[Member] = []
        self._ports = list(ports)
        self._made = 0
        self.members = [self._make() for _ in range(size)]
        described = ",".join(f"{member.name}={member.peer_url}" for member in self.members)
        for member in self.members:
            member.initial_cluster = described

    def _make(self) -> Member:
        self._made += 1
        name = f"m{self._made}"
        ports = self._ports.pop(0) if self._ports else None
        return Member(self.binary, self.folder / name, name, self.network, self.extra_arguments, ports)

    def start(self) -> "Cluster":
        for member in self.members:
            member.spawn()
        for member in self.members:
            member.wait_until_ready()
        return self

    @property
    def endpoints(self) -> str:
        return ",".join(member.endpoint for member in self.members)

    def running(self) -> list[Member]:
        return [member for member in self.members if member.is_running() and not member.is_stopped]

    # Who leads, and whether all is well.

    def leader(self) -> Member | None:
        """The member that holds itself to lead in the highest term that any member knows."""
        found: tuple[int, Member] | None = None
        for member in self.running():
            status = member.status()
            if status is not None and status.leader == status.header.member_id:
                if found is None or status.raftTerm > found[0]:
                    found = status.raftTerm, member
        return found[1] if found else None

    def wait_for_leader(self, other_than: Member | None = None) -> Member:
        found: list[Member] = []

        def leads() -> bool:
            leader = self.leader()
            if leader is not None and leader is not other_than:
                found.append(leader)
            return bool(found)

        self.wait(leads, "no leader")
        return found[0]

    def followers(self) -> list[Member]:
        leader = self.wait_for_leader()
        return [member for member in self.running() if member is not leader]

    def wait_until_ready(self) -> None:
        for member in self.members:
            member.wait_until_ready()

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        wait_until(condition, SETTLE_SECONDS_MAX, lambda: f"{what}\n{self.log_tails()}")

    def wait_until_applied(self, index: int | None = None) -> None:
        """Until every member has applied all that the furthest one had logged."""
        if index is None:
            index = max(status.raftIndex for member in self.running() if (status := member.status()))

        def everywhere() -> bool:
            statuses = [member.status() for member in self.members]
            return all(status is not None and status.raftAppliedIndex >= index for status in statuses)

        self.wait(everywhere, f"not everywhere applied up to {index}")

    def hashes(self, revision: int = 0) -> dict[str, tuple[int, int, int]]:
        """(revision, compacted at, HashKV) of each member."""
        found = {}
        for member in self.members:
            client = member.client()
            answer = client.hash_kv(revision)
            found[member.name] = answer.header.revision, answer.compact_revision, answer.hash
            client.close()
        return found

    def check_equal(self) -> tuple[int, int, int]:
        """All members hold the same; returns what."""
        self.wait_until_ready()
        self.wait_until_applied()
        found = self.hashes()
        assert len(set(found.values())) == 1, f"(revision, compacted, hash) differ: {found}"
        return next(iter(found.values()))

    # Faults of the network.

    def isolate(self, group: Iterable[Member]) -> None:
        """No byte passes between the group and the rest, in either direction."""
        inside = {member.name for member in group}
        for one in self.members:
            for other in self.members:
                if (one.name in inside) != (other.name in inside):
                    self.network.cut(one.name, other.name)

    def cut_one_way(self, senders: Iterable[Member], receivers: Iterable[Member]) -> None:
        for sender in senders:
            for receiver in receivers:
                if sender is not receiver:
                    self.network.cut(sender.name, receiver.name)

    def slow_down(self, members: Iterable[Member], seconds: float, loss: float = 0) -> None:
        """All links from and to them."""
        for one in members:
            for other in self.members:
                if one is not other:
                    self.network.slow(one.name, other.name, seconds, loss)
                    self.network.slow(other.name, one.name, seconds, loss)

    def heal(self, resume: bool = True) -> None:
        self.network.heal(resume)

    # Changes of members.

    def member_id(self, member: Member) -> int:
        client = self.running()[0].client()
        try:
            found = [each.ID for each in client.must("Cluster/MemberList").members if member.peer_url in each.peerURLs]
            return found[0]
        finally:
            client.close()

    def remove(self, member: Member, through: Member | None = None) -> None:
        """Takes it out of the cluster; its process ends by itself or is ended."""
        identity = self.member_id(member)
        through = through or next(each for each in self.running() if each is not member)
        self._change(through, "Cluster/MemberRemove", ID=identity)
        self.members.remove(member)
        self.removed.append(member)

    def add(self, is_learner: bool = False, through: Member | None = None) -> Member:
        """A new member with empty data, announced and started; not awaited."""
        made = self.prepare()
        made.may_be_learner = is_learner
        self._change(through or self.running()[0], "Cluster/MemberAdd", peerURLs=[made.peer_url], isLearner=is_learner)
        self.join(made)
        made.spawn()
        return made

    def prepare(self) -> Member:
        """A member that nobody knows of yet."""
        return self._make()

    def join(self, made: Member) -> None:
        """For one that the cluster has been told of: how it is to be started."""
        made.initial_state = "existing"
        self.members.append(made)
        made.initial_cluster = ",".join(f"{member.name}={member.peer_url}" for member in self.members)

    def _change(self, through: Member, name: str, **fields) -> None:
        """Asks again while the cluster is not ready for it: health of members, and who is connected since when."""
        client = through.client()
        outcome = api.Outcome(-1, "")

        def done() -> bool:
            nonlocal outcome
            outcome = client.call(name, **fields)
            retry = outcome.code in (4, 14) or "unhealthy cluster" in outcome.text
            again = "not found" in outcome.text or "Peer URLs already exists" in outcome.text  # it had happened
            assert outcome.succeeded or retry or again, f"{name} {fields}: {outcome}"
            return outcome.succeeded or again

        try:
            self.wait(done, name)
        finally:
            client.close()

    # The end.

    def log_tails(self) -> str:
        return "\n".join(f"--- {member.name} ({member.folder}):\n{member.log_tail(12)}" for member in self.members)

    def kill(self) -> None:
        for member in [*self.members, *self.removed]:
            member.resume()
            member.kill()

    def close(self) -> None:
        self.kill()
        if self.network:
            self.network.close()
            self.network = None

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(self, kind, _error, _trace) -> None:
        if kind is not None:
            print(f"kept {self.folder}; ends of the logs:\n{self.log_tails()}")
        self.close()
        if kind is None:
            shutil.rmtree(self.folder, ignore_errors=True)


def reference(size: int = 3, **options) -> Cluster:
    """The same of etcd 3.5.1."""
    return Cluster(size, binary=harness.etcd_distribution() / "etcd", **options)


def seconds_until(condition: Callable[[], bool], seconds_max: float = SETTLE_SECONDS_MAX) -> float:
    begin = time.monotonic()
    wait_until(condition, seconds_max)
    return time.monotonic() - begin
