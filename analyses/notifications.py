"""Kicks (guest to device) and interrupts (device to guest) for each packet, from probed measurements."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from qtrace.analyses.methods.data import CELL, Data
from qtrace.analyses.methods.frame_counts import carried
from qtrace.analyses.methods.sentence import Row, Said, extremes

__all__ = ["COLUMNS", "QUESTION", "SAYS", "analyse", "say"]

QUESTION = "How many kicks and interrupts does a packet cost?"
COLUMNS = (
    *CELL,
    "direction",
    "n",
    "frames",
    "kicks",
    "kicks_per_frame",
    "kick_function",
    "interrupts",
    "interrupts_per_frame",
    "interrupt_function",
)
SAYS = {
    "kicks": "A frame takes {least:number} kicks on {least_cell:cell} and {most:number} on "
    "{most_cell:cell} (tx), the extremes.",
    "interrupts": "A frame takes {least:number} interrupts on {least_cell:cell} ({least_way}) and "
    "{most:number} on {most_cell:cell} ({most_way}), the extremes.",
}


def analyse(data: Data) -> pd.DataFrame:
    """Calls of the kick and interrupt stages, divided by the frames of the same direction.

    Null if the stage could not be probed, or does not exist (rx has no kick).
    """
    stages = data.table("stages")
    stages = stages[stages["attached"].astype(bool)]
    notices = stages[stages["stage"].isin(["kick", "interrupt"])]
    per = ["cell", "direction", "stage", "function"]
    counted: dict[tuple[str, ...], dict[str, int]] = {}
    for label, count in notices.groupby(per, sort=True)["calls"].sum().items():
        assert isinstance(label, tuple)
        counted.setdefault(tuple(map(str, label[:-1])), {})[str(label[-1])] = int(count)
    rows = []
    sums = carried(data).groupby([*CELL, "cell", "direction"], sort=True)["frames"].agg(["sum", "size"])
    for key, frames, n in sums.itertuples(name=None):
        labels = [str(item) for item in key]
        row: dict[str, object] = dict(zip(CELL, labels, strict=False))
        row |= {"direction": labels[-1], "n": int(n), "frames": int(frames)}
        for stage in ("kick", "interrupt"):
            if calls := counted.get((*labels[-2:], stage)):
                # Several functions of one stage call each other: the one with most calls represents the
                # stage.
                function = max(calls, key=calls.__getitem__)
                row |= {f"{stage}s": calls[function], f"{stage}_function": function}
                row[f"{stage}s_per_frame"] = calls[function] / int(frames) if frames else None
        rows.append(row)
    return pd.DataFrame(rows, columns=list(COLUMNS))


def say(rows: Sequence[Row]) -> Iterator[Said]:
    """The extremes of both in the payload's direction."""
    mine = [row for row in rows if row["direction"] == row["way"]]
    for key in ("kicks", "interrupts"):
        if found := extremes(mine, f"{key}_per_frame"):
            least, most = found
            about = {"least": least[f"{key}_per_frame"], "least_cell": least, "least_way": least["way"]}
            about |= {"most": most[f"{key}_per_frame"], "most_cell": most, "most_way": most["way"]}
            yield key, about
