"""Each probe of a running QEMU's paths, and whether it can attach there: `qtrace probes --pid PID`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from qtrace.errors import TargetError
from qtrace.measure.measured_nic import MeasuredNic, paths_of
from qtrace.measure.qemu_process import QemuProcess
from qtrace.model import Direction, Probe
from qtrace.trace.bpf.prerequisites import kprobes_available
from qtrace.trace.qemu.target import Target

__all__ = ["Placed", "place_probes"]


@dataclass(frozen=True, slots=True)
class Placed:
    """A stage's probe; `reason` is why it cannot attach, empty where it can. `way_of` is the function of the
    stage's usual way, where this is another way of the same stage."""

    direction: str
    stage: str
    function: str
    kind: str
    binary: str
    offset: int
    reason: str
    way_of: str


def place_probes(process: QemuProcess, nics: Sequence[MeasuredNic]) -> list[Placed]:
    """Every stage of the NICs' paths in the process, in order, tx first; nothing is attached.

    Raises TargetError, TraceError, BinaryError.
    """
    probes, unplaced = process.placement.probes(paths_of(nics))
    found = [(probe, _why_not(probe, process.target)) for probe in probes] + list(unplaced)
    process.target.require()
    order = list(Direction)
    found.sort(key=lambda item: (order.index(item[0].direction), item[0].position, bool(item[0].way_of)))
    return [
        Placed(
            probe.direction.value,
            probe.role,
            probe.function,
            probe.kind,
            probe.binary,
            probe.offset,
            reason,
            probe.way_of,
        )
        for probe, reason in found
    ]


def _why_not(probe: Probe, target: Target) -> str:
    if probe.kind == "kprobe":
        return "" if kprobes_available() else "the running kernel has no kprobes"
    if probe.kind == "tracepoint":
        return ""
    try:
        target.address_of(Path(probe.binary), probe.offset)
    except TargetError as exc:
        return str(exc)
    return ""
