"""What a pair of NIC and back end may be expected to cost: rows of a measured report, as they stand.

cost.toml is derived from reports/quick/report.md, and a test holds it against that. A pair that
was not measured has no row: nothing is guessed from another.
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
    """The measured rows of a pair, with the run and its conditions; None where it was not measured.

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
