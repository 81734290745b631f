"""cairnutl, the real binary: backup and restore of a member that serves, restores killed at any moment, hostile files."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import pty
import random
import re
import shutil
import signal
import subprocess
import tempfile
import time

import pytest

import api
import harness
from harness import utl_binary

pytestmark = pytest.mark.skipif(harness.subject_is_etcd(), reason="cairnutl works on Cairn's files")


def utl(*arguments: str | pathlib.Path, timeout: float = 120) -> subprocess.CompletedProcess:
    return subprocess.run([str(utl_binary()), *map(str, arguments)], capture_output=True, text=True, timeout=timeout,
                          stdin=subprocess.DEVNULL)


def good(*arguments: str | pathlib.Path) -> str:
    done = utl(*arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def folder():
    path = pathlib.Path(tempfile.mkdtemp(prefix="cairnutl-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


def fill(server: harness.Server, seed: int, count: int) -> int:
    """Puts, deletes, leases and a compaction from a seed; returns the revision."""
    draw = random.Random(seed)
    client = server.client()
    revision = 1
    client.must("Lease/LeaseGrant", TTL=1000, ID=4242)
    for number in range(count):
        key = b"key/%d" % draw.randrange(80)
        if draw.randrange(9) == 0:
            answer = client.must("KV/DeleteRange", key=key)
        else:
            lease = 4242 if draw.randrange(5) == 0 else 0
            answer = client.must("KV/Put", key=key, value=draw.randbytes(draw.randrange(300)), lease=lease)
        revision = answer.header.revision
        if number == count // 3:
            client.must("KV/Compact", revision=revision // 2)
    client.close()
    return revision


class Content:
    """What a member answers about its content; two members with equal content compare equal."""

    def __init__(self, server: harness.Server, revisions: list[int]):
        client = server.client()
        self.ranges = {revision: client.call("KV/Range", key=b"\0", range_end=b"\0", revision=revision)
                       for revision in revisions}
        self.ranges = {revision: ([kv.SerializeToString(deterministic=True) for kv in outcome.response.kvs]
                                  if outcome.succeeded else outcome.text)
                       for revision, outcome in self.ranges.items()}
        self.leases = sorted(lease.ID for lease in client.must("Lease/LeaseLeases").leases)
        lease = client.must("Lease/LeaseTimeToLive", ID=4242, keys=True)
        self.lease_keys, self.granted = sorted(lease.keys), lease.grantedTTL
        hashed = client.hash_kv()
        self.hash = (hashed.hash, hashed.compact_revision, hashed.hash_revision)
        client.close()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Content) and vars(self) == vars(other)


def served_from(directory: pathlib.Path, folder: pathlib.Path) -> harness.Server:
    """A server that takes a restored directory as its own."""
    server = harness.cairn(folder)
    directory.rename(server.data_directory)
    return server


# Backup and restore


@pytest.mark.parametrize("how", ["etcdctl", "stopped", "killed"])
def test_what_was_saved_serves_again(how: str, folder: pathlib.Path, seed: int):
    """All ranges at 200 random revisions, leases and HashKV are as before, whichever way the snapshot was taken."""
    snapshot = folder / "snapshot.db"
    with harness.cairn(folder / "old") as server:
        server.start()
        last = fill(server, seed, 700)
        revisions = [0, *random.Random(seed).sample(range(1, last + 1), 200)]
        before = Content(server, revisions)
        if how == "etcdctl":
            environment = {**os.environ, "ETCDCTL_API": "3"}
            subprocess.run([harness.etcdctl_binaries()["3.5.1"], "--endpoints", server.endpoint, "snapshot", "save",
                            snapshot], check=True, capture_output=True, env=environment)
            server.kill()
        else:
            server.terminate() if how == "stopped" else server.kill()
            assert good("snapshot", "save", "--data-dir", server.data_directory, snapshot) == (
                f"Snapshot saved at {snapshot}\n")
        status = json.loads(good("snapshot", "status", snapshot, "-w", "json"))
        assert status["revision"] == last and status["totalKey"] == len(before.ranges[0])
        hashed = json.loads(good("hashkv", snapshot, "-w", "json"))
        assert (hashed["hash"], hashed["compactRevision"], hashed["hashRevision"]) == before.hash
        assert json.loads(good("hashkv", "--data-dir", server.data_directory, "-w", "json")) == hashed
        assert utl("check", "--data-dir", server.data_directory, snapshot).returncode == 0
        good("snapshot", "restore", snapshot, "--data-dir", folder / "restored")
    with served_from(folder / "restored", folder / "new") as server:
        server.start()
        assert Content(server, revisions) == before
        # And it goes on: a write gets the next revision.
        assert server.client().put(b"new", b"1") == last + 1
        server.terminate()
        good("defrag", "--data-dir", server.data_directory)
        assert utl("check", "--data-dir", server.data_directory).stdout == ""
        server.start()
        assert server.client().get(b"new") == b"1"


def test_bumped_revisions_end_old_watches(folder: pathlib.Path, seed: int):
    snapshot = folder / "snapshot.db"
    with harness.cairn(folder / "old") as server:
        server.start()
        last = fill(server, seed, 100)
        keys = server.client().must("KV/Range", key=b"\0", range_end=b"\0").kvs
        server.terminate()
        good("snapshot", "save", "--data-dir", server.data_directory, snapshot)
    refused = utl("snapshot", "restore", snapshot, "--data-dir", folder / "x", "--bump-revision", "5")
    assert refused.returncode == 128 and "--mark-compacted required" in refused.stderr
    refused = utl("snapshot", "restore", snapshot, "--data-dir", folder / "x", "--mark-compacted")
    assert refused.returncode == 128 and not (folder / "x").exists()
    good("snapshot", "restore", snapshot, "--data-dir", folder / "bumped", "--bump-revision", "1000000",
         "--mark-compacted")
    with served_from(folder / "bumped", folder / "new") as server:
        server.start()
        client = server.client()
        answer = client.must("KV/Range", key=b"\0", range_end=b"\0")
        assert answer.header.revision == last + 1_000_000
        assert [kv.SerializeToString() for kv in answer.kvs] == [kv.SerializeToString() for kv in keys]
        old = client.call("KV/Range", key=b"a", revision=last)
        assert old.text == "etcdserver: mvcc: required revision has been compacted"
        watch = watched_from(server, last + 1)
        assert watch.canceled and watch.compact_revision == last + 1_000_000
        assert client.put(b"a", b"1") == last + 1_000_001


def watched_from(server: harness.Server, revision: int):
    """The answer that ends a watch of everything from a revision."""
    client = server.client()
    create = api.message("WatchRequest", create_request=api.message(
        "WatchCreateRequest", key=b"\0", range_end=b"\0", start_revision=revision))
    call = client.channel.stream_stream(api.method("Watch/Watch").path)(
        iter([create.SerializeToString()]), timeout=20)
    try:
        for data in call:
            answer = api.method("Watch/Watch").parse(data)
            if answer.canceled:
                return answer
        raise AssertionError("the watch ended without an answer")
    finally:
        call.cancel()
        client.close()


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory) -> pathlib.Path:
    """A snapshot of a few megabytes."""
    base = tmp_path_factory.mktemp("snapshot")
    with harness.cairn(base / "member") as server:
        server.start()
        client = server.client()
        draw = random.Random(1)
        for number in range(40):
            puts = [api.message("RequestOp", request_put=api.message(
                "PutRequest", key=b"key/%d/%d" % (number, part), value=draw.randbytes(1000))) for part in range(100)]
            client.must("KV/Txn", success=puts)
        client.close()
        server.terminate()
        good("snapshot", "save", "--data-dir", server.data_directory, base / "snapshot.db")
    return base / "snapshot.db"


def test_a_restore_killed_at_any_moment_leaves_all_or_nothing(
        snapshot: pathlib.Path, folder: pathlib.Path, seed: int):
    """SIGKILL at 200 random moments of a restore: the target is absent, or complete. Each attempt goes on where the
    killed one before left its remains."""
    kills = 200
    draw = random.Random(seed)
    expected = good("hashkv", snapshot)
    begin = time.monotonic()
    good("snapshot", "restore", snapshot, "--data-dir", folder / "timed")
    undisturbed = seconds = time.monotonic() - begin
    outcomes = {"absent": 0, "complete": 0}
    target, log = folder / "data", folder / "log"
    for number in range(kills):
        with_log = number % 3 == 0
        arguments = ["snapshot", "restore", str(snapshot), "--data-dir", str(target)]
        arguments += ["--wal-dir", str(log)] if with_log else []
        process = subprocess.Popen([str(utl_binary()), *arguments], stdout=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
        # The end, with its syncs and renames, gets its share.
        time.sleep(seconds * draw.choice([draw.random(), 0.8 + draw.random() * 0.5]))
        process.send_signal(signal.SIGKILL)
        _, errors = process.communicate()
        assert process.returncode in (0, -signal.SIGKILL), errors
        if not target.exists():
            outcomes["absent"] += 1
            # How long a restore takes is another matter by the minute, where others use the machine too.
            seconds *= 1.01
            continue
        outcomes["complete"] += 1
        seconds *= 0.97
        wal = ["--wal-dir", str(log)] if with_log else []
        assert utl("check", "--data-dir", target, *wal).stdout == ""
        assert good("hashkv", "--data-dir", target, *wal) == expected
        if outcomes["complete"] % 10 == 1:
            assert_serves(target, log if with_log else None)
        shutil.rmtree(target)
        if with_log:
            shutil.rmtree(log)
    print(outcomes, f"{undisturbed:.2f} s undisturbed, {seconds:.2f} s at the end")
    assert min(outcomes.values()) > kills // 10
    good("snapshot", "restore", snapshot, "--data-dir", target, "--wal-dir", log)
    assert sorted(path.name for path in folder.iterdir()) == ["data", "log", "timed"]


def assert_serves(directory: pathlib.Path, log: pathlib.Path | None) -> None:
    server = harness.cairn(extra_arguments=["--wal-dir", str(log)] if log else [])
    directory.rename(server.data_directory)
    try:
        server.start()
        assert server.client().must("KV/Range", key=b"\0", range_end=b"\0", count_only=True).count == 4000
        server.kill()
        server.data_directory.rename(directory)
    finally:
        server.remove()


# Refusals


def test_damaged_snapshots_are_refused_by_the_binary(snapshot: pathlib.Path, folder: pathlib.Path, seed: int):
    """A sample of cuts and flips; the library's tests try every position."""
    draw = random.Random(seed)
    content = snapshot.read_bytes()
    content += hashlib.sha256(content).digest() if draw.random() < 0.5 else b""
    bad = folder / "bad.db"
    for number in range(40):
        if number % 2:
            bad.write_bytes(content[:draw.randrange(len(content) - 32)])
        else:
            position = draw.randrange(len(content))
            flipped = bytearray(content)
            flipped[position] ^= 1 << draw.randrange(8)
            bad.write_bytes(flipped)
        for command in (["snapshot", "status", bad], ["hashkv", bad],
                        ["snapshot", "restore", bad, "--data-dir", folder / "target"]):
            done = utl(*command)
            assert done.returncode == 1 and str(bad) in done.stderr and done.stdout == "", command
        assert utl("check", bad).returncode == 1
        assert sorted(path.name for path in folder.iterdir()) == ["bad.db"]


def test_hostile_inputs_end_in_a_named_error(folder: pathlib.Path, seed: int):
    draw = random.Random(seed)
    (folder / "random").write_bytes(draw.randbytes(100_000))
    (folder / "directory").mkdir()
    os.mkfifo(folder / "pipe")
    (folder / "loop").symlink_to(folder / "loop")
    (folder / "nowhere").symlink_to(folder / "missing")
    (folder / "bolt").write_bytes(bytes(16) + bytes.fromhex("edda0ced") + bytes(32748))
    (folder / "empty").touch()
    with open(folder / "huge", "wb") as file:
        file.truncate(1 << 42)
    for name in ["random", "directory", "pipe", "loop", "nowhere", "bolt", "empty", "huge", "missing"]:
        path = folder / name
        for command in (["snapshot", "status", path], ["hashkv", path], ["check", path],
                        ["snapshot", "restore", path, "--data-dir", folder / "target"]):
            done = utl(*command, timeout=20)
            assert done.returncode == 1, (command, done)
            assert str(path) in done.stdout + done.stderr, (command, done)
        for command in (["snapshot", "save", "--data-dir", path, folder / "out"], ["defrag", "--data-dir", path],
                        ["hashkv", "--data-dir", path], ["check", "--data-dir", path],
                        ["wal", "dump", "--data-dir", path]):
            done = utl(*command, timeout=20)
            assert done.returncode == 1 and done.stderr.startswith("Error: "), (command, done)
    assert "etcdutl" in utl("snapshot", "status", folder / "bolt").stderr
    assert not (folder / "target").exists() and not (folder / "out").exists()


def test_files_of_a_real_etcd_are_named(folder: pathlib.Path):
    with harness.etcd(folder / "etcd") as server:
        server.start()
        server.client().put(b"a", b"1")
        server.terminate()
        database = server.data_directory / "member/snap/db"
        assert "bbolt" in utl("snapshot", "status", database).stderr
        for command in (["snapshot", "save", "--data-dir", server.data_directory, folder / "x"],
                        ["check", "--data-dir", server.data_directory],
                        ["wal", "dump", "--data-dir", server.data_directory]):
            done = utl(*command)
            assert done.returncode == 1 and "etcd member (bbolt)" in done.stderr, done


def test_a_running_member_is_waited_for_and_refused(folder: pathlib.Path):
    with harness.cairn(folder / "member") as server:
        server.start()
        for command in (["snapshot", "save", "--data-dir", server.data_directory, folder / "x"],
                        ["defrag", "--data-dir", server.data_directory],
                        ["check", "--data-dir", server.data_directory]):
            done = utl(*command, "--timeout", "1200ms")
            assert done.returncode == 1 and "in use by another process" in done.stderr
            assert "waiting for the member to stop" in done.stderr
        waiting = subprocess.Popen([str(utl_binary()), "defrag", "--data-dir", str(server.data_directory)],
                                   stderr=subprocess.PIPE)
        server.terminate()
        _, errors = waiting.communicate(timeout=30)
        assert waiting.returncode == 0, errors


# Forms of output, beside etcdutl's


def test_output_and_exit_codes_are_those_of_etcdutl(snapshot: pathlib.Path, folder: pathlib.Path):
    etcdutl = harness.etcd_distribution() / "etcdutl"

    def theirs(*arguments) -> subprocess.CompletedProcess:
        return subprocess.run([etcdutl, *map(str, arguments)], capture_output=True, text=True, check=False)

    with harness.etcd(folder / "etcd") as server:
        server.start()
        server.client().put(b"a", b"1")
        server.terminate()
        database = folder / "etcd.db"
        shutil.copy(server.data_directory / "member/snap/db", database)
    for form in ["simple", "fields", "json", "table"]:
        expected = theirs("snapshot", "status", database, "-w", form)
        found = utl("snapshot", "status", snapshot, "-w", form)
        assert (found.returncode, shape(found.stdout)) == (expected.returncode, shape(with_version(
            expected.stdout, form))), form
    for arguments in (["snapshot", "status", "-w", "protobuf"], ["snapshot", "status", "-w", "nonsense"]):
        expected, found = theirs(*arguments, database), utl(*arguments, snapshot)
        assert found.returncode == expected.returncode and found.stdout == ""
    occupied = folder / "occupied"
    (occupied / "member").mkdir(parents=True)
    for arguments in (["--data-dir", occupied], ["--data-dir", folder / "y", "--wal-dir", occupied],
                      ["--data-dir", folder / "y", "--name", "nobody"],
                      ["--data-dir", folder / "y", "--initial-advertise-peer-urls", "http://localhost:1"],
                      ["--data-dir", folder / "y", "--initial-cluster", "default=nonsense"]):
        expected = theirs("snapshot", "restore", database, "--skip-hash-check", *arguments)
        found = utl("snapshot", "restore", snapshot, *arguments)
        assert (found.returncode, last_line(found.stderr)) == (expected.returncode, last_line(expected.stderr))


def with_version(text: str, form: str) -> str:
    """3.5.1's status has no version yet; what later releases add."""
    if form == "json":
        return text.rstrip("}\n") + ',"version":"3.7.0"}\n'
    if form == "fields":
        return text + '"Version" : 3.7.0\n'
    if form == "simple":
        return text.rstrip("\n") + ", 3.7.0\n"
    added = ["---------+", " VERSION |", "---------+", "   3.7.0 |", "---------+"]
    return "".join(line + more + "\n" for line, more in zip(text.splitlines(), added))


def shape(text: str) -> str:
    """Output without what depends on the file: numbers, the length of rules and blanks."""
    text = re.sub(r"\b[0-9a-f]*\d[0-9a-f.]*\b", "N", text)
    return re.sub(r"[- ]+", " ", text).replace("kB", "MB")


def last_line(text: str) -> str:
    return text.strip().splitlines()[-1]


def test_a_log_is_dumped(folder: pathlib.Path):
    with harness.cairn(folder / "member") as server:
        server.start()
        client = server.client()
        client.put(b"greeting", b"hello")
        client.must("KV/DeleteRange", key=b"greeting")
        server.terminate()
        lines = good("wal", "dump", "--data-dir", server.data_directory).splitlines()
        assert lines[0] == "term\t     index\ttype\tdata"
        assert any(re.fullmatch(r" +\d+\t +\d+\tnorm\theader:<ID:\d+ > put:<key:\"greeting\" value:\"hello\" >", line)
                   for line in lines)
        assert any("\tconf\tmethod=ConfChangeAddNode id=" in line for line in lines)
        deletes = good("wal", "dump", "--data-dir", server.data_directory, "--entry-type", "IRRDeleteRange")
        assert deletes.count("delete_range") == 1 and deletes.endswith("Entry types (IRRDeleteRange) count is : 1\n")
        records = [json.loads(line) for line in good(
            "wal", "dump", "--data-dir", server.data_directory, "-w", "json", "--records").splitlines()]
        assert [record["marker"] for record in records if "marker" in record] == ["close", "close"]
        assert any("hard_state" in record for record in records)


def test_progress_is_a_bar_on_a_terminal(snapshot: pathlib.Path, folder: pathlib.Path):
    """Whatever lasts more than a second shows how far it is: seen here by stopping the process for so long while it
    reads. It may be done before it is stopped, so there are some attempts."""
    bar = re.compile(rb"\[=* *\] (verify|restore): \d+% \(.* MiB of .* MiB, .* MiB/s, \d+ s left\)")
    for attempt in range(20):
        seen = restore_stopped_for_a_second(snapshot, folder / str(attempt))
        if bar.search(seen):
            return
    raise AssertionError(seen)


def restore_stopped_for_a_second(snapshot: pathlib.Path, target: pathlib.Path) -> bytes:
    """What a terminal shows."""
    master, slave = pty.openpty()
    process = subprocess.Popen([str(utl_binary()), "snapshot", "restore", str(snapshot), "--data-dir", str(target)],
                               stdin=subprocess.DEVNULL, stdout=slave, stderr=slave)
    os.close(slave)
    while process.poll() is None and str(snapshot) not in open_files(process.pid):
        pass
    if process.poll() is None:
        process.send_signal(signal.SIGSTOP)
        time.sleep(1.2)
        process.send_signal(signal.SIGCONT)
    seen = b""
    while True:
        try:
            piece = os.read(master, 4096)
        except OSError:
            break
        if not piece:
            break
        seen += piece
    os.close(master)
    assert process.wait(timeout=30) == 0, seen
    return seen


def open_files(pid: int) -> list[str]:
    try:
        return [os.readlink(entry.path) for entry in os.scandir(f"/proc/{pid}/fd")]
    except OSError:
        return []


def test_other_commands():
    assert re.fullmatch(r"cairnutl version: \d+\.\d+\.\d+\nAPI version: 3\.7\n", good("version"))
    assert "complete" in good("completion", "bash") and "compdef" in good("completion", "zsh")
    assert utl("completion", "powershell").returncode == 128
    refused = utl("migrate", "--data-dir", "x", "--target-version", "3.6")
    assert refused.returncode == 1 and "data format 1" in refused.stderr
    for command in ["", "snapshot", "snapshot save", "snapshot restore", "snapshot status", "defrag", "hashkv", "check",
                    "wal", "wal dump", "migrate", "version", "completion"]:
        assert "USAGE: cairnutl" in good(*command.split(), "--help")
    assert utl("nonsense").returncode == 64
