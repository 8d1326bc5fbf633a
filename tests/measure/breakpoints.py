"""Whether a probe is really on a process: the kernel puts a breakpoint into its memory."""

from __future__ import annotations

from pathlib import Path

from qtrace.measure.placement import Placement
from qtrace.model import Direction
from qtrace.path.walk import walk
from qtrace.store.index import Index
from qtrace.trace.qemu.target import Target
from qtrace.trace.session.level import Level

_INT3 = b"\xcc"


def places(index: Index, pid: int, nic: str, netdev: str) -> list[int]:
    """The addresses at which the functions of both directions' paths may be probed."""
    target = Target(pid)
    ways = [walk(index, nic, netdev, direction=way) for way in Direction]
    probes, _ = Placement(index, target.libraries()).probes(ways, Level.FULL)
    wanted = {(probe.binary, probe.offset) for probe in probes if probe.kind != "tracepoint"}
    return sorted(target.address_of(Path(binary), offset) for binary, offset in wanted)


def trapped(pid: int, addresses: list[int]) -> int:
    """At how many of these addresses a breakpoint stands now."""
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        found = 0
        for address in addresses:
            memory.seek(address)
            found += memory.read(1) == _INT3
        return found
