"""How a function of a binary ends, which tells a whole function from a part that the compiler split off.

If a function begins with a test that may end it, the compiler may inline the test into the callers and
emit the rest as a separate function (`.part`). Such a part has no exit near its beginning.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

import capstone

from qtrace.binary.file.elf import Elf

__all__ = ["Exits"]

_PLACE = re.compile(r"\[(\w+)(?: \+ [a-z]\w+(?:\*\d)?)?(?: \+ (0x[0-9a-f]+|\d+))?\]")
_FIELD = re.compile(r"qword ptr \[r(?!ip|sp)\w+(?: \+ (?:0x[0-9a-f]+|\d+))?\]")
_MOST = 16384  # bytes read of a function
_BEGINNING, _WAY_OUT = 60, 24  # instructions
_COMPARES = ("cmp", "test")
_CASTS = 3  # calls before the first test: casts of an object


class Exits:
    """Reads the functions of one binary."""

    def __init__(self, elf: Elf) -> None:
        self._elf = elf
        self._capstone = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
        self._lines: dict[int, list[tuple[int, int, str, str]]] = {}

    def returns(self, parts: Sequence[tuple[int, int]]) -> bool:
        """Whether the function returns, or ends with a jump to another function."""
        start, end = parts[0]
        before = "", ""
        for _, _, name, text in self._read(start, end):
            if name.endswith("ret") or (name == "jmp" and not _inside(text, start, end)):
                return True
            # A jump through a pointer is a switch if its table has an index and the stack is not released
            # before it.
            if name == "jmp" and (_FIELD.fullmatch(text) or _undone(*before)):
                return True
            before = name, text
        return False

    def tests(self, parts: Sequence[tuple[int, int]], fields: Collection[int]) -> bool:
        """Whether the body reads all fields (given by offset in their struct) before its first test."""
        calls = branches = 0
        left = set(fields)
        for _, _, name, text in self._read(*parts[0])[:_BEGINNING]:
            if name in _COMPARES or not text.split(", ")[0].endswith("]"):
                left.discard(_distance(text))
            if not left:
                return True
            calls += name == "call"
            branches += name.startswith("j") and name != "jmp"
            if calls > _CASTS or branches > 1:
                return False
        return False

    def early(self, parts: Sequence[tuple[int, int]]) -> bool:
        """Whether a test near the beginning leads out of the function without a call."""
        start, end = parts[0]
        lines = self._read(start, end)
        at = {address: number for number, (address, *_) in enumerate(lines)}
        calls = 0
        for number, (_, _, name, text) in enumerate(lines[:_BEGINNING]):
            calls += name == "call"
            if calls > _CASTS:
                return False
            if name.startswith("j") and name != "jmp" and text.startswith("0x"):
                ways = (number + 1, at.get(int(text, 16)))
                if any(way is not None and self._leads_out(lines, at, way) for way in ways):
                    return True
            if name.endswith("ret"):
                return False
        return False

    def _leads_out(self, lines: list[tuple[int, int, str, str]], at: dict[int, int], number: int) -> bool:
        for _ in range(_WAY_OUT):
            if number >= len(lines):
                return False
            _, _, name, text = lines[number]
            if name.endswith("ret"):
                return True
            if name == "call":
                return False  # a branch on the way checks the stack protector
            if name == "jmp":
                goal = at.get(int(text, 16)) if text.startswith("0x") else None
                if goal is None:
                    return False
                number = goal
            else:
                number += 1
        return False

    def _read(self, start: int, end: int) -> list[tuple[int, int, str, str]]:
        if start not in self._lines:
            code = self._elf.read(start, min(end - start, _MOST))
            self._lines[start] = [
                (at, size, name.rpartition(" ")[2], text)
                for at, size, name, text in self._capstone.disasm_lite(code, start)
            ]
        return self._lines[start]


def _undone(name: str, text: str) -> bool:
    """Whether an instruction releases stack space."""
    return name == "pop" or (name == "add" and text.startswith("rsp,"))


def _distance(text: str) -> int:
    """The offset from a register at which an instruction reads or writes; the stack is not counted."""
    place = _PLACE.search(text)
    return int(place[2] or "0", 0) if place and place[1] not in ("rsp", "rip") else -1


def _inside(text: str, start: int, end: int) -> bool:
    return not text.startswith("0x") or start <= int(text, 16) < end
