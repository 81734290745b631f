"""Scenes for etcdctl commands that run for a while, or that need more than one process or server.

A scene is a function that plays on a stage (`etcdctl_stage.py`), the same way on every server.
"""

from __future__ import annotations

import os
import re
import signal
import time

import harness
from etcdctl_stage import WAIT_SECONDS_MAX, Stage


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
