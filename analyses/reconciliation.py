"""The tracer's frame counts compared with the tap device's own counters over the same window."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from qtrace.analyses.methods.data import CELL, Data
from qtrace.analyses.methods.frame_counts import carried
from qtrace.analyses.methods.sentence import Row, Said

__all__ = ["COLUMNS", "QUESTION", "SAYS", "analyse", "say"]

QUESTION = "Do the counts agree with the tap device's own counters?"
COLUMNS = (
    *CELL,
    "direction",
    "n",
    "stage",
    "function",
    "frames",
    "device",
    "device_frames",
    "device_dropped",
    "difference",
    "bytes",
    "device_bytes",
)
SAYS = {
    "same": "The probes counted {frames:count} frames, and so did the devices in each cell and direction.",
    "differ": "The counts differ in {number:count} of {of:count} rows, most on {cell:cell} ({direction}): by "
    "{difference:count} of {frames:count} frames.",
}


def analyse(data: Data) -> pd.DataFrame:
    """One row for each cell on `tap` and direction; `difference` = traced frames - the device's.

    A frame that the guest sends (tx) is received by the tap device, and vice versa.
    """
    devices = data.table("devices")
    devices = devices[(devices["side"] == "tap") & devices["probed"].astype(bool)]
    both = carried(data).merge(devices.drop(columns=[*CELL, "probed"]), on=["cell", "rep"])
    rows = []
    for key, part in both.groupby([*CELL, "direction"], sort=True):
        way = "rx" if key[-1] == "tx" else "tx"
        frames, seen = int(part["frames"].sum()), int(part[f"{way}_packets"].sum())
        row: dict[str, object] = dict(zip([*CELL, "direction"], key, strict=True))
        row |= {"n": int(part["rep"].nunique()), "stage": part["stage"].iloc[0]}
        row |= {"function": part["function"].iloc[0], "frames": frames}
        row |= {"device": f"{part['device'].iloc[0]} {way}", "device_frames": seen}
        row |= {"device_dropped": int(part[f"{way}_dropped"].sum()), "difference": frames - seen}
        row |= {"bytes": int(part["bytes"].sum()), "device_bytes": int(part[f"{way}_bytes"].sum())}
        rows.append(row)
    return pd.DataFrame(rows, columns=list(COLUMNS))


def say(rows: Sequence[Row]) -> Iterator[Said]:
    """Whether all agree, and the largest difference."""
    differing = [row for row in rows if row["difference"]]
    if differing:
        row = max(differing, key=lambda row: abs(int(row["difference"])))
        about = {name: row[name] for name in ("direction", "difference", "frames")}
        yield "differ", {"number": len(differing), "of": len(rows), "cell": row} | about
    elif rows:
        yield "same", {"frames": sum(int(row["frames"]) for row in rows)}
