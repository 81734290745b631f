"""What befalls a cluster: one fault after the other, each healed, and after each the cluster must serve again."""

from __future__ import annotations

import random
import time
from typing import Callable

from cluster_harness import Cluster, Member
from cluster_load import ClusterLoad

WRITES_BETWEEN = 25


class Faults:
    """Faults drawn from a seed. A fault leaves a majority in touch, so that the cluster serves meanwhile too."""

    def __init__(self, cluster: Cluster, load: ClusterLoad, seed: int):
        self.cluster, self.load = cluster, load
        self.source = random.Random(seed)
        self.record: list[str] = []
        self.acts: dict[str, Callable[[], str]] = {
            "kill the leader": self.kill_the_leader, "kill": self.kill, "kill all": self.kill_all,
            "pause the leader": self.pause_the_leader, "pause": self.pause,
            "isolate the leader": self.isolate_the_leader, "isolate": self.isolate,
            "leader is not heard": self.leader_is_not_heard, "leader hears nothing": self.leader_hears_nothing,
            "one link is cut": self.one_link_is_cut, "slow links": self.slow_links, "lossy links": self.lossy_links,
            "rolling restart": self.rolling_restart, "replace": self.replace}

    def play(self, name: str) -> None:
        begin = time.monotonic()
        what = self.acts[name]()
        self.cluster.heal(resume=self.source.random() < 0.5)
        self.cluster.wait_until_ready()
        self.load.wait_for_writes(WRITES_BETWEEN)
        self.record.append(f"{name} ({what}): {time.monotonic() - begin:.1f} s")

    def play_for(self, seconds: float) -> None:
        names, until = list(self.acts), time.monotonic() + seconds
        while time.monotonic() < until:
            self.play(self.source.choice(names))

    # Members.

    def _any(self) -> Member:
        return self.source.choice(self.cluster.members)

    def _minority(self) -> list[Member]:
        count = self.source.randint(1, (len(self.cluster.members) - 1) // 2)
        return self.source.sample(self.cluster.members, count)

    def _serve(self) -> None:
        """The majority serves while the fault lasts."""
        self.load.wait_for_writes(WRITES_BETWEEN)
        time.sleep(self.source.uniform(0, 0.5))

    def _kill(self, members: list[Member], serves: bool) -> str:
        for member in members:
            member.kill()
        if serves:
            self._serve()
        for member in members:
            member.start() if serves else member.spawn()
        return names(members)

    def kill_the_leader(self) -> str:
        return self._kill([self.cluster.wait_for_leader()], serves=True)

    def kill(self) -> str:
        return self._kill(self._minority(), serves=True)

    def kill_all(self) -> str:
        return self._kill(self.cluster.members, serves=False)

    def _pause(self, members: list[Member]) -> str:
        for member in members:
            member.stop()
        try:
            self._serve()
        finally:
            for member in members:
                member.resume()
        return names(members)

    def pause_the_leader(self) -> str:
        return self._pause([self.cluster.wait_for_leader()])

    def pause(self) -> str:
        return self._pause(self._minority())

    def rolling_restart(self) -> str:
        for member in list(self.cluster.members):
            code = member.terminate()
            assert code in (0, 143), f"{member.name} ended with {code}:\n{member.log_tail()}"
            self.load.wait_for_writes(WRITES_BETWEEN // 2)
            member.start()
        return "all"

    def replace(self) -> str:
        """Another member in its place, with another id and nothing on disk; the old one is dead or alive."""
        old = self._any()
        is_dead = self.source.random() < 0.5
        if is_dead:
            old.kill()
        self.cluster.remove(old)
        if not is_dead:
            # It hears of it, if the others reach it before they forget it, and ends then; etcd's code is 0.
            self.load.wait_for_writes(WRITES_BETWEEN)
            old.kill()
        new = self.cluster.add()
        new.wait_until_ready()
        return f"{old.name}{' dead' if is_dead else ''} by {new.name}"

    # The network.

    def _isolate(self, members: list[Member]) -> str:
        self.cluster.isolate(members)
        self._serve()
        return names(members)

    def isolate_the_leader(self) -> str:
        return self._isolate([self.cluster.wait_for_leader()])

    def isolate(self) -> str:
        return self._isolate(self._minority())

    def _one_way(self, senders: list[Member], receivers: list[Member]) -> str:
        self.cluster.cut_one_way(senders, receivers)
        self._serve()
        return f"{names(senders)} to {names(receivers)}"

    def leader_is_not_heard(self) -> str:
        leader = self.cluster.wait_for_leader()
        return self._one_way([leader], [each for each in self.cluster.members if each is not leader])

    def leader_hears_nothing(self) -> str:
        leader = self.cluster.wait_for_leader()
        return self._one_way([each for each in self.cluster.members if each is not leader], [leader])

    def one_link_is_cut(self) -> str:
        one, other = self.source.sample(self.cluster.members, 2)
        return self._one_way([one], [other])

    def slow_links(self) -> str:
        slow = self._minority()
        self.cluster.slow_down(slow, seconds=self.source.uniform(0.02, 0.1))
        self._serve()
        return names(slow)

    def lossy_links(self) -> str:
        self.cluster.slow_down(self.cluster.members, seconds=0.002, loss=0.02)
        self._serve()
        return "all"


def names(members: list[Member]) -> str:
    return " ".join(member.name for member in members)
