"""Writes docs/walks.md: `make walks`; or page.py SUITE... for other releases than the next two.

The first release is the installed QEMU's; the others' sources are fetched and indexed, nothing is built.
"""

from __future__ import annotations

import itertools
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from pages import marked

from qtrace.errors import NoPath, QtraceError
from qtrace.index.build import ensure_index, release_tree
from qtrace.model import STAGE_ORDER, Direction, Role
from qtrace.model import Path as Walk
from qtrace.path.catalogue import map_tree, nics
from qtrace.path.difference import difference
from qtrace.path.handed_queues import CARRIERS, hand_over
from qtrace.path.netdevs import netdev_names
from qtrace.path.path_halves import host_half, nic_half
from qtrace.path.walk import walk
from qtrace.path.ways import ways_of
from qtrace.store.index import Index

PAGE = Path(__file__).parents[3] / "docs" / "walks.md"
INPUTS = {"docs/walks.md": ("qtrace/index", "qtrace/path", "tests/evaluation/walks")}
SUITES = ("trixie", "sid")
# In these the functions of the other half are the same, so what differs is this half's.
ON, WITH = "tap", "e1000"

ABOUT = """`make walks` asks for the path of a frame between every NIC and every back end, in both directions,
in the sources of several QEMU releases. A walk ends at a system or library call; where there is none, the
reason is given. `tests/path/test_law.py` holds all of them against QEMU's own Kconfig, and eleven of the
newest were read by hand (`tests/path/test_newest.py`)."""
ABOUT_STAGES = f"""How many NICs have a stage on their walk on {ON}, and by how many functions it may be
passed, those of all NICs together (`qtrace walk --ways`). A NIC whose DMA does not go through PCI's functions
lacks dequeue, enqueue and complete; one without a line of its own lacks the interrupt.
"""

HANDED = "virtio-net-pci"
ABOUT_HANDED = f"""Where another process or a device carries the frames, QEMU sets up the queues. What it
does for the frames of {HANDED} to the host, and the function where each part ends; all calls that lead there
are in `qtrace walk {HANDED} vhost-user --direction tx`.
"""

Key = tuple[str, str, Direction]  # NIC, netdev, direction


class Release(NamedTuple):
    """Every pair of one index: its walk, or why there is none."""

    index: Index
    walks: dict[Key, Walk]
    reasons: dict[Key, str]

    @property
    def name(self) -> str:
        return self.index.meta["qemu"]


def main() -> None:
    try:
        first, _ = ensure_index(current=False)
        indexes = [first]
        for suite in sys.argv[1:] or SUITES:
            indexes.append(ensure_index(source=release_tree(suite), current=False)[0])
    except QtraceError as exc:
        sys.exit(f"{exc} ({exc.hint}): nothing is written")
    releases = [all_walks(index) for index in indexes]
    PAGE.write_text(marked("docs/walks.md", "\n".join(page(releases)) + "\n"))


def all_walks(index: Index) -> Release:
    walks: dict[Key, Walk] = {}
    reasons: dict[Key, str] = {}
    for nic in nics(index):
        for netdev in netdev_names(index):
            for direction in Direction:
                try:
                    walks[nic.name, netdev, direction] = walk(index, nic.name, netdev, direction=direction)
                except NoPath as exc:
                    reasons[nic.name, netdev, direction] = str(exc).partition(": ")[2]
    return Release(index, walks, reasons)


def page(releases: list[Release]) -> Iterator[str]:
    yield "# Every walk of every release"
    yield ""
    yield ABOUT
    yield from per_back_end(releases)
    yield from per_stage(releases)
    yield from handed_over(releases)
    for before, after in itertools.pairwise(releases):
        yield from changed(before, after)


def per_back_end(releases: list[Release]) -> Iterator[str]:
    yield "\n## Walks and reasons\n"
    yield "Of each back end the walks, and the pairs that have none; a pair is a NIC and a direction.\n"
    yield f"| back end | {' | '.join(f'QEMU {release.name}' for release in releases)} |"
    yield f"| --- |{' --- |' * len(releases)}"
    names = dict.fromkeys(name for release in releases for name in netdev_names(release.index))
    whys: dict[str, list[str]] = {}
    for name in names:
        cells = []
        for release in releases:
            found = sum(netdev == name for _, netdev, _ in release.walks)
            why = [text for (_, netdev, _), text in release.reasons.items() if netdev == name]
            for text in dict.fromkeys(why):
                whys.setdefault(text, [])
                if name not in whys[text]:
                    whys[text].append(name)
            cells.append(f"{found} and {len(why)}" if found or why else "not there")
        yield f"| {name} | {' | '.join(cells)} |"
    yield f"| NICs | {' | '.join(str(len(nics(release.index))) for release in releases)} |"
    sums = [f"{len(release.walks)} and {len(release.reasons)}" for release in releases]
    yield f"| all | {' | '.join(sums)} |"
    yield "\nThe reasons:\n"
    for text, backends in whys.items():
        yield f"- {', '.join(backends)}: {text}"


def per_stage(releases: list[Release]) -> Iterator[str]:
    yield "\n## Stages\n"
    yield ABOUT_STAGES
    yield f"| direction | stage | {' | '.join(f'QEMU {release.name}' for release in releases)} |"
    yield f"| --- | --- |{' --- |' * len(releases)}"
    counted = [stages(release) for release in releases]
    for direction in Direction:
        for role in STAGE_ORDER[direction]:
            cells = [
                f"{have[direction, role]} NICs, {ways[direction, role]} functions" for have, ways in counted
            ]
            yield f"| {direction} | {role} | {' | '.join(cells)} |"


def handed_over(releases: list[Release]) -> Iterator[str]:
    """Where each part of a hand-over ends, of the guest's frames."""
    yield "\n## Queues that QEMU hands over\n"
    yield ABOUT_HANDED
    for netdev in CARRIERS:
        yield f"| {netdev} | {' | '.join(f'QEMU {release.name}' for release in releases)} |"
        yield f"| --- |{' --- |' * len(releases)}"
        found = [hand_over(release.index, HANDED, netdev, Direction.TX) for release in releases]
        for what in dict.fromkeys(part.what for handed in found for part in handed.parts):
            cells = []
            for handed in found:
                last = next((part.steps[-1] for part in handed.parts if part.what == what), None)
                cells.append(f"`{last.function}` ({last.file}:{last.line})" if last else "-")
            yield f"| {what} | {' | '.join(cells)} |"
        yield ""


Counts = dict[tuple[Direction, Role], int]


def stages(release: Release) -> tuple[Counts, Counts]:
    have: Counts = defaultdict(int)
    functions: dict[tuple[Direction, Role], set[tuple[str, str]]] = defaultdict(set)
    for (_, netdev, direction), path in release.walks.items():
        if netdev == ON:
            for step in path.stages:
                if step.stage:
                    have[direction, step.stage] += 1
            for way in ways_of(release.index, path):
                functions[direction, way.stage].add((way.function, way.file))
    return have, {key: len(names) for key, names in functions.items()}


def changed(before: Release, after: Release) -> Iterator[str]:
    yield f"\n## From QEMU {before.name} to {after.name}\n"
    data = difference(map_tree(before.index), map_tree(after.index))
    for kind, title in (("backends", "back ends"), ("nics", "NICs")):
        for what, verb in (("added", "came"), ("removed", "went")):
            if data[kind][what]:
                yield f"- {title} that {verb}: {', '.join(data[kind][what])}"
    moved: dict[str, None] = {}
    rows = []
    for key in before.walks.keys() & after.walks.keys():
        nic, netdev, direction = key
        for name, other, half, fixed in ((netdev, nic, host_half, WITH), (nic, netdev, nic_half, ON)):
            if other == fixed:
                old, new = half(before.walks[key]), half(after.walks[key])
                gone = [function for function in old if function not in new]
                come = [function for function in new if function not in old]
                if gone or come:
                    rows.append(f"| {name} | {direction} | {', '.join(gone)} | {', '.join(come)} |")
                places = [f"{f}: {old[f]} -> {new[f]}" for f in old if f in new and old[f] != new[f]]
                moved |= dict.fromkeys(places)
    yield from (f"- moved: {place}" for place in sorted(moved))
    if rows:
        yield "\n| back end or NIC | direction | functions that left its half of the walk | that came |"
        yield "| --- | --- | --- | --- |"
        yield from sorted(rows)


if __name__ == "__main__":
    main()
