"""Where at a function's entry a probe is cheapest.

The kernel emulates a few instructions (arch/x86/kernel/uprobes.c: pushes, jumps, calls, nop) and has the
processor execute any other alone, which costs a second trap: twice as much, under a hypervisor that emulates
it ten times. So where a function begins with another instruction, the first of those behind it is probed, as
long as every call passes it with arguments and stack as they were.
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
_BEGINNING = 16  # instructions that are looked at
_LONGEST = 65536  # bytes of a function whose jumps are looked at
# System V ABI: where the integer arguments are, with every name of each register's parts.
_ARGUMENTS = tuple(
    frozenset({f"r{two}", f"e{two}", two, f"{two[0]}l", f"{two[0]}h", f"{two}l"})
    for two in ("di", "si", "dx", "cx")
) + tuple(frozenset({f"r{number}{part}" for part in ("", "d", "w", "b")}) for number in (8, 9))
_STACK = frozenset({"rsp", "esp", "sp"})


class Entry(NamedTuple):
    """`offset` in the file; `stepped` is whether the kernel cannot emulate the instruction there."""

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
    """The functions of one file; answers are kept by build id. Raises BinaryError for a damaged file."""

    def __init__(self, binary: Path) -> None:
        self._binary = binary
        self._build_id = build_id(binary)
        self._file = cache_dir("entries") / f"{self._build_id or 'unnamed'}.json"
        self._known = self._load()
        self._new = False
        self._reader: _Reader | None = None

    def at(self, symbol: Symbol, arguments: int = len(_ARGUMENTS)) -> Entry:
        """Where to probe the function at `symbol`; so many of its first arguments are as they were there."""
        key = symbol.offset, arguments
        if key not in self._known:
            if self._reader is None:
                self._reader = _Reader(self._binary)
            distance, stepped = self._reader.cheapest(symbol.address, arguments)
            self._known[key] = Entry(symbol.offset + distance, stepped)
            self._new = True
        return self._known[key]

    def save(self) -> None:
        """Keep new answers for the next time. A cache that cannot be written only costs time."""
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
        import capstone  # with pyelftools: what a known answer does not need

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
        """(bytes from the function's first, whether it must be stepped)."""
        kept = _STACK.union(*_ARGUMENTS[:arguments])
        code = self._elf.read(start, 16 * _BEGINNING)
        if emulated(code):
            return 0, False
        found = self._behind(start, code, kept)
        return (found, False) if found and not self._jumped_to(start, start + found) else (0, True)

    def _behind(self, start: int, code: bytes, kept: frozenset[str]) -> int:
        """How far behind `start` the next emulated instruction is, 0 where none can stand for the first."""
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
        """Whether it writes memory or one of these registers."""
        _, memory, write = self._operands
        if any(item.type == memory and item.access & write for item in one.operands):
            return True
        _, written = one.regs_access()
        return any(one.reg_name(register) in kept for register in written)

    def _jumped_to(self, start: int, last: int) -> bool:
        """Whether the function jumps to behind `start`, up to `last`: such a pass would be no call."""
        immediate = self._operands[0]
        code = self._elf.read(start, min(self._end(start) - start, _LONGEST))
        for one in self._capstone.disasm(code, start):
            if any(one.group(group) for group in self._jumps[:2]):
                goal = one.operands[0]
                if goal.type == immediate and start < goal.imm <= last:
                    return True
        return False

    def _end(self, start: int) -> int:
        """Where the function that begins at `start` ends; there itself where that is not known."""
        return self._ends.get(start, start)
