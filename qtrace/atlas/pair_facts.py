"""Every pair of a release: its walks with all ways, or the reason why there is none, as `walk` finds them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from qtrace.errors import NoPath
from qtrace.model import Direction, Path, Role
from qtrace.path.catalogue import nics
from qtrace.path.handed_queues import CARRIERS, HandedQueues, hand_over
from qtrace.path.netdevs import netdev_names
from qtrace.path.walk import walk
from qtrace.path.ways import with_ways
from qtrace.progress import Progress
from qtrace.store.index import Index

__all__ = ["HANDED", "NIC_STAGES", "NONE", "STREAM", "VHOST", "WALK", "Pair", "Variant", "Way", "pairs_of"]

# What a pair's frames take: QEMU's own path, the kernel's, a stream in place of datagrams, queues that QEMU
# hands over; or nothing at all.
WALK, VHOST, STREAM, HANDED, NONE = "walk", "vhost", "stream", "handed", "none"
# A netdev -> its form that carries a stream, for `walk`.
_STREAMS = {"socket": "socket-stream"}

# Stages that belong to the NIC; the others are the back end's.
NIC_STAGES = {
    Direction.TX: (Role.KICK, Role.DEQUEUE, Role.SEND, Role.COMPLETE, Role.INTERRUPT),
    Direction.RX: (Role.DELIVER, Role.ENQUEUE, Role.INTERRUPT),
}

Way = Path | HandedQueues | str  # the last one is the reason why there is none


@dataclass(frozen=True, slots=True)
class Variant:
    """One datapath of a pair; `netdev` is what `qtrace walk` calls it."""

    kind: str
    netdev: str
    tx: Way
    rx: Way

    def way(self, direction: Direction) -> Way:
        """One direction."""
        return self.tx if direction is Direction.TX else self.rx

    @property
    def found(self) -> bool:
        """Whether there is something to show of either direction."""
        return not (isinstance(self.tx, str) and isinstance(self.rx, str))


@dataclass(frozen=True, slots=True)
class Pair:
    """A NIC on a back end: the usual datapath first."""

    nic: str
    netdev: str
    variants: tuple[Variant, ...]

    @property
    def kind(self) -> str:
        """What the grid shows."""
        first = self.variants[0]
        return first.kind if first.found else NONE

    @property
    def reason(self) -> str:
        """Why there is no walk, empty where there is one."""
        first = self.variants[0].tx
        return first if isinstance(first, str) else ""

    def paths(self) -> Iterator[Path]:
        """All walks of all variants."""
        for variant in self.variants:
            for way in (variant.tx, variant.rx):
                if isinstance(way, Path):
                    yield way


def pairs_of(index: Index, progress: Progress) -> dict[tuple[str, str], Pair]:
    """(NIC, netdev) -> the pair, in the order of the grid."""
    models, netdevs = nics(index), netdev_names(index)
    found = {}
    for number, nic in enumerate(models, 1):
        if number % 10 == 0:
            progress.step(f"walking QEMU {index.meta['qemu']}: {number} of {len(models)} NICs")
        for netdev in netdevs:
            found[nic.name, netdev] = Pair(nic.name, netdev, tuple(_variants(index, nic.name, netdev)))
    return found


def _variants(index: Index, nic: str, netdev: str) -> Iterator[Variant]:
    if netdev in CARRIERS:
        handed = (_handed(index, nic, netdev, direction) for direction in Direction)
        yield Variant(HANDED, netdev, *handed)
        return
    yield Variant(WALK, netdev, *(_walk(index, nic, netdev, "qemu", way) for way in Direction))
    if netdev in _STREAMS:
        form = _STREAMS[netdev]
        yield Variant(STREAM, form, *(_walk(index, nic, form, "qemu", way) for way in Direction))
    if netdev == "tap":
        vhost = Variant(VHOST, netdev, *(_walk(index, nic, netdev, "vhost-net", way) for way in Direction))
        if vhost.found:
            yield vhost


def _walk(index: Index, nic: str, netdev: str, datapath: str, direction: Direction) -> Way:
    try:
        return with_ways(index, walk(index, nic, netdev, datapath, direction=direction))
    except NoPath as exc:
        return str(exc)


def _handed(index: Index, nic: str, netdev: str, direction: Direction) -> Way:
    try:
        return hand_over(index, nic, netdev, direction)
    except NoPath as exc:
        return str(exc)
