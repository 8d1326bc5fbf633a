"""How often libslirp's TCP sent again to the guest (probes/slirp_tcp.bpf.c)."""

from __future__ import annotations

import ctypes
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qtrace.errors import TargetError, TraceError
from qtrace.probes.slirp_tcp import AGAIN, KINDS, PROGRAM
from qtrace.trace.bpf.attachments import Attachments
from qtrace.trace.bpf.tally import Tally
from qtrace.trace.qemu.target import Target

__all__ = ["AgainPlace", "SentAgain"]


@dataclass(frozen=True, slots=True)
class AgainPlace:
    """Where the library sends: the byte `offset` of the file `binary`; `callers` are the bodies of the timers
    and of the input, as (first byte, end) in the file; `fields` are members of the BPF struct `slirp_tcp`.
    `reason` is why it is not known, or empty."""

    binary: str = ""
    offset: int = 0
    callers: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    fields: Mapping[str, int] = field(default_factory=dict)
    reason: str = ""


class SentAgain:
    """Counts by owner and kind (`KINDS`). `reason` is why it cannot, or empty."""

    def __init__(self, module: Any, attached: Attachments, target: Target, place: AgainPlace) -> None:
        self._module, self._attached, self._target = module, attached, target
        self._place = place
        self._tally = Tally(module, "sent_again")
        self.reason = place.reason

    def open(self) -> None:
        """Attach, or know why not."""
        if self.reason:
            return
        binary, table = Path(self._place.binary), self._module[b"slirp_layout"]
        try:
            members = dict(self._place.fields)
            for name, (first, end) in self._place.callers.items():
                begin = self._target.address_of(binary, first)
                members |= {f"{name}_begin": begin, f"{name}_end": begin + end - first}
            table[ctypes.c_int(0)] = table.Leaf(**members)
            self._target.address_of(binary, self._place.offset)
            self._attached.uprobe(PROGRAM, binary, self._place.offset)
        except (TargetError, TraceError) as exc:
            self.reason = str(exc)

    def begin(self) -> None:
        """A window begins."""
        self._tally.begin()

    def counts(self, owners: Collection[int]) -> Mapping[tuple[int, str], int]:
        """(owner, kind) -> how often in this window."""
        keys = {
            AGAIN.pack(owner, number): (owner, kind) for owner in owners for number, kind in KINDS.items()
        }
        return {keys[index]: calls for index, (calls, _) in self._tally.read(keys).items()}

    def close(self) -> None:
        """Nothing: the probe is the session's."""
