"""The shell commands of a guide, taken out of its text and run as one session.

A fenced block of a guide is one of these, and anything else is an error, so that no command is overlooked:

    sh          a script that has to end with 0
    sh fails    a script that has to end with something else
    sh stays    a script that runs on; it is ended when it has printed what the text block below it says
    text        after one of these: each line is part of some line that the script printed
    yaml        no command, and python neither

Scripts run under `bash -euo pipefail` one after another; working directory and exported variables go on from one to the
next. `guide_commands` stands in for what a container cannot do (systemctl, useradd, apt-get, ...).
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import re
import shlex
import signal
import subprocess
import time

COMMANDS = pathlib.Path(__file__).parent / "guide_commands"
SECONDS_MAX = 60


@dataclasses.dataclass
class Block:
    document: str
    line: int
    heading: str
    script: str
    kind: str = "sh"
    expected: list[str] = dataclasses.field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.document}:{self.line} ({self.heading})"


def blocks(path: pathlib.Path) -> list[Block]:
    """The scripts of a document, each with what it is to print."""
    found: list[Block] = []
    heading, opened, body, follows = "", None, [], False
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if opened is None:
            if line.startswith("#"):
                heading = line.lstrip("# ")
            if line.startswith("```"):
                opened, body, start = line[3:].strip(), [], number
            elif line.strip():
                follows = False
        elif line.strip() == "```":
            if opened in ("sh", "sh fails", "sh stays"):
                found.append(Block(path.name, start + 1, heading, "\n".join(body), opened))
                follows = True
            elif opened == "text" and follows:
                found[-1].expected = body
            elif opened not in ("yaml", "python"):
                raise ValueError(f"{path.name}:{start}: a block of the kind {opened!r}")
            opened = None
        else:
            body.append(line)
    return found


class Session:
    """Runs blocks. `replacements` are pairs of a regular expression and a text: paths and ports of this run."""

    def __init__(self, folder: pathlib.Path, replacements: list[tuple[str, str]], environment: dict[str, str] | None = None):
        self.folder = folder
        self.replacements = replacements
        self.working_directory = folder / "source"
        self.working_directory.mkdir(parents=True, exist_ok=True)
        self.environment = {**os.environ, **(environment or {})}
        self._state = folder / "state"
        self._groups: list[int] = []

    def replaced(self, text: str) -> str:
        for pattern, replacement in self.replacements:
            text = re.sub(pattern, lambda _: replacement, text)
        return text

    def run(self, block: Block) -> str:
        """Runs it to its end, or until a script that stays has said what it is to say. Returns what it printed."""
        output = self.folder / f"output-{block.line}"
        state = shlex.quote(str(self._state))
        script = (f"trap 'export -p > {state}; echo \"cd $(printf %q \"$PWD\")\" >> {state}' EXIT\n"
                  f"if [ -f {state} ]; then . {state}; fi\n{self.replaced(block.script)}\n")
        with open(output, "wb") as out:
            process = subprocess.Popen(["bash", "-euo", "pipefail", "-c", script], cwd=self.working_directory,
                                       env=self.environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                       start_new_session=True)
        self._groups.append(process.pid)
        if block.kind == "sh stays":
            self._wait_until_said(block, process, output)
        else:
            self._wait_for_end(block, process, output)
        text = output.read_text(errors="replace")
        for line in block.expected:
            assert self.replaced(line).strip() in text, f"{block} does not print {line!r}:\n{block.script}\n{text}"
        return text

    def _wait_for_end(self, block: Block, process: subprocess.Popen, output: pathlib.Path) -> None:
        try:
            status = process.wait(SECONDS_MAX)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{block} does not end:\n{block.script}\n{output.read_text()}") from None
        ends_well = (status == 0) == (block.kind == "sh")
        assert ends_well, f"{block} ends with {status}:\n{block.script}\n{output.read_text()}"

    def _wait_until_said(self, block: Block, process: subprocess.Popen, output: pathlib.Path) -> None:
        assert block.expected, f"{block} stays and says nothing to wait for"
        deadline = time.monotonic() + SECONDS_MAX
        while not all(self.replaced(line).strip() in output.read_text() for line in block.expected):
            assert process.poll() is None, f"{block} ends with {process.returncode}:\n{output.read_text()}"
            assert time.monotonic() < deadline, f"{block} does not print {block.expected}:\n{output.read_text()}"
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(SECONDS_MAX)

    def close(self) -> None:
        """Ends whatever a script left running."""
        for group in self._groups:
            try:
                os.killpg(group, signal.SIGKILL)
            except ProcessLookupError:
                pass

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_) -> None:
        self.close()
