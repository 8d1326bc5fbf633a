"""The places of the functions of walked paths in a process's files: joins index and binary."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path as FilePath

from qtrace.binary.code.entry import Entries, Entry
from qtrace.binary.symbols.symbol_cache import KnownSymbols
from qtrace.errors import BinaryError
from qtrace.model import PARTLY, Path, Probe, Symbol
from qtrace.probes.family import ANY, point_for
from qtrace.probes.qemu_function import ARGUMENTS, SENDERS
from qtrace.store.index import Index
from qtrace.trace.session.level import Level
from qtrace.trace.session.probe_plan import Unplaced, merge, probes_for

__all__ = ["Placement"]

# Tables whose field determines a callback's arguments.
_TABLES = ("NetClientInfo", "SlirpCb")


class Placement:
    """The places of functions in the program and the libraries of one process.

    `files` are the program and the libraries; `index` is that of the tree from which the program was built.
    """

    def __init__(self, index: Index, files: Sequence[FilePath]) -> None:
        self._index = index
        self._program, *self._libraries = files
        self._known: dict[FilePath, KnownSymbols] = {}
        self._entries: dict[FilePath, Entries] = {}
        self._places: dict[tuple[str, int], Symbol] = {}
        self._fields = _callback_fields(index)
        self._probes: dict[tuple[tuple[Path, ...], Level], tuple[list[Probe], list[Unplaced]]] = {}

    def probes(
        self, paths: Sequence[Path], level: Level = Level.STAGES
    ) -> tuple[list[Probe], list[Unplaced]]:
        """Every stage of `paths` as a probe, or with the reason why it has no place.

        Results are cached for the next process with these files. Raises BinaryError.
        """
        key = tuple(paths), level
        if key not in self._probes:
            probes, unplaced = merge([probes_for(path, self.locate, self.field_of, level) for path in paths])
            self._probes[key] = [self._cheapest(probe) for probe in probes], unplaced
            self.save()
        return self._probes[key]

    def locate(self, function: str, file: str) -> tuple[FilePath, Symbol] | None:
        """(file, symbol) of a function. One without a `file` is a library's, or exported by the program.

        The symbol's confidence may be `partly`: some callers have the function inlined.
        """
        if file and not self._index.library_of(file):
            return self._in(self._program, function, file)
        # slirp_input is in libslirp, vde_send in libvdeplug.
        wanted = function.split("_")[0]
        libraries = [path for path in self._libraries if wanted in path.name]
        found = next(filter(None, (self._in(path, function, "") for path in libraries)), None)
        # Some exported functions of the program are in files that are not indexed.
        return found if found or file else self._in(self._program, function, "")

    def locate_in_program(self, function: str, file: str) -> tuple[FilePath, Symbol] | None:
        """(file, symbol) of a function of the program itself that every call reaches; `file` may be empty for
        an exported function."""
        found = self._in(self._program, function, file)
        return found if found and found[1].confidence != PARTLY else None

    def entry(self, path: FilePath, symbol: Symbol, arguments: int) -> Entry:
        """The cheapest place at the function's entry at which its first `arguments` arguments are
        unchanged."""
        if path not in self._entries:
            self._entries[path] = Entries(path)
        return self._entries[path].at(symbol, arguments)

    def save(self) -> None:
        """Write the results to the cache for the next process."""
        for known in self._known.values():
            known.save()
        for entries in self._entries.values():
            entries.save()

    def field_of(self, function: str, file: str) -> str | None:
        """`Struct.field` of the table of callbacks that holds the function, or None."""
        return self._fields.get((function, file))

    def _cheapest(self, probe: Probe) -> Probe:
        """The same probe at the cheapest place near the function's entry."""
        symbol = self._places.get((probe.binary, probe.offset))
        point = point_for(probe.function, probe.kind)
        if symbol is None or point is None:
            return probe
        path = FilePath(probe.binary)
        arguments = point.arguments if point.function != ANY else ARGUMENTS[probe.rule]
        arguments = max(arguments, SENDERS.get(probe.function, 0))
        entry = self.entry(path, symbol, arguments)
        return replace(probe, offset=entry.offset, stepped=entry.stepped)

    def _in(self, path: FilePath, function: str, file: str) -> tuple[FilePath, Symbol] | None:
        if path not in self._known:
            self._known[path] = KnownSymbols(path, self._index if path == self._program else None)
        with contextlib.suppress(BinaryError):
            if symbol := self._known[path].locate(function, file):
                self._places[str(path), symbol.offset] = symbol
                return path, symbol
        return None


def _callback_fields(index: Index) -> dict[tuple[str, str], str]:
    found: dict[tuple[str, str], str] = {}
    for struct in _TABLES:
        for _, _, field, what, value, _, _ in index.tables(struct):
            if what == "function":
                function = index.function_by_id(int(value))
                found.setdefault((function.name, function.file), f"{struct}.{field}")
    return found
