"""Clients, owners, probes and snapshots made up by hand or drawn by hypothesis: nothing is measured here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hypothesis import strategies as st

from qtrace.model import Direction, Probe, Role
from qtrace.probes.common import SHARED
from qtrace.trace.frames.followed import FrameCount, FrameReading
from qtrace.trace.frames.waits import Waiting
from qtrace.trace.qemu.net_clients import NetClient
from qtrace.trace.qemu.owners import Owner, Owners
from qtrace.trace.session.reading import Reading
from qtrace.trace.session.snapshot import Count, Snapshot, Stage

__all__ = ["client", "counts", "frame_readings", "numbers", "owner", "pair", "probe", "readings", "snapshot"]

STAGES = 4  # slots that the strategies use
OWNERS = 3  # numbers that the strategies use, 0 among them
WAYS = 4  # directions, in QEMU and in the kernel


def client(address: int, driver: str = "tap", peer: int = 0, **more: Any) -> NetClient:
    """One that stands at `address`; a NIC's model is e1000 unless it is told."""
    model = more.pop("model", "e1000" if driver == "nic" else "")
    fields = {"name": f"{driver}{address}", "model": model, "queue": 0, "link_down": False}
    fields |= {"receive_disabled": False, "queued": 0, "header_bytes": 0, "objects": (address,)}
    return NetClient(address=address, driver=driver, peer=peer, **(fields | more))


def pair(near: int, far: int, driver: str = "tap", **more: Any) -> tuple[NetClient, NetClient]:
    """A NIC at `near` and its back end at `far`, each the other's peer."""
    return client(near, "nic", far, **more), client(far, driver, near)


def owner(near: NetClient, far: NetClient) -> Owner:
    """The one owner that these two make."""
    owners = Owners()
    owners.update([near, far])
    return next(iter(owners))


def probe(
    direction: Direction, stage: Role | None, function: str, position: int, kind: str = "uprobe", **more: Any
) -> Probe:
    """A probe whose hits tell frames unless `rule` says that they do not."""
    return Probe(direction, stage, function, position, kind, **({"rule": "buffer"} | more))


def snapshot(
    stages: Iterable[Stage], counted: Mapping[tuple[int, int], Count], seconds: float = 1.0, **more: Any
) -> Snapshot:
    """`counted` by (owner, slot); everything else is empty unless it is told."""
    fields: dict[str, Any] = {"owners": (), "edges": {}, "syscalls": {}, "errors": {}, "threads": {}}
    fields |= {"lost": {}, "missed": {}}
    return Snapshot(seconds, tuple(stages), counts=counted, **(fields | more))


numbers = st.integers(0, 10**12)
counts = st.builds(Count, numbers, numbers, numbers, numbers)
_owner, _slot = st.integers(0, OWNERS - 1), st.integers(0, STAGES - 1)
_way, _bucket = st.integers(0, WAYS - 1), st.integers(0, 40)
_threads, _names = st.integers(1, 5), st.sampled_from(("read", "writev", "ioctl"))
_classes = st.sampled_from(("tap", "socket", "eventfd"))
_calls = st.tuples(_owner, _threads, _names, _classes)
_frame_counts = st.builds(FrameCount, numbers, numbers, numbers, numbers, numbers)
_places = st.tuples(_owner, _way, _slot)
_times = st.dictionaries(st.tuples(_owner, _slot, _slot, _bucket), numbers, max_size=4)
waiting = st.builds(
    Waiting,
    _times,
    st.dictionaries(_places, numbers, max_size=4),
    st.dictionaries(_places, numbers, max_size=4),
    st.frozensets(st.tuples(_owner, _way), max_size=3),
)
frame_readings = st.builds(
    FrameReading,
    st.dictionaries(st.tuples(_owner, _way), _frame_counts, max_size=4),
    _times,
    st.dictionaries(st.tuples(_owner, _way), st.tuples(_slot, _slot), max_size=4),
    waiting,
)


@st.composite
def readings(draw: st.DrawFn) -> Reading:
    """What the kernel's maps might hold."""
    syscalls = draw(st.dictionaries(_calls, counts, max_size=5))
    return Reading(
        draw(st.dictionaries(st.tuples(_owner, _slot), counts, max_size=5)),
        draw(st.dictionaries(st.tuples(_owner, _slot, _slot, _bucket), numbers, max_size=5)),
        syscalls,
        {key: draw(st.integers(0, count.calls)) for key, count in syscalls.items()},
        draw(st.dictionaries(st.sampled_from(SHARED.losses), numbers, max_size=4)),
        draw(st.dictionaries(st.sampled_from(("on_entry", "on_return")), numbers)),
        draw(frame_readings),
        draw(numbers),
    )
