"""How long frames waited on their way, in QEMU's queues: from where they stopped to where they went on."""

from __future__ import annotations

import pandas as pd

from qtrace.analyses.data import CELL, Data
from qtrace.analyses.histogram import quantile

__all__ = ["COLUMNS", "QUESTION", "analyse"]

QUESTION = "How long did frames wait in a queue of QEMU's before they went on?"
_KEY = [*CELL, "direction", "from_stage", "from_function", "to_stage", "to_function"]
_QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
COLUMNS = (
    *(*_KEY, "n", "count"),
    *(f"{name}{end}" for name in _QUANTILES for end in ("_ns", "_low_ns", "_high_ns")),
)


def analyse(data: Data) -> pd.DataFrame:
    """One row a pair of stages, over all repetitions; `count` frames of which it is known which one went on.

    `_ns` is interpolated within its slot; the true value is between `_low_ns` and `_high_ns`.
    """
    frame = data.table("waits")
    rows = []
    for key, part in frame.groupby(_KEY, sort=True):
        slots = {int(str(slot)): int(count) for slot, count in part.groupby("slot")["count"].sum().items()}
        row: dict[str, object] = dict(zip(_KEY, key, strict=True))
        row |= {"n": int(part["rep"].nunique()), "count": sum(slots.values())}
        for name, q in _QUANTILES.items():
            if found := quantile(slots, q):
                row |= {f"{name}_ns": found.value, f"{name}_low_ns": found.low, f"{name}_high_ns": found.high}
        rows.append(row)
    return pd.DataFrame(rows, columns=list(COLUMNS))
