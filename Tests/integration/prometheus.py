"""Prometheus' text format taken apart, and a Prometheus that scrapes a member and answers queries."""

from __future__ import annotations

import json
import pathlib
import re
import subprocess
import tempfile
import time
import urllib.parse
import urllib.request

import harness

SAMPLE = re.compile(r'^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$')
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')


class Scrape:
    """Types and help by family, and the value of each series."""

    def __init__(self, text: str):
        self.types: dict[str, str] = {}
        self.helps: dict[str, str] = {}
        self.values: dict[tuple[str, frozenset], float] = {}
        for line in text.splitlines():
            if line.startswith("# HELP "):
                _, _, name, explanation = line.split(" ", 3)
                self.helps[name] = explanation
            elif line.startswith("# TYPE "):
                _, _, name, kind = line.split(" ")
                self.types[name] = kind
            else:
                name, labels, value = SAMPLE.match(line).groups()
                self.values[(name, frozenset(LABEL.findall(labels or "")))] = float(value)

    def value(self, name: str, **labels: str) -> float:
        """The sum of the series that carry these labels."""
        wanted = set(labels.items())
        return sum(value for (each, has), value in self.values.items() if each == name and wanted <= has)

    def series(self, name: str) -> list[dict[str, str]]:
        return [dict(labels) for each, labels in self.values if each == name]


def scrape(server: harness.Server) -> Scrape:
    with urllib.request.urlopen(f"http://{server.endpoint}/metrics", timeout=10) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        return Scrape(answer.read().decode())


class Prometheus:
    """Scrapes one member five times a second; ends with the `with` block."""

    def __init__(self, server: harness.Server):
        self.folder = tempfile.TemporaryDirectory(prefix="prometheus-")
        self.port = harness.free_ports(1)[0]
        path = pathlib.Path(self.folder.name)
        (path / "prometheus.yml").write_text(json.dumps({
            "global": {"scrape_interval": "200ms", "scrape_timeout": "200ms"},
            "scrape_configs": [{"job_name": "etcd", "static_configs": [{"targets": [server.endpoint]}]}]}))
        self.log = open(path / "log", "wb")
        self.process = subprocess.Popen(
            ["prometheus", f"--config.file={path}/prometheus.yml", f"--storage.tsdb.path={path}/data",
             f"--web.listen-address=127.0.0.1:{self.port}"], stdout=self.log, stderr=self.log)

    def query(self, expression: str) -> list[dict]:
        target = f"http://127.0.0.1:{self.port}/api/v1/query?" + urllib.parse.urlencode({"query": expression})
        with urllib.request.urlopen(target, timeout=10) as answer:
            return json.load(answer)["data"]["result"]

    def wait_for(self, expression: str, seconds_max: float = 30) -> list[dict]:
        """Until the expression finds series whose values are numbers."""
        deadline = time.monotonic() + seconds_max
        found: list[dict] = []
        while time.monotonic() < deadline:
            try:
                found = self.query(expression)
            except OSError:
                found = []
            if found and any(result["value"][1] != "NaN" for result in found):
                return found
            time.sleep(0.1)
        raise AssertionError(f"{expression} finds nothing but {found}")

    def __enter__(self) -> "Prometheus":
        return self

    def __exit__(self, *_) -> None:
        self.process.kill()
        self.process.wait()
        self.log.close()
        self.folder.cleanup()
