"""Of the observed calls that cross a stage, the share that some way of that stage covers.

A crossing is a call to a function that hands a frame, a descriptor or a notice over, whoever walks: the
functions are QEMU's interfaces themselves (MemoryRegionOps, NetClientInfo, net/net.h, hw/virtio/virtio.h,
hw/irq.h, hw/pci), and the libraries' by which a frame leaves and enters, not what a walk has found. The ways
are those that the tracer attaches to (qtrace/path/both_ways.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from observe import Call, Function, Seen
from observed import Observed

from qtrace.model import STAGE_ORDER, Direction, Role
from qtrace.path import stage_functions as stages
from qtrace.path.both_ways import both_ways
from qtrace.path.catalogue import core_files, find_nic, nic_runs
from qtrace.path.netdevs import find_netdev
from qtrace.store.index import Index

__all__ = ["Crossed", "crossings", "section"]

Stage = tuple[Direction, Role]
# Guest memory, where nothing tells a call's direction, and with it the stage.
_EITHER = "either"
Where = Stage | str
_RECEIVE = ("receive", "receive_iov", "receive_raw")
_MEMORY = {
    (Direction.TX, Role.DEQUEUE): frozenset(stages.DEQUEUE),
    (Direction.TX, Role.COMPLETE): frozenset(stages.GUEST_WRITE),
    (Direction.RX, Role.ENQUEUE): frozenset(stages.ENQUEUE),
}
_REACHES_MEMORY = frozenset().union(*_MEMORY.values())
Told = Counter[Direction | None]


@dataclass
class Crossed:
    """Calls that cross one stage: `covered` and, by call, those that no way covers."""

    covered: int = 0
    missed: Counter[Call] = field(default_factory=Counter)

    def add(self, other: Crossed) -> None:
        """Count another's calls, too."""
        self.covered += other.covered
        self.missed += other.missed

    @property
    def all(self) -> int:
        """How many there were."""
        return self.covered + self.missed.total()


class _Pair:
    """One NIC on one netdev: what of the observed calls is whose."""

    def __init__(self, index: Index, nic: str, netdev: str, seen: Seen) -> None:
        self._index, self._calls, self._host = index, seen.calls, seen.host
        model = find_nic(index, nic)
        self._nic_files = set(core_files(index, model, nic_runs(index, model)))
        names = ("socket", "socket-stream") if netdev == "socket" else (netdev,)
        self._netdev_files = {file for name in names for file in find_netdev(index, name).files}
        self.ways: dict[Stage, set[str]] = {}
        for name in names:
            for path in both_ways(index, nic, name, "qemu"):
                for way in path.ways:
                    self.ways.setdefault((path.direction, way.stage), set()).add(way.function)

    def known(self, where: Where) -> set[str]:
        """The functions of the ways that may cover a call there."""
        if isinstance(where, str):
            stages_there: Iterable[Stage] = _MEMORY
        elif where[1] is Role.INTERRUPT:
            stages_there = [(way, Role.INTERRUPT) for way in Direction]
        else:
            stages_there = [where]
        return set().union(*(self.ways.get(stage, set()) for stage in stages_there))

    def crossing(self) -> Iterator[tuple[Where, Call, int]]:
        """Each call that crosses a stage. A function of both directions is told by who calls, or by what has
        been called from there."""
        for call, number in self._calls.items():
            (_, from_file), (name, file) = call
            ours = from_file in self._nic_files
            # A register's write that passes on a doorbell is counted where it is taken.
            if call[0] in self._doorbells and call[1] in self._sending - self._doorbells:
                yield (Direction.TX, Role.KICK), call, number
            if name in stages.SEND and ours:
                yield (Direction.TX, Role.SEND), call, number
            elif name in stages.SEND and from_file in self._netdev_files:
                yield (Direction.RX, Role.SEND), call, number
            if call[1] in self._receivers and file in self._netdev_files | self._nic_files:
                way = Direction.TX if file in self._netdev_files else Direction.RX
                yield (way, Role.DELIVER), call, number
            if name in _REACHES_MEMORY and ours:
                yield from self._memory(call, number)
            if name in stages.INTERRUPTS and ours and name != stages.GUEST_NOTIFIER:
                yield (Direction.RX, Role.INTERRUPT), call, number

        yield from self._at_host()

    def _at_host(self) -> Iterator[tuple[Where, Call, int]]:
        """A library that calls back with each frame hands nothing over when it is polled."""
        for call, number in self._host.items():
            name = call[1][0]
            if call[0] not in self._netdev_runs:
                continue
            if name in stages.HOST_WRITE:
                yield (Direction.TX, Role.HOST), call, number
            elif stages.HOST_READ[name] != "library" or not self._called_back:
                yield (Direction.RX, Role.HOST), call, number
        for call, number in self._calls.items():
            if call[0] in self._called_back and call[1][0] in stages.SEND:
                yield (Direction.RX, Role.HOST), call, number

    def _memory(self, call: Call, number: int) -> Iterator[tuple[Where, Call, int]]:
        for way, part in self._directions(call[0], number, frozenset()).items():
            if way is None:
                yield _EITHER, call, part
            for stage, names in _MEMORY.items():
                if stage[0] is way and call[1][0] in names:
                    yield stage, call, part

    def _directions(self, function: Function, number: int, below: frozenset[Function]) -> Told:
        """How many of a function's calls to guest memory are of which direction. A helper that makes one
        each time that it is called is of its callers'."""
        if function in self._transmits:
            return Counter({Direction.TX: number})
        if function in self._receives:
            return Counter({Direction.RX: number})
        callers = self._callers.get(function, {})
        if function in below or sum(callers.values()) != number:
            return Counter({None: number})
        found: Told = Counter()
        for caller, part in callers.items():
            found += self._directions(caller, part, below | {function})
        return found

    @cached_property
    def _callers(self) -> dict[Function, dict[Function, int]]:
        found: dict[Function, dict[Function, int]] = {}
        for (caller, callee), number in self._calls.items():
            found.setdefault(callee, {})[caller] = number
        return found

    @cached_property
    def _transmits(self) -> set[Function]:
        """From which a send is reached, and what only they call; nothing that a received frame reaches."""
        return self._called_by(self._sending - self._doorbells, self._nic_files) - self._received

    @cached_property
    def _receives(self) -> set[Function]:
        """The NIC's receive callbacks, and what only they call; nothing that reaches a send."""
        mine = {one for one in self._receivers if one[1] in self._nic_files}
        return self._called_by(mine, self._nic_files) - self._sending

    @cached_property
    def _netdev_runs(self) -> set[Function]:
        """The netdev's functions, and helpers that were called by these alone (util/iov.c)."""
        callers = {caller for caller, _ in (*self._calls, *self._host)}
        return self._called_by({one for one in callers if one[1] in self._netdev_files})

    @cached_property
    def _called_back(self) -> set[Function]:
        """The netdev's functions that send a frame, have read none, and were called by nobody indexed."""
        read = {caller for caller, (name, _) in self._host if name in stages.HOST_READ}
        reads = self._close(read, self._netdev_runs, backwards=True)
        senders = {caller for caller, (name, _) in self._calls if name in stages.SEND}
        return {one for one in senders - reads if one[1] in self._netdev_files and one not in self._callers}

    def _called_by(self, first: set[Function], files: Container[str] | None = None) -> set[Function]:
        """These, and functions (of some files) that were called by these alone."""
        found = set(first)
        while more := {
            function
            for function, callers in self._callers.items()
            if (files is None or function[1] in files) and function not in found and found.issuperset(callers)
        }:
            found |= more
        return found

    @cached_property
    def _doorbells(self) -> set[Function]:
        found = {(name, row.file) for name in _VIRTIO for row in self._index.function(name)}
        for _, _, _, what, value, file, _ in self._index.tables(
            "MemoryRegionOps", ("write", "write_with_attrs")
        ):
            if what == "function" and file in self._nic_files:
                row = self._index.function_by_id(int(value))
                found.add((row.name, row.file))
        return found

    @cached_property
    def _receivers(self) -> set[Function]:
        return {
            (function.name, function.file)
            for table in self._index.client_tables()
            for field, (function, _) in table.callbacks.items()
            if field in _RECEIVE
        }

    @cached_property
    def _sending(self) -> set[Function]:
        """From which a send has been seen to be reached, within the NIC, at once or by a bottom half."""
        sends = {callee for (_, callee) in self._calls if callee[0] in stages.SEND}
        return self._close(sends, self._nic_runs, backwards=True)

    @cached_property
    def _received(self) -> set[Function]:
        """What has been seen to be reached from the NIC's receive callbacks, within the NIC."""
        mine = {one for one in self._receivers if one[1] in self._nic_files}
        return self._close(mine, self._nic_runs, backwards=False)

    def _close(self, found: set[Function], within: set[Function], *, backwards: bool) -> set[Function]:
        found = set(found)
        while True:
            more = set()
            for caller, callee in (*self._calls, *(self._deferred if backwards else ())):
                here, there = (callee, caller) if backwards else (caller, callee)
                if here in found and there not in found and there in within:
                    more.add(there)
            if not more:
                return found
            found |= more

    @cached_property
    def _nic_runs(self) -> set[Function]:
        return {function for call in self._calls for function in call if function[1] in self._nic_files}

    @cached_property
    def _deferred(self) -> set[Call]:
        """What the NIC leaves to the main loop: the loop's call names nobody, the index does. Both ran."""
        found = set()
        for name, file in self._nic_runs:
            for row in self._index.function(name, file):
                for edge in self._index.callees(row.id):
                    callee = self._index.function_by_id(edge.callee)
                    if edge.kind == "async" and (callee.name, callee.file) in self._nic_runs:
                        found.add(((name, file), (callee.name, callee.file)))
        return found


_VIRTIO = (stages.VIRTIO_KICK, stages.VIRTIO_DOORBELL)


def crossings(index: Index, nic: str, netdev: str, seen: Seen) -> dict[Where, Crossed]:
    """By stage. An interrupt is of no direction: it is under rx, and a way of either covers it."""
    pair = _Pair(index, nic, netdev, seen)
    found: dict[Where, Crossed] = {}
    for where, call, number in pair.crossing():
        one = found.setdefault(where, Crossed())
        # Who calls a register's write or a library's callback is not indexed: it is seen by what it calls.
        entered = where == (Direction.TX, Role.KICK) or (where == (Direction.RX, Role.HOST) and call[1][1])
        crossing = call[0] if entered else call[1]
        if crossing[0] in pair.known(where):
            one.covered += number
        else:
            one.missed[call] += number
    return found


def section(index: Index, observed: Observed) -> str:
    """The tables of docs/accuracy.md."""
    total: dict[Where, Crossed] = {}
    runs: dict[tuple[Where, Call], list[str]] = {}
    rows: dict[str, dict[Where, Crossed]] = {}
    for name, seen in observed.runs.items():
        nic, _, netdev = name.partition(" on ")
        rows[name] = crossings(index, nic, netdev, seen)
        for where, crossed in rows[name].items():
            total.setdefault(where, Crossed()).add(crossed)
            for call in crossed.missed:
                runs.setdefault((where, call), []).append(name)
    lines = [
        "## Ways of a stage",
        "",
        "Of the observed calls that cross a stage, those that some way of that stage covers (`qtrace walk "
        "--ways`): calls to the functions by which QEMU's parts hand something over, from the NIC's and the "
        "netdev's own files. A register's write is a kick by each call that it makes from which a send can "
        "follow. A call to guest memory is of the direction whose functions alone lead to it; where both do, "
        "or neither (a device's start), it is counted as of either, and a way of any stage there covers it. "
        "The host is reached by the system calls and the libraries' functions that the netdev's files call, "
        "or helpers that these alone call; a library that calls back with each frame, by its callback. An "
        "interrupt is of both directions.",
        "",
        "| direction | stage | calls | covered | share |",
        "| --- | --- | ---: | ---: | ---: |",
    ]
    order: list[Where] = [(way, role) for way in Direction for role in STAGE_ORDER[way]] + [_EITHER]
    order = [where for where in order if where in total]
    for where in order:
        one = total[where]
        share = f"{int(10000 * one.covered / one.all) / 100:g}%"
        lines.append(f"| {' | '.join(_names(where))} | {one.all:,} | {one.covered:,} | {share} |")
    lines += ["", *_by_pair(rows, order)]
    missed = [(where, call, number) for where, one in total.items() for call, number in one.missed.items()]
    lines += ["", "Missed:" if missed else "None was missed.", ""]
    for where, (caller, callee), number in sorted(missed, key=lambda item: -item[2]):
        lines.append(
            f"- {' '.join(_names(where))}: `{caller[0]}` ({caller[1]}) to `{callee[0]}` ({callee[1]}): "
            f"{number:,} calls, with {', '.join(runs[where, (caller, callee)])}"
        )
    return "\n".join(lines).rstrip() + "\n"


def _names(where: Where) -> tuple[str, str]:
    return (where, "guest memory") if isinstance(where, str) else where


def _by_pair(rows: Mapping[str, Mapping[Where, Crossed]], order: Sequence[Where]) -> list[str]:
    """A table of each NIC on each netdev: a stage that nobody was seen to cross proves nothing."""
    lines = [
        "By pair, covered of all; a dash where no call was seen that is told to be of that stage.",
        "",
        f"| NIC on netdev | {' | '.join(' '.join(_names(where)) for where in order)} |",
        f"| --- |{' ---: |' * len(order)}",
    ]
    for name, found in rows.items():
        cells = [f"{one.covered:,}/{one.all:,}" if (one := found.get(where)) else "–" for where in order]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines
