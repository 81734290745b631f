"""Where scenes of etcdctl play: what each command printed, and how it ended, is put on record.

The same scene on two servers must leave the same record. Leases have random ids, so a stage calls them LEASE1, LEASE2 and so on
in the order in which they appear, in arguments as in outputs.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
import pathlib
import re
import signal
import subprocess
import threading
import time
from typing import Callable

import pytest

import harness

WAIT_SECONDS_MAX = 20
QUIET_SECONDS = 0.2
LEASE_IDS = [r"lease ([0-9a-f]{16})", r'"ID":(\d{10,})', r'"ID" : (\d{10,})', r"/([0-9a-f]{13,16})\b"]


class Session:
    """A running etcdctl."""

    def __init__(self, label: str, command: list[str], environment: dict[str, str]):
        self.label = label
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        text=True, env=environment)
        self._texts = {"stdout": "", "stderr": ""}
        self._threads = [threading.Thread(target=self._read, args=(name,), daemon=True) for name in self._texts]
        for thread in self._threads:
            thread.start()

    def _read(self, name: str) -> None:
        stream = getattr(self.process, name)
        while piece := os.read(stream.fileno(), 65536):
            self._texts[name] += piece.decode(errors="replace")

    @property
    def output(self) -> str:
        return self._texts["stdout"]

    def wait_for(self, text: str, count: int = 1) -> None:
        """Until the output holds the text so many times; a scene goes on without it, and its record tells."""
        deadline = time.monotonic() + WAIT_SECONDS_MAX
        while self.output.count(text) < count and self.process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)

    def wait_for_events(self, count: int, mark: str | None = None) -> None:
        """Until a watch has printed so many events; `mark` is what each holds in another format than the simple."""
        if mark is not None:
            self.wait_for(mark, count)
            return
        deadline = time.monotonic() + WAIT_SECONDS_MAX
        while sum(line in ("PUT", "DELETE") for line in self.output.split("\n")) < count \
                and self.process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)

    def settle(self) -> None:
        """Until it has printed what it began to: an event takes several writes, and a signal may come between two.

        Quiet is a command none of whose threads runs or wants to, so a loaded machine makes this slower, not wrong.
        """
        seen, quiet_since = None, time.monotonic()
        deadline = quiet_since + WAIT_SECONDS_MAX
        while self.process.poll() is None and time.monotonic() < deadline:
            printed = tuple(len(text) for text in self._texts.values())
            if printed != seen or self._is_busy():
                seen, quiet_since = printed, time.monotonic()
            elif time.monotonic() - quiet_since > QUIET_SECONDS:
                return
            time.sleep(0.01)

    def _is_busy(self) -> bool:
        for thread in pathlib.Path(f"/proc/{self.process.pid}/task").glob("*/stat"):
            with contextlib.suppress(OSError):  # it has ended
                if thread.read_text().rpartition(")")[2].split()[0] != "S":
                    return True
        return False

    def interrupt(self, with_signal: int = signal.SIGINT) -> None:
        if self.process.poll() is None:
            self.settle()
            self.process.send_signal(with_signal)

    def write(self, text: str) -> None:
        self.process.stdin.write(text)
        self.process.stdin.flush()

    def wait(self) -> tuple[str, str, int]:
        try:
            code = self.process.wait(timeout=WAIT_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        for thread in self._threads:
            thread.join(timeout=5)
        return self._texts["stdout"], self._texts["stderr"], code


def keys_in_order(text: str) -> str:
    """The keys of a lease in the order of the alphabet: etcd gives them in any."""
    def ordered(found: re.Match) -> str:
        separator = "," if "," in found[2] else "\n" if "\n" in found[2] else " "
        return found[1] + separator.join(sorted(found[2].split(separator))) + found[3]

    for pattern in (r"(attached keys\(\[)([^\]]*)(\])", r'("keys":\[)([^\]]*)(\])',
                    r'("GrantedTTL" : \d+\n)((?:"Key" : [^\n]*\n)*"Key" : [^\n]*)(\n)'):
        text = re.sub(pattern, ordered, text)
    return text


class Stage:
    def __init__(self, server: harness.Server, other: harness.Server, binary: pathlib.Path, folder: pathlib.Path,
                 normalise: Callable[[str], str]):
        self.server, self.other, self.binary, self.folder = server, other, binary, folder
        self.record: list[tuple[str, str, str, int]] = []
        self.hidden: list[str] = []  # patterns of what a scene makes differ by itself
        self._normalise = normalise
        self._leases: dict[str, str] = {}
        self._sessions: list[Session] = []

    def _arguments(self, line: str | list[str]) -> list[str]:
        words = line.split(" ") if isinstance(line, str) else line
        named = {name: spelled for spelled, name in self._leases.items() if not spelled.isdigit() or len(spelled) < 17}
        out = []
        for word in words:
            for name, lease in named.items():
                word = re.sub(rf"{name}\b", lease, word)
            out.append("" if word == "''" else word.replace("FOLDER", str(self.folder)))
        return out

    def _environment(self, server: harness.Server, extra: dict[str, str] | None = None) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "ETCDCTL_API": "3", "ETCDCTL_ENDPOINTS": server.endpoint, **(extra or {})}

    def _named(self, text: str) -> str:
        for pattern in LEASE_IDS:
            for found in re.findall(pattern, text):
                number = int(found) if found.isdigit() and len(found) > 16 else int(found, 16)
                if f"{number:016x}" not in self._leases:
                    name = f"LEASE{len(set(self._leases.values())) + 1}"
                    for spelled in (f"{number:016x}", f"{number:x}", str(number)):
                        self._leases.setdefault(spelled, name)
        for spelled, name in sorted(self._leases.items(), key=lambda item: -len(item[0])):
            text = text.replace(spelled, name)
        return text

    def _put_on_record(self, label: str, stdout: str, stderr: str, code: int) -> None:
        # The client's log of calls that it cancelled itself depends on the moment.
        stderr = "".join(line for line in stderr.splitlines(keepends=True) if "context canceled" not in line)
        named = [keys_in_order(self._named(text)) for text in (stdout, stderr)]
        for pattern in self.hidden:
            named = [re.sub(pattern, "HIDDEN", text) for text in named]
        self.record.append((label, *(self._normalise(text) for text in named), code))

    def run(self, line: str | list[str], input: str = "", *, on_other: bool = False) -> str:
        """One command to its end."""
        server = self.other if on_other else self.server
        try:
            done = subprocess.run([str(self.binary), *self._arguments(line)], input=input, capture_output=True,
                                  text=True, timeout=60, env=self._environment(server))
        except subprocess.TimeoutExpired:
            self._put_on_record(str(line), "", "it never ended", -1)
            return ""
        self._put_on_record(str(line), done.stdout, done.stderr, done.returncode)
        return done.stdout

    def revision(self) -> int:
        client = self.server.client()
        found = client.revision()
        client.close()
        return found

    def start(self, line: str | list[str], environment: dict[str, str] | None = None) -> Session:
        session = Session(str(line), [str(self.binary), *self._arguments(line)],
                          self._environment(self.server, environment))
        self._sessions.append(session)
        return session

    def finish(self, session: Session, with_signal: int | None = signal.SIGINT) -> None:
        """Ends a running command and records it; a command's own end is awaited with None."""
        if with_signal is not None:
            session.interrupt(with_signal)
        self._put_on_record(session.label, *session.wait())

    def drop(self, session: Session) -> None:
        """A command whose output is a matter of time."""
        session.process.kill()
        session.wait()

    def close(self) -> None:
        for session in self._sessions:
            if session.process.poll() is None:
                session.process.kill()
            session.wait()
            for stream in (session.process.stdin, session.process.stdout, session.process.stderr):
                stream.close()


def unlike(binary: pathlib.Path, expected: list, got: list) -> list[str]:
    """The steps of two records, etcd's and Cairn's, that are not the same."""
    return [f"{binary}: {one[0]}\n    etcd:  {one[1:]}\n    cairn: {other[1:]}"
            for one, other in zip(expected, got, strict=True) if one != other]


def fail_on_differences(differences: Callable[[pathlib.Path, pathlib.Path], list[str]], folder: pathlib.Path) -> None:
    """With both versions of etcdctl at the same time: the scenes wait more than they work."""
    binaries = harness.etcdctl_binaries()
    assert set(binaries) == {"3.4.23", "3.5.1"}, "etcdctl 3.4.23 is not installed (apt-get install etcd-client)"
    with concurrent.futures.ThreadPoolExecutor(len(binaries)) as pool:
        playing = [pool.submit(differences, binary, folder / version) for version, binary in binaries.items()]
        found = [each for future in playing for each in future.result()]
    if found:
        pytest.fail(f"{len(found)} steps differ:\n" + "\n".join(found), pytrace=False)
