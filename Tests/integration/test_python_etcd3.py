"""Python's etcd3 client, unchanged, from an environment of its own (it needs protobuf below 4)."""

from __future__ import annotations

import os
import pathlib
import subprocess

import pytest

ENVIRONMENTS = pathlib.Path(__file__).parent / ".environments"
PYTHON = pathlib.Path(os.environ.get("ETCD3_PYTHON", ENVIRONMENTS / "etcd3/bin/python"))


def test_etcd3(subject):
    if not PYTHON.exists():
        pytest.fail(f"no {PYTHON}; Tests/integration/run makes it")
    script = pathlib.Path(__file__).parent / "etcd3_session.py"
    environment = {"PATH": os.environ["PATH"]}
    done = subprocess.run([str(PYTHON), str(script), str(subject.client_port)], capture_output=True, text=True,
                          timeout=60, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.split() == ["put", "get", "get_prefix", "delete", "transaction", "compact", "status",
                                   "snapshot", "members", "watch", "watch_callback", "watch_compacted", "lease",
                                   "lease_expires", "lock", "alarms", "defragment"]
