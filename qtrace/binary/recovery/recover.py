"""Recovers the functions of the source in a stripped binary, in rounds: tables, addresses that known
functions pass on, and bodies that fit exactly one function, until a round finds nothing new.

A wrong address is worse than none: an ambiguous match stays open.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from qtrace.binary.code.exits import Exits
from qtrace.binary.code.scan import Scan
from qtrace.binary.file.elf import Elf
from qtrace.binary.recovery.evidence import Evidence, Placed
from qtrace.binary.recovery.found_tables import KnownTables
from qtrace.binary.recovery.handed_addresses import Hands
from qtrace.binary.recovery.proposals import Proposals
from qtrace.binary.recovery.wanted import Wanted
from qtrace.store.index import Index

__all__ = ["Found", "Recovery"]

_MOST_ROUNDS = 12
_SURE = 5.0  # score that is enough by itself: more than a few signs shared with other functions
_LEAST = 1.0
_LARGE = 3.0  # score of a function so large that the compiler does not inline it into several callers
_SMALL = 2  # number of calls up to which a function is inlined into several callers
_FAR_OFF = 3.0  # a rival whose score is lower by this much does not count
_MARGIN = 1.5  # by how much the best pair must exceed any other


@dataclass(frozen=True, slots=True)
class Found:
    """How a function was found: `table`, `argument`, `assignment` or `call shape`, and the evidence."""

    address: int
    how: str
    evidence: str


class Recovery:
    """The recovered functions of one binary with one index, computed on creation. Raises BinaryError."""

    def __init__(self, elf: Elf, index: Index) -> None:
        self.wanted = Wanted(index)
        self.scan = Scan(elf)
        self.placed = Placed()
        self.found: dict[int, Found] = {}
        for row in self.wanted.rows.values():
            if not row.static and (address := elf.exports.get(row.name)) is not None:
                self.placed.put(row.id, address)
        self.evidence = Evidence(self.scan, self.wanted, self.placed)
        self.tables = KnownTables(self.evidence)
        self._hands = Hands(self.evidence, self.tables)
        self._exits = Exits(elf)
        self._open: dict[int, set[int]] = {}
        self._run()

    def why_not(self, function: int) -> tuple[str, str]:
        """(`ambiguous`, `inlined` or `not found`, evidence) for a function that was not found."""
        row = self.wanted.rows[function]
        if row.file in self.tables.absent:
            return "not found", "nothing of its file is in this binary"
        if outer := self._containing(function):
            return "inlined", f"contained in {', '.join(outer[:3])}" + (" …" if len(outer) > 3 else "")
        if self.evidence.mixed:
            return (
                "not found",
                "link-time optimisation: bodies have code of other files, and their shape proves nothing",
            )
        if places := self._open.get(function):
            shown = ", ".join(f"{place:#x}" for place in sorted(places)[:4])
            return "ambiguous", f"it may be at {shown}" + (" or elsewhere" if len(places) > 4 else "")
        return "not found", ""

    def inlined_too(self, function: int) -> list[str]:
        """Known callers of a found function that have it inlined: their bodies do not call it."""
        address = self.placed.of[function]
        return sorted(
            self.wanted.rows[caller].name
            for caller in self.wanted.callers.get(function, ())
            if caller in self.placed.of
            and caller != function
            and address not in self.scan.calls.get(self.placed.of[caller], ())
        )

    def _containing(self, function: int) -> list[str]:
        """The known functions whose bodies show signs that only an inlined copy of this one can have
        added."""
        direct = self.wanted.callers.get(function, set())
        return [
            self.wanted.rows[caller].name
            for caller in sorted(
                self.placed.of.keys() & self._outer(function), key=lambda one: (one not in direct, one)
            )
            if self.placed.of[caller] in self.scan
            and self.evidence.brought(self.placed.of[caller], caller, function)
        ]

    def _outer(self, function: int) -> set[int]:
        """The functions into which the function may be inlined."""
        found: set[int] = set()
        todo = [function]
        while todo:
            for caller in self.wanted.callers.get(todo.pop(), ()):
                if caller not in found and function in self.wanted.inside(caller):
                    found.add(caller)
                    todo.append(caller)
        return found

    def _run(self) -> None:
        for _ in range(_MOST_ROUNDS):
            # Steps that identify an address by name run first, until they find nothing more.
            while self._finds(self.tables.proposals, self._hands.proposals):
                pass
            if self.evidence.mixed or not self._finds(self._by_shape):
                break
        self.evidence.settle()

    def _finds(self, *steps: Callable[[], Proposals]) -> bool:
        """Accept the proposals of these steps; whether any of them is new."""
        before = len(self.placed.of) + len(self.tables.at)
        for step in steps:
            self.evidence.settle()
            self._accept(step())
        return len(self.placed.of) + len(self.tables.at) > before

    def _accept(self, proposals: Proposals) -> None:
        """Accept the proposals that are unambiguous."""
        places: dict[int, set[int]] = defaultdict(set)
        names: dict[int, set[int]] = defaultdict(set)
        for function, address in proposals:
            places[function].add(address)
            names[address].add(function)
        for (function, address), (how, why) in proposals.items():
            if function in self.placed.of or len(places[function]) > 1:
                continue
            # Two functions of one file may share a body; only evidence that names both proves it.
            same = len({self.wanted.rows[one].file for one in names[address]}) == 1
            if len(names[address]) > 1 and not (same and how in ("table", "assignment")):
                continue
            self.placed.put(function, address)
            self.found[function] = Found(address, how, why)

    def _whole(self, start: int, function: int, score: float) -> bool:
        """Whether the body is the whole function, not a part that the compiler split off."""
        parts = self.scan.parts[start]
        if not self._may_be_split(function) or (function in self.wanted.rarely and score >= _SURE):
            return self._exits.returns(parts)
        if tested := self.wanted.splits[function] - {0}:
            return self._exits.tests(parts, tested)
        return score >= _SURE and self._exits.returns(parts) and self._exits.early(parts)

    def _may_be_split(self, function: int) -> bool:
        """Whether the compiler may have split the function into two."""
        return function in self.wanted.splits and function not in self.wanted.taken

    def _called_directly(self, start: int, functions: list[int]) -> set[int]:
        """The given functions that known callers of `start` call by name in the source."""
        found: set[int] = set()
        for caller in self.scan.callers.get(start, ()):
            for known in self.placed.at.get(caller, ()):
                found.update(self.wanted.calls.get(known, set()).intersection(functions))
        return found

    def _by_shape(self) -> Proposals:
        scores: dict[tuple[int, int], float] = {}
        by_start: dict[int, list[tuple[float, int]]] = defaultdict(list)
        by_name: dict[int, list[tuple[float, int]]] = defaultdict(list)
        for start in self.scan.starts:
            if start in self.placed.at or start in self.evidence.exported:
                continue
            if not self.evidence.supported(start):
                continue
            for one, score in self._fitting(start).items():
                scores[start, one] = score
                by_start[start].append((score, one))
                by_name[one].append((score, start))
        best = {start: max(ranked) for start, ranked in by_start.items()}
        self._open = {
            one: {place for _, place in ranked if self._is_near(place, one)}
            for one, ranked in by_name.items()
        }
        found: Proposals = {}
        for start, ranked in by_start.items():
            score, one = best[start]
            rival = max((other for other, name in ranked if name != one), default=None)
            if rival is not None and score < rival + _MARGIN:
                continue
            elsewhere = [
                other
                for other, place in by_name[one]
                if place != start and (best[place][1] == one or best[place][0] < other + _MARGIN)
            ]
            if elsewhere and score < max(elsewhere) + _MARGIN:
                continue
            if self.evidence.missing(start, one) * 4 > len(self.evidence.must(one)):
                continue
            if self._may_be_part(start, one, [name for _, name in ranked]) or not self._whole(
                start, one, score
            ):
                continue
            rivals = elsewhere if rival is None else [*elsewhere, rival]
            why = self._enough(start, one, score, all(score >= other + _FAR_OFF for other in rivals))
            if why:
                found[one, start] = "call shape", why
        return found

    def _is_near(self, start: int, function: int) -> bool:
        """Whether a known neighbour or caller shows that the body belongs to the function's file."""
        return self.evidence.beside(start, function) or any(
            caller in self.placed.at for caller in self.scan.callers.get(start, ())
        )

    def _fitting(self, start: int) -> dict[int, float]:
        """The functions that the body at `start` may be, each with its score, without functions that the
        compiler inlined elsewhere."""
        found = {
            one: self.evidence.score(start, one)
            for one in self.evidence.candidates(start)
            if self.wanted.rows[one].file not in self.tables.absent and not self._elsewhere_put_in(start, one)
        }
        # A function with one call is inlined there: its signs are then part of the caller's body.
        for inner in [one for one in found if self.wanted.once(one) and not self.wanted.in_circle(one)]:
            outer = {
                one: self.evidence.score(start, one)
                for one in found
                if one not in self.wanted.inside(inner)
                and self.wanted.has_one_body(one)
                and self.evidence.may_contain(start, one, inner)
            }
            if outer:
                score = found.pop(inner)
                closest = max(outer, key=lambda one: outer[one])
                found[closest] = max(found[closest], score)
        return found

    def _elsewhere_put_in(self, start: int, function: int) -> bool:
        """Whether the compiler inlined the function into known callers, none of which calls `start`."""
        known = [
            self.placed.of[caller]
            for caller in self.wanted.callers.get(function, ())
            if caller in self.placed.of and self.placed.of[caller] in self.scan
        ]
        return bool(known) and not any(start in self.scan.calls.get(caller, ()) for caller in known)

    def _may_be_part(self, start: int, function: int, candidates: list[int]) -> bool:
        """Whether the body may be a caller of the function, with the function inlined.

        A function with one call is inlined there; a large function with several calls is not.
        """
        outer = [
            name
            for name in candidates
            if name != function and self.evidence.may_contain(start, name, function)
        ]
        if self.wanted.in_circle(function):
            return True  # inlined into its callee, or the callee into it
        several = [name for name in outer if not self.wanted.once(name)]
        if self.wanted.once(function):
            return bool(outer)
        large = self.evidence.score(start, function) >= _LARGE
        large = large and self.evidence.own(start, function)[0] > _SMALL
        return (
            bool(several) and not large and self._called_directly(start, [function, *several]) != {function}
        )

    def _enough(self, start: int, function: int, score: float, alone: bool) -> str:
        """Why the function is accepted for the body at `start`; empty if it is not accepted."""
        hits, unique = self.evidence.own(start, function)
        callers = sorted(
            self.wanted.rows[name].name
            for caller in self.scan.callers.get(start, ())
            for name in self.placed.at.get(caller, ())
        )
        near = self.evidence.beside(start, function)
        if score >= _LEAST and hits and (near or callers or self.evidence.names_alone(start, function)):
            return (
                f"{hits} calls, strings and trace points are its own, {unique} of them of no other function"
            )
        if alone and callers and self.evidence.shows(start, function):
            return f"nothing else that {', '.join(callers[:3])} may call fits"
        if score >= _LEAST and (near or callers) and (shared := self.evidence.reach.telling(start, function)):
            return f"it uses the same {shared} fields"
        if alone and near and hits:
            return f"nothing else of {self.wanted.rows[function].file} fits"
        return ""
