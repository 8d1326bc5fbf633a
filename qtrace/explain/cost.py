"""The expected cost of a pair of NIC and back end: rows of a measured report, unchanged.

cost.toml is derived from reports/quick/report.md, and a test compares them. A pair that was not measured has
no row; no value is derived from another pair.
"""

from __future__ import annotations

import tomllib
from functools import lru_cache
from importlib.resources import files
from typing import Any

__all__ = ["TABLES", "cost"]

# Title in the report -> table of cost.toml.
TABLES = {"Throughput": "throughput", "Round-trip latency": "latency"}


@lru_cache(maxsize=1)
def _data() -> dict[str, Any]:
    return tomllib.loads(files("qtrace.explain").joinpath("cost.toml").read_text(encoding="utf-8"))


def cost(nic: str, netdev: str, vhost: bool) -> dict[str, Any] | None:
    """The measured rows of a pair, with the run and its conditions; None if it was not measured.

    `throughput` has a row for each direction, `latency` one; `ratio` is to tap with the same NIC.
    """
    data = _data()
    name = f"{netdev} + vhost" if vhost else netdev
    rows = {
        table: [row for row in data.get(table, ()) if (row["nic"], row["netdev"]) == (nic, name)]
        for table in TABLES.values()
    }
    if not any(rows.values()):
        return None
    return {"run": data["run"], "report": data["report"], "conditions": data["conditions"], **rows}
