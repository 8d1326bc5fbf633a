"""Bytes that QEMU copied for each byte that it carried, by function."""

from __future__ import annotations

import pandas as pd

from qtrace.analyses.methods.data import CELL, Data

__all__ = ["COLUMNS", "QUESTION", "analyse"]

QUESTION = "Which functions copied a frame's bytes, and how many for each byte carried?"
_KEY = [*CELL, "direction", "function", "file", "line", "attached", "note"]
_SUMS = ["calls", "bytes", "frames", "frame_bytes"]
COLUMNS = (*_KEY, *_SUMS, "bytes_per_frame", "bytes_per_byte")


def analyse(data: Data) -> pd.DataFrame:
    """One row for each function and direction, summed over queues and repetitions.

    `frames` and `frame_bytes` were handed over to the peer meanwhile; without any, the ratios are NaN.
    """
    rows = data.table("copies")
    found = rows.groupby(_KEY, as_index=False)[_SUMS].sum()
    for name, of in (("bytes_per_frame", "frames"), ("bytes_per_byte", "frame_bytes")):
        found[name] = found["bytes"] / found[of].where(found[of] > 0)
    return found[list(COLUMNS)]
