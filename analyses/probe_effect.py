"""Whether probing changed the traffic: what is counted in every measurement, plain against probed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from qtrace.analyses.methods.data import CELL, Data
from qtrace.analyses.methods.plain_and_probed import compared
from qtrace.analyses.methods.sentence import Row, Said
from qtrace.analyses.methods.traffic_change import changes, is_only_a_cost

__all__ = ["COLUMNS", "QUESTION", "SAYS", "analyse", "say"]

QUESTION = "Did probing change the traffic?"
COLUMNS = (*CELL, "measure", "plain", "probed", "ratio", "ratio_low", "ratio_high", "is_cost", "change")
SAYS = {
    "none": "No count differs between measurements with probes and without by more than its interval.",
    "some": "Cells in which a count differs with probes: {number:count}; in which it is the traffic itself: "
    "{traffic:count}.",
}


def analyse(data: Data) -> pd.DataFrame:
    """One row a measure that differs by more than its interval. `is_cost`: nothing differs in this cell but a
    rate that has fallen; else a cost of probing cannot be read from the cell."""
    rows = []
    for key, measures in compared(data).items():
        found = changes(measures)
        cost = is_only_a_cost(found)
        for change in found:
            row: dict[str, object] = dict(zip(CELL, key, strict=True))
            row |= {"measure": change.measure, "plain": change.without.value, "probed": change.probed.value}
            row |= {"ratio": change.ratio.mean, "ratio_low": change.ratio.low}
            row |= {"ratio_high": change.ratio.high, "is_cost": cost, "change": str(change)}
            rows.append(row)
    return pd.DataFrame(rows, columns=list(COLUMNS))


def say(rows: Sequence[Row]) -> Iterator[Said]:
    """In how many cells, and in how many it is more than a cost."""
    cells = {tuple(row[name] for name in CELL): bool(row["is_cost"]) for row in rows}
    if cells:
        yield "some", {"number": len(cells), "traffic": sum(not cost for cost in cells.values())}
    else:
        yield "none", {}
