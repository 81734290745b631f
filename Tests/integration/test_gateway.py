"""The JSON gateway: curl says the same about Cairn as about etcd 3.5.1, path by path, after the list of what may differ."""

from __future__ import annotations

import base64
import dataclasses
import json
import re
import subprocess
import threading
import time

import pytest

import harness

# What 3.7.1 answers otherwise than 3.5.1, and Cairn with it.
DIFFERENCES_OF_3_7 = {
    "errors have no key `error` beside `message` (grpc-gateway v2)",
    "another method than POST: 501 and JSON instead of 405 and text",
    "a path that is not there: 404 with JSON instead of text",
    "JSON that is no request: status and code are the same, the text is the decoder's own",
    "two members of one oneof in a request are refused",
    "a watch from a negative revision is refused as compacted",
    "numbers may have an exponent, and unknown names of enums are passed over",
    "/v3/maintenance/hashkv is a path of its own",
    "status tells storageVersion, dbSizeQuota and downgradeInfo",
    "a token that nobody checks, while authentication is off, is no error",
}


@dataclasses.dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def lines(self) -> list:
        return [json.loads(line) for line in self.body.decode().splitlines() if line]


def curl(server: harness.Server, path: str, body: str | None = None, *options: str, seconds: float = 10) -> Answer:
    """What curl received, until it was told to stop after so many seconds."""
    command = ["curl", "-s", "-i", "-N", "--max-time", str(seconds), *options]
    if body is not None:
        command += ["--data-binary", body]
    done = subprocess.run([*command, f"http://{server.endpoint}{path}"], capture_output=True, check=False)
    head, _, rest = done.stdout.partition(b"\r\n\r\n")
    while re.match(rb"HTTP/1.1 1\d\d", head):
        head, _, rest = rest.partition(b"\r\n\r\n")
    if not head:
        return Answer(0, {}, b"")
    first, *fields = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (field.partition(": ") for field in fields)}
    return Answer(int(first.split()[1]), headers, rest)


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


NUMBERS = {"cluster_id", "member_id", "raft_term", "hash", "raftIndex", "raftTerm", "raftAppliedIndex", "dbSize",
           "dbSizeInUse", "leader", "memberID"}
LATER_FIELDS = {"storageVersion", "dbSizeQuota", "downgradeInfo", "hash_revision", "version"}


def normalised(value, place: str = ""):
    """Ids, sizes and what only 3.7.1 tells are taken out; the order of names stays."""
    if isinstance(value, dict):
        return {name: "NUMBER" if name in NUMBERS and isinstance(item, (str, int)) else normalised(item, name)
                for name, item in value.items()
                if not (name == "error" and isinstance(item, str)) and not (place == "status" and name in LATER_FIELDS)}
    if isinstance(value, list):
        return [normalised(item) for item in value]
    return value


def told(answer: Answer, path: str) -> tuple:
    place = "status" if path.endswith("/status") else ""
    kept = {name: answer.headers.get(name) for name in (
        "content-type", "grpc-metadata-content-type", "access-control-allow-origin", "access-control-allow-methods",
        "access-control-allow-headers", "transfer-encoding")}
    return answer.status, kept, [list_of(normalised(line, place)) for line in answer.lines]


def list_of(value):
    """Objects as lists of pairs, so that the order of names counts."""
    if isinstance(value, dict):
        return [(name, list_of(item)) for name, item in value.items()]
    return [list_of(item) for item in value] if isinstance(value, list) else value


KEY, VALUE = encoded("foo"), encoded("bar")
UNARY = [
    ("/v3/kv/put", f'{{"key":"{KEY}","value":"{VALUE}"}}'), ("/v3/kv/put", f'{{"key":"{KEY}","prev_kv":true}}'),
    ("/v3/kv/put", "{}"), ("/v3/kv/put", f'{{"key":"{KEY}","lease":"77"}}'),
    ("/v3/kv/range", f'{{"key":"{KEY}"}}'), ("/v3/kv/range", ""), ("/v3/kv/range", "{}"),
    ("/v3/kv/range", f'{{"key":"{KEY}","limit":"5","sort_order":"DESCEND","sortTarget":2}}'),
    ("/v3/kv/range", f'{{"key":"{KEY}","keysOnly":true,"unknown":{{"deep":[1,{{}}]}}}}'),
    ("/v3/kv/range", f'{{"key":"{KEY}","revision":100}}'), ("/v3/kv/range", f'{{"key":"{KEY}"}} and more'),
    ("/v3/kv/range", '{"key":null,"limit":null}'), ("/v3beta/kv/range", f'{{"key":"{KEY}"}}'),
    ("/v3/kv/range?key=x", f'{{"key":"{KEY}","range_end":"AA=="}}'),
    ("/v3/kv/txn", f'{{"compare":[{{"target":"VERSION","key":"{KEY}","version":"2","result":"EQUAL"}}],"success":'
                   f'[{{"request_range":{{"key":"{KEY}"}}}},{{"requestPut":{{"key":"YQ==","value":"Yg=="}}}}]}}'),
    ("/v3/kv/txn", '{"compare":[{"target":"VERSION","version":"1"}]}'), ("/v3/kv/txn", "{}"),
    ("/v3/kv/deleterange", '{"key":"YQ==","prev_kv":true}'), ("/v3/kv/deleterange", '{"key":"YQ=="}'),
    ("/v3/lease/grant", '{"TTL":"1000","ID":"77"}'), ("/v3/lease/grant", '{"TTL":1000,"ID":77}'),
    ("/v3/lease/grant", '{"TTL":"9000000001"}'), ("/v3/kv/put", '{"key":"bGVhc2Vk","lease":"77"}'),
    ("/v3/lease/leases", "{}"), ("/v3/kv/lease/leases", "{}"), ("/v3/lease/timetolive", '{"ID":"78"}'),
    ("/v3/kv/lease/timetolive", '{"ID":"78","keys":true}'), ("/v3/lease/revoke", '{"ID":"79"}'),
    ("/v3/kv/lease/revoke", '{"ID":"77"}'), ("/v3/lease/revoke", '{"ID":"77"}'),
    ("/v3/cluster/member/remove", '{"ID":"5"}'), ("/v3/cluster/member/promote", '{"ID":"5"}'),
    ("/v3/cluster/member/update", '{"ID":"5","peerURLs":["http://127.0.0.1:1"]}'),
    ("/v3/cluster/member/add", '{"peerURLs":["nonsense"]}'),
    ("/v3/maintenance/status", "{}"), ("/v3/maintenance/alarm", "{}"),
    ("/v3/maintenance/alarm", '{"action":"ACTIVATE","memberID":"5","alarm":"CORRUPT"}'),
    ("/v3/maintenance/alarm", '{"action":"DEACTIVATE","memberID":"5","alarm":2}'),
    ("/v3/maintenance/defragment", "{}"), ("/v3/maintenance/hash", "{}"),
    ("/v3/maintenance/transfer-leadership", '{"targetID":"5"}'),
    ("/v3/maintenance/downgrade", '{"action":"VALIDATE","version":"nonsense"}'),
    ("/v3/lock/unlock", '{"key":"bG9jaw=="}'), ("/v3/election/leader", '{"name":"ZWw="}'),
    ("/v3/election/proclaim", "{}"), ("/v3/election/resign", "{}"),
    ("/v3/kv/compaction", '{"revision":"3","physical":true}'), ("/v3/kv/compaction", '{"revision":"2"}'),
    ("/v3/kv/range", f'{{"key":"{KEY}","revision":"2"}}'),
]


def test_unary_calls(reference, subject):
    differing = []
    for path, body in UNARY:
        expected, got = (told(curl(server, path, body), path) for server in (reference, subject))
        if expected != got:
            differing.append(f"{path} {body}\n  etcd:  {expected}\n  cairn: {got}")
    assert not differing, "\n".join(differing)


def test_answers_without_ids_of_ones_own(subject):
    """Where every server says something else: member list, member add, lock and campaign."""
    members = curl(subject, "/v3/cluster/member/list", "{}").lines[0]["members"]
    assert members[0]["name"] == "default" and members[0]["peerURLs"] == [f"http://127.0.0.1:{subject.peer_port}"]
    lock = curl(subject, "/v3/lock/lock", f'{{"name":"{encoded("names")}"}}').lines[0]
    assert base64.b64decode(lock["key"]).startswith(b"names/")
    leader = curl(subject, "/v3/election/campaign", f'{{"name":"{encoded("post")}","value":"{VALUE}"}}').lines[0]
    found = curl(subject, "/v3/election/leader", f'{{"name":"{encoded("post")}"}}').lines[0]
    assert found["kv"]["key"] == leader["leader"]["key"] and found["kv"]["value"] == VALUE
    kept = curl(subject, "/v3/maintenance/hashkv", "{}").lines[0]
    assert isinstance(kept["hash"], int)


AUTH = [f"/v3/auth/{name}" for name in (
    "enable", "disable", "status", "authenticate", "user/add", "user/get", "user/list", "user/delete", "user/changepw",
    "user/grant", "user/revoke", "role/add", "role/get", "role/list", "role/delete", "role/grant", "role/revoke")]


@pytest.mark.skipif(harness.subject_is_etcd(), reason="etcd 3.5.1 has authentication")
def test_paths_of_authentication(subject):
    """It is not built yet: each of its paths is known and says so, and none that etcd has is missing."""
    for path in AUTH:
        got = curl(subject, path, "{}")
        assert got.status == 501, path
        assert got.lines == [{"code": 12, "message": "unknown service etcdserverpb.Auth"}], path
        assert got.headers["content-type"] == "application/json", path
    assert curl(subject, "/v3/auth/nothing", "{}").status == 404


WRONG_JSON = ['{"key":5}', '{"key":"Zm9v"', "[1]", "x", '{"key":"Z*"}', '{"limit":"x"}', '{"limit":1.5}',
              '{"limit":99999999999999999999}', '{"key":{}}', '{"limit":[]}', "nul", '"text"', "{{"]


def test_json_that_is_no_request(reference, subject):
    for body in WRONG_JSON:
        expected, got = curl(reference, "/v3/kv/range", body), curl(subject, "/v3/kv/range", body)
        assert (expected.status, expected.lines[0]["code"]) == (400, 3), body
        assert (got.status, got.lines[0]["code"]) == (400, 3), body
        assert got.lines[0]["message"], body
    for body in ('{"create_request":{"key":5}}', "x"):
        expected, got = curl(reference, "/v3/watch", body), curl(subject, "/v3/watch", body)
        assert (expected.status, expected.lines[0]["code"]) == (got.status, got.lines[0]["code"]) == (500, 2), body


def test_hostile_bodies(subject):
    """None of them ends the member, and each gets an answer."""
    deep = '{"a":' * 100_000
    for body in (deep, '{"key":"' + "\\" * 9999, "{" + '"a":[' * 150 + "]" * 150 + "}", '{"key":"\\ud800"}', "\xff{}",
                 '{"sort_order":-1}', '{"sort_order":2147483648}', '{"limit":1e999}', '{"limit":"9223372036854775808"}',
                 '{"key":"' + "A" * 20_000_001 + '"}'):
        done = subprocess.run(["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--data-binary", "@-",
                               f"http://{subject.endpoint}/v3/kv/range"], input=body.encode("latin-1"),
                              capture_output=True, timeout=60, check=False)
        assert done.stdout.decode() in ("400", "413", "429"), (body[:40], done.stdout)
    assert curl(subject, "/v3/kv/range", f'{{"key":"{KEY}"}}').status == 200


def test_methods_and_paths(reference, subject):
    """DIFFERENCES_OF_3_7 names the three that are not as in 3.5.1."""
    for options in (["-X", "DELETE"], ["-X", "PUT"], []):
        assert curl(reference, "/v3/kv/range", None, *options).status == 405
        got = curl(subject, "/v3/kv/range", None, *options)
        assert (got.status, got.lines) == (501, [{"code": 12, "message": "Method Not Allowed"}])
    for path in ("/v3/kv/nothing", "/v3/kv/range/", "/v3/", "/v3/kv"):
        assert curl(reference, path, "{}").status == 404
        got = curl(subject, path, "{}")
        assert (got.status, got.lines) == (404, [{"code": 5, "message": "Not Found"}])
    for server in (reference, subject):
        moved = curl(server, "/v3", "{}")
        assert (moved.status, moved.headers["location"]) == (301, "/v3/")


def test_metadata_and_deadlines(reference, subject):
    for options in (["-H", "Grpc-Timeout: 1n"], ["-H", "Grpc-Timeout: x"], ["-H", "Grpc-Metadata-Hasleader: true"]):
        expected, got = (told(curl(server, "/v3/kv/range", f'{{"key":"{KEY}"}}', *options), "")
                         for server in (reference, subject))
        assert expected == got, options


def test_large_requests(reference, subject, tmp_path):
    for size in (1_000_000, 2_200_000, 2_900_000):
        body = tmp_path / "body"
        body.write_text(f'{{"key":"{KEY}","value":"{"A" * size}"}}')
        expected, got = (told(curl(server, "/v3/kv/put", f"@{body}"), "") for server in (reference, subject))
        assert re.sub(r"\d{7}", "N", str(expected)) == re.sub(r"\d{7}", "N", str(got)), size


STREAMS = [
    ("/v3/watch", f'{{"create_request":{{"key":"{KEY}","start_revision":"2"}}}}'),
    ("/v3/watch", f'{{"createRequest":{{"key":"{KEY}","range_end":"AA==","start_revision":3,"filters":["NOPUT"]}}}}'),
    ("/v3/watch", f'{{"create_request":{{"key":"{KEY}","watch_id":"7"}}}}\n{{"cancel_request":{{"watch_id":"7"}}}}'),
    ("/v3/watch", "{}"), ("/v3/watch", ""),
    ("/v3/lease/keepalive", '{"ID":"77"}'), ("/v3/lease/keepalive", '{"ID":"77"}{"ID":78}'),
    ("/v3/lease/keepalive", ""), ("/v3/election/observe", f'{{"name":"{encoded("nobody")}"}}'),
]


def test_streams(reference, subject):
    for server in (reference, subject):
        curl(server, "/v3/lease/grant", '{"TTL":"1000","ID":"77"}')
        for value in "abc":
            curl(server, "/v3/kv/put", f'{{"key":"{KEY}","value":"{encoded(value)}"}}')
        curl(server, "/v3/kv/deleterange", f'{{"key":"{KEY}"}}')
    for path, body in STREAMS:
        expected, got = (told(curl(server, path, body, seconds=1.5), path) for server in (reference, subject))
        assert expected == got, (path, body)


def test_a_snapshot_comes_whole(subject):
    curl(subject, "/v3/kv/put", f'{{"key":"{KEY}","value":"{VALUE}"}}')
    answer = curl(subject, "/v3/maintenance/snapshot", "{}")
    pieces = [base64.b64decode(line["result"]["blob"]) for line in answer.lines]
    assert answer.status == 200 and len(pieces[-1]) == 32
    import hashlib
    assert hashlib.sha256(b"".join(pieces[:-1])).digest() == pieces[-1]


def descriptors(server: harness.Server) -> int:
    import os
    return len(os.listdir(f"/proc/{server.pid}/fd"))


def settled_descriptors(server: harness.Server) -> int:
    """When those of clients that have gone are closed."""
    deadline = time.monotonic() + 20
    before = descriptors(server)
    while time.monotonic() < deadline:
        time.sleep(0.3)
        now = descriptors(server)
        if now == before:
            break
        before = now
    return before


def test_clients_that_leave(subject):
    """A stream ends with its client, and nothing stays open for it."""
    curl(subject, "/v3/kv/range", f'{{"key":"{KEY}"}}')
    before = settled_descriptors(subject)
    body = f'{{"create_request":{{"key":"{KEY}"}}}}'
    watchers = [subprocess.Popen(["curl", "-s", "-N", "--data-binary", body, f"http://{subject.endpoint}/v3/watch"],
                                 stdout=subprocess.PIPE) for _ in range(20)]
    for each in watchers:
        assert b"created" in each.stdout.readline()
    assert descriptors(subject) >= before + 60
    for each in watchers:
        each.kill()
        each.wait()
        each.stdout.close()
    deadline = time.monotonic() + 20
    while descriptors(subject) > before + 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert descriptors(subject) <= before + 3


def anonymous_bytes(server: harness.Server) -> int:
    with open(f"/proc/{server.pid}/status", encoding="ascii") as status:
        return int(re.search(r"RssAnon:\s+(\d+) kB", status.read())[1]) << 10


def test_a_client_that_does_not_read(subject):
    """It costs a bounded amount of memory, and gets everything when it reads again."""
    body = f'{{"create_request":{{"key":"{encoded("slow")}"}}}}'
    watcher = subprocess.Popen(["curl", "-s", "-N", "--limit-rate", "1K", "--data-binary", body,
                                f"http://{subject.endpoint}/v3/watch"], stdout=subprocess.PIPE)
    before = anonymous_bytes(subject)
    client = subject.client()
    for number in range(600):
        client.must("KV/Put", key=b"slow", value=b"%06d" % number + bytes(200_000))
    grown = anonymous_bytes(subject) - before
    client.close()
    assert grown < 96 << 20, grown
    watcher.kill()
    watcher.wait()
    watcher.stdout.close()


def test_origins_and_hosts(tmp_path):
    options = ["--cors", "http://one.example:80,http://two.example:81", "--host-whitelist", "127.0.0.1,good.example"]
    with harness.etcd(extra_arguments=options) as reference, harness.cairn(extra_arguments=options) as subject:
        reference.start(), subject.start()
        for path, body in (("/version", None), ("/v3/kv/range", f'{{"key":"{KEY}"}}')):
            for header in ("Origin: http://one.example:80", "Origin: http://three.example:80", "Host: good.example:99",
                           "Host: evil.example", 'Host: x"y', "X: y"):
                for method in ((), ("-X", "OPTIONS")):
                    expected, got = (curl(server, path, body, "-H", header, *method) for server in (reference, subject))
                    assert expected.status == got.status, (path, header, method)
                    if expected.status == 400:
                        assert expected.body == got.body
                    for name in ("access-control-allow-origin", "access-control-allow-methods",
                                 "access-control-allow-headers"):
                        assert expected.headers.get(name) == got.headers.get(name), (path, header, method, name)
                    if expected.status == 421:
                        assert expected.body == got.body


def test_turned_off():
    with harness.cairn(extra_arguments=["--enable-grpc-gateway=false"]) as subject:
        subject.start()
        assert curl(subject, "/v3/kv/range", f'{{"key":"{KEY}"}}').status == 404
        assert curl(subject, "/version").status == 200


def test_one_connection_serves_calls_and_streams(subject):
    """Keep-alive: calls one after another on one connection, from many threads at once."""
    import http.client
    failures = []

    def work(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", subject.client_port, timeout=20)
        for step in range(30):
            key = encoded(f"{number}/{step}")
            connection.request("POST", "/v3/kv/put", f'{{"key":"{key}","value":"{VALUE}"}}')
            if connection.getresponse().read().find(b"header") < 0:
                failures.append((number, step))
            connection.request("POST", "/v3/lease/keepalive", '{"ID":"5"}')
            if b'"ID":"5"' not in connection.getresponse().read():
                failures.append((number, step, "stream"))
        connection.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert not failures
    count = curl(subject, "/v3/kv/range", '{"key":"AA==","range_end":"AA==","count_only":true}').lines[0]["count"]
    assert count == "240"
