"""The address of each function of QEMU's source in a binary: from symbols, else by recovery.

A wrong address is worse than none: a function with two possible addresses gets none.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from qtrace.binary.file.debugfile import SymbolTable, debug_file
from qtrace.binary.file.elf import Elf
from qtrace.binary.file.version import check_version
from qtrace.errors import BinaryError
from qtrace.model import PARTLY, Symbol
from qtrace.store.index import FunctionRow, Index

if TYPE_CHECKING:
    from qtrace.binary.recovery.recover import Recovery

__all__ = ["CERTAIN", "FOUND", "LIKELY", "NOWHERE", "Resolver"]

# Confidence of an address: from a symbol; from tables, calls and stores; from a body that fits nothing else.
CERTAIN, FOUND, LIKELY, NOWHERE = "exact", "high", "good", "none"
_SHAPE = "call shape"


class Resolver:
    """Addresses for one binary and one index. Raises BinaryError for a file that is not valid, and for a
    binary of another version than the index unless forced."""

    def __init__(
        self, binary: Path, index: Index | None = None, symbols: Path | None = None, force: bool = False
    ) -> None:
        self.elf = Elf(binary)
        self._index = index
        self._why_none = ""
        if index is not None and not force:
            check_version(self.elf, index)
        self._own = SymbolTable(self.elf)
        self.debug = debug_file(binary, self.elf, symbols, force)
        self._debug = SymbolTable(Elf(self.debug)) if self.debug else None

    def locate(self, function: str, file: str = "") -> Symbol | None:
        """The address of `function`; `file` tells static functions with the same name apart.

        None if it is unknown. Where its confidence is `partly`, some calls do not reach it, because the
        compiler has inlined the function into callers.
        """
        row = next(iter(self._index.function(function, file)), None) if self._index and file else None
        found = self._by_symbol(function, file, row is not None and row.static)
        if found is None and row is not None and row.line:
            found = self._recovered(row)
        return found if found and found.address else None

    def everything(self) -> list[Symbol]:
        """Every function of the indexed C files, in order; address 0 for functions without an address.

        `how` is then `ambiguous`, `inlined` or `not found`.
        """
        assert self._index is not None
        rows = [row for row in self._index.functions().values() if row.line and row.file.endswith(".c")]
        rows = [row for row in rows if not self._index.library_of(row.file)]
        return [
            self._by_symbol(row.name, row.file, row.static) or self._recovered(row)
            for row in sorted(rows, key=lambda row: (row.file, row.line))
        ]

    def _by_symbol(self, function: str, file: str, static: bool) -> Symbol | None:
        if not static and function in self.elf.exports:
            return self._symbol(function, file, self.elf.exports[function], "dynsym", "exported")
        tables = ((self._own, "symtab", "symbol table"), (self._debug, "debug-file", str(self.debug)))
        for table, how, evidence in tables:
            place = table.place(function, file, static) if table else None
            if place is not None:
                address, variant = place
                return self._symbol(
                    function, file, address, how, evidence + (f", {variant}" if variant else "")
                )
        return None

    @cached_property
    def _recovery(self) -> Recovery | None:
        from qtrace.binary.recovery.recover import Recovery  # with numpy, which symbols do not need

        assert self._index is not None
        try:
            return Recovery(self.elf, self._index)
        except BinaryError as exc:
            self._why_none = str(exc)  # without unwind tables nothing can be recovered
            return None

    def _recovered(self, row: FunctionRow) -> Symbol:
        recovery = self._recovery
        if recovery is None:
            return Symbol(row.name, row.file, 0, 0, "not found", self._why_none, NOWHERE)
        if found := recovery.found.get(row.id):
            sure = LIKELY if found.how == _SHAPE else FOUND
            evidence = found.evidence
            if others := recovery.inlined_too(row.id):
                sure, evidence = PARTLY, f"{evidence}; inlined too in {', '.join(others[:3])}"
            return self._symbol(row.name, row.file, found.address, found.how, evidence, sure)
        how, evidence = recovery.why_not(row.id)
        return Symbol(row.name, row.file, 0, 0, how, evidence, NOWHERE)

    def _symbol(
        self, name: str, file: str, address: int, how: str, evidence: str, sure: str = CERTAIN
    ) -> Symbol:
        return Symbol(name, file, address, self.elf.offset_of(address), how, evidence, sure)
