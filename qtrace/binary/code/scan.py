"""Each function of a binary with its calls and references, found without disassembling.

A call, a jump or a reference relative to the program counter is recognised by its bytes and its target.
Other bytes point to the very beginning of a function, or to a named object, by chance about once in a
thousand whole QEMU binaries.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from qtrace.binary.code.bodies import function_ends
from qtrace.binary.file.elf import Elf

__all__ = ["Scan"]

Array = npt.NDArray[np.int64]
_CALL, _JUMP, _BRANCH = 0, 1, 2
# One-byte opcodes with an address in their ModRM byte that end with a number of 8 or 32 bits.
_BYTE_FOLLOWS = (0x80, 0x83, 0xC0, 0xC1, 0x6B, 0xC6)
_WORD_FOLLOWS = (0x81, 0x69, 0xC7)


class Scan:
    """`starts` are the functions that a call may lead to. A part that the compiler moved away (`.cold`)
    belongs to the function that it came from. Raises BinaryError without unwind tables."""

    def __init__(self, elf: Elf) -> None:
        self.elf = elf
        ends = {start: end for start, end in function_ends(elf).items() if elf.is_code(start) and end > start}
        self._starts: Array = np.array(sorted(ends), dtype=np.int64)
        self._ends: Array = np.array([ends[start] for start in self._starts.tolist()], dtype=np.int64)
        self.calls: dict[int, set[int]] = defaultdict(set)
        self.imports: dict[int, set[str]] = defaultdict(set)
        self.refers: dict[int, set[int]] = defaultdict(set)
        self.callers: dict[int, set[int]] = defaultdict(set)
        self.parts: dict[int, list[tuple[int, int]]] = {start: [(start, end)] for start, end in ends.items()}
        self.stubs: dict[int, str] = {}
        self._read()

    @property
    def starts(self) -> list[int]:
        """The starts of functions, in order, without parts that were moved away."""
        return sorted(self.parts)

    def __contains__(self, address: int) -> bool:
        return address in self.parts

    def _read(self) -> None:
        jumps: list[tuple[Array, Array, Array]] = []
        for segment in self.elf.segments:
            if segment.executable:
                code = np.frombuffer(self.elf.read(segment.address, segment.size), dtype=np.uint8)
                if len(code) > 16 and len(self._starts):
                    jumps.append(self._transfers(code, segment.address))
        into = self._joined(jumps)
        for source, target in self._edges(jumps, (_CALL, _JUMP, _BRANCH)):
            source, target = into.get(source, source), into.get(target, target)
            if source != target:
                self.calls[source].add(target)
                self.callers[target].add(source)
        for cold, owner in into.items():
            self.parts[owner] += self.parts.pop(cold)
            self.refers[owner] |= self.refers.pop(cold, set())
            self.imports[owner] |= self.imports.pop(cold, set())

    def _transfers(self, code: npt.NDArray[np.uint8], base: int) -> tuple[Array, Array, Array]:
        """(begin of the function, target, kind) of calls and jumps; notes references and imports."""
        distance = _distances(code)
        first = np.arange(len(distance), dtype=np.int64)
        byte = code[: len(distance)]
        sites: list[Array] = []
        targets: list[Array] = []
        kinds: list[Array] = []
        second = byte & 0xF0 == 0x80
        second[1:] &= byte[:-1] == 0x0F
        for kind, mask in ((_CALL, byte == 0xE8), (_JUMP, byte == 0xE9), (_BRANCH, second)):
            at = first[mask]
            at = at[at + 1 < len(distance)]
            sites.append(at + base)
            targets.append(base + at + 5 + distance[at + 1])
            kinds.append(np.full(len(at), kind, dtype=np.int64))
        target, form = np.concatenate(targets), np.concatenate(kinds)
        owner = self._owners(np.concatenate(sites))
        self._stubs(code, distance, base)
        known = np.array(sorted(self.stubs), dtype=np.int64)
        if len(known):
            imported = np.isin(target, known) & (owner >= 0)
            for begin, stub in zip(owner[imported].tolist(), target[imported].tolist(), strict=True):
                self.imports[begin].add(self.stubs[stub])
        self._references(code, distance, base)
        inside = (owner >= 0) & (self._owners(target) >= 0)
        return owner[inside], target[inside], form[inside]

    def _stubs(self, code: npt.NDArray[np.uint8], distance: Array, base: int) -> None:
        """The entries of the procedure linkage table: each jumps through a pointer that the loader fills
        in."""
        through = (code[:-1] == 0xFF) & ((code[1:] == 0x25) | (code[1:] == 0x15))
        imports = self.elf.imports
        for at in np.flatnonzero(through).tolist():
            if at + 2 >= len(distance):
                continue
            name = imports.get(base + at + 6 + int(distance[at + 2]))
            if name is None:
                continue
            if code[at + 1] == 0x15:
                owner = int(self._owners(np.array([base + at], dtype=np.int64))[0])
                if owner >= 0:
                    self.imports[owner].add(name)
            else:
                for before in (0, 4, 5):  # behind endbr64 and a bnd prefix
                    self.stubs[base + at - before] = name

    def _references(self, code: npt.NDArray[np.uint8], distance: Array, base: int) -> None:
        relative = code[: len(distance)] & 0xC7 == 0x05
        at = np.flatnonzero(relative)
        at = at[(at >= 2) & (at + 1 < len(distance))]
        opcode, before, field = code[at - 1], code[at - 2], code[at] >> 3 & 7
        follow = np.zeros(len(at), dtype=np.int64)
        one = before != 0x0F
        follow[one & np.isin(opcode, _BYTE_FOLLOWS)] = 1
        follow[one & (opcode == 0xF6) & (field < 2)] = 1
        follow[one & (np.isin(opcode, _WORD_FOLLOWS) | (opcode == 0xF7) & (field < 2))] = 4
        follow[(follow == 4) & (before == 0x66)] = 2
        follow[~one & np.isin(opcode, (0xBA, 0xA4, 0xAC, 0x70, 0xC2, 0xC4, 0xC5, 0xC6))] = 1
        target = base + at + 5 + follow + distance[at + 1]
        owner = self._owners(base + at)
        inside = owner >= 0
        inside &= np.logical_or.reduce(
            [(target >= part.address) & (target < part.address + part.memory) for part in self.elf.segments]
        )
        pairs = np.unique(np.stack([owner[inside], target[inside]]), axis=1)
        for source, place in zip(pairs[0].tolist(), pairs[1].tolist(), strict=True):
            self.refers[source].add(self.elf.body_at(place))

    def _owners(self, addresses: Array) -> Array:
        """The start of the function that contains each address, -1 for none."""
        number = np.searchsorted(self._starts, addresses, side="right") - 1
        safe = np.maximum(number, 0)
        inside = (number >= 0) & (addresses < self._ends[safe])
        return np.where(inside, self._starts[safe], -1)

    def _edges(self, jumps: list[tuple[Array, Array, Array]], kinds: tuple[int, ...]) -> set[tuple[int, int]]:
        """Pairs (function, function that it calls, or jumps to, at its beginning)."""
        found: set[tuple[int, int]] = set()
        for owner, target, kind in jumps:
            wanted = np.isin(kind, kinds) & (self._owners(target) == target) & (owner != target)
            found.update(zip(owner[wanted].tolist(), target[wanted].tolist(), strict=True))
        return found

    def _joined(self, jumps: list[tuple[Array, Array, Array]]) -> Mapping[int, int]:
        """Part that was moved away -> its function.

        A part is reached by a conditional branch (a function is called or jumped to, never branched to), or
        it jumps back into the middle of the function that jumps to it.
        """
        called: set[int] = set(self.elf.exports.values())
        leads: dict[int, set[int]] = defaultdict(set)
        middle: set[tuple[int, int]] = set()
        branched: set[tuple[int, int]] = set()
        for owner, target, kind in jumps:
            begin = self._owners(target)
            away = begin != owner
            called.update(target[away & (kind == _CALL) & (begin == target)].tolist())
            triples = zip(
                owner[away & (kind != _CALL)].tolist(),
                begin[away & (kind != _CALL)].tolist(),
                (target - begin)[away & (kind != _CALL)].tolist(),
                kind[away & (kind != _CALL)].tolist(),
                strict=True,
            )
            for source, goal, depth, how in triples:
                leads[goal].add(source)
                if depth:
                    middle.add((source, goal))
                elif how == _BRANCH:
                    branched.add((source, goal))
        found: dict[int, int] = {}
        for part, sources in leads.items():
            if len(sources) != 1:
                sources = {source for source in sources if (part, source) in middle}
            if part in called or len(sources) != 1:
                continue
            (whole,) = sources
            if whole > part and ((part, whole) in middle or (whole, part) in branched):
                found[part] = whole
        return {part: whole for part, whole in found.items() if whole not in found}


def _distances(code: npt.NDArray[np.uint8]) -> Array:
    """The signed 32-bit number that begins at each byte."""
    wide = code.astype(np.int64)
    value = wide[:-3] | wide[1:-2] << 8 | wide[2:-1] << 16 | wide[3:] << 24
    return np.where(value >= 1 << 31, value - (1 << 32), value)
