"""The content of the kernel's maps at one moment, summed over the processors."""

from __future__ import annotations

import ctypes
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from qtrace.probes.common import EDGE, STAGE, WAY
from qtrace.probes.shared import Loss
from qtrace.probes.syscalls import Descriptor
from qtrace.trace.frames.followed import FrameReading, Group
from qtrace.trace.session.snapshot import Count

__all__ = ["Reading", "subtract"]


@dataclass(frozen=True, slots=True)
class Reading:
    """Totals since the programs were compiled; see `Snapshot` for the keys."""

    counts: Mapping[tuple[int, int], Count] = field(default_factory=dict)
    edges: Mapping[tuple[int, int, int, int], int] = field(default_factory=dict)
    syscalls: Mapping[tuple[int, int, str, str], Count] = field(default_factory=dict)
    errors: Mapping[tuple[int, int, str, str], int] = field(default_factory=dict)
    lost: Mapping[Loss, int] = field(default_factory=dict)
    missed: Mapping[str, int] = field(default_factory=dict)
    frames: FrameReading = field(default_factory=FrameReading)
    hits: int = 0
    ways: Mapping[tuple[int, int], int] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        module: Any,
        losses: Sequence[Loss],
        stages: int,
        owners: Collection[int],
        names: Mapping[int, str],
        classes: Mapping[Descriptor, str],
        missed: Mapping[str, int],
        ends: Mapping[Group, tuple[int, int]],
        left: Mapping[Group, int],
        until: float,
        ways: Sequence[int] = (),
    ) -> Reading:
        """Read `stages` slots of these owners, and all edges, system calls and `losses`; counting stopped at
        `until` (s, CLOCK_MONOTONIC), or goes on."""
        counts = {}
        table = module[b"counts"]
        for owner in owners:
            for slot in range(stages):
                cpus = table[ctypes.c_int(STAGE.pack(owner, slot))]
                counts[owner, slot] = Count(
                    sum(cpu.calls for cpu in cpus),
                    sum(cpu.frames for cpu in cpus),
                    sum(cpu.bytes for cpu in cpus),
                    sum(cpu.seen for cpu in cpus),
                )
        edges: dict[tuple[int, int, int, int], int] = {}
        for key, cpus in module[b"edges"].items():
            owner, first, last, bucket = EDGE.unpack(key.value)
            edges[owner, first, last, bucket] = int(sum(cpus))
        syscalls: dict[tuple[int, int, str, str], Count] = {}
        errors: dict[tuple[int, int, str, str], int] = {}
        for key, cpus in module[b"syscalls"].items():
            # Two classes may share a name: stream sockets and datagram sockets.
            call = names.get(key.number, str(key.number))
            name = (key.owner, key.thread, call, classes[Descriptor(getattr(key, "class"))])
            before = syscalls.get(name, Count())
            calls, data = sum(cpu.calls for cpu in cpus), sum(cpu.bytes for cpu in cpus)
            syscalls[name] = Count(before.calls + calls, 0, before.bytes + data)
            errors[name] = errors.get(name, 0) + sum(cpu.errors for cpu in cpus)
        table = module[b"lost"]
        lost = {loss: int(sum(table[ctypes.c_int(index)])) for index, loss in enumerate(losses)}
        hits = int(sum(module[b"hits"][ctypes.c_int(0)]))
        frames = FrameReading.of(module, owners, ends, left, until)
        table = module[b"way_counts"]
        by_way = {
            (owner, way): int(sum(table[ctypes.c_int(WAY.pack(owner, way))]))
            for owner in owners
            for way in ways
        }
        return cls(counts, edges, syscalls, errors, lost, dict(missed), frames, hits, by_way)


def subtract(after: Reading, before: Reading) -> Reading:
    """The counts between two readings."""
    return Reading(
        {key: count - before.counts.get(key, Count()) for key, count in after.counts.items()},
        {key: count - before.edges.get(key, 0) for key, count in after.edges.items()},
        {key: count - before.syscalls.get(key, Count()) for key, count in after.syscalls.items()},
        {key: count - before.errors.get(key, 0) for key, count in after.errors.items()},
        {key: count - before.lost.get(key, 0) for key, count in after.lost.items()},
        {key: count - before.missed.get(key, 0) for key, count in after.missed.items()},
        after.frames.since(before.frames),
        after.hits - before.hits,
        {key: count - before.ways.get(key, 0) for key, count in after.ways.items()},
    )
