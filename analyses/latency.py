"""Round-trip times of each cell (microseconds), measured without probes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from qtrace.analyses.methods.compare import COMPARED, compare
from qtrace.analyses.methods.data import Data
from qtrace.analyses.methods.sentence import Row, Said, extremes

__all__ = ["COLUMNS", "QUESTION", "SAYS", "analyse", "say"]

QUESTION = "How long does a round trip take in each cell, and how does that compare with the baseline?"
COLUMNS = COMPARED
_METRICS = ("rtt_p50", "rtt_mean", "rtt_p90", "rtt_p99")
SAYS = {
    "range": "The shortest median round trip was measured on {least_cell:cell}, {least:us}, the longest on "
    "{most_cell:cell}, {most:us}.",
    "one": "The median round trip on {least_cell:cell} is {least:us}.",
}


def analyse(data: Data) -> pd.DataFrame:
    """One row for each cell and metric. A quantile is the geometric mean of the repetitions' own."""
    found = [frame for metric in _METRICS if not (frame := compare(data, metric)).empty]
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=list(COLUMNS))


def say(rows: Sequence[Row]) -> Iterator[Said]:
    """The extremes of the medians."""
    mine = [row for row in rows if row["metric"] == "rtt_p50"]
    if found := extremes(mine, "mean"):
        least, most = found
        about = {"least": least["mean"], "least_cell": least, "most": most["mean"], "most_cell": most}
        yield ("range" if len(mine) > 1 else "one"), about
