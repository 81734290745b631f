"""Every command of the guides does what the guide says, in its order, on real processes."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess

import pytest

import api
import guide
import harness

pytestmark = pytest.mark.skipif(harness.subject_is_etcd(), reason="the guides are about Cairn")

DOCUMENTS = harness.REPOSITORY / "Sources/Server/Server.docc"
# Folders of the machine that lie in the folder of the test instead.
FOLDERS = r"(?<![\w.])/(?=(usr/local|etc/(cairn|prometheus|systemd)|var/(lib|backups)/cairn)\b)"


def binaries(folder: pathlib.Path) -> pathlib.Path:
    """A folder with the binaries under test by the names that guides give them."""
    folder.mkdir()
    (folder / "cairn").symlink_to(harness.cairn_binary().resolve())
    (folder / "cairnutl").symlink_to(harness.utl_binary().resolve())
    (folder / "etcdctl").symlink_to(list(harness.etcdctl_binaries().values())[-1])
    return folder


def session(folder: pathlib.Path, ports: tuple[int, int], *path: pathlib.Path) -> guide.Session:
    """A session whose commands find their member at these ports and their files in this folder."""
    root = folder / "root"
    replacements = [(FOLDERS, f"{root}/"), (r"\b2379\b", str(ports[0])), (r"\b2380\b", str(ports[1]))]
    return guide.Session(folder, replacements, {
        "PATH": os.pathsep.join([*map(str, path), os.environ["PATH"]]), "GUIDE_ROOT": str(root),
        "GUIDE_REPOSITORY": str(harness.REPOSITORY), "ETCDCTL_ENDPOINTS": f"127.0.0.1:{ports[0]}"})


def fill(port: int) -> None:
    """Brings about what the chapter on the quota is for."""
    client = api.Client(port)
    for number in range(10):
        client.put(b"something/that/can/go/%d" % number, b"value")
    client.must("Maintenance/Alarm", action=1, memberID=client.must("Maintenance/Status").header.member_id, alarm=1)
    assert client.call("KV/Put", key=b"k", value=b"v").code == 8
    client.close()


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs Debian's prometheus")
@pytest.mark.skipif(os.geteuid() != 0, reason="the guide's commands are for root")
def test_the_operators_guide(tmp_path):
    root = tmp_path / "root"
    (root / "usr/local/bin").mkdir(parents=True)
    (root / "etc/systemd/system").mkdir(parents=True)
    ports = tuple(harness.free_ports(2))
    built = binaries(tmp_path / "built")
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "etcdctl").symlink_to(built / "etcdctl")
    with session(tmp_path, ports, root / "usr/local/bin", guide.COMMANDS, tools) as running:
        running.environment["GUIDE_BINARIES"] = str(built)
        given = running.working_directory / "Tools"
        given.mkdir()
        for name in ("cairn.yml", "cairn.service"):
            (given / name).write_text(running.replaced((harness.REPOSITORY / "Tools" / name).read_text()))
        try:
            found = guide.blocks(DOCUMENTS / "Guide.md")
            assert len(found) > 20
            for block in found:
                if "alarm disarm" in block.script:
                    fill(ports[0])
                running.run(block)
        finally:
            subprocess.run([guide.COMMANDS / "systemctl", "stop", "cairn"], env=running.environment, check=False)


def test_commands_of_the_reference(subject, tmp_path):
    """Operations, on a member that runs already."""
    subject.client().put(b"foo", b"bar")
    ports = (subject.client_port, subject.peer_port)
    with session(tmp_path, ports, binaries(tmp_path / "built")) as running:
        found = guide.blocks(DOCUMENTS / "Operations.md")
        assert found
        for block in found:
            running.run(block)


def test_commands_of_the_readme(subject, tmp_path):
    """All but the two that build, which Tools/test and the other suites are run by."""
    with session(tmp_path, (subject.client_port, subject.peer_port), binaries(tmp_path / "built")) as running:
        found = [block for block in guide.blocks(harness.REPOSITORY / "README.md") if "./Tools/" not in block.script]
        assert found
        for block in found:
            running.run(block)


def test_a_guide_that_is_wrong_is_found(tmp_path):
    """The test of the test: what fails, says something else or is no known block does not pass."""
    def run(text: str) -> None:
        path = tmp_path / "Wrong.md"
        path.write_text(text)
        with guide.Session(tmp_path, []) as running:
            for block in guide.blocks(path):
                running.run(block)

    run("# A\n```sh\nexport A=5; cd /\n```\n\n```sh\necho $A $PWD\n```\n\n```text\n5 /\n```\n```sh fails\nfalse\n```\n")
    run("```sh stays\necho here; exec sleep 100\n```\n```text\nhere\n```\n")
    for wrong in ("```sh\nfalse | cat; true\n```\n", "```sh\necho one\n```\n```text\ntwo\n```\n", "```sh fails\ntrue\n```\n",
                  "```sh\n/no/such/command\n```\n", "```sh stays\necho one\n```\n```text\ntwo\n```\n"):
        with pytest.raises(AssertionError):
            run(wrong)
    with pytest.raises(ValueError):
        run("```bash\ntrue\n```\n")
