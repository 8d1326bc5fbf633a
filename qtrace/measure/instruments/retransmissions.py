"""What libslirp's TCP sends again to the guest of a `user` netdev: the run's table `retransmissions`."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

from qtrace.binary.symbols.named_bodies import bodies_named
from qtrace.errors import BinaryError
from qtrace.measure.qemu_process import QemuProcess
from qtrace.model import Symbol
from qtrace.probes.slirp_tcp import CALLERS, FAMILY, FIELDS, KINDS, SENDS, name_in_library
from qtrace.trace.instruments.slirp_tcp_counter import AgainPlace
from qtrace.trace.session.session import Session
from qtrace.trace.session.snapshot import Snapshot

__all__ = ["Retransmitted"]

_LIBRARY = "libslirp"
_NETDEV = "user"
_VERSION = re.compile(r"^\s*version\s*:\s*'([0-9.]+)'", re.MULTILINE)  # in its meson.build


class Retransmitted:
    """Attached to a session on the process."""

    def __init__(self, session: Session, process: QemuProcess) -> None:
        index = process.index
        rows = [row for row in index.function(SENDS) if index.library_of(row.file)]
        self._file, self._line = (rows[0].file, rows[0].line) if rows else ("", 0)
        self._counter = session.count_sent_again(_place(process))

    def tables(self, snapshot: Snapshot, owners: Collection[int]) -> dict[str, list[dict[str, Any]]]:
        """`retransmissions` of these owners in the window that has ended, and `ledger` rows."""
        mine = [owner for owner in snapshot.owners if owner.number in owners and owner.driver == _NETDEV]
        if not mine:
            return {"retransmissions": [], "ledger": []}
        reason = self._counter.reason
        counts = self._counter.counts([owner.number for owner in mine])
        rows = [
            {
                "netdev_id": owner.netdev,
                "kind": kind,
                "function": SENDS,
                "file": self._file,
                "line": self._line,
                "attached": not reason,
                "note": reason,
                "count": counts[owner.number, kind],
            }
            for owner in mine
            for kind in KINDS.values()
        ]
        item = "libslirp's retransmissions"
        missing = [{"kind": "unattached", "item": item, "count": 1, "note": reason}] if reason else []
        return {"retransmissions": rows, "ledger": missing}


def _place(process: QemuProcess) -> AgainPlace:
    index = process.index
    library = next((path for path in process.files.values() if path.name.startswith(f"{_LIBRARY}.")), None)
    if library is None:
        return AgainPlace(reason=f"the process has no {_LIBRARY}")
    fields = {}
    for member, name in FIELDS.items():
        struct, _, field = name.partition(".")
        if (offset := index.offsets(struct).get(field)) is None or _LIBRARY not in index.libraries:
            return AgainPlace(
                reason=f"the index has no source of {_LIBRARY}: 'qtrace index --libraries' makes one that has"
            )
        fields[member] = offset
    try:
        if reason := _other_version(index.libraries[_LIBRARY], library):
            return AgainPlace(reason=reason)
        names = [name_in_library(function) for function in CALLERS.values()]
        body, callers = bodies_named(library, name_in_library(SENDS), names)
        symbol = Symbol(SENDS, "", body.address, body.first, "string", name_in_library(SENDS))
        entry = process.placement.entry(library, symbol, FAMILY.points[0].arguments)
        process.placement.save()
    except (BinaryError, OSError) as exc:
        return AgainPlace(reason=str(exc))
    ends = {name: (caller.first, caller.end) for name, caller in zip(CALLERS, callers, strict=True)}
    return AgainPlace(str(library), entry.offset, ends, fields)


def _other_version(tree: Path, library: Path) -> str:
    """Why the tree's structs may not be the library's, or empty."""
    found = _VERSION.search((tree / "meson.build").read_text(errors="replace"))
    version = found.group(1) if found else ""
    if version and f"\0{version}\0".encode() in library.read_bytes():
        return ""
    return f"the indexed source of {_LIBRARY} ({version or 'no version'}) is not that of {library}"
