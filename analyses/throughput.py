"""TCP throughput of each cell (bit/s), measured without probes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from qtrace.analyses.methods.compare import COMPARED, compare
from qtrace.analyses.methods.data import Data
from qtrace.analyses.methods.sentence import Row, Said, extremes

__all__ = ["COLUMNS", "QUESTION", "SAYS", "analyse", "say"]

QUESTION = "How fast is TCP in each cell, and how does that compare with the baseline?"
COLUMNS = COMPARED
SAYS = {
    "range": "The highest throughput was measured on {most_cell:cell}, {most:bits}, the lowest on "
    "{least_cell:cell}, {least:bits} ({way}).",
    "one": "The throughput on {most_cell:cell} is {most:bits} ({way}).",
}


def analyse(data: Data) -> pd.DataFrame:
    """Geometric mean in bit/s of the repetitions with its 95 % interval, and the paired ratio to the
    baseline."""
    return compare(data, "throughput")


def say(rows: Sequence[Row]) -> Iterator[Said]:
    """The extremes of each direction and workload."""
    for traffic in dict.fromkeys((row["workload"], row["way"]) for row in rows):
        mine = [row for row in rows if (row["workload"], row["way"]) == traffic]
        if found := extremes(mine, "mean"):
            least, most = found
            about = {"least": least["mean"], "least_cell": least, "most": most["mean"], "most_cell": most}
            yield ("range" if len(mine) > 1 else "one"), about | {"way": " ".join(traffic)}
