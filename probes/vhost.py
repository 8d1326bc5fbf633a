"""vhost-net in the kernel (drivers/vhost/net.c, drivers/vhost/vhost.c, drivers/net/tun.c)."""

from __future__ import annotations

from qtrace.probes.family import Family, Point

__all__ = ["FAMILY"]

_TABLE = "vhost_slots"


def _point(function: str, program: str, index: int, note: str = "") -> Point:
    return Point(function, (("kprobe", program),), _TABLE, index, note)


FAMILY = Family(
    name="vhost",
    summary="the vhost worker: kicks, frames passed to and from tun, buffers given back, interrupts",
    needs=("kprobes", "vhost"),
    points=(
        _point("handle_tx_kick", "on_handle_tx_kick", 0, note="kicks"),
        _point("tun_sendmsg", "on_tun_sendmsg", 1, note="calls are batches"),
        _point("tun_recvmsg", "on_tun_recvmsg", 1),
        _point("vhost_add_used_and_signal_n", "on_vhost_used", 2, note="calls are batches of frames"),
        _point("eventfd_signal", "on_vhost_signal", 3, note="interrupts sent"),
    ),
)
