"""Where each function of QEMU's source is in a binary: by symbol, else through the tables that hold it.

A wrong address is worse than none, so a table counts as found only if its callbacks call what the source
says they call, and no other table or address fits as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from qtrace.binary.bodies import called, function_ends
from qtrace.binary.elf import Elf
from qtrace.binary.shapes import callees_elsewhere, may_call, shapes
from qtrace.binary.tables import Shape, find
from qtrace.errors import BinaryError
from qtrace.model import Symbol
from qtrace.store.index import FunctionRow, Index

__all__ = ["Resolver"]

_STRUCTS = ("NetClientInfo", "SlirpCb")
# What trace points become with the log back end, whichever back end the index was made with.
_TRACING = {"qemu_get_thread_id", "qemu_log"}
Functions = Mapping[int, FunctionRow]


@dataclass(frozen=True, slots=True)
class _Claim:
    """A table of the source that may stand at `base`: its callbacks make the `hits` calls to exported
    functions of other files that the source says they make, and no call that it does not know."""

    shape: Shape
    functions: Functions
    base: int
    hits: int


class Resolver:
    """Answers for one binary and one index. Raises BinaryError for a file that is not what it seems."""

    def __init__(self, binary: Path, index: Index | None = None) -> None:
        self.elf = Elf(binary)
        self._index = index
        self._recovered: dict[str, dict[tuple[str, str], Symbol]] = {}
        self._names = {address: name for name, address in self.elf.exports.items()}
        self._ends: Mapping[int, int] = {}

    def locate(self, function: str, file: str = "") -> Symbol | None:
        """The place of `function`; `file` tells static functions of one name apart. None if not known."""
        if function in self.elf.exports and not self._is_static(function, file):
            return self._symbol(function, file, self.elf.exports[function], "dynsym", "exported")
        if function in self.elf.symbols:
            return self._symbol(function, file, self.elf.symbols[function], "symtab", "symbol table")
        if self._index is None:
            return None
        for struct in _STRUCTS:
            if struct not in self._recovered:
                self._recovered[struct] = self._recover(struct)
            if found := self._recovered[struct].get((function, file)):
                return found
        return None

    def _is_static(self, function: str, file: str) -> bool:
        """Whether the source says that this one is static, so that an export of its name is another."""
        if self._index is None or not file:
            return False
        return any(row.static for row in self._index.function(function, file))

    def _recover(self, struct: str) -> dict[tuple[str, str], Symbol]:
        assert self._index is not None
        try:
            self._ends = self._ends or function_ends(self.elf)
        except BinaryError:
            return {}
        claims = [claim for shape, rows in shapes(self._index, struct) for claim in self._claims(shape, rows)]
        found: dict[tuple[str, str], set[int]] = {}
        evidence: dict[tuple[str, str], str] = {}
        for claim in _undisputed(claims):
            for offset, row in claim.functions.items():
                found.setdefault((row.name, row.file), set()).add(self.elf.pointers[claim.base + offset])
                evidence[row.name, row.file] = (
                    f"{struct} {claim.shape.variable} ({claim.shape.file}) at {claim.base:#x}; "
                    f"its callbacks make all {claim.hits} checkable calls of the source and no other"
                )
        return {
            key: self._symbol(*key, next(iter(addresses)), "table", evidence[key])
            for key, addresses in found.items()
            if len(addresses) == 1
        }

    def _claims(self, shape: Shape, functions: Functions) -> Iterator[_Claim]:
        """Where the table may be: of the right shape, and with callbacks that call what they must and
        nothing that they cannot. Exported callbacks must stand at their own address.
        """
        assert self._index is not None
        must = {offset: callees_elsewhere(self._index, row) for offset, row in functions.items()}
        may: set[str] | None = None
        for base in find(self.elf, shape):
            hits = 0
            for offset, row in functions.items():
                address = self.elf.pointers[base + offset]
                exported = not row.static and row.name in self.elf.exports
                if exported and self.elf.exports[row.name] != address:
                    break
                wanted, calls = must[offset] & self.elf.exports.keys(), self._calls(address)
                may = may_call(self._index, functions.values()) if may is None else may
                if wanted - calls or calls - may:
                    break
                hits += len(wanted) + exported
            else:
                yield _Claim(shape, functions, base, hits)

    def _calls(self, address: int) -> set[str]:
        end = self._ends.get(address)
        if end is None:
            return set()
        targets = called(self.elf, address, end)
        return {self._names[target] for target in targets if target in self._names} - _TRACING

    def _symbol(self, name: str, file: str, address: int, how: str, evidence: str) -> Symbol:
        return Symbol(name, file, address, self.elf.offset_of(address), how, evidence)


def _undisputed(claims: list[_Claim]) -> list[_Claim]:
    """Claims that stand alone: of one table for one address, or clearly better than every rival.

    Two tables can have one shape. The one with more proven calls holds the place; with equally many
    nobody does. A claim without a proven call is never believed.
    """
    kept = []
    for claim in claims:
        rivals = [
            other
            for other in claims
            if other is not claim and (other.base == claim.base or other.shape is claim.shape)
        ]
        if claim.hits and all(other.hits < claim.hits for other in rivals):
            kept.append(claim)
    return kept
