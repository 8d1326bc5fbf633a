"""The number of frames that a measurement carried, and the stage that counted them."""

from __future__ import annotations

import pandas as pd

from qtrace.analyses.methods.data import CELL, Data
from qtrace.model import VHOST_USER

__all__ = ["KERNEL", "carried", "with_payload"]

# Kinds of probes that count in the kernel and not in QEMU.
KERNEL = ("kprobe", "kretprobe", "tracepoint", "raw_tracepoint")
# The stages that can count frames, in order of preference.
_PREFERENCE = ("deliver", "host", "send", "enqueue", "dequeue")


def carried(data: Data) -> pd.DataFrame:
    """Frames and bytes by measurement and direction, from the preferred stage that counted any.

    Columns: `CELL`, cell, rep, direction, stage, function, how, frames, bytes. The count is from one stage
    and never a sum of several, because each frame passes all of them.
    """
    stages = data.table("stages")
    stages = stages[stages["attached"].astype(bool) & stages["stage"].isin(_PREFERENCE)]
    stages = stages[stages["datapath"] != VHOST_USER].copy()  # its stages are those that count nothing
    keep = [*CELL, "cell", "rep", "direction", "stage", "function", "how", "frames", "bytes"]
    if stages.empty:
        return pd.DataFrame(columns=keep)
    stages["empty"] = stages["frames"] == 0
    stages["rank"] = stages["stage"].map({stage: rank for rank, stage in enumerate(_PREFERENCE)})
    stages = stages.sort_values(["empty", "rank", "frames"], ascending=[True, True, False], kind="stable")
    best = stages.drop_duplicates(["cell", "rep", "direction"])
    return best.sort_values([*CELL, "direction", "rep"])[keep]


def with_payload(data: Data, frame: pd.DataFrame, *, probed: bool) -> pd.DataFrame:
    """`frame` with the payload of its measurement as `payload` (bytes); rows without a payload are
    dropped."""
    payload = data.metric("bytes", probed=probed)[["cell", "rep", "value"]]
    payload = payload[payload["value"] > 0].rename(columns={"value": "payload"})
    return frame.merge(payload, on=["cell", "rep"])
