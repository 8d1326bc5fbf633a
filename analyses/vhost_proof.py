"""The carrier of the frames, QEMU, the kernel's vhost worker or vhost-user's switch: counted, not assumed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pandas as pd

from qtrace.analyses.methods.data import CELL, Data
from qtrace.analyses.methods.frame_counts import KERNEL
from qtrace.analyses.methods.sentence import Row, Said
from qtrace.model import VHOST_USER

__all__ = ["COLUMNS", "QUESTION", "SAYS", "analyse", "say"]

QUESTION = "Does the kernel carry all frames with vhost on, and QEMU with vhost off?"
_KEY = [*CELL, "direction"]
COLUMNS = (
    *_KEY,
    "n",
    "qemu_frames",
    "qemu_functions",
    "kernel_frames",
    "kernel_functions",
    "carried_by",
    "as_planned",
)

# drivers/vhost/net.c, drivers/vhost/vhost.c, and the socket operations of drivers/net/tun.c and tap.c,
# which only vhost calls.
_VHOST = r"vhost_|handle_[tr]x|(?:tun|tap)_(?:send|recv)msg"
_PLANNED = {"qemu": "qemu", "vhost-net": "kernel", VHOST_USER: "switch"}
SAYS = {
    "proved": "In each of {of:count} rows the frames were carried as planned.",
    "wrong": "In {number:count} of {of:count} rows the frames were not carried as planned, first on "
    "{cell:cell}: by {carried}.",
    "unknown": "Of {number:count} of {of:count} rows it is not known who carried the frames.",
}


def analyse(data: Data) -> pd.DataFrame:
    """One row for each cell on `tap` or `vhost-user` and direction, with vhost or without.

    The uprobes on `dequeue` and `deliver` count QEMU's side; the kprobes on functions that only vhost calls
    count the kernel's side (a tap that QEMU writes to passes the rest of tun.c too). A side without probes is
    null, and the verdict then rests on the other side; `as_planned` is null if neither side was probed.
    Nothing counts the frames of vhost-user's switch: they are its if QEMU's side, probed, counts none.
    """
    stages = data.table("stages")
    stages = stages[stages["attached"].astype(bool)]
    stages = stages[stages["netdev"].isin(list(stages.loc[stages["datapath"] != "qemu", "netdev"]))]
    in_kernel = stages["how"].isin(KERNEL)
    below = in_kernel & stages["function"].str.match(_VHOST) & ~stages["stage"].isin(["kick", "interrupt"])
    inside = ~in_kernel & stages["stage"].isin(["dequeue", "deliver"])
    qemu, kernel = _counted(stages[inside]), _counted(stages[below])
    rows = []
    for key, n in stages.groupby(_KEY, sort=True)["rep"].nunique().items():
        assert isinstance(key, tuple)
        row: dict[str, object] = dict(zip(_KEY, key, strict=True)) | {"n": int(n)}
        row |= _side("qemu", qemu.get(key, {})) | _side("kernel", kernel.get(key, {}))
        planned = _PLANNED[str(row["datapath"])]
        row["carried_by"] = _verdict(row["qemu_frames"], row["kernel_frames"])
        if planned == "switch" and row["qemu_frames"] == 0:
            row["carried_by"] = "switch"
        row["as_planned"] = None if row["carried_by"] == "unknown" else row["carried_by"] == planned
        rows.append(row)
    return pd.DataFrame(rows, columns=list(COLUMNS))


def say(rows: Sequence[Row]) -> Iterator[Said]:
    """Whether all is as planned."""
    wrong = [row for row in rows if row["as_planned"] is False]
    unknown = sum(row["as_planned"] is None for row in rows)
    if wrong:
        about = {"cell": wrong[0], "carried": wrong[0]["carried_by"]}
        yield "wrong", {"number": len(wrong), "of": len(rows)} | about
    if unknown:
        yield "unknown", {"number": unknown, "of": len(rows)}
    if rows and not wrong and not unknown:
        yield "proved", {"of": len(rows)}


def _counted(stages: pd.DataFrame) -> dict[tuple[str, ...], dict[str, int]]:
    """Cell and direction -> function -> its frames; the functions in order."""
    # A kernel function whose frames cannot be counted still shows by its calls that it runs.
    counted = stages["frames"].where(stages["frames"] > 0, stages["calls"])
    found: dict[tuple[str, ...], dict[str, int]] = {}
    for key, count in counted.groupby([stages[name] for name in (*_KEY, "function")]).sum().items():
        assert isinstance(key, tuple)
        found.setdefault(key[:-1], {})[str(key[-1])] = int(count)
    return found


def _side(name: str, counted: Mapping[str, int]) -> dict[str, object]:
    """The frames of the function with most counts: several functions count the same frames."""
    if not counted:
        return {f"{name}_frames": None, f"{name}_functions": ""}
    functions = ", ".join(f"{function} {count}" for function, count in counted.items())
    return {f"{name}_frames": max(counted.values()), f"{name}_functions": functions}


def _verdict(qemu: object, kernel: object) -> str:
    if not qemu and not kernel:
        return "unknown" if qemu is None or kernel is None else "nobody"
    if qemu and kernel:
        return "both"
    return "qemu" if qemu else "kernel"
