"""Scenes for etcdctl commands that run for a while, or that need more than one process or server.

A scene is a function that plays on a stage; what each command printed, and how it ended, is put on record. The same
scene on two servers must leave the same record. Leases have random ids, so a stage calls them LEASE1, LEASE2 and so on
in the order in which they appear, in arguments as in outputs.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import signal
import subprocess
import threading
import time
from typing import Callable

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


def watching(stage: Stage) -> None:
    for line in ("put w/a 1", "put w/b 1", "put w/a 2", "del w/b", "put v/a 0", "put x 1"):
        stage.run(line)
    watches = {  # from a revision, so that nothing depends on when the watch begins: events before, and in all
        "watch w/ --prefix --rev=1": (4, 5), "watch w/ --prefix --rev=1 --prev-kv": (4, 5),
        "watch w/a --rev=2": (2, 3), "watch w/a w/b --rev=1": (2, 3), "watch '' --prefix --rev=1": (6, 7),
        "watch --rev=1 w/a": (2, 3), "watch w/ --prefix --rev=4 --progress-notify": (2, 3),
        "watch w/b --rev=1 -w json": (2, 2), "watch w/ --prefix --rev=1 --prev-kv -w json": (4, 5),
        "watch w/ --prefix --rev=1 --prev-kv -w fields": (4, 5), "watch w/ --from-key --rev=1": (0, 0)}
    marks = {"json": '"kv":', "fields": '"Type" :'}
    sessions = [(stage.start(line), marks.get(line.split()[-1]), counts) for line, counts in watches.items()]
    for step in (0, 1):
        for session, mark, counts in sessions:
            session.wait_for_events(counts[step], mark)
        if step == 0:
            stage.run("put w/a 3")
    time.sleep(0.2)  # for what should not come
    for session, _, _ in sessions:
        stage.finish(session)


def watching_with_commands(stage: Stage) -> None:
    show = 'echo "$ETCD_WATCH_REVISION $ETCD_WATCH_EVENT_TYPE $ETCD_WATCH_KEY $ETCD_WATCH_VALUE"'
    stage.run("put w/a 1")
    stage.run(["put", "w/a", 'with "quotes" and spaces'])
    # The commands are run one for each event, after all events of a response are printed.
    for line, word in ((["watch", "w/a", "--rev=2", "--", "sh", "-c", show], '" "w/a"'),
                       (["watch", "w/", "--prefix", "--rev=2", "--prev-kv", "--", "sh", "-c", show], '" "w/a"'),
                       (["watch", "w/a", "w/c", "--rev=3", "--", "echo", "seen"], "seen"),
                       (["watch", "w/a", "--rev=3", "--", "sh", "-c", "echo to stderr >&2; echo done"], "done")):
        revision = stage.revision()
        events = revision - int(next(part for part in line if part.startswith("--rev="))[6:]) + 1
        session = stage.start(line)
        session.wait_for(word, events)
        stage.run("put w/a again")
        session.wait_for(word, events + 1)
        stage.finish(session)
        stage.run("del w/a")
    failing = stage.start(["watch", "w/a", "--rev=2", "--", "/nonexistent/command"])
    stage.finish(failing, None)


def watching_interactively(stage: Stage) -> None:
    stage.run("put i/a 1")
    stage.run("put i/b 1")
    session = stage.start("watch -i")
    session.write("watch i/a --rev=2\n")
    session.wait_for("i/a", 1)
    session.write("watch i/ --prefix --rev=3 --prev-kv\n")
    session.wait_for("i/b", 1)
    stage.run("put i/c 1")
    session.wait_for("i/c", 1)
    session.write("watch i/b --rev=3 -- echo from a command\n")
    session.wait_for("from a command", 1)
    stage.run("del i/c")
    session.wait_for("DELETE", 1)
    stage.finish(session)
    for text in ("nonsense\n", "watch\n", "watch a b c --rev=1\n", "watch a --rev=x\n", "\n", "watch a --nonsense\n"):
        session = stage.start("watch -i")
        session.write(text)
        session.process.stdin.close()
        stage.finish(session, None)
    session = stage.start("watch -i i/a --rev=2")
    time.sleep(0.5)  # it waits for lines
    stage.finish(session)


def watching_progress(stage: Stage) -> None:
    """The revision of a progress answer, asked for on the terminal."""
    stage.run("put p/a 1")
    session = stage.start("watch -i")
    session.write("watch p/a --rev=2\n")
    session.wait_for("p/a", 1)
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while "progress notify" not in session.output and time.monotonic() < deadline:
        session.write("progress\n")
        time.sleep(0.3)
    notices = set(re.findall(r"progress notify: (\d+)", session.output))
    stage.drop(session)
    stage.record.append(("progress", str(sorted(notices)), "", 0))


def watching_from_now(stage: Stage) -> None:
    """Without a revision: the first puts may come too early to be seen, so they are repeated and left out."""
    for line, environment in (("watch n/key", None), ("watch n/ --prefix", None), ("watch n/ n/z", None),
                              ("watch", {"ETCDCTL_WATCH_KEY": "n/key"}),
                              ("watch", {"ETCDCTL_WATCH_KEY": "n/", "ETCDCTL_WATCH_RANGE_END": "n/z"})):
        session = stage.start(line, environment)
        client = stage.server.client()
        deadline = time.monotonic() + WAIT_SECONDS_MAX
        while "probe" not in session.output and time.monotonic() < deadline:
            client.put(b"n/key", b"probe")
            time.sleep(0.1)
        client.put(b"n/key", b"value")
        client.must("KV/DeleteRange", key=b"n/key")
        session.wait_for("DELETE\nn/key\n\n")
        client.close()
        session.interrupt()
        stdout, stderr, code = session.wait()
        stage.record.append((session.label, stdout.replace("PUT\nn/key\nprobe\n", ""), stderr, code))


def watching_wrongly(stage: Stage) -> None:
    for number in range(4):
        stage.run(f"put c {number}")
    stage.run("compaction 4")
    for line in ("watch c --rev=2", "watch c --rev=2 -w json", "watch c --rev=2 -w fields", "watch", "watch c --rev=x",
                 "watch c --nonsense", "watch '' --prefix --rev=1", "watch -- echo", "watch a b --prefix"):
        stage.finish(stage.start(line), None)
    for line in ("watch b a --rev=4", "watch a b c d", "watch c -w table"):
        session = stage.start(line)
        time.sleep(0.5)  # they go on, and say nothing
        stage.finish(session)
    session = stage.start("watch c --rev=4")
    session.wait_for("PUT", 2)
    stage.finish(session)
    session = stage.start("watch c --rev=7")
    stage.run("put c too-early")
    stage.run("put c in-time")
    session.wait_for("in-time")
    stage.finish(session)


def watching_across_restarts(stage: Stage) -> None:
    stage.run("put r 1")
    session = stage.start("watch r --rev=2")
    session.wait_for("PUT", 1)
    stage.server.kill()
    stage.server.start()
    stage.run("put r after")
    session.wait_for("after\n")
    session.interrupt()
    stdout, _stderr_tells_of_time, code = session.wait()
    stage.record.append((session.label, stdout, "", code))


def leases(stage: Stage) -> None:
    for line in ("lease grant 1000", "lease grant 2000", "lease grant 3000 -w json", "lease grant 4000 -w fields",
                 "lease grant 5000 -w table", "lease grant 0", "lease grant -- -5", "lease grant x", "lease grant",
                 "lease grant 9000000001", "lease grant 1", "lease", "lease nonsense",
                 "put l/a 1 --lease=LEASE1", "put l/b 2 --lease=LEASE1", "put l/c 3 --lease=LEASE2",
                 "put l/d 4 --lease=LEASE1 -w json", "put l/e 5 --lease=nonsense", "put l/e 5 --lease=abc",
                 "lease timetolive LEASE1", "lease timetolive LEASE1 --keys", "lease timetolive LEASE1 --keys -w json",
                 "lease timetolive LEASE1 --keys -w fields", "lease timetolive LEASE1 -w table",
                 "lease timetolive LEASE2 -w json", "lease timetolive abc", "lease timetolive abc -w json",
                 "lease timetolive nonsense", "lease timetolive", "get l/a -w json", "get l/a -w fields",
                 "put l/b moved --lease=LEASE2", "put l/d detached", "lease timetolive LEASE1 --keys",
                 "put l/a kept --ignore-lease", "put l/a --ignore-value --lease=LEASE2", "put l/a kept --lease=LEASE1",
                 "lease timetolive LEASE2 --keys", "lease keep-alive --once LEASE1",
                 "lease keep-alive --once LEASE1 -w json", "lease keep-alive --once LEASE1 -w fields",
                 "lease keep-alive --once abc", "lease keep-alive --once abc -w json", "lease keep-alive",
                 "lease keep-alive nonsense", "lease keep-alive --once LEASE1 -w table"):
        stage.run(line)
    stage.run(["txn", "-i"], 'ver("l/a") > "0"\n\nput l/f 6 --lease=0\n\n\n')
    for line in ("lease revoke LEASE1", "get l/ --prefix", "lease revoke LEASE1", "lease timetolive LEASE1",
                 "lease timetolive LEASE1 -w fields", "lease timetolive LEASE1 -w json", "put l/a x --lease=LEASE1",
                 "lease revoke LEASE2 -w json", "lease revoke LEASE3 -w fields", "lease revoke nonsense",
                 "lease revoke", "get l/ --prefix"):
        stage.run(line)


def leases_that_run(stage: Stage) -> None:
    """A list in the order of expiry, a lease kept alive until it is revoked, one left alone."""
    for ttl in (3000, 1000, 2000):
        stage.run(f"lease grant {ttl}")
    for line in ("lease list", "lease list -w json", "lease list -w fields"):
        stage.run(line)
    stage.run("lease grant 2")
    stage.run("put k/a 1 --lease=LEASE4")
    session = stage.start("lease keep-alive LEASE4")
    session.wait_for("keepalived", 3)
    stage.run("get k/a")
    stage.run("lease revoke LEASE4")
    stage.finish(session, None)
    stage.run("get k/a")
    stage.run("lease grant 2")
    stage.run("put k/b 1 --lease=LEASE5")
    watch = stage.start("watch k/b --rev=2")
    watch.wait_for("DELETE\nk/b\n\n")
    stage.finish(watch)
    for line in ("get k/b", "lease timetolive LEASE5", "lease keep-alive --once LEASE5", "lease list"):
        stage.run(line)


def locks(stage: Stage) -> None:
    first = stage.start("lock names/one")
    first.wait_for("names/one/")
    second = stage.start("lock names/one --ttl=5")
    other = stage.start("lock names/two")
    other.wait_for("names/two/")
    time.sleep(0.3)  # the second must wait
    stage.finish(other)
    stage.finish(first)
    second.wait_for("names/one/")
    stage.run("get names/ --prefix --keys-only")
    stage.finish(second, signal.SIGTERM)
    stage.run("get names/ --prefix")
    stage.run(["lock", "names/one", "echo", "held"])
    stage.run(["lock", "names/one", "--", "sh", "-c", 'echo "$ETCD_LOCK_KEY at $ETCD_LOCK_REV"; exit 3'])
    stage.run("lock names/one -- true")
    stage.run("lock")
    stage.run("lock names/one --ttl=x")
    stage.run("lock names/one /nonexistent/command")
    stage.run("get names/ --prefix")


def elections(stage: Stage) -> None:
    first = stage.start("elect posts/chair first")
    first.wait_for("first")
    second = stage.start("elect posts/chair second")
    listener = stage.start("elect -l posts/chair")
    listener.wait_for("first")
    time.sleep(0.3)  # the second must wait
    stage.finish(first)
    second.wait_for("second")
    listener.wait_for("second")
    stage.finish(second, signal.SIGTERM)
    stage.finish(listener)
    stage.run("get posts/ --prefix")
    stage.run("elect")
    stage.run("elect posts/chair")
    stage.run("elect -l posts/chair proposal")


def mirrors(stage: Stage) -> None:
    for number in range(5):
        stage.run(f"put m/{number} {number}")
    stage.run("put n/other x")
    plans = {"make-mirror OTHER --prefix=m/": b"m/", "make-mirror OTHER --prefix=m/ --dest-prefix=copy/": b"copy/",
             "make-mirror OTHER --prefix=m/ --no-dest-prefix": b""}
    for number, (line, prefix) in enumerate(plans.items()):
        last = f"last{number}"
        session = stage.start(line.replace("OTHER", stage.other.endpoint))
        wait_for_value(stage.other, b"0", prefix)
        for change in ("put m/new fresh", "del m/2", "put m/2 back", f"put m/last {last}"):
            stage.run(change)
        wait_for_value(stage.other, last.encode())
        stage.finish(session)
        stage.run("get '' --prefix", on_other=True)
        stage.run("del m/last")
    for line in ("make-mirror", "make-mirror a b", "make-mirror OTHER --rev=x"):
        stage.run(line)


def wait_for_value(server: harness.Server, value: bytes, prefix: bytes = b"") -> None:
    client, deadline = server.client(), time.monotonic() + WAIT_SECONDS_MAX
    while time.monotonic() < deadline:
        kvs = client.must("KV/Range", key=b"\0", range_end=b"\0").kvs
        if any(kv.value == value and kv.key.startswith(prefix) for kv in kvs):
            break
        time.sleep(0.02)
    client.close()


def member_calls(stage: Stage) -> None:
    """What one member says to calls that are about several."""
    own = stage.run("member list").split(",")[0]
    peer = f"http://127.0.0.1:{stage.server.peer_port}"
    for line in (f"move-leader {own}", "move-leader 1234", "move-leader", "move-leader nonsense",
                 "member remove 1234", "member remove nonsense", "member remove", "member promote 1234",
                 f"member promote {own}", "member promote nonsense", f"member update 1234 --peer-urls={peer}",
                 f"member update {own}", f"member update {own} --peer-urls={peer}",
                 f"member add another --peer-urls={peer}", "member add another", "member add",
                 "member list", "endpoint health --cluster", "endpoint status --cluster", "endpoint hashkv --cluster"):
        stage.run(line)


def defragmentation(stage: Stage) -> None:
    for number in range(20):
        stage.run(["put", f"d/{number}", "x" * 1000])
    for line in ("defrag", "defrag --cluster", "defrag -w json", "get d/ --prefix --keys-only", "endpoint hashkv",
                 "alarm list", "alarm disarm", "alarm list -w json", "alarm disarm -w json", "alarm", "alarm nonsense",
                 "alarm list -w fields", "alarm list -w table"):
        stage.run(line)


def a_full_store(stage: Stage) -> None:
    """From the first refused put to the disarmed alarm; how many puts that takes is each server's own affair."""
    stage.hidden = [r'"revision":\d+', r'"Revision" : \d+']
    client = stage.server.client()
    number = 0
    while number < 2000:
        outcome = client.call("KV/Put", key=b"fill/%04d" % number, value=os.urandom(256 << 10))
        if not outcome.succeeded:
            break
        number += 1
    stage.record.append(("filled", str(outcome), "", 0))
    client.close()
    for line in ("put f 1", "alarm list", "alarm list -w json", "alarm list -w fields", "endpoint health",
                 "endpoint health -w json", "endpoint status", "get f", "lease grant 10", "txn -i"):
        stage.run(line, '\nput f 1\n\n\n' if line == "txn -i" else "")
    stage.run("alarm disarm")
    stage.run("put fill/large", "x" * (256 << 10))  # there is still no room for it: the alarm comes back
    stage.run("alarm list")
    client = stage.server.client()
    revision = client.must("KV/DeleteRange", key=b"fill/", range_end=b"fill0").header.revision
    client.must("KV/Compact", revision=revision, physical=True)
    client.close()
    for line in ("defrag", "alarm list", "put f 1", "alarm disarm", "alarm list", "endpoint health", "put f 1", "get f",
                 "lease grant 10"):
        stage.run(line)


SCENES = [watching, watching_with_commands, watching_interactively, watching_progress, watching_from_now,
          watching_wrongly, watching_across_restarts, leases, leases_that_run, locks, elections, mirrors, member_calls,
          defragmentation, a_full_store]
QUOTA_BYTES = 48 << 20
EXTRA_ARGUMENTS = {a_full_store: ["--quota-backend-bytes", str(QUOTA_BYTES)]}
