"""One measured NIC of a running QEMU: its paths, its cell in a run, and the counts that belong to it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from qtrace.explain.attached import Attached
from qtrace.model import Cell, Direction, Role
from qtrace.model import Path as WalkedPath
from qtrace.path.both_ways import both_ways
from qtrace.store.index import Index
from qtrace.trace.qemu.owners import Owner
from qtrace.trace.session.shared_ways import SharedWay, with_shared_ways
from qtrace.trace.session.snapshot import Snapshot

__all__ = ["MeasuredNic", "labelled", "paths_of"]

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")


@dataclass(frozen=True)
class MeasuredNic:
    """One NIC and its back end in a running QEMU. `label` distinguishes it from others, empty for a single
    one; `index` is the index of QEMU's source."""

    nic: Attached
    index: Index
    label: str = ""

    @property
    def cell(self) -> Cell:
        """Its cell in a run."""
        name = _UNSAFE.sub("", self.label)
        return Cell(
            self.nic.nic, self.nic.netdev, self.nic.datapath, None, f"live-{name}" if name else "live"
        )

    @cached_property
    def paths(self) -> tuple[WalkedPath, ...]:
        """The paths of both directions. Raises CellError."""
        return both_ways(self.index, self.nic.nic, self.nic.netdev, self.nic.datapath)

    @property
    def stages(self) -> set[tuple[str, str]]:
        """(direction, function) of every measured step."""
        return {
            (path.direction.value, step.function)
            for path in self.paths
            for step in (*path.steps, *path.stages)
        }

    @cached_property
    def other_ways(self) -> tuple[SharedWay, ...]:
        """The ways across its stages besides the usual ones."""
        found: dict[tuple[Direction, Role, str], SharedWay] = {}
        for path in self.paths:
            for step in path.stages:
                for way in path.ways_of(step.stage) if step.stage else ():
                    if way.function != step.function:
                        one = SharedWay(path.direction, way.stage, way.function, step.function)
                        found.setdefault((path.direction, way.stage, way.function), one)
        return tuple(found.values())

    def owns(self, owner: Owner) -> bool:
        """Whether the counts of `owner` belong to this NIC."""
        if not self.nic.hub:
            return (owner.netdev, owner.nic) == (self.nic.id, self.nic.nic)
        if self.nic.id != f"hub{owner.hub}":
            return False
        return owner.nic == self.nic.nic if owner.nic else owner.driver == self.nic.driver

    @property
    def name(self) -> str:
        """Its label, or its back end's id if it has none."""
        return self.label or self.nic.id

    def of(self, seen: Snapshot) -> Snapshot:
        """This NIC's part of a snapshot of the whole process."""
        part = seen.only([owner.number for owner in seen.owners if self.owns(owner)], self.stages)
        return with_shared_ways(seen, part, self.other_ways)

    def __str__(self) -> str:
        vhost = " with vhost" if self.nic.vhost else ""
        name = f" ({self.label})" if self.label else ""
        return f"{self.nic.nic} on {self.nic.netdev}{vhost}{name}"


def labelled(nics: Sequence[Attached], index: Index) -> list[MeasuredNic]:
    """The NICs, each with a label if there are several."""
    if len(nics) == 1:
        return [MeasuredNic(nics[0], index)]
    ids = [nic.id for nic in nics]
    # Several back ends on one hub share the hub's name.
    return [
        MeasuredNic(nic, index, f"{nic.id}-{nic.netdev}" if ids.count(nic.id) > 1 else nic.id) for nic in nics
    ]


def paths_of(nics: Sequence[MeasuredNic]) -> tuple[WalkedPath, ...]:
    """The paths of all these NICs, both directions. Raises CellError."""
    return tuple(path for nic in nics for path in nic.paths)
