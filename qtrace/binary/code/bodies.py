"""The first and last address of each function of a stripped binary.

Stripping leaves .eh_frame. Its header is a sorted table of function starts; each entry also has the
function's length (System V ABI, Linux Standard Base 10.6).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

from qtrace.binary.file.elf import Elf
from qtrace.errors import BinaryError

__all__ = ["function_ends"]

# DW_EH_PE: pcrel|sdata4 for the frame pointer, udata4 for the count, datarel|sdata4 for the table.
_USUAL = (1, 0x1B, 0x03, 0x3B)
_MOST = 2_000_000


def function_ends(elf: Elf) -> Mapping[int, int]:
    """Start -> end of every function that has an unwind entry. Raises BinaryError without a usable table."""
    header = elf.eh_frame_hdr
    data = elf.read(header, 12) if header else b""
    if len(data) < 12 or tuple(data[:4]) != _USUAL:
        raise BinaryError(f"{elf.path} has no unwind table that says where its functions are")
    number = struct.unpack_from("<I", data, 8)[0]
    table = elf.read(header + 12, min(number, _MOST) * 8)
    found: dict[int, int] = {}
    for start, entry in struct.iter_unpack("<ii", table[: len(table) // 8 * 8]):
        piece = elf.read(header + entry, 16)
        if len(piece) == 16:
            found[header + start] = header + start + struct.unpack_from("<I", piece, 12)[0]
    return found
