"""Writes docs/foreign.md: `make foreign`, as root; or page.py WORD... for the rows whose names have one of
these words (`e1000e`, `q35`, `virtio-net-device-virtio_net-microvm-tap`).

A row that is not made anew stays as it stands in the page, with its commit. With --missing only the rows are
made that the page lacks. Exit status 1 if something of what was tried does not hold.
"""

from __future__ import annotations

import contextlib
import json
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from accounts import Account, record
from installer import Undriven, open_installer
from machines import MACHINES, NEXT, Machine
from pages import made_from, marked, with_line_of
from programs import open_program

from qtrace.errors import QtraceError
from qtrace.index.build import ensure_index, release_tree
from qtrace.model import STAGE_ORDER, Direction
from qtrace.store.index import Index

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "foreign.md"
INPUTS = {
    "docs/foreign.md": (
        "probes",
        "qtrace/path",
        "qtrace/trace",
        "qtrace/measure",
        "tests/foreign",
        "tests/evaluation/foreign",
    )
}
_DATA = re.compile(r"<!-- data (.*) -->")
_RELEASES = {"bookworm": "12", "trixie": "13"}

ABOUT = """`make foreign` boots the kernel and the initramfs of Debian's installer, as they are, in a QEMU
with one NIC, and has it ping the host while `qtrace record` counts: {pings} echo requests, one after the
other, every second of them of 1400 bytes. The truth is the guest's: /proc/net/dev for frames,
/proc/interrupts for interrupts.

- *tx*, *rx*: the stages that counted every frame that the guest says it sent or received, and no other.
- *kicks*: how often the guest told the NIC, by which of QEMU's functions; at least once for each request.
- *interrupts*: how many were counted, and by which way; *taken*: how many the guest says it has taken, by the
  name of their line. One that is raised again before the guest takes the first is one to it, and a pin that
  is still up when the guest has ended its interrupt gives it another; so where these differ it is recorded
  again, at most five times; the last stands here.
- *otherwise*: the stages of the path that are not held against the guest's account, and why. A stage that is
  in no column is not on this NIC's path ([walks.md](walks.md)).

No guest here takes MSI from its card: Linux's e1000e tries it (`IntMode=1`), finds that QEMU's card does not
pass its test and takes the pin. `msi_notify` is counted in tests/measure/test_message_interrupts.py, on a
card that is programmed from outside by QEMU's qtest protocol: of seven messages seven.

"""


COLUMNS = (
    "NIC",
    "driver",
    "machine",
    "netdev",
    "guest",
    "QEMU",
    "frames",
    "tx",
    "rx",
    "kicks",
    "interrupts",
    "taken",
    "otherwise",
)
Row = dict[str, Any]


def row_of(account: Account) -> Row:
    """What the page keeps of it, ready for JSON."""
    verdicts = list(account.verdicts())
    exact = {
        way.value: [
            stage.value
            for stage in STAGE_ORDER[way]
            if any((v.direction, v.stage) == (way.value, stage.value) and v.exact for v in verdicts)
        ]
        for way in Direction
    }
    return {
        "sent": account.sent,
        "received": account.received,
        "pings": account.pings,
        "exact": exact,
        "kicks": {f: n for (_, stage, f), n in account.ways.items() if stage == "kick"},
        "raised": _by_function(account),
        "taken": account.interrupts if any(v.stage == "interrupt" for v in verdicts) else {},
        "otherwise": [str(v) for v in verdicts if v.why and v.right and not v.exact],
        "remarks": list(account.remarks),
        "recordings": account.recordings,
        "wrong": account.wrong(),
    }


def _by_function(account: Account) -> dict[str, int]:
    found: dict[str, int] = {}
    for (_, stage, function), calls in account.ways.items():
        if stage == "interrupt":
            found[function] = found.get(function, 0) + calls
    return found


def tried(machine: Machine, program: Path, index: str) -> Row:
    """One row, made."""
    try:
        with tempfile.TemporaryDirectory() as folder, open_installer(machine, program) as guest:
            return row_of(record(guest, Path(folder) / "run", index))
    except Undriven as exc:
        return {"undriven": str(exc)}
    except (AssertionError, QtraceError) as exc:
        return {"wrong": [(str(exc).splitlines() or [type(exc).__name__])[0]]}


def page(rows: Mapping[str, Row], commit: str) -> Iterator[str]:
    kinds = list(dict.fromkeys(machine.kind for machine in MACHINES))
    ordered = sorted(MACHINES, key=lambda machine: kinds.index(machine.kind))
    made = [(machine, rows[str(machine)]) for machine in ordered if str(machine) in rows]
    pings = max((row["pings"] for _, row in made if "pings" in row), default=0)
    yield "# Guests that nobody here built\n"
    yield ABOUT.format(pings=pings)
    good = sum(not row.get("wrong") and "undriven" not in row for _, row in made)
    refused = sum("undriven" in row for _, row in made)
    rest = len(made) - good - refused
    yield f"Of {len(made)} machines {good} hold, {rest} do not; {refused} have no use of their card.\n"
    yield f"| {' | '.join(COLUMNS)} |"
    yield "| --- |" + " --- |" * (len(COLUMNS) - 1)
    for machine, row in made:
        yield "| " + " | ".join(_cells(machine, row)) + " |"
    yield from _commits(made, commit)
    yield f"\n<!-- data {json.dumps(rows)} -->"


def _commits(made: Iterable[tuple[Machine, Row]], commit: str) -> Iterator[str]:
    """Which rows are of another commit than the page."""
    others: dict[str, list[str]] = {}
    for machine, row in made:
        if row["commit"] != commit:
            others.setdefault(row["commit"], []).append(str(machine))
    for other, names in others.items():
        yield f"\nMade from commit {other}, not the page's: {', '.join(names)}."


def _cells(machine: Machine, row: Row) -> list[str]:
    driver = machine.driver.rpartition("; ")[2]
    back_end = machine.netdev + (f", {machine.queues} queues" if machine.queues > 1 else "")
    guest = f"Debian {_RELEASES[machine.release]}"
    cells = [f"`{machine.nic}`", f"`{driver}`", machine.machine, back_end, guest, row.get("qemu", "")]
    notes = [f"**{text}**" for text in row.get("wrong", ())]
    if "exact" not in row:
        notes.insert(0, row.get("undriven", "not measured"))
        return [*cells, "", "", "", "", "", "", _joined(notes)]
    kicks = ", ".join(f"{number} {name}" for name, number in row["kicks"].items())
    raised = " + ".join(f"{number} {name}" for name, number in row["raised"].items())
    taken = " + ".join(f"{number} `{line}`" for line, number in row["taken"].items())
    frames = f"{row['sent']}, {row['received']}"
    said = [f"the guest's kernel says: {text}" for text in row["remarks"]]
    if row.get("recordings", 1) > 1:
        said.append(f"recorded {row['recordings']} times")
    stages = [", ".join(stage for stage in row["exact"][way] if stage != "kick") for way in ("tx", "rx")]
    return [*cells, frames, *stages, kicks, raised, taken, _joined([*notes, *row["otherwise"], *said])]


def _joined(notes: Iterable[str]) -> str:
    return "<br>".join(note.replace("|", "\\|") for note in notes)


def main() -> int:
    # A shell's background job ignores Ctrl-C, and so would `record`, which is interrupted at its end.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    words = [word for word in sys.argv[1:] if word != "--missing"]
    before = PAGE.read_text() if PAGE.exists() else ""
    kept = _DATA.search(before)
    rows: dict[str, Row] = json.loads(kept[1]) if kept else {}
    chosen = [one for one in MACHINES if not words or any(word in str(one) for word in words)]
    if "--missing" in sys.argv:
        chosen = [one for one in chosen if str(one) not in rows or rows[str(one)].get("wrong")]
    head = ["git", "-C", str(ROOT), "rev-parse", "--short=10", "HEAD"]
    commit = subprocess.run(head, capture_output=True, text=True).stdout.strip()
    named = commit if len(chosen) == len(MACHINES) or not rows else made_from(before)
    failed = False
    for machine, row in _made(chosen):
        print(f"{machine}: {_outcome(row)}", file=sys.stderr, flush=True)
        failed |= bool(row.get("wrong"))
        rows[str(machine)] = row | {"commit": commit}
        _write(rows, named, before)
    return int(failed)


def _write(rows: Mapping[str, Row], named: str, before: str) -> None:
    """The page, as of the commit `named`: this tree's, or that of the page before."""
    text = "\n".join(page(rows, named)) + "\n"
    whole = named != made_from(before)
    PAGE.write_text(marked("docs/foreign.md", text) if whole else with_line_of(before, text))


def _made(chosen: Iterable[Machine]) -> Iterator[tuple[Machine, Row]]:
    programs: dict[str, Path] = {}
    indexes: dict[str, Index] = {}
    with contextlib.ExitStack() as stack:
        for machine in chosen:
            if machine.qemu not in programs:
                tree = release_tree(NEXT) if machine.qemu == NEXT else None
                indexes[machine.qemu] = ensure_index(source=tree, current=False)[0]
                programs[machine.qemu] = stack.enter_context(open_program(machine.qemu))
            index = indexes[machine.qemu]
            row = tried(machine, programs[machine.qemu], str(index.path))
            yield machine, row | {"qemu": index.meta["qemu"]}


def _outcome(row: Row) -> str:
    if row.get("wrong"):
        return "; ".join(row["wrong"])
    return row.get("undriven", "holds")


if __name__ == "__main__":
    sys.exit(main())
