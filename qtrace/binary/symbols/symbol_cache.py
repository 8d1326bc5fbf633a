"""Resolved symbols, cached by the binary's build id. Resolving takes seconds and reading the cache does not;
inside the lab machine the difference is half a minute.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtrace.binary.file.buildid import build_id
from qtrace.binary.file.debuginfod import servers
from qtrace.cache import atomic_file, cache_dir
from qtrace.errors import BinaryError
from qtrace.model import Symbol
from qtrace.store.index import Index

if TYPE_CHECKING:
    from qtrace.binary.symbols.resolver import Resolver

__all__ = ["KnownSymbols"]

# Increase this number with each change of the resolver's results, so that cached answers are discarded.
_FORMAT = 5


class KnownSymbols:
    """A `Resolver` with a cache. Raises BinaryError for a file that is not valid.

    `symbols` is a separate debug file; with one, or with `force`, nothing is cached.
    """

    def __init__(
        self, binary: Path, index: Index | None, symbols: Path | None = None, force: bool = False
    ) -> None:
        self._binary = binary
        self._index = index
        self._symbols, self._force = symbols, force
        self._resolver: Resolver | None = None
        self.build_id = build_id(binary)
        tree = index.path.stem if index else "no-index"
        # A debuginfod server may have more symbols than were found without one.
        asked = "-debuginfod" if servers() else ""
        self._file = cache_dir("symbols") / f"{self.build_id or 'unnamed'}-{tree}{asked}.json"
        self._kept = bool(self.build_id) and symbols is None and not force
        self._answers, self._all = self._load()
        self._new = False

    def locate(self, function: str, file: str = "") -> Symbol | None:
        """The address of `function`, or None if it is unknown: see `Resolver.locate`."""
        key = f"{file}:{function}"
        if key not in self._answers and file and self._all is not None:
            found = next((one for one in self._all if (one.name, one.file) == (function, file)), None)
            if found is not None:
                return found if found.address else None
        if key not in self._answers:
            self._answers[key] = self._resolve().locate(function, file)
            self._new = True
        return self._answers[key]

    def everything(self) -> list[Symbol]:
        """Every function of the indexed C files: see `Resolver.everything`."""
        if self._all is None:
            self._all = self._resolve().everything()
            self._new = True
        return self._all

    def save(self) -> None:
        """Write new answers to the cache. A cache that cannot be written costs time and nothing else."""
        # A server that did not answer may have the symbols the next time.
        refused = servers() and self._resolver and self._resolver.debug is None
        if not self._new or not self._kept or refused:
            return
        answers = {key: asdict(found) if found else None for key, found in self._answers.items()}
        everything = [list(asdict(item).values()) for item in self._all] if self._all is not None else None
        with contextlib.suppress(OSError), atomic_file(self._file) as beside:
            beside.write_text(json.dumps({"format": _FORMAT, "answers": answers, "all": everything}))
        self._new = False

    def _resolve(self) -> Resolver:
        if self._resolver is None:
            from qtrace.binary.symbols.resolver import (
                Resolver,  # slow to import, with pyelftools; a cached answer needs neither
            )

            self._resolver = Resolver(self._binary, self._index, self._symbols, self._force)
        return self._resolver

    def _load(self) -> tuple[dict[str, Symbol | None], list[Symbol] | None]:
        if not self._kept:
            return {}, None
        try:
            data: Any = json.loads(self._file.read_text())
            if data["format"] != _FORMAT:
                return {}, None
            answers = {key: Symbol(**found) if found else None for key, found in data["answers"].items()}
            return answers, None if data["all"] is None else [Symbol(*item) for item in data["all"]]
        except (OSError, ValueError, KeyError, TypeError, AttributeError, BinaryError):
            return {}, None
