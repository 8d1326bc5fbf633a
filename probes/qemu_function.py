"""QEMU's and libslirp's functions that a frame passes, hit at their entry (net/net.c, net/queue.c)."""

from __future__ import annotations

from qtrace.probes.family import ANY, Family, Point

__all__ = ["ARGUMENTS", "FAMILY", "RULES"]

# Kept equal to the enum in qemu_function.bpf.c.
RULES = {"calls": 0, "buffer": 1, "iovec": 2, "packet": 3}
# How many of a function's first arguments the handler reads.
ARGUMENTS = {"calls": 1, "buffer": 3, "iovec": 3, "packet": 2}

FAMILY = Family(
    name="qemu_function",
    summary="entry of any function of QEMU or libslirp on the path; frames and bytes from its arguments",
    needs=("uprobes",),
    points=(Point(ANY, (("uprobe", "on_function"),)),),
    layout=("NetClientState.info", "NetClientInfo.type"),
)
