"""Addresses that a function passes to its callees or stores into structs, found by following registers
through its code from one instruction to the next.

Only addresses that the code itself contains are followed. Where two branches join, registers that a call
may have changed are forgotten.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import capstone

from qtrace.binary.file.elf import Elf

__all__ = ["Called", "Flow", "Kept"]

_ARGUMENTS = ("rdi", "rsi", "rdx", "rcx", "r8", "r9")
_SAVED = frozenset(("rbx", "rbp", "r12", "r13", "r14", "r15"))
_RELATIVE = re.compile(r"\[rip ([+-]) (0x[0-9a-f]+|\d+)\]")
_PLACE = re.compile(r"\[(\w+)(?: \+ (0x[0-9a-f]+|\d+))?\]")
_WIDE = {
    **{f"e{name}": f"r{name}" for name in ("ax", "bx", "cx", "dx", "si", "di", "bp")},
    **{f"r{number}d": f"r{number}" for number in range(8, 16)},
}
_READS_ONLY = frozenset(("cmp", "test", "push", "nop", "bt", "endbr64", "prefetcht0", "ucomisd"))
_MOST = 65536  # bytes of one function


class Called(NamedTuple):
    """A call of `callee` with these addresses as arguments, by number from 0."""

    callee: int
    arguments: dict[int, int]


class Kept(NamedTuple):
    """The address `value` is stored at `offset` from some register."""

    offset: int
    value: int


class Flow:
    """Reads the functions of one binary."""

    def __init__(self, elf: Elf) -> None:
        self._elf = elf
        self._capstone = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)

    def read(self, parts: Iterable[tuple[int, int]]) -> tuple[list[Called], list[Kept]]:
        """The calls with known addresses, and the stores of known addresses, of the function with these
        pieces of code."""
        given: list[Called] = []
        kept: list[Kept] = []
        for start, end in parts:
            code = self._elf.read(start, min(end - start, _MOST))
            lines = [
                (at, size, name.rpartition(" ")[2], text)
                for at, size, name, text in self._capstone.disasm_lite(code, start)
            ]
            for item in self._followed(lines):
                if isinstance(item, Called):
                    given.append(item)
                else:
                    kept.append(item)
        return given, kept

    def _followed(self, lines: list[tuple[int, int, str, str]]) -> Iterator[Called | Kept]:
        meet = {int(text, 16) for _, _, name, text in lines if name.startswith("j") and text.startswith("0x")}
        known: dict[str, Any] = {}
        for at, size, name, text in lines:
            if at in meet:
                known = {register: value for register, value in known.items() if register in _SAVED}
            left, _, right = text.partition(", ")
            if name == "call" or (name == "jmp" and text.startswith("0x")):
                if text.startswith("0x"):
                    callee = int(text, 16)
                    arguments = {
                        number: known[register]
                        for number, register in enumerate(_ARGUMENTS)
                        if isinstance(known.get(register), int)
                    }
                    yield Called(callee, arguments)
                known = {register: value for register, value in known.items() if register in _SAVED}
            elif name in ("lea", "mov", "movabs", "movq", "movdqa", "movaps", "movups", "movhps", "movdqu"):
                if "[" in left:
                    yield from self._store(name, left, right, known)
                else:
                    self._load(name, left, right, at + size, known)
            elif name == "punpcklqdq" and left in known and right in known:
                known[left] = (_low(known[left]), _low(known[right]))
            elif name not in _READS_ONLY and not name.startswith("j"):
                known.pop(_WIDE.get(left, left), None)

    def _load(self, name: str, left: str, right: str, after: int, known: dict[str, Any]) -> None:
        register = _WIDE.get(left, left)
        place = _RELATIVE.search(right)
        value: Any = None
        if place:
            address = after + int(place[2], 0) * (1 if place[1] == "+" else -1)
            if name == "lea":
                value = address
            elif name in ("movdqa", "movaps", "movups", "movdqu"):
                value = (self._elf.pointers.get(address), self._elf.pointers.get(address + 8))
            elif name == "movhps":
                value = (_low(known.get(register)), self._elf.pointers.get(address))
            else:
                value = self._elf.pointers.get(address)
        elif name != "lea":
            value = known.get(_WIDE.get(right, right))
            if value is None and right.startswith("0x"):
                value = int(right, 16)  # an address where the program is not relocated
        if value is None:
            known.pop(register, None)
        else:
            known[register] = value

    def _store(self, name: str, left: str, right: str, known: dict[str, Any]) -> Iterator[Kept]:
        place = _PLACE.search(left)
        value = known.get(_WIDE.get(right, right))
        if value is None and "qword ptr" in left and right.startswith("0x"):
            value = int(right, 16)
        if not place or value is None:
            return
        offset = int(place[2] or "0", 0)
        pair = value if isinstance(value, tuple) else (value, None)
        if name == "movhps":
            pair = (pair[1], None)
        for number, part in enumerate(pair):
            if part is not None and (number == 0 or "xmmword" in left):
                yield Kept(offset + 8 * number, part)


def _low(value: Any) -> Any:
    return value[0] if isinstance(value, tuple) else value
