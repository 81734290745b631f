"""However much is written, the log on disk and the time to restart stay level."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import subprocess
import time

import pytest

import harness

STAGES = 10
PUTS = 200_000
PUTS_LONG = 5_000_000
VALUE_BYTES = 1024
SEGMENT_BYTES = 64 << 20
RESTART_SECONDS_SLACK = 0.5


@dataclasses.dataclass
class Stage:
    log_bytes: int
    restart_seconds: float


def is_level(stages: list[Stage]) -> str | None:
    """None, or what grew from the first half of the stages to the second."""
    first, second = stages[:len(stages) // 2], stages[len(stages) // 2:]
    log_before, log_after = (max(stage.log_bytes for stage in half) for half in (first, second))
    if log_after > 1.25 * log_before + SEGMENT_BYTES // 2:
        return f"the log grew from {log_before >> 20} to {log_after >> 20} MiB"
    restart_before, restart_after = (min(stage.restart_seconds for stage in half) for half in (first, second))
    if restart_after > 2 * restart_before + RESTART_SECONDS_SLACK:
        return f"a restart took {restart_before:.2f} s and then {restart_after:.2f} s"
    return None


@pytest.mark.parametrize("stages, level", [
    ([Stage(90 << 20, 0.1)] * 10, True),
    ([Stage((number + 1) * 30 << 20, 0.1) for number in range(10)], False),
    ([Stage(90 << 20, 0.2 * number) for number in range(10)], False),
    ([Stage((64 if number == 0 else 128) << 20, 0.1) for number in range(10)], True)])
def test_growth_is_noticed(stages, level):
    assert (is_level(stages) is None) == level


def test_log_and_restart_stay_level(is_long):
    if not harness.bench_binary().exists():
        pytest.skip(f"no {harness.bench_binary()}")
    puts = PUTS_LONG if is_long else PUTS
    stages = []
    with harness.cairn() as server:
        server.start()
        for stage in range(STAGES):
            put_many(server, puts // STAGES, seed=stage)
            stages.append(Stage(folder_bytes(server.data_directory, "wal"), restart_seconds(server)))
            print(f"log {stages[-1].log_bytes >> 20} MiB, restart {stages[-1].restart_seconds:.3f} s")
        assert server.client().revision() == 1 + puts // STAGES * STAGES
    assert is_level(stages) is None, is_level(stages)


def put_many(server: harness.Server, count: int, seed: int) -> None:
    """Values are random: they do not compress, so that the log really is written as much."""
    done = subprocess.run([str(harness.bench_binary()), "put", "--endpoints", server.endpoint, "--conns", "16",
                           "--clients", "1000", "--total", str(count), "--val-size", str(VALUE_BYTES),
                           "--key-space-size", "10000", "--seed", str(seed), "--json", "--quiet"],
                          capture_output=True, text=True, timeout=3600)
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout)["errors"] == 0, done.stdout[-2000:]


def folder_bytes(data_directory: pathlib.Path, name: str) -> int:
    folder = next(path for path in data_directory.rglob(name) if path.is_dir())
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())


def restart_seconds(server: harness.Server) -> float:
    """From starting the process after kill -9 to the first answered linearizable read."""
    server.kill()
    started = time.monotonic()
    server.spawn()
    while True:
        client = server.client()
        if client.call("KV/Range", key=b"k").succeeded:
            client.close()
            return time.monotonic() - started
        client.close()
        assert server.process.poll() is None, server.log_tail()
