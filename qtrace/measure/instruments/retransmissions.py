"""Retransmissions of libslirp's TCP to the guest of a `user` netdev: the run's table `retransmissions`.

libslirp sends in tcp_output (libslirp's src/tcp_output.c), called by tcp_timer.c and tcp_input.c.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path

from qtrace.binary.symbols.named_bodies import bodies_named
from qtrace.errors import BinaryError, TargetError, TraceError
from qtrace.measure.effort import Effort
from qtrace.measure.qemu_process import QemuProcess
from qtrace.model import Symbol
from qtrace.probes.common import OWNERS
from qtrace.probes.family import Family, Point
from qtrace.probes.shared import Key, Shared
from qtrace.store.run import Tables
from qtrace.store.run_schema import TABLES
from qtrace.trace.bpf.tally import Tally
from qtrace.trace.session.instrument import Tracing
from qtrace.trace.session.level import Level
from qtrace.trace.session.snapshot import Snapshot

__all__ = ["AGAIN", "COLUMNS", "FAMILY", "SHARED", "TCP_LAYOUT", "Retransmissions", "instrument", "lines"]

_LIBRARY = "libslirp"
_NETDEV = "user"
_VERSION = re.compile(r"^\s*version\s*:\s*'([0-9.]+)'", re.MULTILINE)  # in libslirp's meson.build
_PROGRAM, _ARGUMENTS = "on_tcp_output", 1
_SENDS = "tcp_output"
# Functions that reset a connection's next sequence number and call tcp_output; the first runs on timeouts.
_CALLERS = {"timers": "tcp_timers", "input": "tcp_input"}
# Field of the BPF struct `tcp_offsets` -> its name in the index.
_FIELDS = {
    "timer": "tcpcb.t_timer",
    "dupacks": "tcpcb.t_dupacks",
    "force": "tcpcb.t_force",
    "una": "tcpcb.snd_una",
    "nxt": "tcpcb.snd_nxt",
    "max": "tcpcb.snd_max",
    "socket": "tcpcb.t_socket",
    "slirp": "socket.slirp",
}
# All fields of `tcp_offsets`.
TCP_LAYOUT = {*_FIELDS, *(f"{caller}_{end}" for caller in _CALLERS for end in ("begin", "end"))}


class Again(IntEnum):
    """The reason of a retransmission."""

    TIMEOUT = 0
    FAST = 1
    PROBE = 2


# `window probe`: the guest's window is closed, and nothing was lost.
_KINDS = {Again.TIMEOUT: "timeout", Again.FAST: "fast", Again.PROBE: "window probe"}
# `retransmissions`: an array with one element for each kind of each owner.
AGAIN = Key("AGAIN_INDEX", owner=OWNERS, kind=len(Again))
SHARED = Shared(enums={"AGAIN": Again}, keys=(AGAIN,))
FAMILY = Family(
    name="retransmissions",
    summary="retransmissions of libslirp's TCP to the guest: timeouts, fast retransmits, at the level full",
    needs=("uprobes",),
    points=(Point(_SENDS, (("uprobe", _PROGRAM),), arguments=_ARGUMENTS),),
    layout=tuple(_FIELDS.values()),
)
COLUMNS = (TABLES["retransmissions"],)


def instrument(process: QemuProcess, effort: Effort) -> Retransmissions | None:
    """The instrument, at the level full, or if `effort` names it."""
    wanted = effort.level is Level.FULL or FAMILY.name in effort.also
    return Retransmissions(process) if wanted else None


@dataclass(frozen=True, slots=True)
class _Place:
    """The place where the library sends: the byte `offset` of the file `binary`; `callers` are the bodies of
    the timers and of the input, as (first byte, end) in the file; `fields` are members of the BPF struct
    `tcp_offsets`. `reason` is why it is unknown, or empty."""

    binary: str = ""
    offset: int = 0
    callers: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    fields: Mapping[str, int] = field(default_factory=dict)
    reason: str = ""


class Retransmissions:
    """Counts by owner and kind."""

    family = FAMILY
    columns = COLUMNS

    def __init__(self, process: QemuProcess) -> None:
        index = process.index
        rows = [row for row in index.function(_SENDS) if index.library_of(row.file)]
        self._file, self._line = (rows[0].file, rows[0].line) if rows else ("", 0)
        self._place = _place(process)
        self._reason = self._place.reason

    def open(self, tracing: Tracing) -> None:
        """Attach, or keep the reason why that is impossible."""
        self._tally = Tally(tracing.module, "retransmissions")
        if self._reason:
            return
        binary, table = Path(self._place.binary), tracing.module[b"tcp_layout"]
        try:
            members = dict(self._place.fields)
            for name, (first, end) in self._place.callers.items():
                begin = tracing.target.address_of(binary, first)
                members |= {f"{name}_begin": begin, f"{name}_end": begin + end - first}
            table[ctypes.c_int(0)] = table.Leaf(**members)
            tracing.target.address_of(binary, self._place.offset)
            tracing.attached.uprobe(_PROGRAM, binary, self._place.offset)
        except (TargetError, TraceError) as exc:
            self._reason = str(exc)

    def begin(self) -> None:
        """Begin a window."""
        self._tally.begin()

    def tables(self, snapshot: Snapshot, owners: Collection[int]) -> Tables:
        """Table `retransmissions` of these owners in the last window, and `ledger` rows."""
        mine = [owner for owner in snapshot.owners if owner.number in owners and owner.driver == _NETDEV]
        if not mine:
            return {"retransmissions": [], "ledger": []}
        reason = self._reason
        counts = self._counts([owner.number for owner in mine])
        rows = [
            {
                "netdev_id": owner.netdev,
                "kind": kind,
                "function": _SENDS,
                "file": self._file,
                "line": self._line,
                "attached": not reason,
                "note": reason,
                "count": counts[owner.number, kind],
            }
            for owner in mine
            for kind in _KINDS.values()
        ]
        item = "libslirp's retransmissions"
        missing = [{"kind": "unattached", "item": item, "count": 1, "note": reason}] if reason else []
        return {"retransmissions": rows, "ledger": missing}

    def _counts(self, owners: Collection[int]) -> Mapping[tuple[int, str], int]:
        """(owner, kind) -> number of retransmissions in this window."""
        keys = {
            AGAIN.pack(owner, number): (owner, kind) for owner in owners for number, kind in _KINDS.items()
        }
        return {keys[index]: calls for index, (calls, _) in self._tally.read(keys).items()}

    def conditions(self) -> dict[str, str]:
        """No conditions."""
        return {}

    def close(self) -> None:
        """Nothing to close: the session owns the probe."""


def lines(tables: Tables) -> Iterator[str]:
    """Lines for `record`: the number of retransmissions by kind."""
    again = [row for row in tables.get("retransmissions", []) if row["attached"]]
    if again:
        parts = ", ".join(f"{row['count']:,} {row['kind']}" for row in again)
        yield f"retransmissions of libslirp's TCP to the guest: {parts}"


def _place(process: QemuProcess) -> _Place:
    index = process.index
    library = next((path for path in process.files.values() if path.name.startswith(f"{_LIBRARY}.")), None)
    if library is None:
        return _Place(reason=f"the process has no {_LIBRARY}")
    fields = {}
    for member, name in _FIELDS.items():
        struct, _, field_name = name.partition(".")
        offset = index.offsets(struct).get(field_name)
        if offset is None or _LIBRARY not in index.libraries:
            return _Place(
                reason=f"the index has no source of {_LIBRARY}: 'qtrace index --libraries' makes one with it"
            )
        fields[member] = offset
    try:
        if reason := _other_version(index.libraries[_LIBRARY], library):
            return _Place(reason=reason)
        names = [_name_in_library(function) for function in _CALLERS.values()]
        body, callers = bodies_named(library, _name_in_library(_SENDS), names)
        symbol = Symbol(_SENDS, "", body.address, body.first, "string", _name_in_library(_SENDS))
        entry = process.placement.entry(library, symbol, _ARGUMENTS)
        process.placement.save()
    except (BinaryError, OSError) as exc:
        return _Place(reason=str(exc))
    ends = {name: (caller.first, caller.end) for name, caller in zip(_CALLERS, callers, strict=True)}
    return _Place(str(library), entry.offset, ends, fields)


def _name_in_library(function: str) -> str:
    """The string with which a function logs its calls (DEBUG_CALL in libslirp's src/debug.h)."""
    return f"{function}..."


def _other_version(tree: Path, library: Path) -> str:
    """Why the tree's structs may differ from the library's, or empty."""
    found = _VERSION.search((tree / "meson.build").read_text(errors="replace"))
    version = found.group(1) if found else ""
    if version and f"\0{version}\0".encode() in library.read_bytes():
        return ""
    return f"the indexed source of {_LIBRARY} ({version or 'no version'}) is not that of {library}"
