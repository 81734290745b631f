"""Reads a trace of strace -f -y and says whether each reply came after the sync of what it acknowledges."""

from __future__ import annotations

import dataclasses
import re
import shutil
import subprocess
import sys

WRITES = ("write", "pwrite64", "writev", "pwritev", "pwritev2")
SENDS = (*WRITES, "sendto", "sendmsg")
SYNCS = ("fdatasync", "fsync")
TRACED = sorted({*SENDS, *SYNCS})
# -xx: all data as \x.. ; -s: whole buffers; -y: paths of descriptors; -f: all threads.
STRACE = ["strace", "-f", "-y", "-xx", "-s", "16384", "-e", "trace=" + ",".join(TRACED),
          "-e", "signal=none"]
_LINE = re.compile(r"^(\d+) +(?:(\w+)\((\d+)<([^>]*)>(.*)|<\.\.\. (\w+) resumed>(.*))$", re.DOTALL)


@dataclasses.dataclass
class Call:
    """One system call; `begin` and `end` are line numbers of the trace, which order the calls of all threads."""

    name: str
    path: str
    begin: int
    end: int
    text: str

    @property
    def is_log_write(self) -> bool:
        return self.name in WRITES and _is_log(self.path)

    @property
    def is_log_sync(self) -> bool:
        return self.name in SYNCS and _is_log(self.path)

    @property
    def is_send(self) -> bool:
        return self.name in SENDS and (self.path.startswith("socket:") or self.path.startswith("TCP"))


def _is_log(path: str) -> bool:
    return "/wal/" in path


def unescaped_path(text: str) -> str:
    """-xx writes paths in hex too."""
    return re.sub(r"\\x([0-9a-f]{2})", lambda found: chr(int(found.group(1), 16)), text)


def parse(trace: str) -> list[Call]:
    """Calls in the order of their beginning. One that never ended has no place here."""
    calls: list[Call] = []
    unfinished: dict[str, Call] = {}
    for number, line in enumerate(trace.splitlines()):
        found = _LINE.match(line)
        if found is None:
            continue
        thread, name, _descriptor, path, rest, resumed, resumed_rest = found.groups()
        if resumed is not None:
            call = unfinished.pop(thread, None)
            if call is not None and not resumed_rest.rstrip().endswith("?"):
                call.end, call.text = number, call.text + resumed_rest
                calls.append(call)
            continue
        call = Call(name, unescaped_path(path), number, number, rest)
        if line.rstrip().endswith("<unfinished ...>"):
            unfinished[thread] = call
        elif " = -1 " not in rest[-80:]:
            calls.append(call)
    return sorted(calls, key=lambda call: call.begin)


def hexadecimal(data: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in data)


def unsynced_replies(calls: list[Call], written_and_answered: list[tuple[bytes, bytes]]) -> list[str]:
    """For each (bytes that the log must hold, bytes of the reply): faults in write, then sync, then send."""
    log_writes = [call for call in calls if call.is_log_write]
    syncs = [call for call in calls if call.is_log_sync]
    sends = [call for call in calls if call.is_send]
    faults = []
    for written, answered in written_and_answered:
        write = next((call for call in log_writes if hexadecimal(written) in call.text), None)
        send = next((call for call in sends if hexadecimal(answered) in call.text), None)
        if write is None or send is None:
            faults.append(f"{written[:8].hex()}: log write {write is not None}, reply {send is not None}")
            continue
        if not any(sync.path == write.path and sync.begin > write.end and sync.end < send.begin for sync in syncs):
            faults.append(f"{written[:8].hex()}: written at line {write.end}, answered at line {send.begin}, "
                          f"no sync of {write.path} between")
    return faults


def why_not_traceable() -> str | None:
    if shutil.which("strace") is None:
        return "strace is not installed"
    done = subprocess.run(["strace", "-f", "-o", "/dev/null", sys.executable, "-c", "pass"], capture_output=True,
                          text=True)
    return f"ptrace is not permitted here: {done.stderr.strip()[:200]}" if done.returncode != 0 else None
