"""Functions and tables found through a known function that takes their address: it passes the address to
another function, or stores it into a struct.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from typing import NamedTuple

from qtrace.binary.code.flow import Called, Flow, Kept
from qtrace.binary.recovery.evidence import Evidence
from qtrace.binary.recovery.found_tables import KnownTables
from qtrace.binary.recovery.proposals import Proposals
from qtrace.binary.recovery.wanted import Site

__all__ = ["Hands", "once", "pairs"]

_FARTHEST = 1 << 16  # bytes from the start of an object to a struct in it


class _Written(NamedTuple):
    """A call of the source in `file`; `loose` if it passes on a parameter of its function."""

    site: Site
    file: str
    loose: bool


class Hands:
    """Reads the code of every function known so far, and remembers its findings for each."""

    def __init__(self, evidence: Evidence, tables: KnownTables) -> None:
        self._evidence, self._tables = evidence, tables
        self._wanted, self._scan, self._placed = evidence.wanted, evidence.scan, evidence.placed
        self._flow = Flow(self._scan.elf)
        self._flows: dict[int, tuple[list[Called], list[Kept]]] = {}

    def proposals(self) -> Proposals:
        """Proposals for unknown functions from the code of known ones; tables are accepted at once."""
        found: Proposals = {}
        for function, address in list(self._placed.of.items()):
            if not self._wanted.rows[function].line or address not in self._scan:
                continue
            wanted = self._wanted.may_take(function) - self._placed.of.keys()
            tables = self._open_tables(function)
            if wanted or tables:
                self._read(function, address, set(wanted), tables, found)
        return found

    def _open_tables(self, function: int) -> set[tuple[str, str]]:
        found = set()
        for inner in self._wanted.inside(function):
            file = self._wanted.rows[inner].file
            for _, _, what, value in self._wanted.passes.get(inner, ()):
                if what == "variable" and self._tables.wants((value, file)):
                    found.add((value, file))
        return found

    def _read(
        self, function: int, address: int, wanted: set[int], tables: set[tuple[str, str]], found: Proposals
    ) -> None:
        name = self._wanted.rows[function].name
        refers = self._scan.refers.get(address, set())
        if address not in self._flows:
            self._flows[address] = self._flow.read(self._scan.parts[address])
        calls, kept = self._flows[address]
        self._sites(function, calls, found)
        for key in tables:
            if self._tables.wants(key):
                self._tables.among(key, refers)
        if not wanted:
            return
        self._shifted(function, kept, found)
        # Other addresses that the function takes, matched by the bodies at them.
        self._pair(wanted, refers, ("argument", f"its address is taken in {name}"), found, shape=True)

    # Calls

    def _sites(self, function: int, calls: list[Called], found: Proposals) -> None:
        """Pair calls of the source with calls of the binary that agree in all that is known of both."""
        made: dict[str, list[Called]] = defaultdict(list)
        for call in calls:
            for name in self._names_at(call.callee):
                made[name].append(call)
        written: dict[str, list[_Written]] = defaultdict(list)
        for inner in self._wanted.inside(function):
            file = self._wanted.rows[inner].file
            for site in self._wanted.sites.get(inner, ()):
                kinds = {what for what, _ in site.arguments.values()}
                loose = inner != function and "param" in kinds and not kinds & {"function", "variable"}
                written[self._wanted.rows[site.callee].name].append(_Written(site, file, loose))
        for name, sites in written.items():
            # An inlined function that passes on a parameter stands for its own call.
            exact = [one for one in sites if not one.loose] or sites
            theirs = made.get(name, [])
            if len(theirs) > len(exact):
                theirs = once(theirs, {number for one in exact for number in one.site.arguments})
            fitting = {
                (at, to)
                for at, one in enumerate(exact)
                for to, call in enumerate(theirs)
                if self._agree(one.site, one.file, call)
            }
            alone = len(exact) == len(theirs)
            for at, to in pairs(fitting, alone):
                one = exact[at]
                if alone or self._known_arguments(one.site, one.file):
                    self._take(function, name, one.site, one.file, theirs[to], found)

    def _known_arguments(self, site: Site, file: str) -> bool:
        return any(
            what == "string" or self._address(what, value, file) is not None
            for what, value in site.arguments.values()
        )

    def _agree(self, site: Site, file: str, call: Called) -> bool:
        sure = False
        functions: list[tuple[int, int]] = []
        for number, (what, value) in site.arguments.items():
            there = call.arguments.get(number)
            if what == "string":
                if there is None or self._scan.elf.text_at(there) != value:
                    return False
                sure = True
            elif what in ("function", "variable"):
                known = self._address(what, value, file)
                if known is not None and known != there:
                    return False
                sure |= known is not None
                if what == "function" and known is None and there is not None:
                    if there not in self._scan or there in self._placed.at:
                        return False  # not a function, or another one
                    functions.append((there, int(value)))
        return sure or all(self._evidence.possible(there, one) for there, one in functions)

    def _address(self, what: str, value: str, file: str) -> int | None:
        if what == "function":
            return self._placed.of.get(int(value))
        return self._tables.at.get((value, file)) if what == "variable" else None

    def _take(self, function: int, name: str, site: Site, file: str, call: Called, found: Proposals) -> None:
        for number, (what, value) in site.arguments.items():
            there = call.arguments.get(number)
            if there is None:
                continue
            if what == "function" and int(value) not in self._placed.of and there in self._scan:
                if self._evidence.possible(there, int(value)):
                    why = f"argument {number + 1} of {name} in {self._wanted.rows[function].name}"
                    found[int(value), there] = "argument", why
            elif what == "variable" and self._tables.wants((value, file)):
                self._tables.among((value, file), (there,))

    def _names_at(self, address: int) -> Iterable[str]:
        if address in self._evidence.exported:
            return self._evidence.exported[address]
        if address in self._scan.stubs:
            return (self._scan.stubs[address],)
        return [self._wanted.rows[one].name for one in self._placed.at.get(address, ())]

    # Stores

    def _shifted(self, function: int, kept: list[Kept], found: Proposals) -> None:
        """Functions that are stored into a nested struct: the distance to their fields is the same for
        all."""
        fields: dict[str, set[tuple[int, int]]] = defaultdict(set)
        for inner in self._wanted.inside(function):
            for field, value in self._wanted.assigned.get(inner, ()):
                if field in self._wanted.offsets:
                    fields[field.rpartition(".")[0]].add((self._wanted.offsets[field], value))
        stored = {(keep.offset, keep.value) for keep in kept if keep.value in self._scan}
        offsets = {offset for offset, _ in stored}
        for struct, entries in fields.items():
            wanted = {offset for offset, _ in entries}

            covered = {
                distance: sum(one + distance in offsets for one in wanted)
                for distance in {offset - one for offset in offsets for one in wanted} | {0}
                if abs(distance) < _FARTHEST
            }
            # Most structs are written through a pointer to them: one field is no evidence for another
            # distance.
            most = max(covered.values())
            best = [distance for distance, number in covered.items() if number == most]
            if len(best) == 1 and most > 1:
                (distance,) = best
            elif covered[0] == most:
                distance = 0
            else:
                continue
            for offset, value in entries:
                if sum(one == offset for one, _ in entries) > 1:
                    continue
                targets = {address for place, address in stored if place == offset + distance}
                why = f"{struct} stored at {distance:#x} in {self._wanted.rows[function].name}"
                if len(targets) == 1 and self._evidence.possible(next(iter(targets)), value):
                    found[value, next(iter(targets))] = "assignment", why

    def _pair(
        self,
        functions: set[int],
        values: set[int],
        how: tuple[str, str],
        found: Proposals,
        shape: bool = False,
    ) -> None:
        """Pair functions of the source with addresses of the binary, if the pairing is unambiguous."""
        evidence = self._evidence
        ours = {one for one in functions if one not in self._placed.of and self._wanted.rows[one].line}
        theirs = {place for place in values if place in self._scan and place not in self._placed.at}
        fitting = {
            one: {place for place in theirs if evidence.possible(place, one) and evidence.mostly(place, one)}
            for one in ours
        }
        if len(ours) == len(theirs) == 1 and not shape:
            found.update({(one, place): how for one, places in fitting.items() for place in places})
            return
        for one, places in fitting.items():
            if len(places) == 1:
                (place,) = places
                rivals = [other for other in ours if other != one and place in fitting[other]]
                if not rivals and (any(evidence.own(place, one)) or len(ours) == len(theirs)):
                    found[one, place] = how


def once(calls: list[Called], numbers: Collection[int]) -> list[Called]:
    """The calls that differ in these arguments: the compiler may duplicate a call."""
    found = {
        tuple((number, call.arguments.get(number)) for number in sorted(numbers)): call for call in calls
    }
    return list(found.values())


def pairs(fitting: Collection[tuple[int, int]], complete: bool) -> set[tuple[int, int]]:
    """Pairs in which one side has no other partner. With `complete`, each side has its own partner, so a
    settled pair is no longer a choice for others."""
    left = set(fitting)
    found: set[tuple[int, int]] = set()
    while True:
        sure = {
            (at, to)
            for at, to in left
            if (sum(one == at for one, _ in left), sum(one == to for _, one in left)) == (1, 1)
            or (complete and 1 in (sum(one == at for one, _ in left), sum(one == to for _, one in left)))
        }
        if not sure:
            return found
        # Two functions claim the same address: neither is certain.
        if len({at for at, _ in sure}) < len(sure) or len({to for _, to in sure}) < len(sure):
            return found if complete else found | sure
        found |= sure
        if not complete:
            return found
        taken, given = {at for at, _ in sure}, {to for _, to in sure}
        left = {(at, to) for at, to in left if at not in taken and to not in given}
