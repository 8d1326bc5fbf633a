"""How many frames a measurement carried, and which stage says so."""

from __future__ import annotations

import pandas as pd

from qtrace.analyses.methods.data import CELL, Data

__all__ = ["KERNEL", "carried", "with_payload"]

# Ways of probing that count in the kernel rather than in QEMU.
KERNEL = ("kprobe", "kretprobe", "tracepoint", "raw_tracepoint")
# The stages that can count frames, the best one first.
_PREFERENCE = ("deliver", "host", "send", "enqueue", "dequeue")


def carried(data: Data) -> pd.DataFrame:
    """Frames and bytes by measurement and direction, from the best stage that counted any.

    Columns: `CELL`, cell, rep, direction, stage, function, how, frames, bytes. One stage is taken and
    never the sum of several: each frame passes them all.
    """
    stages = data.table("stages")
    stages = stages[stages["attached"].astype(bool) & stages["stage"].isin(_PREFERENCE)].copy()
    keep = [*CELL, "cell", "rep", "direction", "stage", "function", "how", "frames", "bytes"]
    if stages.empty:
        return pd.DataFrame(columns=keep)
    stages["empty"] = stages["frames"] == 0
    stages["rank"] = [_PREFERENCE.index(str(stage)) for stage in stages["stage"]]
    stages = stages.sort_values(["empty", "rank", "frames"], ascending=[True, True, False], kind="stable")
    best = stages.drop_duplicates(["cell", "rep", "direction"])
    return best.sort_values([*CELL, "direction", "rep"])[keep]


def with_payload(data: Data, frame: pd.DataFrame, *, probed: bool) -> pd.DataFrame:
    """`frame` with the application's payload of its measurement as `payload` (bytes); others drop out."""
    payload = data.metric("bytes", probed=probed)[["cell", "rep", "value"]]
    payload = payload[payload["value"] > 0].rename(columns={"value": "payload"})
    return frame.merge(payload, on=["cell", "rep"])
