"""A tracing session of one process: the stage of each slot, the attachments, the counts."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from qtrace.errors import TargetError, TraceError
from qtrace.model import Direction, Probe, Role
from qtrace.model import Path as WalkedPath
from qtrace.probes import Point, families, point_for
from qtrace.probes.common import DIRECTIONS, NO_SLOT, SIDE, SLOTS, WAYS
from qtrace.probes.dma import SPACE
from qtrace.probes.family import Family
from qtrace.probes.qemu_function import NOTES, RULES, SENDERS, Site
from qtrace.probes.shared import Loss
from qtrace.probes.syscalls import CLASSES, DOES, Descriptor
from qtrace.store.run import Tables
from qtrace.trace.bpf.attachments import Attachments
from qtrace.trace.bpf.prerequisites import kprobes_available
from qtrace.trace.bpf.running import ALL, CALLS, NOTHING
from qtrace.trace.bpf.syscall_names import syscall_names
from qtrace.trace.frames.follower import Follower
from qtrace.trace.qemu.attribution import Attribution, Clients
from qtrace.trace.qemu.layout import Layout
from qtrace.trace.qemu.owners import Owner
from qtrace.trace.qemu.target import Target, ThreadTimes
from qtrace.trace.session.instrument import Instrument, Tracing
from qtrace.trace.session.reading import Reading, subtract
from qtrace.trace.session.snapshot import OtherWay, Snapshot, Stage

__all__ = ["Session"]

Given = TypeVar("Given", bound=Instrument)

_CLASSES_OF = {"tap": (Descriptor.TAP,), "socket": (Descriptor.STREAM, Descriptor.DATAGRAM)}
_RING: dict[tuple[Role | None, Direction], Site] = {
    (Role.SEND, Direction.TX): Site.SENDS,
    (Role.DELIVER, Direction.RX): Site.DELIVERS,
}


class Session:
    """Made by `Engine.attach`. `start` begins a window, `stop` ends it, `read` returns its counts."""

    def __init__(
        self,
        module: Any,
        target: Target,
        probes: tuple[Probe, ...],
        layout: Layout,
        unplaced: tuple[tuple[Probe, str], ...] = (),
        clients: Clients | None = None,
        paths: tuple[WalkedPath, ...] = (),
        lost: Sequence[Loss] = (),
    ) -> None:
        if len(probes) > SLOTS:
            raise TraceError(f"{len(probes)} probes are requested; {SLOTS} can be counted at the same time")
        self._module = module
        self._target = target
        self._layout = layout
        self._attached = Attachments(module, target.pid)
        self._attribution = Attribution(module, clients)
        self._stages = [Stage(probe, probe.kind) for probe in probes if not probe.way_of]
        self._stages += [
            Stage(probe, probe.kind, reason=reason) for probe, reason in unplaced if not probe.way_of
        ]
        self._ways = [OtherWay(probe) for probe in probes if probe.way_of]
        self._ways += [OtherWay(probe, reason=reason) for probe, reason in unplaced if probe.way_of]
        self._placed: set[tuple[str, str, int]] = set()
        self._seen: dict[int, Owner] = {}  # owners since the window began
        self._given = 0
        self._base = Reading()
        self._threads: dict[int, ThreadTimes] = {}
        self._began = self._ended = 0.0
        self._families = families()
        self._instruments: list[Instrument] = []
        self._lost = lost
        self._paths = paths
        self._follower: Follower | None = None

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Every planned stage, in the order of the probes; some may not be attached."""
        return tuple(self._stages)

    def open(self) -> None:
        """Write the maps and attach. `Engine.attach` calls it."""
        for family in self._families:
            self._empty(family)
        space = self._table("dma_space")
        space[ctypes.c_int(0)] = space.Leaf(self._layout.values.get(SPACE, 0))
        self._attribute()
        self._run(NOTHING)
        self._prepare_syscalls()
        for slot, stage in enumerate(self._stages):
            if stage.reason:
                continue
            try:
                note = self._place(slot, stage.probe)
                self._stages[slot] = Stage(stage.probe, stage.how, note)
            except (TraceError, TargetError) as exc:
                if not self._target.alive():
                    raise TargetError(f"process {self._target.pid} has ended") from exc
                self._stages[slot] = Stage(stage.probe, stage.how, reason=str(exc))
        self._place_ways()
        attached = [not stage.reason for stage in self._stages]
        self._follower = Follower(
            self._module, self._paths, [stage.probe for stage in self._stages], attached
        )
        self._attached.raw_tracepoint("on_sys_exit", "sys_exit")
        self._target.require()  # so all probes are in this very process

    def _place_ways(self) -> None:
        """Attach the other ways; each counts for its stage's slot, and under its own number."""
        slots = {_key(stage.probe, stage.probe.function): slot for slot, stage in enumerate(self._stages)}
        for number, way in enumerate(self._ways, 1):
            slot = slots.get(_key(way.probe, way.probe.way_of))
            if way.reason or slot is None:
                continue
            if number >= WAYS or slot >= SLOTS:
                self._ways[number - 1] = replace(way, reason="this process has too many")
                continue
            stage = self._stages[slot]
            try:
                note = self._place(slot, way.probe, number)
            except (TraceError, TargetError) as exc:
                self._ways[number - 1] = replace(way, reason=str(exc))
                continue
            self._ways[number - 1] = replace(way, number=number, slot=slot)
            if stage.reason:
                self._stages[slot] = Stage(stage.probe, way.probe.kind, note, unplaced=stage.reason)

    def close(self) -> None:
        """Detach everything. `Engine.attach` calls it."""
        self._run(NOTHING)
        while self._instruments:
            self._instruments.pop().close()
        self._attached.close()

    def add(self, instrument: Given) -> Given:
        """Also measure with `instrument` in the following windows; returns it. Raises TraceError."""
        self._instruments.append(instrument)
        self._families.append(instrument.family)
        self._empty(instrument.family)
        instrument.open(Tracing(self._module, self._attached, self._target))
        return instrument

    def besides(self, snapshot: Snapshot) -> Tables:
        """The tables of all instruments in the last window, of all owners and of the whole process."""
        found: Tables = {}
        owners = {0, *(owner.number for owner in snapshot.owners)}
        for instrument in self._instruments:
            for name, rows in instrument.tables(snapshot, owners).items():
                found.setdefault(name, []).extend(rows)
        return found

    def start(self) -> None:
        """Begin a window: all counts start at zero."""
        self._target.require()
        self._run(NOTHING)
        self._attribute()
        self._know_owners()
        self._refresh_descriptors()
        self._forget()
        if self._follower:
            self._follower.begin()
        for instrument in self._instruments:
            instrument.begin()
        self._base = self._reading()
        self._threads = self._times()
        self._began, self._ended = time.monotonic(), 0.0
        self._run(ALL if self._attached.functions else CALLS)

    def stop(self) -> None:
        """End the window: all stages stop counting at the same moment."""
        self._run(NOTHING)
        self._ended = time.monotonic()
        self._attribute()

    def refresh(self) -> None:
        """Within a window: take in new cards and descriptors."""
        self._attribute()
        self._refresh_descriptors()

    def pause(self) -> Reading:
        """Remove the probes of all functions; system calls are still counted. Returns the totals at the
        moment when functions stopped being counted."""
        self._run(CALLS)
        seen = self._reading()
        self._attached.withdraw()
        return seen

    def resume(self) -> Reading:
        """Attach the probes again and count with all of them from the same moment; returns the totals
        then."""
        try:
            self._attached.restore()
        except TraceError:
            self._target.require()
            raise
        self._forget()  # a stage before the pause must not be joined with one behind it
        if self._follower:
            self._follower.resume()
        seen = self._reading()
        self._run(ALL)
        return seen

    def leave_out(self, probe: Probe) -> None:
        """Remove the probe for good."""
        if probe.binary:
            self._attached.drop(Path(probe.binary), probe.offset)
        else:
            self._attached.drop(None, probe.function)

    def alive(self) -> bool:
        """Whether the process still runs."""
        return self._target.alive()

    def require(self) -> None:
        """Raise TargetError unless the process still runs."""
        self._target.require()

    def wait(self, seconds: float) -> None:
        """Wait until the time is up, or the process has ended."""
        self._target.wait(seconds)

    def mark(self) -> Reading:
        """All totals at this moment, for `between`; laps are not affected."""
        return self._reading()

    def between(self, first: Reading, last: Reading) -> Snapshot:
        """The counts between two marks, without times and threads."""
        return self._snapshot(subtract(last, first), {}, 0.0)

    def read(self) -> Snapshot:
        """The counts since `start` up to now, to `stop`, or to QEMU's end, after which its threads' times are
        lost but the counts are not."""
        if self._target.alive():
            self._attribute()  # the reason for waiting depends on the clients' present state
        now, threads = self._reading(), self._times()
        seconds = (self._ended or time.monotonic()) - self._began
        return self._snapshot(subtract(now, self._base), threads, seconds)

    def lap(self) -> Snapshot:
        """The counts since `start` or the last lap; counting goes on, so nothing is missed between two laps.
        After QEMU's end the same as `read`."""
        self._attribute()
        now, threads, moment = self._reading(), self._times(), time.monotonic()
        counted = subtract(now, self._base)
        found = self._snapshot(counted, threads, moment - self._began)
        self._base, self._threads, self._began = now, threads, moment
        self._know_owners()
        self._refresh_descriptors()
        return found

    def _snapshot(self, counted: Reading, threads: dict[int, ThreadTimes], seconds: float) -> Snapshot:
        return Snapshot(
            seconds=seconds,
            stages=self.stages,
            owners=tuple(self._seen.values()),
            came=tuple(owner for owner in self._seen.values() if owner.number > self._given),
            counts=counted.counts,
            edges=counted.edges,
            syscalls=counted.syscalls,
            errors=counted.errors,
            threads={tid: after.since(self._threads.get(tid)) for tid, after in threads.items()},
            lost=counted.lost,
            missed=counted.missed,
            frames=counted.frames,
            unread=self._attribution.unread,
            beyond=self._attribution.owners.beyond,
            hits=counted.hits,
            ways=tuple(self._ways),
            way_counts=counted.ways,
            names={tid: used.name for tid, used in (self._threads | threads).items()},
        ).simplified()

    def _table(self, name: str) -> Any:
        return self._module[name.encode()]

    def _empty(self, family: Family) -> None:
        """Empty the family's maps of an earlier session; array elements become 0."""
        for name in (*family.tables, *family.memories):
            self._table(name).clear()

    def _forget(self) -> None:
        """Empty the maps in which one hit leaves data for the next."""
        for family in self._families:
            for name in family.memories:
                self._table(name).clear()

    def _run(self, running: int) -> None:
        """Switch programs on or off, all at once."""
        table = self._table("targets")
        leaf = table.Leaf(
            tgid=self._target.pid,
            running=running,
            owners=len(self._attribution.owners),
            sockets=self._attribution.sockets,
            **self._layout.members(),
        )
        table[ctypes.c_int(0)] = leaf

    def _place(self, slot: int, probe: Probe, way: int = 0) -> str:
        """Attach the programs for `probe` and connect them with `slot`, as the way with this number; returns
        the note of its point."""
        kind = "raw_tracepoint" if probe.kind == "tracepoint" else probe.kind
        point = point_for(probe.rule if kind == "raw_tracepoint" else probe.function, kind)
        if point is None:
            raise TraceError(f"no probe knows how to measure {probe.function} ({probe.kind})")
        if kind == "kprobe" and not kprobes_available():
            raise TraceError("the running kernel has no kprobes")
        places = self._table("places")
        direction = DIRECTIONS.index(probe.direction)
        places[ctypes.c_int(slot)] = places.Leaf(direction=direction, position=probe.position)
        if kind == "raw_tracepoint":
            for number in _CLASSES_OF[probe.rule]:
                self._connect("syscall_slots", SIDE.pack(number, direction), slot)
            return point.note
        self._attach(point, probe)
        if point.table:
            self._connect(point.table, SIDE.pack(point.index_of(probe.stage), direction), slot, way)
        else:
            self._connect_site(probe, slot, way)
        return point.note or NOTES.get(probe.rule, "")

    def _connect(self, table: str, index: int, slot: int, way: int = 0) -> None:
        entries = self._table(table)
        entries[ctypes.c_int(index)] = entries.Leaf(slot + 1 | way << 8)

    def _attach(self, point: Point, probe: Probe) -> None:
        for kind, program in point.programs:
            key = (program, probe.binary or probe.function, probe.offset)
            if key in self._placed:
                continue
            if kind in ("kprobe", "kretprobe"):
                self._attached.kprobe(program, probe.function, kind == "kretprobe", point.instead)
                for other in point.also:
                    self._attach_other(program, other, kind == "kretprobe")
            else:
                binary = Path(probe.binary)
                self._target.address_of(binary, probe.offset)  # raises if the process does not map it
                self._attached.uprobe(program, binary, probe.offset, kind == "uretprobe")
            self._placed.add(key)

    def _attach_other(self, program: str, function: str, at_return: bool) -> None:
        """Attach where the kernel, with what it has loaded, has the function."""
        try:
            self._attached.kprobe(program, function, at_return)
        except TraceError as exc:
            if not isinstance(exc.__cause__, FileNotFoundError):
                raise

    def _connect_site(self, probe: Probe, slot: int, way: int) -> None:
        """Tell the common handler of all functions the meaning of the one at this address."""
        if probe.rule not in RULES:
            raise TraceError(f"the rule {probe.rule!r} of {probe.function} is not known")
        sites = self._table("sites")
        address = ctypes.c_uint64(self._target.address_of(Path(probe.binary), probe.offset))
        site = sites[address] if address in sites else sites.Leaf(slot=(NO_SLOT, NO_SLOT))
        site.rule = RULES[probe.rule]
        site.sender = SENDERS.get(probe.function, 0)
        direction = DIRECTIONS.index(probe.direction)
        site.slot[direction], site.way[direction] = slot, way
        # With libslirp one function sends both ways: what it is to a card's ring in one stands.
        site.ring = site.ring or _RING.get((probe.stage, probe.direction), Site.NOTHING)
        sites[address] = site

    def _prepare_syscalls(self) -> None:
        does = self._table("syscall_does")
        for number, name in syscall_names().items():
            if number < len(does):
                does[ctypes.c_int(number)] = does.Leaf(DOES.get(name, 0))
        self._refresh_descriptors()

    def _refresh_descriptors(self) -> None:
        table = self._table("fd_class")
        for fd, number in self._target.descriptors().items():
            # A local stream belongs to a monitor or a console, unless it is a network client's own.
            ours = number is Descriptor.OTHER and fd in self._attribution.descriptors
            table[ctypes.c_uint32(fd)] = table.Leaf(Descriptor.STREAM if ours else number)

    def _attribute(self) -> None:
        """Update the owners of QEMU's objects; cards may have been added or removed."""
        self._attribution.update(self._target.workers())
        self._seen |= {owner.number: owner for owner in self._attribution.owners}
        if self._follower:
            self._follower.update(self._attribution.owners)

    def _know_owners(self) -> None:
        """The owners at the beginning of a window; their counts are kept if they are removed."""
        self._seen = {owner.number: owner for owner in self._attribution.owners}
        self._given = self._attribution.owners.given

    def _times(self) -> dict[int, ThreadTimes]:
        return self._target.threads(self._target.workers())

    def _reading(self) -> Reading:
        numbers = self._attribution.numbers
        names, missed = syscall_names(), self._attached.missed()
        followed = (self._follower.ends, self._follower.left) if self._follower else ({}, {})
        slots = min(len(self._stages), SLOTS)  # the last stages are those without a place
        until = self._ended or time.monotonic()
        ways = [way.number for way in self._ways if way.number]
        return Reading.of(
            self._module, self._lost, slots, numbers, names, CLASSES, missed, *followed, until, ways
        )


def _key(probe: Probe, function: str) -> tuple[Direction, Role | None, str]:
    return probe.direction, probe.stage, function
