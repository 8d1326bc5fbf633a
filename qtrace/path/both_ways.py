"""Both directions of a pair, or why there are none: (NIC, netdev, datapath) -> tx and rx."""

from __future__ import annotations

from qtrace.errors import CellError, NoPath
from qtrace.model import Direction, Path
from qtrace.path.walk import walk
from qtrace.store.index import Index

__all__ = ["both_ways"]


def both_ways(index: Index, nic: str, netdev: str, datapath: str) -> tuple[Path, Path]:
    """The path of a frame from the guest, and that of one to it.

    Raises CellError, with the reason, where the source has no such path.
    """
    try:
        tx, rx = (walk(index, nic, netdev, datapath, direction=direction) for direction in Direction)
    except NoPath as exc:
        raise CellError(f"there is no path: {exc}") from exc
    return tx, rx
