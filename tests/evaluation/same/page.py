"""The measured part of docs/campaign.md: how often `qtrace compare` calls the same thing different, and finds
a change that was made on purpose.

    PYTHONPATH=tests/evaluation python tests/evaluation/same/page.py [PAIRS CHANGES]

As root, with nothing else running; 12 minutes for 10 pairs of unchanged runs, of 4 cells each, and 20
changes. Ends with status 1 where more than 5 % of the unchanged were called different, or fewer than 95 % of
the changes were found.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from changes import AGAIN, AGAIN_REPETITIONS, CHANGES
from click.testing import CliRunner
from pages import with_part
from same_counts import Compared, as_promised, counts

from qtrace.cli._console import pass_on
from qtrace.cli.main import command
from qtrace.lab.guest.guest_image import ensure_image
from qtrace.lab.guest.kernel import ensure_kernel
from qtrace.lab.machine.machine import LabMachine
from qtrace.lab.workload.workload import clients
from qtrace.store.run import RunReader

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "campaign.md"
INPUTS = {
    "docs/campaign.md#aa": (
        "analyses/methods",
        "qtrace/campaign",
        "qtrace/lab",
        "tests/evaluation/same",
    )
}
PAIRS, CHANGED = 10, 20
_SHOWN = ("throughput", "crr_p50")


def main() -> None:
    pairs, changes = (int(word) for word in sys.argv[1:3]) if len(sys.argv) == 3 else (PAIRS, CHANGED)
    began, load = time.monotonic(), os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="qtrace-same-") as folder:
        _measure(Path(folder), pairs, changes)
        found = [compared(path) for path in sorted(Path(folder).glob("*-*")) if (path / "first").exists()]
        facts = RunReader.open(Path(folder, "warm-up")).meta["conditions"]
    seconds = time.monotonic() - began
    part = "\n".join([*_text(found, facts, seconds, load), ""])
    PAGE.write_text(with_part("docs/campaign.md#aa", part))
    print(part)
    sys.exit(0 if as_promised(found) else "more was called different, or less was found, than promised")


def _measure(folder: Path, pairs: int, changes: int) -> None:
    kernel = ensure_kernel()
    ensure_image(kernel, programs=clients(("tcp", "crr")))
    argv = [sys.executable, str(Path(__file__).with_name("inside.py")), str(folder), str(pairs), str(changes)]
    with LabMachine(share=[folder], kernel=kernel) as machine:
        status = machine.run(argv, on_output=pass_on, timeout=3600, env=dict(os.environ))
    if status:
        raise SystemExit(f"the measurement in the lab machine ended with status {status}")


def compared(pair: Path) -> Compared:
    """What the verb says of a pair's two runs."""
    words = ["compare", "--format", "json", str(pair / "first"), str(pair / "second")]
    said = CliRunner().invoke(command, words)
    if said.exit_code:
        raise SystemExit(said.output)
    (one,) = json.loads(said.stdout)
    for row in one["rows"]:
        shown = [f"{row[name]:.3g}" if row[name] else "-" for name in ("ratio", "low", "high", "p")]
        print(pair.name, row["nic"], row["metric"], *shown, row["verdict"], file=sys.stderr)
    return Compared(pair.name.rpartition("-")[0], one["rows"])


def _text(found: list[Compared], facts: dict[str, str], seconds: float, load: float) -> Iterator[str]:
    made = counts(found)
    same, wrong = made.pop(AGAIN)
    changed, right = (sum(column) for column in zip(*made.values(), strict=True))
    yield "### The same thing twice, and a change on purpose"
    yield ""
    yield (
        f"Of {same} comparisons of the same thing `qtrace compare` calls {wrong} different; of {changed} "
        f"changes that were made on purpose it finds {right}. Both runs of a pair are measured in turns on "
        f"the same guests, in the lab machine ({facts['CPU']}; QEMU {facts['QEMU']}), a second of traffic or "
        f"less in each repetition; {seconds / 60:.1f} minutes in all (`make aa`). When it began, the load of "
        f"the host's {len(os.sched_getaffinity(0))} processors was {load:.1f}."
    )
    yield ""
    yield "| changed between the runs | repetitions | comparisons | called different | ratios |"
    yield "| --- | ---: | ---: | ---: | ---: |"
    about = {AGAIN: ("nothing (virtio-net-pci and e1000 on a tap; crr, TCP to the guest)", AGAIN_REPETITIONS)}
    about |= {change.name: (change.text, change.repetitions) for change in CHANGES}
    for kind, (total, hits) in counts(found).items():
        ratios = [
            row["ratio"] for one in found if one.kind == kind for row in one.rows if row["metric"] in _SHOWN
        ]
        text, repetitions = about[kind]
        yield f"| {text} | {repetitions} | {total} | {hits} | {min(ratios):.3g} to {max(ratios):.3g} |"


if __name__ == "__main__":
    main()
