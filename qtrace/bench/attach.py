"""Walked paths -> a tracing session on a process: index, binary and tracer joined."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path as FilePath

from qtrace.binary.known import KnownSymbols
from qtrace.errors import BinaryError, StoreError, TraceError
from qtrace.model import Path, Symbol
from qtrace.store.index import Index
from qtrace.trace.engine import Engine
from qtrace.trace.layout import FIELDS
from qtrace.trace.plan import merge, probes_for
from qtrace.trace.session import Session
from qtrace.trace.target import Target

__all__ = ["Placement", "attach_paths"]

# The tables whose field tells what a callback's arguments are.
_TABLES = ("NetClientInfo", "SlirpCb")


class Placement:
    """Where the functions of paths are in the program and the libraries of one process.

    `index` is that of the tree which the program was built from.
    """

    def __init__(self, index: Index, files: Sequence[FilePath]) -> None:
        self._index = index
        self._program, *self._libraries = files
        self._known: dict[FilePath, KnownSymbols] = {}
        self._fields = _callback_fields(index)

    def locate(self, function: str, file: str) -> tuple[FilePath, Symbol] | None:
        """(file, place) of a function; an empty `file` means that a library defines it."""
        if file:
            return self._in(self._program, function, file)
        # slirp_input is in libslirp, vde_send in libvdeplug.
        wanted = function.split("_")[0]
        libraries = [path for path in self._libraries if wanted in path.name]
        return next(filter(None, (self._in(path, function, "") for path in libraries)), None)

    def field_of(self, function: str, file: str) -> str | None:
        """`Struct.field` of the table of callbacks that holds the function, if one does."""
        return self._fields.get((function, file))

    def save(self) -> None:
        """Remember what was found for the next process of these files."""
        for known in self._known.values():
            known.save()

    def _in(self, path: FilePath, function: str, file: str) -> tuple[FilePath, Symbol] | None:
        if path not in self._known:
            self._known[path] = KnownSymbols(path, self._index if path == self._program else None)
        with contextlib.suppress(BinaryError):
            if symbol := self._known[path].locate(function, file):
                return path, symbol
        return None


@contextlib.contextmanager
def attach_paths(engine: Engine, pid: int, paths: Sequence[Path], index: Index) -> Iterator[Session]:
    """Probe every stage of `paths` in process `pid`; those that cannot be are in the session's ledger.

    Raises TargetError, TraceError, BinaryError.
    """
    files = Target(pid).libraries()
    if not files:
        raise TraceError(f"process {pid} shows no program of its own", hint="run it as root")
    placement = Placement(index, files)
    probes, unplaced = merge([probes_for(path, placement.locate, placement.field_of) for path in paths])
    placement.save()
    with engine.attach(pid, probes, _layout(index), unplaced) as session:
        yield session


def _layout(index: Index) -> dict[str, int]:
    """What the programs need to know of QEMU's structures; what the index lacks, the tracer names."""
    found = {}
    for name in FIELDS.values():
        struct, _, field = name.partition(".")
        with contextlib.suppress(StoreError, KeyError):
            found[name] = index.struct(struct)[0][field][0] if field else index.enum("NetClientDriver")[name]
    return found


def _callback_fields(index: Index) -> dict[tuple[str, str], str]:
    found: dict[tuple[str, str], str] = {}
    for struct in _TABLES:
        for _, _, field, what, value, _, _ in index.tables(struct):
            if what == "function":
                function = index.function_by_id(int(value))
                found.setdefault((function.name, function.file), f"{struct}.{field}")
    return found
