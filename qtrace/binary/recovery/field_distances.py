"""The offsets of the struct fields that a body uses, relative to its pointers.

A device model is one large struct, and few functions use the same fields of it.
"""

from __future__ import annotations

import re

import capstone

from qtrace.binary.code.scan import Scan
from qtrace.binary.recovery.wanted import Wanted

__all__ = ["Reach"]

_FAR = 64  # smallest offset that is compared, in bytes; the index keeps the same
_FARTHEST = 1 << 24
_MOST = 16384  # bytes read of a function
_PLACE = re.compile(r"\[(\w+)(?: \+ \w+(?:\*\d)?)? \+ (0x[0-9a-f]+)\]")
_ADDED = re.compile(r"(\w+), (0x[0-9a-f]+)$")
_STACK = ("rsp", "esp", "rip")
_WORD = 8  # bytes
_PAIR = 2  # fields
_FEW = 3  # fields that are enough to decide
_ALIKE = 0.7
# Weights of a field: in the function and the body; in code that may be inlined; in the body alone (an entry
# of an array, a field of a struct that is cast to another); in the source alone (dead code).
_SHARED, _PUT_IN, _STRANGE, _LACKING, _HEAVIEST = 0.6, 0.2, 0.4, 0.3, 4.0


class Reach:
    """Compares the fields that functions of one binary use with the fields that functions of the source
    use."""

    def __init__(self, scan: Scan, wanted: Wanted) -> None:
        self._scan, self._wanted = scan, wanted
        self._capstone = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
        self._known: dict[int, frozenset[int]] = {}

    def agreement(self, start: int, function: int) -> float | None:
        """From 0 to 1: the share of the fields used by the body at `start` that the function, or code that
        may be inlined into it, uses too. None where too few fields are used."""
        own, may = self._wanted.fields.get(function, frozenset()), self._wanted.may_reach(function)
        body = self.of(start)
        if len(body | own) < _FEW or (not body and not may):
            return None
        return len(body & may) / len(body | own)

    def score(self, start: int, function: int) -> float:
        """The evidence of the fields for the function being at `start`; negative if they contradict it."""
        own, may = self._wanted.fields.get(function, frozenset()), self._wanted.may_reach(function)
        body = self.of(start)
        total = _SHARED * len(body & own) + _PUT_IN * len(body & may - own)
        total -= _STRANGE * len(body - may) + _LACKING * len(own - body)
        return max(-_HEAVIEST, min(_HEAVIEST, total))

    def may_be(self, start: int, function: int) -> bool:
        """Whether the body at `start` uses at least one of the fields that only the function itself uses,
        where there are several such fields."""
        only, body = self._wanted.only_of(function, function), self.of(start)
        return len(only) < _PAIR or any(abs(at - there) < _WORD for at in only for there in body)

    def leaves(self, start: int, outer: int, inner: int) -> bool:
        """Whether the body of `outer` at `start` uses some of the fields that only an inlined `inner` would
        add.

        Also true if these fields are too few, or if the fields of `outer` itself cannot be seen: a pointer
        may point into the middle of a struct.
        """
        only, body = self._wanted.only_of(outer, inner), self.of(start)
        few = 1 if inner in self._wanted.handed_own(outer) else _PAIR
        if len(only) < few or not body & self._wanted.fields.get(outer, frozenset()):
            return True
        # Neighbours are read in one call.
        return any(abs(at - there) < _WORD for at in only for there in body)

    def telling(self, start: int, function: int) -> int:
        """The number of fields that both use, if it is enough to show that they are the same; else 0."""
        share = self.agreement(start, function)
        shared = len(self.of(start) & self._wanted.fields.get(function, frozenset()))
        return shared if share is not None and share >= _ALIKE and shared >= _FEW else 0

    def of(self, start: int) -> frozenset[int]:
        """The offsets in bytes that the body uses, without small ones, which many structs share."""
        if start not in self._known:
            found: set[int] = set()
            for begin, end in self._scan.parts[start]:
                code = self._scan.elf.read(begin, min(end - begin, _MOST))
                for _, _, name, text in self._capstone.disasm_lite(code, begin):
                    place = _PLACE.search(text)
                    if place is None and name == "add":
                        place = _ADDED.match(text)
                    if place and place[1] not in _STACK and _FAR <= int(place[2], 16) < _FARTHEST:
                        found.add(int(place[2], 16))
            self._known[start] = frozenset(found)
        return self._known[start]
