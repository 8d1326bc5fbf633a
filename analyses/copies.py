"""Bytes that QEMU copied for each byte that it carried, by function."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from qtrace.analyses.methods.data import CELL, Data
from qtrace.analyses.methods.sentence import Row, Said

__all__ = ["COLUMNS", "QUESTION", "SAYS", "analyse", "say"]

QUESTION = "Which functions copied a frame's bytes, and how many for each byte carried?"
_KEY = [*CELL, "direction", "function", "file", "line", "attached", "note"]
_SUMS = ["calls", "bytes", "frames", "frame_bytes"]
COLUMNS = (*_KEY, *_SUMS, "bytes_per_frame", "bytes_per_byte")
SAYS = {
    "none": "The functions of QEMU that copy and can be counted copied nothing.",
    "most": "QEMU copied most on {cell:cell}, {direction}: {ratio:number} bytes for each byte carried, "
    "and most of these in {function}.",
}


def analyse(data: Data) -> pd.DataFrame:
    """One row for each function and direction, summed over queues and repetitions.

    `frames` and `frame_bytes` were handed over to the peer meanwhile; without any, the ratios are NaN.
    """
    rows = data.table("copies")
    found = rows.groupby(_KEY, as_index=False)[_SUMS].sum()
    for name, of in (("bytes_per_frame", "frames"), ("bytes_per_byte", "frame_bytes")):
        found[name] = found["bytes"] / found[of].where(found[of] > 0)
    return found[list(COLUMNS)]


def say(rows: Sequence[Row]) -> Iterator[Said]:
    """The cell and direction with most bytes copied for each byte carried."""
    sums: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        if row["bytes_per_byte"] is not None:
            sums.setdefault(tuple(str(row[name]) for name in (*CELL, "direction")), []).append(row)
    if sums and not any(row["bytes"] for part in sums.values() for row in part):
        yield "none", {}
    elif sums:
        part = max(sums.values(), key=lambda part: sum(row["bytes_per_byte"] for row in part))
        first = max(part, key=lambda row: row["bytes"])
        total = sum(row["bytes_per_byte"] for row in part)
        about = {"direction": first["direction"], "function": first["function"]}
        yield "most", {"cell": first, "ratio": total} | about
