"""The commands of the guide to clusters, run as they stand there, each machine with loopback addresses of its own."""

from __future__ import annotations

import os
import pathlib
import re
import signal
import subprocess
import time

import pytest

import harness
from watch_client import wait_until

GUIDE = harness.REPOSITORY / "Sources/Server/Server.docc/Clusters.md"
READY_SECONDS_MAX = 60


def blocks() -> list[tuple[str, str]]:
    """(machine, commands) of each block, in the order of the guide."""
    found = re.findall(r"```sh\n# on (IP\d|any machine)\n(.*?)```", GUIDE.read_text(), re.S)
    assert len(found) == GUIDE.read_text().count("```sh\n"), "each block says where it is to be run"
    return found


class Machines:
    """Folders and addresses that stand for machines."""

    def __init__(self, folder: pathlib.Path):
        self.folder = folder
        self.client_port, self.peer_port = harness.free_ports(2)
        self.servers: dict[str, subprocess.Popen] = {}
        binaries = folder / "bin"
        binaries.mkdir()
        is_etcd = harness.subject_is_etcd()
        etcd = harness.etcd_distribution()
        for name, binary in {"cairn": etcd / "etcd" if is_etcd else harness.cairn_binary(),
                             "cairnutl": etcd / "etcdutl" if is_etcd else harness.utl_binary(),
                             "etcdctl": harness.etcdctl_binaries()["3.5.1"]}.items():
            (binaries / name).symlink_to(binary.resolve())
        self.environment = {"PATH": f"{binaries}:{os.environ['PATH']}"}
        # What the guide exports in one block counts in the later ones, as in a terminal.
        self.exported = ""

    def spelled(self, machine: str, commands: str) -> str:
        """IPn becomes an address, and a machine's own loopback another; ports are free ones."""
        number = machine[-1] if machine.startswith("IP") else "9"
        commands = re.sub(r"IP(\d)", r"127.0.1.\1", commands.replace("127.0.0.1", f"127.0.2.{number}"))
        return commands.replace(":2379", f":{self.client_port}").replace(":2380", f":{self.peer_port}")

    def run(self, machine: str, commands: str) -> str:
        """What a block prints; a server goes on in the background once it serves."""
        place = self.folder / machine.replace(" ", "-")
        place.mkdir(exist_ok=True)
        text = self.spelled(machine, commands)
        if commands.startswith("cairn "):
            self.stop(machine)
            log = open(place / "log", "ab")
            self.servers[machine] = subprocess.Popen(
                ["bash", "-c", "exec " + text], cwd=place, env=self.environment, stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, start_new_session=True)
            log.close()
            return ""
        self.exported += "".join(line + "\n" for line in text.splitlines() if line.startswith("export "))
        deadline = time.monotonic() + READY_SECONDS_MAX
        while True:
            done = subprocess.run(["bash", "-e", "-o", "pipefail", "-c", self.exported + text], cwd=place,
                                  capture_output=True, text=True, env=self.environment, timeout=READY_SECONDS_MAX)
            # The guide says what that means: members must have been connected for five seconds.
            if "etcdserver: unhealthy cluster" not in done.stderr or time.monotonic() > deadline:
                break
            time.sleep(0.5)
        assert done.returncode == 0, f"{text}\n{done.stdout}{done.stderr}"
        return done.stdout

    def wait_until_ready(self, machine: str) -> None:
        def is_ready() -> bool:
            assert self.servers[machine].poll() is None, self.log(machine)
            address = f"http://127.0.1.{machine[-1]}:{self.client_port}/health"
            done = subprocess.run(["python3", "-c", "import sys, urllib.request as r; sys.stdout.buffer.write("
                                   f"r.urlopen('{address}', timeout=2).read())"], capture_output=True)
            return b'"true"' in done.stdout
        wait_until(is_ready, READY_SECONDS_MAX, lambda: self.log(machine))

    def log(self, machine: str) -> str:
        return "\n".join((self.folder / machine / "log").read_text().splitlines()[-15:])

    def stop(self, machine: str, with_signal: int = signal.SIGTERM) -> None:
        server = self.servers.pop(machine, None)
        if server is not None:
            server.send_signal(with_signal)
            server.wait(timeout=60)

    def close(self) -> None:
        for machine in list(self.servers):
            self.stop(machine, signal.SIGKILL)


@pytest.fixture
def machines(tmp_path: pathlib.Path):
    made = Machines(tmp_path)
    yield made
    made.close()


def test_the_guide_to_clusters(machines: Machines):
    steps = iter(blocks())

    def next_block(machine: str, beginning: str) -> str:
        """Runs the next one, which is to be what this test expects there."""
        where, commands = next(steps)
        assert (where, commands.split("\n")[0][:len(beginning)]) == (machine, beginning), commands
        return machines.run(where, commands)

    for machine in ("IP1", "IP2", "IP3"):
        next_block(machine, "cairn --name")
    for machine in ("IP1", "IP2", "IP3"):
        machines.wait_until_ready(machine)
    printed = next_block("any machine", "export ETCDCTL_API")
    assert "greeting\nhello\n" in printed and printed.count("| node") == 3
    assert printed.count(f"127.0.1.1:{machines.client_port}") >= 2

    next_block("any machine", "etcdctl member add node4 --learner")
    next_block("IP4", "cairn --name node4")
    wait_until(lambda: "node4" in machines.run("any machine", "etcdctl member list"), READY_SECONDS_MAX, "no node4")
    next_block("any machine", "until etcdctl member promote")
    machines.wait_until_ready("IP4")
    assert machines.run("any machine", "etcdctl member list").count(", false") == 4
    next_block("any machine", "etcdctl member remove")
    machines.servers.pop("IP4").wait(timeout=60)
    assert machines.run("any machine", "etcdctl member list").count("node") == 3

    machines.run("any machine", "etcdctl put last word")
    for machine in ("IP2", "IP3", "IP1"):
        machines.stop(machine)
    next_block("IP1", "cairn --name node1 --data-dir node1.etcd --force-new-cluster")
    machines.wait_until_ready("IP1")
    next_block("IP1", "export ETCDCTL_ENDPOINTS=IP1:2379")
    printed = machines.run("IP1", "etcdctl member list; etcdctl get last --print-value-only")
    assert printed.count("node") == 1 and printed.endswith("word\n")
    assert (machines.folder / "IP1/restored.etcd/member").is_dir()
    assert next(steps, None) is None, "the guide has a block more"


def test_the_guide_says_what_the_tool_does():
    """Where the guide names a tool or a flag, it is there."""
    text = GUIDE.read_text()
    assert (harness.REPOSITORY / "Tools/cluster").exists() and "./Tools/cluster" in text
    known = subprocess.run([harness.cairn_binary(), "--help"], capture_output=True, text=True).stdout
    words = set(re.findall(r"`(--[a-z-]+)`", text)) - {"--learner", "--bump-revision"}
    missing = [word for word in words if word.removesuffix("s") not in known]
    assert not missing, missing
