"""What etcdctl's lock and elect hold outlives the leader: nobody else gets it before they let go."""

from __future__ import annotations

import pathlib
import signal
import subprocess
import time

import api
import harness
from cluster_harness import Cluster
from watch_client import wait_until

TTL_SECONDS = 5
HELD_SECONDS = TTL_SECONDS + 2  # longer than their leases live unless they are renewed
SECONDS_MAX = 30


class Contender:
    """An etcdctl that waits for a lock or an election, and then holds it until it is interrupted."""

    def __init__(self, command: list[str], endpoints: str, output: pathlib.Path):
        self._output = output
        with open(output, "w") as file:
            self._process = subprocess.Popen(
                [*command, "--endpoints", endpoints], stdout=file, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)

    @property
    def printed(self) -> str:
        return self._output.read_text()

    def end(self) -> None:
        assert self._process.poll() is None, self.printed
        self._process.send_signal(signal.SIGINT)
        assert self._process.wait(timeout=SECONDS_MAX) == 0, self.printed

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


def queue(client: api.Client, name: str) -> list[str]:
    """The keys of those who hold or wait, in their order."""
    prefix = f"{name}/".encode()
    found = client.must("KV/Range", key=prefix, range_end=prefix + b"\xff", sort_order="ASCEND", sort_target="CREATE")
    return [kv.key.decode() for kv in found.kvs]


def commands() -> dict[str, list[str]]:
    """What each version of etcdctl is asked, by the name of the lock or of the election."""
    found = {}
    for version, binary in harness.etcdctl_binaries().items():
        found[f"lock-{version}"] = [str(binary), "lock", f"lock-{version}", f"--ttl={TTL_SECONDS}"]
        found[f"elect-{version}"] = [str(binary), "elect", f"elect-{version}", "me"]
    return found


def test_they_outlive_the_leader(tmp_path: pathlib.Path):
    contenders: list[Contender] = []
    with Cluster(3, is_proxied=False) as cluster:
        cluster.start()
        leader = cluster.wait_for_leader()
        survivor = cluster.followers()[0].client()

        def contend(name: str, command: list[str], place: int) -> Contender:
            made = Contender(command, cluster.endpoints, tmp_path / f"{name}-{place}")
            contenders.append(made)
            wait_until(lambda: len(queue(survivor, name)) == place, SECONDS_MAX, lambda: made.printed)
            return made

        try:
            pairs = [(name, contend(name, command, 1), contend(name, command, 2))
                     for name, command in commands().items()]
            held = {name: queue(survivor, name) for name, _, _ in pairs}
            for name, holder, _ in pairs:
                wait_until(lambda: held[name][0] in holder.printed, SECONDS_MAX, lambda: holder.printed)
            leader.kill()
            cluster.wait_for_leader(other_than=leader)
            time.sleep(HELD_SECONDS)
            for name, holder, waiter in pairs:
                assert queue(survivor, name) == held[name]
                assert waiter.printed == ""
                holder.end()
                wait_until(lambda: held[name][1] in waiter.printed, SECONDS_MAX, lambda: waiter.printed)
                waiter.end()
                assert queue(survivor, name) == []
        finally:
            survivor.close()
            for each in contenders:
                each.kill()
