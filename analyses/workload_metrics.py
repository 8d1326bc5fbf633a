"""Metrics of workloads that no other analysis covers, such as connections per second, without probes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from qtrace.analyses.methods.compare import COMPARED, compare
from qtrace.analyses.methods.data import CELL, Data
from qtrace.analyses.methods.sentence import Row, Said, extremes

__all__ = ["COLUMNS", "QUESTION", "SAYS", "analyse", "say"]

QUESTION = "Which other metrics did the workloads report, and how do they compare with the baseline?"
COLUMNS = (*COMPARED[: len(CELL) + 1], "unit", *COMPARED[len(CELL) + 1 :])
# Metrics of the analyses `throughput` and `latency`, and the amounts behind both.
_ASKED = ("throughput", "rtt_mean", "rtt_p50", "rtt_p90", "rtt_p99", "bytes", "retransmits", "transactions")
SAYS = {
    "range": "{metric} is between {least:number} {unit} on {least_cell:cell} and {most:number} {unit} "
    "on {most_cell:cell} ({way}).",
}


def analyse(data: Data) -> pd.DataFrame:
    """One row for each cell and metric, in the order in which the workloads report them."""
    results = data.table("results")
    others = results[(results["status"] == "ok") & ~results["metric"].isin(_ASKED)]
    units = dict(zip(others["metric"], others["unit"], strict=True))
    found = [compare(data, str(metric)).assign(unit=unit) for metric, unit in units.items()]
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=list(COLUMNS))


def say(rows: Sequence[Row]) -> Iterator[Said]:
    """The extremes of each metric that is a rate or a time."""
    rates = [row for row in rows if row["unit"] in ("1/s", "us", "bit/s")]
    for case in dict.fromkeys((row["metric"], row["workload"], row["way"]) for row in rates):
        mine = [row for row in rates if (row["metric"], row["workload"], row["way"]) == case]
        if found := extremes(mine, "mean"):
            least, most = found
            about = {"least": least["mean"], "least_cell": least, "most": most["mean"], "most_cell": most}
            words = {"metric": case[0].replace("_", " "), "unit": mine[0]["unit"], "way": " ".join(case[1:])}
            yield "range", about | words
