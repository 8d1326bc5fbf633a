"""Time of a frame from its first stage to its last, and the number of frames that could be followed."""

from __future__ import annotations

import pandas as pd

from qtrace.analyses.methods.data import CELL, Data
from qtrace.analyses.methods.histogram import TIMES, times

__all__ = ["COLUMNS", "QUESTION", "analyse"]

QUESTION = "How long does a frame take from its first stage to its last, and how many could be followed?"
_ENDS = ["from_stage", "from_function", "to_stage", "to_function"]
_SUMS = ["frames", "matched", "ambiguous", "unmatched"]
COLUMNS = (*CELL, "direction", *_ENDS, "n", *_SUMS, "matched_share", *TIMES)


def analyse(data: Data) -> pd.DataFrame:
    """One row for each direction and pair of ends, over all repetitions. `frames` were seen at either end:
    `matched` + `ambiguous` + `unmatched`; the times are those of matched frames.

    `_ns` is interpolated within its bucket; the true value is between `_low_ns` and `_high_ns`.
    """
    frame = data.table("frames")
    key = [*CELL, "direction", *_ENDS]
    buckets: dict[tuple[str, ...], dict[int, int]] = {}
    for record in data.table("frame_times").to_dict("records"):
        found = buckets.setdefault(tuple(str(record[name]) for name in key), {})
        bucket = int(record["bucket"])
        found[bucket] = found.get(bucket, 0) + int(record["count"])
    rows = []
    for labels, part in frame.groupby(key, sort=True):
        row: dict[str, object] = dict(zip(key, labels, strict=True)) | {"n": int(part["rep"].nunique())}
        sums = {name: int(part[name].sum()) for name in _SUMS}
        share = sums["matched"] / sums["frames"] if sums["frames"] else None
        mine = buckets.get(tuple(str(label) for label in labels), {})
        rows.append(row | sums | {"matched_share": share} | times(mine))
    return pd.DataFrame(rows, columns=list(COLUMNS))
