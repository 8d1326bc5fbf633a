"""Sampled frames as packets in a pcapng file; a packet's comment lists its stages with times."""

from __future__ import annotations

from collections.abc import Sequence
from typing import IO, Any

from pcapng import FileWriter
from pcapng.blocks import EnhancedPacket, InterfaceDescription, SectionHeader

from qtrace import __version__
from qtrace.report.formats.frame_times import SampledFrame, clock_of
from qtrace.report.text import clean
from qtrace.store.run import RunReader

__all__ = ["write_pcapng"]

_ETHERNET = 1  # LINKTYPE_ETHERNET
_NANOSECONDS = b"\x09"  # if_tsresol: 10^-9
_SNAPLEN = 256
_FLAGS = {"tx": 2, "rx": 1}  # epb_flags, as the guest sees it: outbound, inbound
_WAYS = {"tx": "guest to host", "rx": "host to guest"}


def write_pcapng(run: RunReader, frames: Sequence[SampledFrame], file: IO[bytes]) -> int:
    """Write the frames of which bytes were kept, in order of time; returns their number.

    An interface stands for a netdev, queue and direction. The header that a virtio NIC puts before a frame is
    left out. Times are those of the first stage, in ns since 1970. Raises StoreError.
    """
    shift = clock_of(run)
    conditions = run.meta["conditions"]
    about = f"QEMU {clean(conditions.get('QEMU', ''))}; run {clean(run.meta['id'])}"
    section = SectionHeader(
        endianness="<", options={"shb_userappl": f"qtrace {__version__}", "opt_comment": about}
    )
    kept = [(frame, hit) for frame in frames if (hit := frame.whole)]
    interfaces: dict[tuple[Any, ...], int] = {}
    for frame, _ in kept:
        if (key := _interface(frame)) not in interfaces:
            interfaces[key] = len(interfaces)
            section.new_member(
                InterfaceDescription,
                link_type=_ETHERNET,
                snaplen=_SNAPLEN,
                options={
                    "if_name": _name(frame),
                    "if_description": f"{clean(frame.cell).replace('+', ' ')}, {_WAYS[frame.direction]}",
                    "if_tsresol": _NANOSECONDS,
                },
            )
    writer = FileWriter(file, section)
    for frame, hit in kept:
        when = frame.began + shift
        packet = section.new_member(
            EnhancedPacket,
            interface_id=interfaces[_interface(frame)],
            timestamp_high=when >> 32,
            timestamp_low=when & 0xFFFFFFFF,
            packet_len=hit.size - hit.header,
            packet_data=hit.data[hit.header :],
            options={"opt_comment": frame.story(), "epb_flags": _FLAGS[frame.direction]},
        )
        writer.write_block(packet)
    return len(kept)


def _interface(frame: SampledFrame) -> tuple[Any, ...]:
    return frame.cell, frame.netdev_id, frame.queue, frame.direction


def _name(frame: SampledFrame) -> str:
    netdev = clean(frame.netdev_id) or "netdev"
    return f"{netdev}{f'.{frame.queue}' if frame.queue else ''} {frame.direction}"
