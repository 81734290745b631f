"""Data directories of released format versions: opened with the same content, or refused by name."""

from __future__ import annotations

import base64
import hashlib
import json
import pathlib
import tarfile

import google_crc32c
import pytest

import api
import harness

FIXTURES = harness.REPOSITORY / "Tests/Fixtures"
ARCHIVES = sorted(FIXTURES.glob("format-*/*.tar.gz"))

pytestmark = pytest.mark.skipif(harness.subject_is_etcd(), reason="Cairn's own files")


def describe(client: api.Client) -> dict:
    """What a member says about its whole content, at every tenth revision that is still there."""
    revision = client.revision()
    compacted = client.hash_kv().compact_revision
    chosen = sorted({*range(max(compacted, 1), revision, 10), revision})
    return {
        "revision": revision,
        "compacted": compacted,
        "ranges": {str(at): _range(client, at) for at in (chosen[0], chosen[len(chosen) // 2], revision)},
        "hashes": {str(at): client.hash_kv(at).hash for at in chosen},
    }


def _range(client: api.Client, revision: int) -> list[list]:
    answer = client.must("KV/Range", key=b"\0", range_end=b"\0", revision=revision)
    return [[base64.b64encode(found.key).decode(), found.create_revision, found.mod_revision, found.version,
             found.lease, len(found.value), hashlib.sha256(found.value).hexdigest()] for found in answer.kvs]


def unpack(archive: pathlib.Path, folder: pathlib.Path) -> None:
    with tarfile.open(archive) as file:
        file.extractall(folder)


def opened(server: harness.Server) -> dict:
    """The log line about what was found in the directory."""
    lines = (json.loads(line) for line in server.log().splitlines() if line.startswith("{"))
    return next(line for line in lines if line["msg"] == "opened member")


def test_there_are_fixtures():
    assert ARCHIVES


@pytest.mark.parametrize("archive", ARCHIVES, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_a_released_directory_opens(archive: pathlib.Path, tmp_path: pathlib.Path):
    unpack(archive, tmp_path)
    expected = json.loads((archive.parent / "content.json").read_text())
    with harness.cairn(tmp_path) as server:
        server.start()
        found = opened(server)
        if "killed" in archive.name:
            assert found["applied-index"] < found["last-index"], "nothing was left to replay"
        else:
            assert found["clean-shutdown"]
        assert describe(server.client()) == expected
        assert server.client().put(b"a later version", b"writes on") == expected["revision"] + 1
        server.kill()
        server.start()
        assert server.client().get(b"a later version") == b"writes on"


@pytest.mark.parametrize("archive", ARCHIVES, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_an_unknown_format_is_refused_by_name(archive: pathlib.Path, tmp_path: pathlib.Path):
    """A directory of a version yet to come: the pointer is whole and names a format that nobody knows."""
    unpack(archive, tmp_path)
    body = b"cairn-data 999\nstore 0000000000000001\n"
    checksum = google_crc32c.value(body)
    (tmp_path / "data/member/CURRENT").write_bytes(body + b"crc32c %08x\n" % checksum)
    before = sorted((path, path.stat().st_size) for path in (tmp_path / "data").rglob("*"))
    server = harness.cairn(tmp_path)
    server.spawn()
    try:
        assert server.wait_for_exit(15) == 1
    finally:
        server.kill()
    assert "data format 999 is not known to this version" in server.log()
    assert sorted((path, path.stat().st_size) for path in (tmp_path / "data").rglob("*")) == before
