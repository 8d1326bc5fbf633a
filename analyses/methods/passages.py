"""Times from one place to another, from the kernel's log2 histograms, for several analyses."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from qtrace.analyses.methods.histogram import TIMES, times

__all__ = ["passages"]


def passages(frame: pd.DataFrame, key: Sequence[str]) -> pd.DataFrame:
    """One row for each value of the columns `key`: `n` repetitions, whose histograms (`bucket`, `count`) are
    added, `count` passages and `TIMES`."""
    histograms: dict[tuple[object, ...], dict[int, int]] = {}
    for label, count in frame.groupby([*key, "bucket"], sort=True)["count"].sum().items():
        assert isinstance(label, tuple)
        histograms.setdefault(label[:-1], {})[int(label[-1])] = int(count)
    reps = frame.groupby(list(key), sort=True)["rep"].nunique()
    rows = []
    for labels, n in reps.items():
        assert isinstance(labels, tuple)
        buckets = histograms[labels]
        row: dict[str, object] = dict(zip(key, labels, strict=True))
        rows.append(row | {"n": int(n), "count": sum(buckets.values())} | times(buckets))
    return pd.DataFrame(rows, columns=[*key, "n", "count", *TIMES])
