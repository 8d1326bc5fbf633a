"""Both directions of a pair, or the reason why there is no path: (NIC, netdev, datapath) -> tx and rx."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from qtrace.errors import CellError, NoPath
from qtrace.model import Direction, Path, Way
from qtrace.path.deeper_ways import deeper_ways, is_inline
from qtrace.path.walk import walk
from qtrace.path.ways import ways_of
from qtrace.store.index import Index

__all__ = ["both_ways"]


def both_ways(index: Index, nic: str, netdev: str, datapath: str) -> tuple[Path, Path]:
    """The path of a frame from the guest, and the path of a frame to it, with all ways of their stages.

    Raises CellError, with the reason, if the source has no such path.
    """
    try:
        tx, rx = (walk(index, nic, netdev, datapath, direction=direction) for direction in Direction)
    except NoPath as exc:
        raise CellError(f"there is no path: {exc}") from exc
    return _with_ways(index, tx), _with_ways(index, rx)


def _with_ways(index: Index, path: Path) -> Path:
    """The path with all ways that can be counted separately. If one way leads to another, the frame is
    counted at the second; an inline way is counted at the last function that it calls."""
    if path.datapath != "qemu":
        return path
    found = ways_of(index, path)
    ways = (*(way for way in found if way.usual or not is_inline(way)), *deeper_ways(index, path, found))
    return replace(path, ways=tuple(way for way in ways if way.usual or not _leads_on(index, way, ways)))


def _leads_on(index: Index, way: Way, ways: Sequence[Way]) -> bool:
    others = {other.function for other in ways if other.stage is way.stage} - {way.function}
    return any(
        index.function_by_id(edge.callee).name in others
        for row in index.function(way.function, way.file or None)
        for edge in index.callees(row.id)
    )
