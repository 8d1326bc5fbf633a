"""A transcript: every command of an experiment with the machine that it was typed on and what was printed."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from qtrace.errors import LabError, StoreError
from qtrace.lab.experiment.lab_script import MONITOR, Step
from qtrace.lab.mode.live_lab import Lab
from qtrace.progress import SILENT, Progress

__all__ = ["Entry", "read_transcript", "run_step", "run_steps", "shape", "write_transcript"]

_PAUSE = 0.3  # seconds between two tries of a step that waits for something
# What differs from one run to the next: addresses of cards, numbers, and the width that they take.
_MAC = re.compile(r"\b[0-9a-f]{2}(:[0-9a-f]{2}){5}\b")
_HEX = re.compile(r"\b0x[0-9a-f]+\b")
_NUMBER = re.compile(r"\d+(\.\d+)?")
_ENDING = re.compile(r"\b(?:TIME_WAIT|FIN_WAIT[12]|CLOSE_WAIT|LAST_ACK|CLOSING)\b")
_SPACE = re.compile(r"[ \t]+")
# The head of ss's last column, which is empty without -p: older ones print it all the same.
_NO_COLUMN = re.compile(r"(?<=Peer Address:Port)[ \t]*Process[ \t]*$")


@dataclass(frozen=True, slots=True)
class Entry:
    """One command as it was typed: `output` has both streams. `facts` were found in it, by the script's
    patterns."""

    name: str
    on: str
    command: str
    output: str
    status: int
    aside: bool = False
    facts: dict[str, str] = field(default_factory=dict)

    def prompt(self) -> str:
        """How the machine asks for a command."""
        return "(qemu)" if self.on.endswith(MONITOR) else f"{self.on}#"

    def text(self) -> str:
        """As it stood on a terminal."""
        said = self.output.rstrip("\n")
        return f"{self.prompt()} {self.command}\n{said}\n" if said else f"{self.prompt()} {self.command}\n"


def run_steps(lab: Lab, steps: Iterable[Step], progress: Progress = SILENT) -> list[Entry]:
    """Carry the steps out in a lab that is up. Raises LabError where one does not do what its script says."""
    entries = []
    for step in steps:
        progress.step(f"{step.on}: {step.run}")
        entries.append(run_step(lab, step))
    return entries


def run_step(lab: Lab, step: Step) -> Entry:
    """One step. Raises LabError where its status or its output is not what its script says."""
    deadline = time.monotonic() + step.wait
    while True:
        status, output = _typed(lab, step)
        output = _clean(output)
        ready = not step.until or re.search(step.until, output)
        if ready or time.monotonic() > deadline:
            break
        time.sleep(_PAUSE)
    if not ready:
        raise LabError(f"step {step.name}: {step.run!r} never printed {step.until!r}, but: {output[-300:]}")
    if (status != 0) != step.fails:
        ended = f"ended with status {status}, which its script does not expect"
        raise LabError(f"step {step.name}: {step.run!r} {ended}: {output[-300:]}")
    facts = {}
    for name, pattern in step.facts.items():
        found = re.search(pattern, output, re.MULTILINE)
        if not found:
            raise LabError(f"step {step.name}: {step.run!r} did not print {pattern!r}, but: {output[-300:]}")
        facts[name] = found[1]
    return Entry(step.name, step.on, lab.fill(step.run), output, status, step.aside, facts)


def _typed(lab: Lab, step: Step) -> tuple[int, str]:
    command = lab.fill(step.run)
    if step.on.endswith(MONITOR):
        guest = lab.guests[step.on.removesuffix(MONITOR)]
        return 0, str(guest.qmp("human-monitor-command", **{"command-line": command}))
    if step.on in lab.guests:
        return lab.guests[step.on].try_sh(command, step.wait)
    if step.on not in lab.spaces:
        raise LabError(f"step {step.name}: the lab has no machine {step.on}")
    argv = lab.spaces[step.on].argv(["setpriv", "--pdeathsig=KILL", "--", "sh", "-c", command])
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=step.wait,
        )
    except subprocess.TimeoutExpired as exc:
        raise LabError(f"step {step.name}: {command!r} did not end within {step.wait:.0f} s") from exc
    return done.returncode, done.stdout.decode(errors="replace")


def _clean(text: str) -> str:
    """Without carriage returns and control characters: what a guest prints is data."""
    text = text.replace("\r\n", "\n")
    return "".join(
        char if char.isprintable() or char in "\n\t" else "\N{REPLACEMENT CHARACTER}" for char in text
    )


def shape(text: str) -> list[str]:
    """The lines of an output without what differs from run to run: numbers, addresses of cards, spacing, and
    the connections of before that have not ended yet."""
    found: list[str] = []
    for line in text.splitlines():
        if _ENDING.search(line):
            continue
        line = _NO_COLUMN.sub("", line)
        line = _SPACE.sub(" ", _NUMBER.sub("N", _HEX.sub("N", _MAC.sub("M", line)))).strip()
        if line and (not found or found[-1] != line):  # as many lines of a kind as there were
            found.append(line)
    return found


def write_transcript(folder: Path, head: dict[str, Any], entries: list[Entry]) -> list[Path]:
    """`transcript.json` and `transcript.txt` in `folder`; `head` says of which lab they are."""
    data = {**head, "entries": [asdict(entry) for entry in entries]}
    machine, text = folder / "transcript.json", folder / "transcript.txt"
    machine.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n")
    text.write_text("\n".join(entry.text() for entry in entries))
    return [machine, text]


def read_transcript(folder: Path) -> tuple[dict[str, Any], list[Entry]]:
    """(head, entries) as `write_transcript` wrote them. Raises StoreError."""
    path = folder / "transcript.json"
    try:
        data = json.loads(path.read_text())
        return data, [Entry(**item) for item in data.pop("entries")]
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise StoreError(f"{path} cannot be read: {exc}") from exc
