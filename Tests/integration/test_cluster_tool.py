"""Tools/cluster: three members by one command, an etcdctl line that works, and a clean stop."""

from __future__ import annotations

import os
import pathlib
import re
import signal
import socket
import subprocess

import pytest

import harness
from watch_client import wait_until

TOOL = harness.REPOSITORY / "Tools/cluster"
READY_SECONDS_MAX = 60


def binary() -> pathlib.Path:
    return harness.etcd_distribution() / "etcd" if harness.subject_is_etcd() else harness.cairn_binary()


def free_range() -> int:
    """A port behind which those of three members are free too."""
    while True:
        first = harness.free_ports(1)[0]
        if all(harness.is_free(first + offset) for offset in (1, 10, 11, 20, 21)):
            return first


class Tool:
    def __init__(self, folder: pathlib.Path, port: int, *more: str):
        self.printed = folder / "printed"
        with open(self.printed, "w") as output:
            self.process = subprocess.Popen(
                [str(TOOL), "--binary", str(binary()), f"--port={port}", "--data-dir", str(folder / "cluster"), *more],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True)

    def text(self) -> str:
        return self.printed.read_text()

    def wait_for(self, text: str) -> None:
        wait_until(lambda: text in self.text() or self.process.poll() is not None, READY_SECONDS_MAX, self.text)
        assert text in self.text(), self.text()

    def etcdctl(self, line: str) -> str:
        """With the environment that the tool names."""
        endpoints = re.search(r"ETCDCTL_ENDPOINTS=(\S+)", self.text())[1]
        environment = {"PATH": os.environ["PATH"], "ETCDCTL_API": "3", "ETCDCTL_ENDPOINTS": endpoints}
        done = subprocess.run([str(harness.etcdctl_binaries()["3.5.1"]), *line.split()], capture_output=True, text=True,
                              env=environment, timeout=30)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def members(self) -> list[int]:
        return [int(pid) for pid in re.search(r"the others go on: ([\d ]+)", self.text())[1].split()]

    def finish(self, with_signal: int = signal.SIGINT) -> int:
        """As a terminal does on Ctrl-C: the whole foreground group gets it."""
        os.killpg(self.process.pid, with_signal)
        return self.process.wait(timeout=60)


def is_alive(pid: int) -> bool:
    return pathlib.Path(f"/proc/{pid}").exists()


def test_it_starts_a_cluster_and_stops_it(tmp_path: pathlib.Path):
    port = free_range()
    tool = Tool(tmp_path, port)
    try:
        tool.wait_for("3 members are ready")
        assert tool.etcdctl("put greeting hello") == "OK\n"
        assert len(tool.etcdctl("member list").splitlines()) == 3
        pids = tool.members()
        os.kill(pids[1], signal.SIGKILL)
        tool.wait_for("2 of 3 members are left")
        assert f"node2 ended with status 137; its log is {tmp_path}/cluster/node2/log" in tool.text()
        assert tool.etcdctl("get greeting --print-value-only") == "hello\n"
    finally:
        code = tool.finish()
    assert code == 1, "one member had failed"
    assert not any(is_alive(pid) for pid in pids)

    again = Tool(tmp_path, port)
    try:
        again.wait_for("3 members are ready")
        assert again.etcdctl("get greeting --print-value-only") == "hello\n"
    finally:
        code = again.finish()
    assert code == 0, again.text()
    assert not any(is_alive(pid) for pid in again.members())


def test_a_member_that_cannot_start_is_reported(tmp_path: pathlib.Path):
    port = free_range()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port + 11))  # node2's peer port
        tool = Tool(tmp_path, port)
        assert tool.process.wait(timeout=READY_SECONDS_MAX) == 1
    assert "does not become ready" in tool.text()


@pytest.mark.parametrize("arguments, said", [
    (["--frobnicate"], "unknown argument --frobnicate"), (["--members", "none"], "needs a number, not 'none'"),
    (["--members"], "--members needs a value"), (["--members=9"], "7 at most"), (["--port", "65530"], "too high"),
    (["--binary", "/nonexistent"], "/nonexistent cannot be run")])
def test_wrong_arguments_are_refused_by_name(arguments: list[str], said: str):
    done = subprocess.run([str(TOOL), *arguments], capture_output=True, text=True, timeout=30)
    assert done.returncode == 2 and said in done.stderr and "--data-dir DIR" in done.stderr


def test_help():
    done = subprocess.run([str(TOOL), "--help"], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0 and "./Tools/cluster [--members N]" in done.stdout and "Ctrl-C" in done.stdout
