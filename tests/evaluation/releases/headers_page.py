"""Writes the part of docs/releases.md on kernel headers and bcc: `make headers`, as root; with SUITE... only
these releases' bcc is asked, and nothing is written. Exit status 1 if a program was not compiled or taken.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from headers import HEADERS, Columns, column, every_program, headers_of, table
from pages import ROOT, with_part

from qtrace.errors import QtraceError

PAGE = "docs/releases.md#headers"
INPUTS = {
    "docs/releases.md#headers": (
        "qtrace/probes",
        "qtrace/measure/instruments",
        "qtrace/trace/bpf",
        "qtrace/distribution",
    )
}
SUITES = ("bookworm", "trixie", "sid")  # whose bcc


def _part(columns: Columns, headers: Mapping[str, Path], total: int) -> str:
    kernel = os.uname().release.partition("-")[0]
    return "\n".join(
        [
            "## Kernel headers and bcc",
            "",
            f"Made by `make headers`: how many of the {total} eBPF programs, all that the probe families and "
            "the instruments name, compile with the newest kernel headers of each release and its backports "
            "(a row), by the bcc of each release, with its own Python, in a root of that release (a column). "
            f"The running kernel, Linux {kernel}, took every one that compiled, unless a cell says how many. "
            "The kernel of each release takes them in its lab machine: `every program in the lab machine`, "
            "above.",
            "",
            table(columns, headers, total),
        ]
    )


def main(suites: Sequence[str]) -> int:
    try:
        headers = {name: headers_of(name) for name in HEADERS}
        columns = {suite: column(suite, headers) for suite in suites or SUITES}
    except QtraceError as exc:
        print(f"{exc} {exc.hint}", file=sys.stderr)
        return 1
    total = len(every_program().programs)
    print(table(columns, headers, total))
    if not suites:
        (ROOT / "docs" / "releases.md").write_text(with_part(PAGE, _part(columns, headers, total)))
    cells = [one for column in columns.values() for one in column.values()]
    return 0 if all(len(one.loaded) == total for one in cells) else 1


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit("interrupted: nothing of the trial is left")
