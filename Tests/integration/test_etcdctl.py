"""etcdctl 3.4.23 and 3.5.1 say the same about Cairn as about etcd 3.5.1: output, errors and exit codes.

Both servers run the script one after the other on the same ports, so that cluster and member ids, which etcd
computes from the URLs, must come out equal too. What may differ is the list of REPLACEMENTS, nothing else.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import re
import subprocess

import pytest

import harness

# (what to find, what to put instead, why it may differ)
REPLACEMENTS = [
    (r'"ts":("[^"]*"|[\d.]+)', '"ts":TIME', "time of a log line"),
    (r'"target":"[^"]*"', '"target":TARGET', "a random id or address inside etcdctl"),
    (r"took = [\d.]+[mµn]?s", "took = TIME", "measured time"),
    (r"\| (true|false) \| [\d.]+[mµn]?s \|", r"| \1 | TIME |", "measured time"),
    (r'"took":("[^"]*"|[\d.]+)', '"took":TIME', "measured time"),
    (r'"size":"[^"]*"', '"size":SIZE', "size of the database file: another file format"),
    (r'"version":"3\.\d+\.\d+"', '"version":VERSION', "API level of the server"),
    (r'"(dbSize|dbSizeInUse)":\d+', r'"\1":SIZE', "size of the database file"),
    (r'"(raft_term|raftTerm|raftIndex|raftAppliedIndex)":\d+', r'"\1":NUMBER', "raft's own counts"),
    (r'"(RaftTerm|RaftIndex|RaftAppliedIndex)" : \d+', r'"\1" : NUMBER', "raft's own counts"),
    (r'"Version" : "3\.\d+\.\d+"', '"Version" : VERSION', "API level of the server"),
    (r'"DBSize" : \d+', '"DBSize" : SIZE', "size of the database file"),
    # A line of `endpoint status`: version, size, is leader, is learner, raft term, index, applied index.
    (r"3\.\d+\.\d+(,| \|) [\d.]+ ?[kMG]?B(,| \|) (true|false)(,| \|) (true|false)(,| \|) \d+(,| \|) \d+(,| \|) \d+",
     r"VERSION\1 SIZE\2 \3\4 \5\6 TERM\7 INDEX\8 INDEX", "version, size and raft's counts"),
    (r"alarm:(NOSPACE|CORRUPT) ", r"alarm:\1", "3.5 writes a space after each field, later versions between them"),
    (r"remaining\(\d+s\)", "remaining(TIME)", "what is left of a lease: it runs"),
    (r'"ttl":[1-9]\d*', '"ttl":TIME', "what is left of a lease"),
    (r'"TTL" : [1-9]\d*\n"GrantedTTL"', '"TTL" : TIME\n"GrantedTTL"', "what is left of a lease"),
    (r"(lease \S+ keepalived with TTL\(\d+\)\n)\1+", r"\1", "how often it was renewed: a matter of time"),
    (r"(etcd member\[\S+\])\. took [\d.]+[mµn]?s", r"\1. took TIME", "measured time"),
]


@dataclasses.dataclass
class Step:
    arguments: list[str]
    input: str = ""

    def __str__(self) -> str:
        return "etcdctl " + " ".join(self.arguments)


def step(line: str, input: str = "") -> Step:
    """Arguments split at spaces; `''` is an empty one."""
    return Step(["" if word == "''" else word for word in line.split(" ")], input)


TRANSACTION = 'ver("txn/a") = "0"\nmod("put/one") > "1"\n\nput txn/a first\nget put/one\n\nput txn/b second\n\n'
TRANSACTION_FORMS = [
    'value("put/one") = "1"\n\ndel txn/ --prefix\nget put/ --prefix --keys-only\n\nget nothing\n\n',
    'create("none") = "0"\n\nput txn/c "with \\"quotes\\""\nput txn/d \'single\'\n\n\n',
    'ver("put/one") < "0"\n\nput x y\n\nget put/one\ndel none\n\n',
    'c("put/one") != "0"\nval("put/one") > "0"\n\nput put/one changed --prev-kv\n\n\n',
]
BAD_TRANSACTIONS = ['nonsense\n\n\n\n', 'ver("a") = "1"\n\nfrobnicate a\n\n\n', 'ver("a") = "1"\n\nput a\n\n\n',
                    'ver("a") = "x"\n\n\n\n', '\nput dup 1\nput dup 2\n\n\n']

SCRIPT = [
    step("put put/one 1"), step("put put/two 2"), step("put put/three", "value from standard input"),
    step("put put/one again --prev-kv"), step("put put/one --ignore-value"), step("put put/one 1 --prev-kv -w json"),
    step("put '' x"), step("put missing --ignore-value"), step("put put/one 5 --lease=77"),
    step("put put/one v --ignore-value"), step("put lonely"), step("put"), step("put put/one x -w fields"),
    step("get put/one"), step("get put/ --prefix"), step("get put/ --prefix --keys-only"), step("get nothing"),
    step("get put/ --prefix --order=DESCEND --sort-by=VALUE"), step("get put/ --prefix --sort-by=MODIFY --limit=2"),
    step("get put/ --prefix --print-value-only"), step("get put/ --from-key"), step("get put/one put/two"),
    step("get put/ --prefix --count-only -w fields"), step("get put/one --rev=2"), step("get put/one --rev=1000"),
    step("get put/one --hex"), step("get '' --prefix"), step("get ''"), step("get put/one --consistency=s"),
    step("get put/one --consistency=x"), step("get put/ --prefix --from-key"), step("get"),
    step("get put/ --prefix -w json"), step("get put/ --prefix -w fields"), step("get put/one -w table"),
    step("get put/one -w nonsense"), step("get put/ --prefix --order=SIDEWAYS"),
    step("txn -i", TRANSACTION), step("txn -i", TRANSACTION), step("txn -i -w json", TRANSACTION),
    step("txn -i -w fields", TRANSACTION), step("txn", TRANSACTION),
    *[step("txn -i", text) for text in TRANSACTION_FORMS], *[step("txn -i", text) for text in BAD_TRANSACTIONS],
    step("txn -i", 'ver("a")'),
    step("del put/three"), step("del nothing"), step("del put/two --prev-kv"), step("del ''"), step("del"),
    step("put many/1 a"), step("put many/2 b"), step("put many/3 c"), step("del many/ --prefix --prev-kv -w json"),
    step("put many/1 a"), step("del many/1 -w fields"), step("del a b --from-key --prefix"),
    step("endpoint hashkv"), step("endpoint hashkv -w json"), step("endpoint hashkv -w table"),
    step("endpoint hashkv --rev=5"), step("endpoint hashkv --rev=5000"), step("endpoint hashkv -w fields"),
    step("compaction 6"), step("compaction 6"), step("compaction 4"), step("compaction 9999"),
    step("compaction 8 --physical"), step("compaction x"), step("compaction"), step("get put/one --rev=3"),
    step("get put/one --rev=8"), step("endpoint hashkv"), step("endpoint hashkv --rev=9"),
    step("endpoint status"), step("endpoint status -w json"), step("endpoint status -w fields"),
    step("endpoint status -w table"), step("endpoint status --cluster"),
    step("endpoint health"), step("endpoint health -w json"), step("endpoint health -w table"),
    step("member list"), step("member list -w json"), step("member list -w fields"), step("member list -w table"),
    step("member list --hex -w json"),
    step("snapshot save FOLDER/saved.db"), step("snapshot save"), step("snapshot save /nonexistent/folder/x.db"),
    step("alarm list"), step("nonsense"), step("get put/one --nonsense"),
    step("del '' --prefix"), step("get '' --prefix"), step("endpoint hashkv"),
]


def normalised(text: str, folder: pathlib.Path) -> str:
    text = text.replace(str(folder), "FOLDER")
    text = re.sub(r" {2,}", " ", re.sub(r"-{3,}", "---", text))  # the widths of table columns
    for pattern, replacement, _why in REPLACEMENTS:
        text = re.sub(pattern, replacement, text)
    return text


def run_step(binary: pathlib.Path, endpoint: str, each: Step, folder: pathlib.Path) -> tuple[str, str, int]:
    environment = {"PATH": os.environ["PATH"], "ETCDCTL_API": "3", "ETCDCTL_ENDPOINTS": endpoint}
    arguments = [argument.replace("FOLDER", str(folder)) for argument in each.arguments]
    done = subprocess.run([str(binary), *arguments], input=each.input, capture_output=True, text=True,
                          timeout=60, env=environment)
    return normalised(done.stdout, folder), normalised(done.stderr, folder), done.returncode


def run_script(server: harness.Server, binary: pathlib.Path, folder: pathlib.Path) -> list[tuple[str, str, int]]:
    with server:
        server.start()
        return [run_step(binary, server.endpoint, each, folder) for each in SCRIPT]


@pytest.mark.parametrize("version", ["3.4.23", "3.5.1"])
def test_script(version: str, tmp_path: pathlib.Path):
    binary = harness.etcdctl_binaries().get(version)
    if binary is None:
        pytest.skip("etcdctl 3.4.23 is not installed (apt-get install etcd-client)")
    ports = tuple(harness.free_ports(2))
    expected = run_script(harness.etcd(ports=ports), binary, tmp_path)
    got = run_script(harness.cairn(ports=ports), binary, tmp_path)
    differences = [f"{each}\n    etcd:  {one}\n    cairn: {other}"
                   for each, one, other in zip(SCRIPT, expected, got, strict=True) if one != other]
    if differences:
        pytest.fail(f"{len(differences)} of {len(SCRIPT)} steps differ:\n" + "\n".join(differences), pytrace=False)
    assert sum(code == 0 for _, _, code in expected) > 50
    assert sum(code != 0 for _, _, code in expected) > 20
    check_snapshot(tmp_path / "saved.db")


def check_snapshot(saved: pathlib.Path) -> None:
    """A saved snapshot ends with the SHA-256 of what comes before; the 512-byte alignment is etcd's mark of it."""
    import hashlib

    data = saved.read_bytes()
    assert len(data) > 32
    assert hashlib.sha256(data[:-32]).digest() == data[-32:]


def test_an_unhealthy_endpoint_is_reported_alike(tmp_path: pathlib.Path):
    """A member that was stopped: etcdctl's text and exit code come from the closed port."""
    binary = harness.etcdctl_binaries()["3.5.1"]
    ports = tuple(harness.free_ports(2))
    outcomes = []
    for server in (harness.etcd(ports=ports), harness.cairn(ports=ports)):
        with server:
            server.start()
            server.terminate()
            each = step("endpoint health --command-timeout=1s --dial-timeout=1s")
            outcomes.append(run_step(binary, server.endpoint, each, tmp_path)[2])
    assert outcomes == [1, 1]


@pytest.mark.parametrize("one, other", [
    ('{"hash":1}', '{"hash":2}'), ('"revision":4', '"revision":5'), ('"cluster_id":1', '"cluster_id":2'),
    ("127.0.0.1:1, 4267424932", "127.0.0.1:1, 4267424933"), ("compacted revision 2", "compacted revision 3"),
    ("a, 5c76a90ae78bcee7, 3.5.1, 20 kB, true, false, 2, 5, 5, ", "a, 5c76a90ae78bcee8, 3.5.1, 20 kB, true, false, 2, 5, 5, "),
    ("x, 3.5.1, 20 kB, true, false, 2, 5, 5, ", "x, 3.5.1, 20 kB, false, false, 2, 5, 5, "),
    ('"Revision" : 4', '"Revision" : 5'), ('"error":"a"', '"error":"b"')])
def test_replacements_keep_what_matters(one: str, other: str):
    assert normalised(one, pathlib.Path("/x")) != normalised(other, pathlib.Path("/x"))


def test_replacements_reach_what_they_are_for():
    lines = ["a, 5c76, 3.5.1, 20 kB, true, false, 2, 5, 5, ", "a, 5c76, 3.7.1, 1.3 MB, true, false, 3, 50, 49, "]
    tables = ["| 5c76 |   3.5.1 |   20 kB |      true |      false |         2 |          5 |            5 |  |",
              "| 5c76 |   3.7.1 |   1.3 MB |    true |      false |         9 |          7 |            8 |  |"]
    for one, other in (lines, tables):
        assert normalised(one, pathlib.Path("/x")) == normalised(other, pathlib.Path("/x"))
