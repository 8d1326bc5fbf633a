"""The static tables of the source, found in a binary, and the functions that they hold.

A table counts as found only if its callbacks may be those of the source and no other address fits as well.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from qtrace.binary.recovery.evidence import Evidence
from qtrace.binary.recovery.proposals import Proposals
from qtrace.binary.recovery.table_pictures import Finder, Picture, pictures

__all__ = ["KnownTables"]

Key = tuple[str, str]  # (variable, file)
_MOST_BASES = 40  # addresses for one table: with more, the table identifies nothing
_ENOUGH = 2.0  # score of the callbacks for a table without strings or other identifying data


class KnownTables:
    """`at`: table -> address, for each table that was found."""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._wanted, self._placed, self._elf = evidence.wanted, evidence.placed, evidence.scan.elf
        self._finder = Finder(self._elf, evidence.scan.parts)
        self._pictures = pictures(self._wanted.cells)
        self.at: dict[Key, int] = {}
        self._looked: dict[Key, tuple[dict[int, int], list[int]]] = {}  # known pointers, fitting addresses
        for key, picture in self._pictures.items():
            base = self._elf.objects.get(key[0])
            if base is not None and self._finder.fits(picture, base, {}):
                self._put(key, base)
        self.absent = self._absent()

    def wants(self, key: Key) -> bool:
        """Whether the key is a table that has not been found yet."""
        return key in self._pictures and key not in self.at

    def among(self, key: Key, places: Iterable[int]) -> None:
        """Accept one of these addresses for the table if no other of them fits."""
        picture = self._pictures[key]
        known = self._known_in(picture)
        taken = self._taken()
        bases = [
            base
            for base in places
            if base not in taken and self._fits(picture, base, known) and self._plausible(picture, base)
        ]
        if len(bases) == 1 and not (self._evidence.mixed and self._has_twin(key, bases[0])):
            self._put(key, bases[0])

    def _alone(self, key: Key, present: set[str]) -> bool:
        """Whether layout and numbers are enough where bodies say nothing: nothing else looks like it, and its
        file is in the binary."""
        picture = self._pictures[key]
        only = len(self._looked[key][1]) == 1 and picture.file in present
        return self._evidence.mixed and picture.numbered and only

    def _has_twin(self, key: Key, base: int) -> bool:
        """Whether another table of the same file, not found yet, fits there as well: where bodies say
        nothing, nothing tells the two apart."""
        return any(
            other != key and other[1] == key[1] and self.wants(other) and self._finder.fits(picture, base, {})
            for other, picture in self._pictures.items()
        )

    def proposals(self) -> Proposals:
        """Search for every table that is not found yet, and propose the functions of those that are found."""
        claims: dict[int, list[tuple[float, Key]]] = defaultdict(list)
        taken, present = self._taken(), self._present()
        for key, picture in self._pictures.items():
            if key in self.at or picture.file in self.absent:
                continue
            if claim := self._claim(key, taken, present):
                claims[claim[1]].append((claim[0], key))
        for base, rivals in claims.items():
            rivals.sort(reverse=True)
            if len(rivals) == 1 or rivals[0][0] >= rivals[1][0] + _ENOUGH:
                self._put(rivals[0][1], base)
        found: Proposals = {}
        for key, base in list(self.at.items()):
            self._read(self._pictures[key], base, found)
        return found

    def _claim(self, key: Key, taken: set[int], present: set[str]) -> tuple[float, int] | None:
        """The score and the address of the one place where the table may be; None for none or several."""
        picture = self._pictures[key]
        known = self._known_in(picture)
        if key not in self._looked or self._looked[key][0] != known:
            self._looked[key] = known, self._finder.find(picture, known)
        bases = [base for base in self._looked[key][1] if base not in taken]
        fitting = [base for base in bases[:_MOST_BASES] if self._plausible(picture, base)]
        sure = picture.telling or bool(known) or self._alone(key, present)
        if len(bases) > _MOST_BASES or (len(fitting) > 1 and sure):
            return None
        scores = sorted(((self._score(picture, base), base) for base in fitting), reverse=True)
        if not scores or (len(scores) > 1 and scores[0][0] < scores[1][0] + _ENOUGH):
            return None
        return scores[0] if sure or scores[0][0] >= _ENOUGH else None

    def _fits(self, picture: Picture, base: int, known: dict[int, int]) -> bool:
        return self._finder.fits(picture, base, known) or self._finder.fits(picture.loosened(), base, known)

    def _put(self, key: Key, base: int) -> None:
        self.at[key] = base
        self._evidence.tables[base] = key

    def _taken(self) -> set[int]:
        return set(self.at.values())

    def _absent(self) -> set[str]:
        """Files that are not built into this binary: none of their tables with strings is found."""
        telling: dict[str, list[Picture]] = defaultdict(list)
        for picture in self._pictures.values():
            if picture.telling and picture.strings:
                telling[picture.file].append(picture)
        present = self._present()
        return {
            file
            for file, items in telling.items()
            if file not in present and not any(self._finder.find(item, {}) for item in items)
        }

    def _present(self) -> set[str]:
        """Files of which something is known to be in this binary."""
        functions = (self._wanted.rows[one] for one in self._placed.of)
        # A literal within another table is so small that it may be anybody's.
        tables = {file for variable, file in self.at if "+" not in variable}
        return tables | {row.file for row in functions if row.line}

    def _known_in(self, picture: Picture) -> dict[int, int]:
        known = {
            offset: self._placed.of[one]
            for offset, one in picture.functions.items()
            if one in self._placed.of and self._wanted.rows[one].line
        }
        for offset, variable in picture.variables.items():
            if variable in self._elf.objects:
                known[offset] = self._elf.objects[variable]
            elif (variable, picture.file) in self.at:
                known[offset] = self.at[variable, picture.file]
        return known

    def _plausible(self, picture: Picture, base: int) -> bool:
        """Whether each callback at `base` may be the function that the source has in the same field."""
        for offset, function in picture.functions.items():
            address = self._elf.pointers[base + offset]
            if self._placed.of.get(function, address) != address:
                return False
            others = self._placed.at.get(address, set())
            if function not in others and self._wanted.rows[function].line:
                if others and all(self._wanted.rows[one].file != picture.file for one in others):
                    return False
                if not self._evidence.mixed and not self._may_be(address, function):
                    return False
        return True

    def _may_be(self, address: int, function: int) -> bool:
        """What the body says; with link-time optimisation it says nothing."""
        return self._evidence.possible(address, function) and self._evidence.mostly(address, function)

    def _score(self, picture: Picture, base: int) -> float:
        """The evidence for the callbacks at `base`, as a score."""
        pairs = {(self._elf.pointers[base + at], one) for at, one in picture.functions.items()}
        return sum(max(0.0, self._evidence.score(address, one)) for address, one in pairs)

    def _read(self, picture: Picture, base: int, found: Proposals) -> None:
        why = f"{picture.variable} ({picture.file}) at {base:#x}"
        for offset, function in picture.functions.items():
            address = self._elf.pointers.get(base + offset, 0)
            if address in self._evidence.scan:
                found[function, address] = "table", f"{why}, offset {offset}"
        for offset, variable in picture.variables.items():
            key = variable, picture.file
            address = self._elf.pointers.get(base + offset, 0)
            if self.wants(key) and address:
                other = self._pictures[key]
                if self._finder.fits(other, address, self._known_in(other)):
                    self._put(key, address)
