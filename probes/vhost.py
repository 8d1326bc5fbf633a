"""vhost-net in the kernel (drivers/vhost/net.c, drivers/vhost/vhost.c, drivers/net/tun.c)."""

from __future__ import annotations

from qtrace.probes.family import Family, Point

__all__ = ["FAMILY"]

_TABLE = "vhost_slots"


def _point(function: str, program: str, index: int, frames: bool = True, note: str = "") -> Point:
    return Point(function, (("kprobe", program),), _TABLE, index, frames, note)


FAMILY = Family(
    name="vhost",
    summary="the vhost worker: kicks, frames passed to and from tun, buffers given back, interrupts",
    needs=("kprobes", "vhost"),
    points=(
        _point("handle_tx_kick", "on_handle_tx_kick", 0, frames=False, note="kicks"),
        _point("handle_rx_kick", "on_handle_rx_kick", 0, frames=False, note="kicks"),
        _point("tun_sendmsg", "on_tun_sendmsg", 1, note="calls are batches"),
        _point("tun_recvmsg", "on_tun_recvmsg", 1),
        _point("vhost_add_used_and_signal_n", "on_vhost_used", 2, note="calls are batches of frames"),
        Point(
            "vhost_get_vq_desc",
            (("kprobe", "on_vhost_get"), ("kretprobe", "on_vhost_got")),
            _TABLE,
            4,
            note="descriptors taken, not attempts",
        ),
        _point("vhost_signal", "on_vhost_signal", 3, frames=False, note="requests"),
        _point("eventfd_signal", "on_vhost_signal", 3, frames=False, note="interrupts sent"),
    ),
)
