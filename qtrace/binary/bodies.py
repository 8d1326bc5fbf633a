"""Where each function of a stripped binary begins and ends, and what it calls.

Stripping leaves .eh_frame: its header is a sorted table of function starts, and each entry's length is
beside it (System V ABI, Linux Standard Base 10.6).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping

from qtrace.binary.elf import Elf
from qtrace.errors import BinaryError

__all__ = ["called", "function_ends"]

# DW_EH_PE: pcrel|sdata4 for the frame pointer, udata4 for the count, datarel|sdata4 for the table.
_USUAL = (1, 0x1B, 0x03, 0x3B)
_MOST = 2_000_000
# call, jmp and the conditional jumps, each with a distance of 32 bits; found at every byte.
_TRANSFER = re.compile(rb"(?=[\xe8\xe9]|\x0f[\x80-\x8f])(?:[\xe8\xe9]|\x0f.)", re.DOTALL)


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


def called(elf: Elf, start: int, end: int) -> set[int]:
    """The addresses that the code from `start` to `end` may call or jump to outside itself.

    Every byte that could be a call's or a jump's is taken for one. That is no disassembly: it names
    too much, never too little, and serves to ask whether a certain function is called. That four bytes
    of something else happen to name that very function is less likely than 1 in 10 million.
    """
    code = elf.read(start, min(end - start, 65536))
    found = set()
    for match in _TRANSFER.finditer(code):
        target = (
            start
            + match.end()
            + 4
            + int.from_bytes(code[match.end() : match.end() + 4], "little", signed=True)
        )
        if not start <= target < end:
            found.add(target)
    return found
