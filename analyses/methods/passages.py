"""Times from one place to another, from the kernel's log2 histograms, for several analyses."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from qtrace.analyses.methods.histogram import TIMES, times

__all__ = ["passages"]


def passages(frame: pd.DataFrame, key: Sequence[str]) -> pd.DataFrame:
    """One row for each value of the columns `key`: `n` repetitions, whose histograms (`bucket`, `count`) are
    added, `count` passages and `TIMES`."""
    rows = []
    for labels, part in frame.groupby(list(key), sort=True):
        buckets = {
            int(str(bucket)): int(count) for bucket, count in part.groupby("bucket")["count"].sum().items()
        }
        row: dict[str, object] = dict(zip(key, labels, strict=True))
        rows.append(row | {"n": int(part["rep"].nunique()), "count": sum(buckets.values())} | times(buckets))
    return pd.DataFrame(rows, columns=[*key, "n", "count", *TIMES])
