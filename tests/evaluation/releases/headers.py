"""Every eBPF program with the kernel headers of each Debian release, by the bcc of each.

A bcc runs with its own Python in a root of its release, in which nothing else is installed; the running
kernel is to take what it compiled.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from release_root import ReleaseRoot, open_root
from release_steps import ROOT

from qtrace.cache import cache_dir
from qtrace.distribution.debian import Debian
from qtrace.distribution.identity import distribution
from qtrace.errors import MissingPrerequisite, QtraceError
from qtrace.measure.instrument_registry import instruments
from qtrace.probes import families, program_text

__all__ = ["HEADERS", "Cell", "Columns", "Given", "column", "every_program", "headers_of", "table"]

HEADERS = ("bookworm", "bookworm-backports", "trixie", "trixie-backports", "sid")
_INSTALL = "apt-get -q update && apt-get -q install -y --no-install-recommends python3-bpfcc"
_HERE = Path(__file__).parent
_SECONDS = 900.0
_LENGTH = 200  # of a reason


@dataclass(frozen=True, slots=True)
class Given:
    """What is to be compiled: `programs`, name -> kind; `whole`, the text of all of them; `base`, the text
    without instruments; and `instruments`, name -> `base` and this one."""

    programs: dict[str, str]
    whole: str
    base: str
    instruments: dict[str, str]


@dataclass(frozen=True, slots=True)
class Cell:
    """What one bcc made of one kernel's headers: the names of what it compiled, and of what the running
    kernel took. `reasons` say why others are missing, one for each text or program."""

    bcc: str
    compiled: list[str]
    loaded: list[str]
    reasons: list[str]


Columns = Mapping[str, Mapping[str, Cell]]  # whose bcc -> whose headers -> what came of it


def every_program() -> Given:
    """All programs that the families and the instruments name."""
    entries = instruments()
    every = [*families(), *(entry.family for entry in entries.values())]
    return Given(
        {name: kind for family in every for point in family.points for kind, name in point.programs},
        program_text([entry.source for entry in entries.values()]),
        program_text(),
        {name: program_text([entry.source]) for name, entry in entries.items()},
    )


def headers_of(suite: str) -> Path:
    """The folder of the newest kernel headers of a release, fetched once. Raises MissingPrerequisite."""
    here = distribution()
    if not isinstance(here, Debian):
        raise MissingPrerequisite("Debian's kernel headers are fetched from Debian's archive")
    return here.kernel_headers(suite=suite)


def column(suite: str, headers: Mapping[str, Path]) -> dict[str, Cell]:
    """Every program with each of these headers, by the bcc of a release. Raises QtraceError."""
    folders = [ROOT / "qtrace", _HERE, *headers.values()]
    with open_root(suite, folders) as root:
        environment = {"DEBIAN_FRONTEND": "noninteractive"}
        status, output, _ = root.run(["sh", "-c", _INSTALL], _SECONDS, env=environment)
        if status != 0:
            raise QtraceError(f"bcc of {suite} was not installed: {' / '.join(output.splitlines()[-3:])}")
        (root.work / "tmp" / "given").write_text(json.dumps(asdict(every_program())))  # /tmp in the root
        return {name: _cell(root, folder) for name, folder in headers.items()}


def _cell(root: ReleaseRoot, headers: Path) -> Cell:
    script, answer = _HERE / "compiled_programs.py", root.work / "tmp" / "answer"
    answer.unlink(missing_ok=True)
    words = ["/usr/bin/python3", str(script), str(headers), "/tmp/given", "/tmp/answer"]
    status, output, _ = root.run(words, _SECONDS, env={"PYTHONPATH": str(ROOT)})
    if status == 0:
        return Cell(**json.loads(answer.read_text()))
    # The compiler is a library: where it crashes, so does its process.
    last = next((line for line in reversed(output.splitlines()) if line.strip()), "it said nothing")
    return Cell("", [], [], [f"every program: bcc ended with status {status}: {last}"])


def table(columns: Columns, headers: Mapping[str, Path], total: int) -> str:
    """A row per kernel headers, a column per bcc; below, the first reason of a cell that lacks some."""
    heads = []
    for suite, column in columns.items():
        versions = sorted({one.bcc for one in column.values() if one.bcc})
        heads.append(f"{suite}: bcc {', '.join(versions) or '-'}")
    lines = [f"| headers | {' | '.join(heads)} |", "| --- |" + " --- |" * len(heads)]
    notes = []
    for name, folder in headers.items():
        cells = []
        for suite, column in columns.items():
            one = column[name]
            lost = "" if one.loaded == one.compiled else f", {len(one.loaded)} taken"
            cells.append(f"{len(one.compiled)} of {total}{lost}")
            if one.reasons:
                more = f" (and {len(one.reasons) - 1} more)" if len(one.reasons) > 1 else ""
                notes.append(f"- {_version(folder)} by bcc of {suite}: {_plain(one.reasons[0])}{more}")
        lines.append(f"| {name}: {_version(folder)} | {' | '.join(cells)} |")
    return "\n".join([*lines, *([""] if notes else []), *notes]) + "\n"


def _version(folder: Path) -> str:
    """`6.12.117+deb13-amd64 (6.12.117-1)`: the kernel's release, and its package's version."""
    release, _, version = folder.name.removeprefix("linux-headers-").partition("_")
    return f"{release} ({version})"


def _plain(reason: str) -> str:
    """A reason in one short line, without places of the machine."""
    text = re.sub(r"; \S+ has all that it says$", "", reason).replace(str(cache_dir()), "CACHE")
    text = text.replace("/virtual/", "").replace("|", "\\|").replace("<", "&lt;")
    return text if len(text) <= _LENGTH else f"{text[:_LENGTH]} …"
