"""vhost-net in the kernel (drivers/vhost/{net,vhost}.c, drivers/net/{tun,tap}.c)."""

from __future__ import annotations

from enum import IntEnum

from qtrace.probes.family import Family, Point
from qtrace.probes.shared import Shared

__all__ = ["FAMILY", "SHARED"]

_TABLE = "vhost_slots"


class _Hit(IntEnum):
    """The stage of a worker; index of `vhost_slots`."""

    KICK = 0
    TUN = 1
    USED = 2
    SIGNAL = 3


def _point(
    function: str,
    program: str,
    hit: _Hit,
    note: str = "",
    instead: tuple[str, ...] = (),
    also: tuple[str, ...] = (),
) -> Point:
    return Point(function, (("kprobe", program),), _TABLE, hit, note, instead=instead, also=also)


SHARED = Shared(enums={"VHOST": _Hit})
FAMILY = Family(
    name="vhost",
    summary="the vhost worker: kicks, frames passed to and from tun, buffers returned, interrupts",
    needs=("kprobes", "vhost"),
    points=(
        _point("handle_tx_kick", "on_handle_tx_kick", _Hit.KICK, note="kicks"),
        # The others are macvtap's, which takes and gives the same messages.
        _point("tun_sendmsg", "on_tun_sendmsg", _Hit.TUN, note="calls are batches", also=("tap_sendmsg",)),
        _point("tun_recvmsg", "on_tun_recvmsg", _Hit.TUN, also=("tap_recvmsg",)),
        _point("vhost_add_used_and_signal_n", "on_vhost_used", _Hit.USED, note="calls are batches of frames"),
        # Inlined since Linux 6.8, where it calls the other one.
        _point(
            "eventfd_signal",
            "on_vhost_signal",
            _Hit.SIGNAL,
            note="interrupts sent",
            instead=("eventfd_signal_mask",),
        ),
    ),
    tables=(_TABLE,),
    memories=("vhost_direction", "vhost_received"),
)
