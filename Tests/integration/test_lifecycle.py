"""Start, refusal to start, and stop: flags, exit codes, log lines, the data directory's lock and rights, drain."""

from __future__ import annotations

import json
import os
import pathlib
import random
import stat
import subprocess
import time

import pytest

import harness
from load import Auditor, Load

cairn_only = pytest.mark.skipif(harness.subject_is_etcd(), reason="Cairn's own behaviour")

# Command lines that both refuse: (arguments, environment, words of the reason).
REFUSED = {
    "unknown flag": (["--nonsense"], {}, ["flag provided but not defined: -nonsense"]),
    "unknown flag with one dash": (["-nonsense=1"], {}, ["flag provided but not defined: -nonsense"]),
    "flag without its value": (["--name"], {}, ["flag needs an argument: -name"]),
    "not a number": (["--snapshot-count", "many"], {}, ["invalid value \"many\" for flag -snapshot-count"]),
    "not a truth value": (["--pre-vote=perhaps"], {}, ["invalid boolean value \"perhaps\" for -pre-vote"]),
    "not a URL": (["--listen-client-urls", "nonsense"], {}, ["listen-client-urls", "URL"]),
    "URL without a port": (["--listen-client-urls", "http://127.0.0.1"], {}, ["listen-client-urls"]),
    "no advertised URLs": (["--listen-client-urls", "http://127.0.0.1:1"], {}, ["--advertise-client-urls"]),
    "flag and variable": (["--name", "a"], {"ETCD_NAME": "b"},
                          ["conflicting environment variable", "is shadowed by corresponding command-line flag", "ETCD_NAME"]),
    "name not in the cluster": (["--name", "a", "--initial-cluster", "b=http://127.0.0.1:1"], {},
                                ["couldn't find local name \"a\" in the initial cluster configuration"]),
    "election too fast": (["--heartbeat-interval", "100", "--election-timeout", "200"], {},
                          ["--election-timeout", "should be at least as 5 times as --heartbeat-interval"]),
    # 3.5 quotes the word with ', later versions with ".
    "a word that is no flag": (["nonsense"], {}, ["nonsense", " is not a valid flag"]),
    "cluster state": (["--initial-cluster-state", "old"], {}, ["initial-cluster-state"]),
}


def run_refused(binary: pathlib.Path, arguments: list[str], environment: dict[str, str],
                folder: pathlib.Path) -> subprocess.CompletedProcess:
    folder.mkdir(exist_ok=True)
    return subprocess.run([str(binary), *arguments], capture_output=True, text=True, timeout=30, cwd=folder,
                          env={"PATH": os.environ["PATH"], **environment})


def subject_binary() -> pathlib.Path:
    return harness.cairn().binary if not harness.subject_is_etcd() else harness.etcd_distribution() / "etcd"


@pytest.mark.parametrize("case", REFUSED)
def test_refused_command_lines(case, tmp_path):
    arguments, environment, words = REFUSED[case]
    expected = run_refused(harness.etcd_distribution() / "etcd", arguments, environment, tmp_path / "etcd")
    got = run_refused(subject_binary(), arguments, environment, tmp_path / "cairn")
    assert expected.returncode != 0
    assert got.returncode == expected.returncode, f"etcd: {expected}\ncairn: {got}"
    for word in words:
        assert word in plain(expected), f"the test's own words are not etcd's: {expected}"
        assert word in plain(got), f"etcd: {expected}\ncairn: {got}"


def plain(done: subprocess.CompletedProcess) -> str:
    """Output with the quotes of JSON log lines undone."""
    return (done.stdout + done.stderr).replace('\\"', '"')


@pytest.mark.parametrize("arguments, first_word", [(["--version"], "Version: "), (["--help"], "Usage")])
def test_answers_without_starting(arguments, first_word, tmp_path):
    done = run_refused(subject_binary(), arguments, {}, tmp_path)
    assert done.returncode == 0
    assert first_word in done.stdout + done.stderr
    assert list(tmp_path.iterdir()) == []


@cairn_only
def test_version_names_the_api_level(tmp_path):
    lines = run_refused(subject_binary(), ["--version"], {}, tmp_path).stdout.splitlines()
    assert lines[0].startswith("cairn Version: ")
    assert "etcd Version: 3.7.1" in lines


@cairn_only
@pytest.mark.parametrize("arguments, named", [
    (["--cert-file", "c.pem", "--key-file", "k.pem"], "cert-file"), (["--auth-token", "jwt,sign-method=RS256"], "auth-token"),
    (["--listen-client-urls", "https://127.0.0.1:1", "--advertise-client-urls", "https://127.0.0.1:1"], "https"),
    (["--discovery-srv", "example.com"], "discovery-srv")])
def test_what_is_not_built_is_refused_by_name(arguments, named, tmp_path):
    done = run_refused(subject_binary(), arguments, {}, tmp_path)
    assert done.returncode == 1
    assert named in done.stdout + done.stderr


@pytest.mark.parametrize("spelling", ["--name=n", "--name n", "-name=n", "-name n", "environment"])
def test_spellings_of_a_flag(spelling, monkeypatch):
    with harness.cairn(name="n") as server:
        arguments = server.arguments()[2:]
        if spelling == "environment":
            monkeypatch.setenv("ETCD_NAME", "n")
        else:
            arguments = spelling.split(" ") + arguments
        monkeypatch.setattr(server, "arguments", lambda: arguments)
        server.start()
        assert server.client().must("Cluster/MemberList").members[0].name == "n"


def test_log_and_rights(subject):
    subject.wait_for_log(harness.READY_LINE)
    lines = [json.loads(line) for line in subject.log().splitlines() if line.startswith("{")]
    assert all({"level", "ts", "caller", "msg"} <= line.keys() for line in lines)
    assert any(line["msg"] == harness.READY_LINE for line in lines)
    assert stat.S_IMODE(subject.data_directory.stat().st_mode) == 0o700
    readable = [path for path in subject.data_directory.rglob("*") if path.stat().st_mode & 0o077]
    assert readable == []


@cairn_only
def test_a_second_process_is_refused(subject):
    other = harness.cairn(subject.folder)
    other.log_path = subject.folder / "other.log"
    other.spawn()
    try:
        assert other.wait_for_exit(15) == 1
        assert str(subject.data_directory) in other.log()
    finally:
        other.kill()
    assert subject.client().put(b"still", b"served") == 2


@cairn_only
def test_the_lock_goes_with_its_process(subject):
    subject.kill()
    subject.start()
    assert subject.client().put(b"again", b"served") == 2


def test_termination(subject):
    client = subject.client()
    client.put(b"k", b"v")
    started = time.monotonic()
    assert subject.terminate() == 143
    assert time.monotonic() - started < 5
    subject.start()
    assert subject.client().get(b"k") == b"v"


def test_interrupt_ends_alike(subject):
    subject.process.send_signal(2)
    assert subject.wait_for_exit() == 130


def test_termination_under_load_loses_nothing(subject, seed):
    source = random.Random(seed)
    auditor = Auditor()
    for number in range(3):
        load = Load(subject.client_port, seed=seed, label=f"t{number}").start()
        while load.acknowledged_count < 50:
            time.sleep(0.005)
        time.sleep(source.uniform(0, 0.3))
        assert subject.terminate() == 143
        load.join()
        subject.start()
        auditor.audit(subject.client(), [load])
    # A drain finishes what it took on: writers may lose at most the one request each that met a closed door.
    assert auditor.statistics["acknowledged"] >= 150


def test_same_ids_after_restart(subject):
    before = subject.client().must("Maintenance/Status").header
    subject.kill()
    subject.start()
    after = subject.client().must("Maintenance/Status").header
    assert (after.cluster_id, after.member_id) == (before.cluster_id, before.member_id)
    assert after.raft_term >= before.raft_term
