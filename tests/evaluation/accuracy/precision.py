"""Precision on labelled call sites: what the index says may be called there against labels.json.

python tests/evaluation/accuracy/precision.py     prints its section of docs/accuracy.md
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import mean, median

from sites import Site, population

from qtrace.errors import NoPath
from qtrace.index.build import ensure_index
from qtrace.index.platforms import other_system
from qtrace.model import Direction, Role
from qtrace.path.catalogue import nics
from qtrace.path.netdevs import find_netdev, netdev_names
from qtrace.path.walk import walk
from qtrace.store.index import ClientTable, Index

LABELS = Path(__file__).with_name("labels.json")
_RECEIVE = ("receive_iov", "receive")
Target = tuple[str, str]  # name, file


@dataclass(frozen=True)
class Judged:
    """One labelled site. `limit` is the reader's word on what can not be called there."""

    site: Site
    reported: frozenset[Target]
    labelled: frozenset[Target]
    limit: str

    @property
    def right(self) -> frozenset[Target]:
        return self.reported & self.labelled

    def cause(self, target: Target) -> str:
        """Why a target that is reported is wrong."""
        return "it is another system's file" if other_system(target[1]) else self.limit or "not known"


@dataclass(frozen=True)
class Judgement:
    """All labelled sites. `outside` counts targets that no label can judge: defined in no indexed file."""

    sites: tuple[Judged, ...]
    outside: int

    @property
    def reported(self) -> int:
        return sum(len(site.reported) for site in self.sites)

    @property
    def labelled(self) -> int:
        return sum(len(site.labelled) for site in self.sites)

    @cached_property
    def precision(self) -> float:
        return sum(len(site.right) for site in self.sites) / self.reported

    @cached_property
    def recall(self) -> float:
        return sum(len(site.right) for site in self.sites) / self.labelled


def labels() -> dict[str, object]:
    """The labelled set with its head: seed, version, rule."""
    return dict(json.loads(LABELS.read_text()))


def judge(index: Index) -> Judgement:
    """Every labelled site beside what the index reports there."""
    reported = population(index)
    found, outside = [], 0
    for entry in json.loads(LABELS.read_text())["sites"]:
        file, line = entry["site"].split(":")
        site = (file, int(line), entry["function"])
        targets = reported.get(site, set())
        outside += sum(not target[1] for target in targets)
        labelled = {(name, file) for file, names in entry["targets"].items() for name in names}
        inside = frozenset(target for target in targets if target[1])
        found.append(Judged(site, inside, frozenset(labelled), entry.get("limit", "")))
    return Judgement(tuple(found), outside)


def pairs(index: Index) -> tuple[list[str], list[str]]:
    """NIC x netdev x direction: those with a path, and those whose frame is not delivered to one function of
    the receiving side's own tables."""
    checked, wrong = [], []
    for nic in nics(index):
        for netdev in netdev_names(index):
            for way in Direction:
                try:
                    path = walk(index, nic.name, netdev, direction=way)
                    tables = find_netdev(index, netdev).tables if way is Direction.TX else nic.tables
                except NoPath:
                    continue
                name = f"{nic.name} on {netdev}, {way.value}"
                checked.append(name)
                at = [(step.function, step.file) for step in path.steps if step.stage is Role.DELIVER]
                if len(at) != 1 or at[0] not in _receivers(tables):
                    wrong.append(f"{name}: {at}")
    return checked, wrong


def _receivers(tables: Iterable[ClientTable]) -> set[Target]:
    """The callback of each table that takes a frame: `receive_iov` where there is one."""
    return {
        (table.callbacks[field][0].name, table.callbacks[field][0].file)
        for table in tables
        for field in [next(field for field in (*_RECEIVE, "") if field in table.callbacks or not field)]
        if field
    }


def section(index: Index) -> str:
    """The part of docs/accuracy.md."""
    head, found = labels(), judge(index)
    rows = {
        "qtrace": [len(site.reported) for site in found.sites],
        "labels": [len(site.labelled) for site in found.sites],
    }
    over = [len(site.right) / len(site.reported) for site in found.sites if site.reported]
    under = [len(site.right) / len(site.labelled) for site in found.sites if site.labelled]
    lines = [
        "## Precision on labelled sites",
        "",
        f"{len(found.sites)} of {head['population']} call sites through a pointer in net/, hw/net/ and "
        f"hw/virtio/virtio*.c of QEMU {head['qemu']}, drawn with seed {head['seed']} "
        "(tests/evaluation/accuracy/sites.py) and labelled by hand (tests/evaluation/accuracy/labels.json). "
        + str(head["rule"]),
        "",
        str(head["first"]),
        "",
        f"{found.outside} targets that are defined in no indexed file are not judged.",
        "",
        "| | all targets | mean over sites |",
        "| --- | ---: | ---: |",
        f"| reported targets that are right | {found.precision:.2%} of {found.reported} | {mean(over):.2%} |",
        f"| right targets that are reported | {found.recall:.2%} of {found.labelled} | {mean(under):.2%} |",
        "",
        "| targets a site, without a chosen pair | mean | median | most |",
        "| --- | ---: | ---: | ---: |",
    ]
    for name, sizes in rows.items():
        lines.append(f"| {name} | {mean(sizes):.2f} | {median(sizes):g} | {max(sizes)} |")
    few = sum(size <= 2 for size in rows["labels"])
    lines += [
        "",
        f"The labels' mean is the least that an index without wrong or missed targets can have: {few} sites "
        "have at most two, a few call what every NIC or register has one of.",
        "",
    ]
    wrong: dict[str, list[str]] = {}
    for site in found.sites:
        for cause, count in Counter(site.cause(target) for target in site.reported - site.labelled).items():
            names = ", ".join(
                f"`{name}`"
                for name, file in sorted(site.reported - site.labelled)
                if site.cause((name, file)) == cause
            )
            wrong.setdefault(cause, []).append(f"{_at(site.site)}: {count} ({names})")
    lines += ["Wrong, by cause:" if wrong else "No reported target is wrong.", ""]
    for cause, places in wrong.items():
        lines += [f"- {cause}", *(f"  - {place}" for place in places)]
    missed = [
        f"- {_at(site.site)}: {', '.join(f'`{name}`' for name, _ in sorted(site.labelled - site.reported))}"
        for site in found.sites
        if site.labelled - site.reported
    ]
    lines += ["", "Missed:" if missed else "None was missed.", "", *missed]
    checked, strays = pairs(index)
    lines += [
        *([""] if missed else []),
        f"With a chosen pair: {len(checked)} of NIC x netdev x direction have a path; in "
        f"{len(checked) - len(strays)} the frame is delivered to one function, out of the chosen NIC's or "
        "netdev's own table.",
        *(f"- {stray}" for stray in strays),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _at(site: Site) -> str:
    return f"`{site[2]}` ({site[0]}:{site[1]})"


if __name__ == "__main__":
    print(section(ensure_index()[0]), end="")
