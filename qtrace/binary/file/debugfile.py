"""Symbol tables with static functions: the binary's own, or that of a separate debug file.

Debug files are found as gdb finds them: by build id below /usr/lib/debug/.build-id, by .gnu_debuglink
beside the binary, in .debug beside it, below /usr/lib/debug, and from the servers of DEBUGINFOD_URLS.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from qtrace.binary.file.buildid import build_id
from qtrace.binary.file.debuginfod import fetch_debug_file
from qtrace.binary.file.elf import Elf
from qtrace.errors import BinaryError

__all__ = ["SymbolTable", "debug_file"]

_DEBUG = Path("/usr/lib/debug")
# Suffixes of the variants that a compiler makes of a function.
_WHOLE = ("constprop", "isra")


class SymbolTable:
    """The functions of an ELF file's .symtab."""

    def __init__(self, elf: Elf) -> None:
        self._places: dict[tuple[str, str], set[tuple[int, str]]] = defaultdict(set)
        for symbol, source, address in elf.symtab():
            name, _, variant = symbol.partition(".")
            self._places[name, source].add((address, variant.split(".")[0]))

    def __bool__(self) -> bool:
        return bool(self._places)

    def place(self, function: str, file: str, static: bool) -> tuple[int, str] | None:
        """(address, name of the compiler's variant or empty); None if there is not exactly one candidate."""
        found = self._places.get((function, Path(file).name if static else ""), set())
        whole = {entry for entry in found if not entry[1]} or {entry for entry in found if entry[1] in _WHOLE}
        return next(iter(whole)) if len(whole) == 1 else None


def debug_file(binary: Path, elf: Elf, given: Path | None, force: bool = False) -> Path | None:
    """The separate file with the binary's symbols, if there is one. Raises BinaryError if the `given` file
    belongs to another binary, unless forced."""
    if given is not None:
        if not force and build_id(given) != elf.build_id:
            raise BinaryError(
                f"{given} is of another binary: its build id is not that of {binary}",
                hint="--force uses it all the same",
            )
        return given
    for path in _usual(binary, elf):
        with contextlib.suppress(BinaryError, OSError):
            if path.is_file() and path != binary and (not elf.build_id or build_id(path) == elf.build_id):
                return path
    return fetch_debug_file(elf.build_id)


def _usual(binary: Path, elf: Elf) -> Iterator[Path]:
    if len(elf.build_id) > 2:
        yield _DEBUG / ".build-id" / elf.build_id[:2] / f"{elf.build_id[2:]}.debug"
    if name := elf.debug_link:
        with contextlib.suppress(OSError):
            binary = binary.resolve()
        folder = binary.parent
        yield folder / name
        yield folder / ".debug" / name
        yield _DEBUG / str(folder).lstrip("/") / name
