"""The address of QEMU's list of network clients: `net_clients`, a static variable of net/net.c.

A stripped binary has no symbol for it, but the exported functions that go through the list begin by
reading its head.
"""

from __future__ import annotations

from collections import Counter

import capstone
from capstone import x86

from qtrace.binary.file.elf import Elf

__all__ = ["client_list"]

# net/net.c: each of these goes through the whole list before any other access to memory.
_READERS = ("qemu_find_netdev", "qemu_find_net_clients_except", "net_check_clients", "qmp_set_link")
_MOST = 128  # bytes of code searched for the read of the head
_WORD = 8


def client_list(elf: Elf) -> int | None:
    """The virtual address of the list's head, None if the code does not identify it with certainty."""
    votes: Counter[int] = Counter()
    places = elf.exports
    if not all(name in places for name in _READERS):  # a program with symbols that exports nothing
        places = {name: address for name, _, address in elf.symtab()} | places
    for name in _READERS:
        place = places.get(name)
        if place is not None and (read := _first_read(elf, place)) is not None:
            votes[read] += 1
    best = votes.most_common(2)
    if not best or best[0][1] < 2 or (len(best) > 1 and best[1][1] == best[0][1]):
        return None
    return best[0][0]


def _first_read(elf: Elf, start: int) -> int | None:
    """The address of the first 8-byte variable that the code reads."""
    decoder = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
    decoder.detail = True
    for line in decoder.disasm(elf.read(start, _MOST), start):
        if line.mnemonic not in ("mov", "cmp"):
            continue
        for operand in line.operands:
            memory = operand.mem if operand.type == x86.X86_OP_MEM else None
            if memory is None or operand.size != _WORD or memory.index or memory.segment:
                continue
            if memory.base == x86.X86_REG_RIP:
                address = int(line.address + line.size + memory.disp)
            elif memory.base == 0:
                address = int(memory.disp)
            else:
                continue
            if _is_variable(elf, address):
                return address
    return None


def _is_variable(elf: Elf, address: int) -> bool:
    return not elf.is_code(address) and any(
        part.address <= address < part.address + max(part.memory, part.size) for part in elf.segments
    )
