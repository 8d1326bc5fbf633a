"""Time of a frame from its first stage to its last, and the number of frames that could be followed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from qtrace.analyses.methods.data import CELL, Data
from qtrace.analyses.methods.histogram import TIMES, times
from qtrace.analyses.methods.sentence import Row, Said, extremes

__all__ = ["COLUMNS", "QUESTION", "SAYS", "analyse", "say"]

QUESTION = "How long does a frame take from its first stage to its last, and how many could be followed?"
_ENDS = ["from_stage", "from_function", "to_stage", "to_function"]
_SUMS = ["frames", "matched", "ambiguous", "unmatched"]
COLUMNS = (*CELL, "direction", *_ENDS, "n", *_SUMS, "matched_share", *TIMES)
SAYS = {
    "followed": "{share:percent} of {frames:count} frames were followed from end to end.",
    "range": "Half of them take less than {least:ns} on {least_cell:cell} ({least_way}) and {most:ns} on "
    "{most_cell:cell} ({most_way}), the extremes.",
}


def analyse(data: Data) -> pd.DataFrame:
    """One row for each direction and pair of ends, over all repetitions. `frames` were seen at either end:
    `matched` + `ambiguous` + `unmatched`; the times are those of matched frames.

    `_ns` is interpolated within its bucket; the true value is between `_low_ns` and `_high_ns`.
    """
    frame = data.table("frames")
    key = [*CELL, "direction", *_ENDS]
    buckets: dict[tuple[object, ...], dict[int, int]] = {}
    counts = data.table("frame_times").groupby([*key, "bucket"], sort=True)["count"].sum()
    for label, count in counts.items():
        assert isinstance(label, tuple)
        buckets.setdefault(label[:-1], {})[int(label[-1])] = int(count)
    groups = frame.groupby(key, sort=True)
    rows = []
    summed = groups[_SUMS].sum()
    summed.insert(0, "n", groups["rep"].nunique())
    for labels, n, *numbers in summed.itertuples(name=None):
        row: dict[str, object] = dict(zip(key, labels, strict=True)) | {"n": int(n)}
        sums = dict(zip(_SUMS, map(int, numbers), strict=True))
        share = sums["matched"] / sums["frames"] if sums["frames"] else None
        rows.append(row | sums | {"matched_share": share} | times(buckets.get(labels, {})))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def say(rows: Sequence[Row]) -> Iterator[Said]:
    """The share that could be followed, and the extremes of the medians."""
    frames = sum(int(row["frames"]) for row in rows)
    if frames:
        yield "followed", {"share": sum(int(row["matched"]) for row in rows) / frames, "frames": frames}
    if found := extremes(rows, "p50_ns"):
        least, most = found
        about = {"least": least["p50_ns"], "least_cell": least, "least_way": least["direction"]}
        yield "range", about | {"most": most["p50_ns"], "most_cell": most, "most_way": most["direction"]}
