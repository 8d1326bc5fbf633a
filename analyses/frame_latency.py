"""Time of a frame from its first stage to its last, and how many frames could be followed so far."""

from __future__ import annotations

import pandas as pd

from qtrace.analyses.data import CELL, Data
from qtrace.analyses.histogram import quantile

__all__ = ["COLUMNS", "QUESTION", "analyse"]

QUESTION = "How long does a frame take from its first stage to its last, and how many could be followed?"
_ENDS = ["from_stage", "from_function", "to_stage", "to_function"]
_SUMS = ["frames", "matched", "ambiguous", "unmatched"]
_QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
COLUMNS = (
    *(*CELL, "direction", *_ENDS, "n", *_SUMS, "matched_share"),
    *(f"{name}{end}" for name in _QUANTILES for end in ("_ns", "_low_ns", "_high_ns")),
)


def analyse(data: Data) -> pd.DataFrame:
    """One row a direction and pair of ends, over all repetitions. `frames` are those that were seen at either
    end: `matched` + `ambiguous` + `unmatched`; the times are of the matched ones.

    `_ns` is interpolated within its slot; the true value is between `_low_ns` and `_high_ns`.
    """
    frame, times = data.table("frames"), data.table("frame_times")
    key = [*CELL, "direction", *_ENDS]
    slots: dict[tuple[str, ...], dict[int, int]] = {}
    for record in times.to_dict("records"):
        found = slots.setdefault(tuple(str(record[name]) for name in key), {})
        slot = int(record["slot"])
        found[slot] = found.get(slot, 0) + int(record["count"])
    rows = []
    for labels, part in frame.groupby(key, sort=True):
        row: dict[str, object] = dict(zip(key, labels, strict=True)) | {"n": int(part["rep"].nunique())}
        sums = {name: int(part[name].sum()) for name in _SUMS}
        share = sums["matched"] / sums["frames"] if sums["frames"] else None
        row |= sums | {"matched_share": share}
        for name, q in _QUANTILES.items():
            if found_at := quantile(slots.get(tuple(str(label) for label in labels), {}), q):
                row |= {f"{name}_ns": found_at.value, f"{name}_low_ns": found_at.low}
                row |= {f"{name}_high_ns": found_at.high}
        rows.append(row)
    return pd.DataFrame(rows, columns=list(COLUMNS))
