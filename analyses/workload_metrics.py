"""Metrics of workloads that no other analysis covers, such as connections per second, without probes."""

from __future__ import annotations

import pandas as pd

from qtrace.analyses.methods.compare import COMPARED, compare
from qtrace.analyses.methods.data import CELL, Data

__all__ = ["COLUMNS", "QUESTION", "analyse"]

QUESTION = "Which other metrics did the workloads report, and how do they compare with the baseline?"
COLUMNS = (*COMPARED[: len(CELL) + 1], "unit", *COMPARED[len(CELL) + 1 :])
# Metrics of the analyses `throughput` and `latency`, and the amounts behind both.
_ASKED = ("throughput", "rtt_mean", "rtt_p50", "rtt_p90", "rtt_p99", "bytes", "retransmits", "transactions")


def analyse(data: Data) -> pd.DataFrame:
    """One row for each cell and metric, in the order in which the workloads report them."""
    results = data.table("results")
    others = results[(results["status"] == "ok") & ~results["metric"].isin(_ASKED)]
    units = dict(zip(others["metric"], others["unit"], strict=True))
    found = [compare(data, str(metric)).assign(unit=unit) for metric, unit in units.items()]
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=list(COLUMNS))
