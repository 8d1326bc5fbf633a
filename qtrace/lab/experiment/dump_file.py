"""Files of QEMU's filter-dump (net/dump.c): with vnet_hdr, some releases write virtio's header before each
frame."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

__all__ = ["HEADERS", "cut_headers", "header_before"]

HEADERS = (10, 12, 20)  # lengths of virtio's header: legacy, with merged buffers, with a hash (virtio_net.h)
_FILE, _RECORD = 24, 16  # lengths of pcap's own headers
_LITTLE = (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1")
_ADDRESS = 6


def header_before(file: Path, mac: str) -> int:
    """How many bytes stand before each frame of a NIC with this address, from or to which the first frame is
    found; 0 where there is none."""
    address = bytes.fromhex(mac.replace(":", ""))
    places = {start + side: start for start in (0, *HEADERS) for side in (0, _ADDRESS)}
    found = (places.get(frame.find(address)) for *_, frame in _records(file.read_bytes()))
    return next((start for start in found if start is not None), 0)


def cut_headers(file: Path, header: int) -> Path:
    """A file beside this one without so many bytes before each frame, or this one where there are none."""
    if not header:
        return file
    target = file.with_suffix(".frames.pcap")
    data = file.read_bytes()
    parts = [data[:_FILE]]
    for seconds, fraction, length, frame in _records(data):
        cut = frame[header:]
        parts += [struct.pack(f"{_order(data)}IIII", seconds, fraction, len(cut), length - header), cut]
    target.write_bytes(b"".join(parts))
    return target


def _order(data: bytes) -> str:
    return "<" if data[:4] in _LITTLE else ">"


def _records(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """Seconds, their fraction, the length on the wire and the bytes of each packet."""
    at = _FILE
    while at + _RECORD <= len(data):
        seconds, fraction, kept, length = struct.unpack_from(f"{_order(data)}IIII", data, at)
        at += _RECORD
        yield seconds, fraction, length, data[at : at + kept]
        at += kept
