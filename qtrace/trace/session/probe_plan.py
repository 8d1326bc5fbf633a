"""Plans the probe for each stage of a path, or gives the reason why it has none."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from pathlib import Path as FilePath

from qtrace.model import PARTLY, VHOST_USER, Direction, Path, Probe, Role, Step, Symbol, Way
from qtrace.probes import point_for
from qtrace.probes.family import ANY
from qtrace.probes.qemu_function import SENDERS
from qtrace.trace.qemu.net_clients import line_known
from qtrace.trace.qemu.rings import rings_known
from qtrace.trace.session.level import Level

__all__ = ["FieldOf", "Located", "Unplaced", "merge", "probes_for"]

# (function, file in QEMU's tree) -> its symbol in the binary, or None if unknown.
Located = Callable[[str, str], tuple[FilePath, Symbol] | None]
# (function, file) -> `Struct.field` of the table that holds it, or None: the field determines the arguments.
FieldOf = Callable[[str, str], str | None]
# (wanted probe, why it has no place)
Unplaced = tuple[Probe, str]

_RETURNS = {"virtqueue_pop": "uretprobe"}
_RULES_BY_FIELD = {
    "NetClientInfo.receive": "buffer",
    "NetClientInfo.receive_raw": "buffer",
    "NetClientInfo.receive_iov": "iovec",
    "SlirpCb.send_packet": "packet",
}
# net/net.h, libslirp.h and libvdeplug.h: (client or instance, data, length) and (client, vector, number).
_RULES_BY_NAME = {
    "qemu_send_packet": "buffer",
    "qemu_send_packet_async": "buffer",
    "qemu_send_packet_raw": "buffer",
    "qemu_sendv_packet": "iovec",
    "qemu_sendv_packet_async": "iovec",
    "slirp_input": "buffer",
    "vde_send": "buffer",
}
# hw/core/irq.c: clocks and serial ports raise their lines by it too, so the card's own must be known.
_EVERYBODY_S = ("qemu_set_irq",)
# Those of vhost-user are watched on a tap's path, which must not carry its frames.
_TAP_NETDEVS = ("tap", "bridge", VHOST_USER)
# include/hw/pci/pci.h
_DMA = ("pci_dma_read", "pci_dma_write")
# Stages whose hits tell how many frames they carry.
_FRAMES = (Role.SEND, Role.DELIVER)


def probes_for(
    path: Path, locate: Located, field_of: FieldOf, level: Level = Level.STAGES
) -> tuple[list[Probe], list[Unplaced]]:
    """Every stage of `path`, in order, either as a probe or with the reason why it has none; with `full`
    every step."""
    probes: list[Probe] = []
    unplaced: list[Unplaced] = []
    for position, step in enumerate(path.steps if level is Level.FULL else path.stages):
        probe, reason = _probe(path, step, position, locate, field_of)
        if level is Level.COUNTS and probe.kind != "tracepoint":
            reason = "no function is probed at the level counts"
        if reason:
            unplaced.append((probe, reason))
        else:
            probes.append(probe)
        # All system calls of one kind are one stage.
        if level is Level.COUNTS or step.stage in (None, Role.HOST):
            continue
        for way in path.ways_of(step.stage):
            if way.function != step.function:
                other, reason = _way(path, way, probe, locate, field_of)
                if reason:
                    unplaced.append((other, reason))
                else:
                    probes.append(other)
    return probes, unplaced


def _way(path: Path, way: Way, usual: Probe, locate: Located, field_of: FieldOf) -> tuple[Probe, str]:
    """Another way of the stage that `usual` measures."""
    step = Step(way.function, way.file, way.line, way.stage)
    probe, reason = _probe(path, step, usual.position, locate, field_of, way.pointed)
    if not reason and usual.function in _DMA and not rings_known(path.nic):
        reason = f"where a {path.nic} has its descriptors is not known: they are not told from other DMA"
    if not reason and way.stage in _FRAMES and probe.rule not in ("buffer", "iovec", "packet"):
        reason = f"a hit of {way.function} does not tell how many frames it carries"
    return replace(probe, way_of=usual.function), reason


def _probe(
    path: Path, step: Step, position: int, locate: Located, field_of: FieldOf, pointed: bool = False
) -> tuple[Probe, str]:
    """`pointed`: the path reaches the function through a pointer only, so copies elsewhere take no call."""
    wanted = Probe(path.direction, step.stage, step.function, position, "uprobe")
    if path.datapath == "vhost-net":
        if point_for(step.function, "kprobe") is None:
            return wanted, f"no probe knows the kernel's {step.function}"
        return replace(wanted, kind="kprobe"), ""
    # On a walk into a library, the host stage is still QEMU's call of the library or the library's callback.
    if step.stage is Role.HOST and (path.boundary.kind, path.boundary.name) == ("syscall", step.function):
        rule = "tap" if path.netdev.partition(".")[0] in _TAP_NETDEVS else "socket"
        return replace(wanted, kind="tracepoint", rule=rule), ""
    if step.function in _EVERYBODY_S and not line_known(path.nic):
        return wanted, f"{step.function} is called by every device: no probe tells this card's calls apart"
    found = locate(step.function, step.file)
    if found is None:
        return wanted, _why_not(step)
    binary, symbol = found
    if symbol.confidence == PARTLY and not pointed:
        return wanted, f"{step.function} is where not all calls reach it ({symbol.evidence})"
    field = field_of(step.function, step.file)
    rule = _RULES_BY_NAME.get(step.function) or _RULES_BY_FIELD.get(field or "", "calls")
    kind = _RETURNS.get(step.function, "uprobe")
    return replace(wanted, kind=kind, binary=str(binary), offset=symbol.offset, rule=rule), ""


def _why_not(step: Step) -> str:
    if step.file.endswith(".h"):
        return f"{step.function} is inline in {step.file}: it has no address of its own"
    return f"{step.function} ({step.file}) is not exported and was not found in this binary"


def merge(plans: Sequence[tuple[list[Probe], list[Unplaced]]]) -> tuple[list[Probe], list[Unplaced]]:
    """Join the plans of several paths of one process: a shared function is measured once for each direction.

    Positions follow the order of all paths: that of a shared function is right in each of them.
    """
    ways, missing_ways = _merged_ways(plans)
    plans = [
        ([probe for probe in found if not probe.way_of], [item for item in missing if not item[0].way_of])
        for found, missing in plans
    ]
    probes, unplaced = _merged_stages(plans)
    usual = {(probe.direction, probe.stage, probe.function) for probe in probes}
    # The usual way of another path has its own slot.
    ways = [way for way in ways if (way.direction, way.stage, way.function) not in usual]
    return [*probes, *ways], [*unplaced, *missing_ways]


def _merged_ways(plans: Sequence[tuple[list[Probe], list[Unplaced]]]) -> tuple[list[Probe], list[Unplaced]]:
    """Each function once for each stage and direction."""
    found: dict[tuple[Direction, Role | None, str], Probe] = {}
    lost: dict[tuple[Direction, Role | None, str], Unplaced] = {}
    for probes, unplaced in plans:
        for probe in probes:
            if probe.way_of:
                found.setdefault((probe.direction, probe.stage, probe.function), probe)
        for probe, reason in unplaced:
            if probe.way_of:
                lost.setdefault((probe.direction, probe.stage, probe.function), (probe, reason))
    return list(found.values()), [item for key, item in lost.items() if key not in found]


def _merged_stages(
    plans: Sequence[tuple[list[Probe], list[Unplaced]]],
) -> tuple[list[Probe], list[Unplaced]]:
    probes: dict[tuple[str, str], Probe] = {}
    unplaced: dict[tuple[str, str], Unplaced] = {}
    after: dict[tuple[str, str], set[tuple[str, str]]] = {}
    agree = True
    for found, missing in plans:
        ordered = sorted([*found, *(probe for probe, _ in missing)], key=lambda probe: probe.position)
        # A function that a path visits twice, like vmxnet3's completion, keeps its first position.
        for before, key in pairwise(dict.fromkeys(map(_key, ordered))):
            after.setdefault(key, set()).add(before)
        for probe in found:
            agree &= probes.setdefault(_key(probe), probe).position == probe.position
        for probe, reason in missing:
            agree &= unplaced.setdefault(_key(probe), (probe, reason))[0].position == probe.position
    probes = {key: _either(probe, probes) for key, probe in probes.items()}
    if agree:
        return list(probes.values()), list(unplaced.values())
    try:
        rank = {key: place for place, key in enumerate(TopologicalSorter(after).static_order())}
    except CycleError:  # does not happen in QEMU 7.2: each keeps its first position
        return list(probes.values()), list(unplaced.values())
    return (
        [replace(probe, position=rank.get(key, probe.position)) for key, probe in probes.items()],
        [
            (replace(probe, position=rank.get(key, probe.position)), why)
            for key, (probe, why) in unplaced.items()
        ],
    )


def _key(probe: Probe) -> tuple[str, str]:
    return probe.direction.value, probe.function


def _either(probe: Probe, probes: Mapping[tuple[str, str], Probe]) -> Probe:
    """A probe for a function of both directions whose arguments do not tell which: the thread's last stage
    does."""
    both = all((way, probe.function) in probes for way in Direction)
    point = point_for(probe.function, probe.kind)
    if both and probe.rule == "calls" and probe.function not in SENDERS and point and point.function == ANY:
        return replace(probe, rule="either")
    return probe
