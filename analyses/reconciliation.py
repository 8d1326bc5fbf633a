"""The tracer's frame counts compared with the tap device's own counters over the same window."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from qtrace.analyses.methods.data import CELL, Data
from qtrace.analyses.methods.frame_counts import carried
from qtrace.analyses.methods.sentence import Row, Said

__all__ = ["COLUMNS", "QUESTION", "SAYS", "analyse", "say"]

QUESTION = "Do the counts agree with the tap device's own counters?"
_KEY = [*CELL, "direction"]
_SUMS = [f"{way}_{what}" for way in ("rx", "tx") for what in ("packets", "dropped", "bytes")]
COLUMNS = (
    *_KEY,
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
    groups = both.groupby(_KEY, sort=True)
    sums = groups[[*_SUMS, "frames", "bytes"]].sum().assign(n=groups["rep"].nunique())
    first = both.drop_duplicates(_KEY).sort_values(_KEY)[["stage", "function", "device"]]
    rows = []
    for (key, found), named in zip(sums.iterrows(), first.to_dict("records"), strict=True):
        assert isinstance(key, tuple)
        way = "rx" if key[-1] == "tx" else "tx"
        frames, seen = int(found["frames"]), int(found[f"{way}_packets"])
        row: dict[str, object] = dict(zip(_KEY, key, strict=True))
        row |= {"n": int(found["n"]), "stage": named["stage"], "function": named["function"]}
        row["frames"] = frames
        row |= {"device": f"{named['device']} {way}", "device_frames": seen}
        row |= {"device_dropped": int(found[f"{way}_dropped"]), "difference": frames - seen}
        row |= {"bytes": int(found["bytes"]), "device_bytes": int(found[f"{way}_bytes"])}
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
