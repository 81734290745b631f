"""etcdctl's watch, lease, lock, elect, make-mirror, alarm and defrag say the same about Cairn as about etcd 3.5.1."""

from __future__ import annotations

import functools
import os
import pathlib
import re
import signal
import subprocess

import harness
import pytest
from etcdctl_scenes import EXTRA_ARGUMENTS, SCENES
from etcdctl_stage import Session, Stage, fail_on_differences, unlike
from test_etcdctl import normalised


def play(scene, server: harness.Server, other: harness.Server, binary: pathlib.Path, folder: pathlib.Path) -> list:
    with server, other:
        server.start()
        if scene.__name__ == "mirrors":
            other.start()
        stage = Stage(server, other, binary, folder, lambda text: normalised(text, folder))
        try:
            scene(stage)
        finally:
            stage.close()
        return stage.record


def differences(scene, binary: pathlib.Path, folder: pathlib.Path) -> list[str]:
    folder.mkdir()
    ports = harness.free_ports(4)
    options = dict(extra_arguments=EXTRA_ARGUMENTS.get(scene))

    def played(make) -> list:
        return play(scene, make(ports=tuple(ports[:2]), **options), make(ports=tuple(ports[2:])), binary, folder)

    expected, got = played(harness.etcd), played(harness.cairn)
    if any("request timed out" in stderr for _, _, stderr, _ in expected):
        # etcd's disk had a bad moment: the text is a matter of time, not of behaviour.
        expected = played(harness.etcd)
    assert any(stdout for _, stdout, _, _ in expected)
    return unlike(binary, expected, got)


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_scene(scene, tmp_path: pathlib.Path):
    fail_on_differences(functools.partial(differences, scene), tmp_path)


def test_a_command_is_not_cut_while_it_prints():
    """An event is printed in several writes; a slow moment between them is not the end of it."""
    script = "echo first; n=0; while [ $n -lt 300000 ]; do n=$((n + 1)); done; echo last; sleep 60"
    session = Session("slow", ["sh", "-c", script], {"PATH": os.environ["PATH"]})
    session.wait_for("first\n")
    session.interrupt(signal.SIGKILL)
    assert session.wait()[0] == "first\nlast\n"


# check perf measures for a minute, so it is in the long form only.
PERFORMANCE_WORDS = r"Throughput|writes/s|Slowest request took|Stddev"


@pytest.mark.parametrize("version", ["3.4.23", "3.5.1"])
def test_check_perf(version: str, is_long: bool):
    """Both at once. What it measures may differ, what it says not; on Cairn it must pass."""
    if not is_long:
        pytest.skip("takes a minute; --long runs it")
    binary = harness.etcdctl_binaries()[version]
    with harness.etcd() as reference, harness.cairn() as subject:
        running = [subprocess.Popen([str(binary), "check", "perf", "--load=s", "--endpoints", each.start().endpoint],
                                    stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                    env={"ETCDCTL_API": "3"}) for each in (reference, subject)]
        outputs = [process.communicate(timeout=150)[0] for process in running]
    said = [re.findall(PERFORMANCE_WORDS, text) for text in outputs]
    assert said[0] == said[1] and len(said[0]) == 4
    assert running[1].returncode == 0 and outputs[1].strip().endswith("PASS"), outputs[1]
    print(outputs[1][-200:])
