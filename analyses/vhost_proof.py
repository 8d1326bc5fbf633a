"""Who carried the frames, QEMU or the kernel's vhost worker: counted, not assumed."""

from __future__ import annotations

import pandas as pd

from qtrace.analyses.methods.data import CELL, Data
from qtrace.analyses.methods.frame_counts import KERNEL

__all__ = ["COLUMNS", "QUESTION", "analyse"]

QUESTION = "With vhost on, is QEMU out of the datapath, and with it off, is the kernel's vhost?"
COLUMNS = (
    *CELL,
    "direction",
    "n",
    "qemu_frames",
    "qemu_functions",
    "kernel_frames",
    "kernel_functions",
    "carried_by",
    "as_planned",
)

# drivers/vhost/net.c, drivers/vhost/vhost.c, and the socket operations of drivers/net/tun.c and tap.c,
# which nobody else calls.
_VHOST = r"vhost_|handle_[tr]x|(?:tun|tap)_(?:send|recv)msg"


def analyse(data: Data) -> pd.DataFrame:
    """One row a cell and direction of `tap`, with vhost or without.

    QEMU's side are the uprobes on `dequeue` and `deliver`; the kernel's are the kprobes on functions
    that only vhost calls (a tap that QEMU writes to passes through the rest of tun.c too). A side that
    no probe watched is null and the verdict then rests on the other alone; `as_planned` is null where
    neither was watched.
    """
    stages = data.table("stages")
    stages = stages[stages["attached"].astype(bool)]
    stages = stages[stages["netdev"].isin(list(stages.loc[stages["datapath"] == "vhost-net", "netdev"]))]
    in_kernel = stages["how"].isin(KERNEL)
    rows = []
    for key, part in stages.groupby([*CELL, "direction"], sort=True):
        kernel = part[in_kernel.loc[part.index] & part["function"].str.match(_VHOST)]
        kernel = kernel[~kernel["stage"].isin(["kick", "interrupt"])]
        qemu = part[~in_kernel.loc[part.index] & part["stage"].isin(["dequeue", "deliver"])]
        row: dict[str, object] = dict(zip([*CELL, "direction"], key, strict=True))
        row["n"] = int(part["rep"].nunique())
        row |= _side("qemu", qemu) | _side("kernel", kernel)
        in_qemu, below = row["qemu_frames"], row["kernel_frames"]
        planned = "kernel" if row["datapath"] == "vhost-net" else "qemu"
        row["carried_by"] = _verdict(in_qemu, below)
        row["as_planned"] = None if row["carried_by"] == "unknown" else row["carried_by"] == planned
        rows.append(row)
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _side(name: str, part: pd.DataFrame) -> dict[str, object]:
    """Frames of the function that counted most: several functions see the same frames."""
    if part.empty:
        return {f"{name}_frames": None, f"{name}_functions": ""}
    # A kernel function on which only calls can be counted still shows that it runs.
    counted = part["frames"].where(part["frames"] > 0, part["calls"])
    by_function = counted.groupby(part["function"]).sum()
    functions = ", ".join(f"{function} {int(count)}" for function, count in by_function.items())
    return {f"{name}_frames": int(by_function.max()), f"{name}_functions": functions}


def _verdict(qemu: object, kernel: object) -> str:
    if not qemu and not kernel:
        return "unknown" if qemu is None or kernel is None else "nobody"
    if qemu and kernel:
        return "both"
    return "qemu" if qemu else "kernel"
