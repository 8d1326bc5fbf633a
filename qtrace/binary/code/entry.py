"""The instruction near a function's entry at which a uprobe costs least.

The kernel emulates a few instructions (arch/x86/kernel/uprobes.c: pushes, jumps, calls, nop). For any other
instruction it single-steps the processor, which costs a second trap: twice as much, or ten times as much
under a hypervisor that emulates the trap. So where a function begins with another instruction, the probe goes
to the first emulated instruction behind it, provided that every call reaches that instruction with the
arguments and the stack unchanged.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any, NamedTuple

from qtrace.binary.file.buildid import build_id
from qtrace.cache import atomic_file, cache_dir
from qtrace.errors import BinaryError
from qtrace.model import Symbol

__all__ = ["Entries", "Entry", "emulated"]

_FORMAT = 1
_BEGINNING = 16  # instructions searched from the entry
_LONGEST = 65536  # bytes of a function searched for jumps
# System V ABI: the registers of the integer arguments, with the name of each part of a register.
_ARGUMENTS = tuple(
    frozenset({f"r{two}", f"e{two}", two, f"{two[0]}l", f"{two[0]}h", f"{two}l"})
    for two in ("di", "si", "dx", "cx")
) + tuple(frozenset({f"r{number}{part}" for part in ("", "d", "w", "b")}) for number in (8, 9))
_STACK = frozenset({"rsp", "esp", "sp"})


class Entry(NamedTuple):
    """`offset` in the file; `stepped` tells whether the kernel must single-step the instruction there."""

    offset: int
    stepped: bool


def emulated(code: bytes) -> bool:
    """Whether the kernel emulates the instruction that `code` begins with."""
    if code[:1] == b"\x41":  # REX.B: a push of r8 to r15
        return len(code) > 1 and 0x50 <= code[1] <= 0x57
    if code[:1] == b"\x0f":
        return len(code) > 1 and 0x80 <= code[1] <= 0x8F
    return bool(code) and (
        0x50 <= code[0] <= 0x57 or 0x70 <= code[0] <= 0x7F or code[0] in (0x90, 0xE8, 0xE9, 0xEB)
    )


class Entries:
    """The probe addresses of one file's functions, cached by build id. Raises BinaryError for a damaged
    file."""

    def __init__(self, binary: Path) -> None:
        self._binary = binary
        self._build_id = build_id(binary)
        self._file = cache_dir("entries") / f"{self._build_id or 'unnamed'}.json"
        self._known = self._load()
        self._new = False
        self._reader: _Reader | None = None

    def at(self, symbol: Symbol, arguments: int = len(_ARGUMENTS)) -> Entry:
        """Where to probe the function at `symbol`; its first `arguments` arguments are unchanged at that
        place."""
        key = symbol.offset, arguments
        if key not in self._known:
            if self._reader is None:
                self._reader = _Reader(self._binary)
            distance, stepped = self._reader.cheapest(symbol.address, arguments)
            self._known[key] = Entry(symbol.offset + distance, stepped)
            self._new = True
        return self._known[key]

    def save(self) -> None:
        """Write new answers to the cache. A cache that cannot be written costs time and nothing else."""
        if self._new and self._build_id:
            with contextlib.suppress(OSError), atomic_file(self._file) as beside:
                rows = [[*key, *entry] for key, entry in self._known.items()]
                beside.write_text(json.dumps({"format": _FORMAT, "entries": rows}))
        self._new = False

    def _load(self) -> dict[tuple[int, int], Entry]:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            data: Any = json.loads(self._file.read_text())
            if self._build_id and data["format"] == _FORMAT:
                return {
                    (int(start), int(arguments)): Entry(int(at), bool(stepped))
                    for start, arguments, at, stepped in data["entries"]
                }
        return {}


class _Reader:
    def __init__(self, binary: Path) -> None:
        import capstone  # slow to import, with pyelftools; a cached answer needs neither

        from qtrace.binary.code.bodies import function_ends
        from qtrace.binary.file.elf import Elf

        self._elf = Elf(binary)
        self._ends: dict[int, int] = {}
        with contextlib.suppress(BinaryError):
            self._ends = dict(function_ends(self._elf))
        self._capstone = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
        self._capstone.detail = True
        self._jumps = (capstone.CS_GRP_JUMP, capstone.CS_GRP_CALL, capstone.CS_GRP_RET)
        self._operands = (capstone.CS_OP_IMM, capstone.CS_OP_MEM, capstone.CS_AC_WRITE)

    def cheapest(self, start: int, arguments: int) -> tuple[int, bool]:
        """(bytes behind the function's first, whether the instruction must be single-stepped)."""
        kept = _STACK.union(*_ARGUMENTS[:arguments])
        code = self._elf.read(start, 16 * _BEGINNING)
        if emulated(code):
            return 0, False
        found = self._behind(start, code, kept)
        return (found, False) if found and not self._jumped_to(start, start + found) else (0, True)

    def _behind(self, start: int, code: bytes, kept: frozenset[str]) -> int:
        """Distance in bytes from `start` to the next emulated instruction; 0 where none can replace the
        first."""
        end = self._end(start)
        for number, one in enumerate(self._capstone.disasm(code, start)):
            at = int(one.address) - start
            if number >= _BEGINNING or one.address >= end:
                return 0
            if emulated(code[at:]):
                return at
            if any(one.group(group) for group in self._jumps) or self._changes(one, kept):
                return 0
        return 0

    def _changes(self, one: Any, kept: frozenset[str]) -> bool:
        """Whether the instruction writes memory or one of the `kept` registers."""
        _, memory, write = self._operands
        if any(item.type == memory and item.access & write for item in one.operands):
            return True
        _, written = one.regs_access()
        return any(one.reg_name(register) in kept for register in written)

    def _jumped_to(self, start: int, last: int) -> bool:
        """Whether the function jumps to an address behind `start`, up to `last`: such a hit would not be a
        call."""
        immediate = self._operands[0]
        code = self._elf.read(start, min(self._end(start) - start, _LONGEST))
        for one in self._capstone.disasm(code, start):
            if any(one.group(group) for group in self._jumps[:2]):
                goal = one.operands[0]
                if goal.type == immediate and start < goal.imm <= last:
                    return True
        return False

    def _end(self, start: int) -> int:
        """The end of the function that begins at `start`; `start` itself where the end is unknown."""
        return self._ends.get(start, start)
