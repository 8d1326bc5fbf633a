"""Facts about a function without a name: the named functions around it, and often its C file.

The functions of one translation unit are adjacent: between two of the same file is none of another file.
Between functions of two files the border is unknown. But a function that only functions of one file call
belongs to that file, and so do all functions between it and a named function of that file. This holds for a
program without link-time optimisation; a test compares it with a build with symbols
(tests/binary/test_neighbours.py).
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Collection, Mapping, Sequence

from qtrace.binary.code.scan import Scan
from qtrace.binary.file.elf import Elf

__all__ = ["Neighbours", "files_of_exports"]


class Neighbours:
    """`starts`: the starts of functions, in order; `names`: address -> (name, file in the tree or empty)."""

    def __init__(self, elf: Elf, starts: Sequence[int], names: Mapping[int, tuple[str, str]]) -> None:
        self._starts, self._names = starts, names
        self._named = sorted(set(starts) & names.keys())
        self._filed = [start for start in self._named if names[start][1]]
        self._scan = Scan(elf)
        self._taken = set(elf.pointers.values())
        for places in self._scan.refers.values():
            self._taken |= places

    def describe(self, start: int) -> str:
        """The function's position between named functions, and its caller if there is only one."""
        first, last = _ends(self._named, start)
        between = self._between(first, last)
        place = f"{between.index(start) + 1} of {len(between)} "
        if not first and not last:
            place += "without a name"
        elif first and last:
            place += f"between {self._names[first][0]} and {self._names[last][0]}"
        else:
            place += f"before {self._names[last][0]}" if last else f"after {self._names[first][0]}"
        callers = self._callers(start)
        only = next(iter(callers)) if len(callers) == 1 else 0
        return place + (f", called by {self._names[only][0]}" if only in self._names else "")

    def file(self, start: int) -> str:
        """The C file from which a function, named or not, is compiled; empty where it is not certain."""
        if found := self._enclosing(start):
            return found
        first, last = _ends(self._filed, start)
        between = self._between(first, last)
        at = between.index(start)
        before, behind = (self._names.get(one, ("", ""))[1] for one in (first, last))
        if behind and any(self._is_of(one, behind, between) for one in between[: at + 1]):
            return behind
        if before and any(self._is_of(one, before, between) for one in between[at:]):
            return before
        return ""

    def _is_of(self, start: int, file: str, between: Sequence[int]) -> bool:
        """Whether only functions of `file` call it, directly, and its address is not taken; false for a
        function with a name, which may be called from everywhere."""
        callers = {one for one in self._callers(start) if one not in between}
        return (
            bool(callers)
            and start not in self._names
            and start not in self._taken
            and all(self._enclosing(one) == file for one in callers)
        )

    def _enclosing(self, start: int) -> str:
        """The file of a function that is known, or whose neighbours on both sides are of the same file."""
        first, last = _ends(self._filed, start)
        before, behind = (self._names.get(one, ("", ""))[1] for one in (first, last))
        return before if first == start or before == behind else ""

    def _callers(self, start: int) -> set[int]:
        return self._scan.callers.get(start, set())

    def _between(self, first: int, last: int) -> Sequence[int]:
        begin = bisect(self._starts, first)
        return self._starts[begin : bisect(self._starts, last - 1) if last else len(self._starts)]


def _ends(known: Sequence[int], start: int) -> tuple[int, int]:
    """The last known start up to `start` and the first behind it, 0 for none."""
    at = bisect(known, start)
    return (known[at - 1] if at else 0), (known[at] if at < len(known) else 0)


def files_of_exports(exports: Collection[str], defined: Mapping[str, Collection[str]]) -> Mapping[str, str]:
    """Exported function -> the C file from which it is compiled, where only one is possible. `defined` has
    every file that defines the function. A program has one guest architecture: files of others are not in it.
    A stub is linked only if no other file defines the function, and that file may be generated."""
    ours = {_architecture(file) for name in exports for file in _only(defined.get(name, ()))} - {""}
    found: dict[str, str] = {}
    for name in exports:
        files = defined.get(name, ())
        if len(ours) == 1:
            files = [file for file in files if _architecture(file) in ("", *ours)]
        found.update((name, file) for file in _only(files) if not file.startswith("stubs/"))
    return found


def _only(files: Collection[str]) -> Collection[str]:
    return files if len(files) == 1 else ()


def _architecture(file: str) -> str:
    top, _, rest = file.partition("/")
    return rest.partition("/")[0] if top == "target" else ""
